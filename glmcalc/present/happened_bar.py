"""One GPU at the moment of death: the budget, with the log's own figures in it, and the component that died marked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Mapping, Sequence

from glmcalc.advise.case import Case
from glmcalc.budget.plan import plan
from glmcalc.facts.errors import InputError
from glmcalc.facts.quantity import GIB
from glmcalc.present.bar import SHAPES, drawn_bar
from glmcalc.present.ledger import POOL, cents, gib_text
from glmcalc.present.segments import Bar, Dead, Segment, layout

_ASKED = {
    "runtime_workspace": "Kernel scratch", "runtime_activation": "Run-time peak", "cuda_graph_capture": "CUDA graphs",
    "profile_run_activation": "Profile run", "weights_load": "Weights",
}  # fmt: skip
# Where no figure was printed: the component of the budget that the class names.
_NAMED = {
    "runtime_workspace": "unprofiled_transients", "runtime_activation": "unprofiled_transients",
    "cuda_graph_capture": "cuda_graphs", "profile_run_activation": "run", "weights_load": "weights",
}  # fmt: skip
_BEFORE_THE_POOL = ("weights_load", "profile_run_activation")
_LOADED = ("weights", "mtp_layer", "load_extras", "small")
_NO_GPU_MEMORY = ("host_ram",)
_ODD = 0.05 * GIB  # differences below this are rounding of what the log printed


def happened_bar(case: Case, shapes: Sequence[str] = SHAPES) -> tuple[str, bool]:
    """The bar of a case as HTML, empty where there is no budget to draw; and whether something dead is marked on it."""
    if case.plan is None or case.death.death in _NO_GPU_MEMORY or case.plan.verdict.status == "unsupported":
        return "", False
    budget = _as_printed(case)
    full, merged = layout(budget), layout(budget, merged=True)
    if full is None or merged is None:
        return "", False
    full = at_death(full, case)
    return drawn_bar(full, at_death(merged, case), shapes), full.dead is not None


def _as_printed(case: Case) -> Mapping[str, Any]:
    """The budget with the pool and the weights that the log printed; as foretold where it printed none."""
    assert case.plan is not None
    figures = {name: case.value(name) for name in ("available_kv_bytes", "weights_bytes")}
    known = {name: int(value) for name, value in figures.items() if value is not None and value > 0}
    if known and case.deployment is not None:
        try:
            return plan(case.deployment.changed(**known)).to_dict()
        except InputError:  # a figure that no plan can have, of another engine's or another model's line
            pass
    return case.plan.to_dict()


def at_death(bar: Bar, case: Case) -> Bar:
    """``bar`` as it stood when the server died, with what died marked; unchanged where nothing on a GPU died.

    The marked part is as long as what was asked for, and passes what bounds it by what was missing.
    """
    death, tried, free = case.death.death, case.value("tried_bytes"), case.value("free_bytes")
    bar = _explained(bar, case.value("available_kv_bytes") is not None)
    if death == "startup_free_memory":
        return _held_by_others(bar, case)
    if death in ("startup_kv_too_small", "startup_no_kv_blocks"):
        return _pool(bar, case)
    if death not in _ASKED:
        return bar
    if tried is None or free is None:
        return _named(bar, death)
    if death in _BEFORE_THE_POOL:
        return _before_the_pool(bar, death, int(tried), int(free))
    return _beyond_the_line(bar, death, int(tried), int(free))


def _gib(value: float) -> str:
    return gib_text(cents(value))


def _explained(bar: Bar, printed: bool) -> Bar:
    """The pool at the line; what the log's figures leave before it has a name of its own.

    Where estimates and a pool that was printed are more than the line, the estimates give way: one part stands for them.
    """
    pool = next((part for part in bar.inside if part.name == POOL), None)
    if pool is None:
        return bar
    before = [part for part in bar.inside if part.name not in (POOL, "unused")]
    gap = bar.line - pool.size - (before[-1].end if before else 0)
    if gap < 0 and printed:
        kept = [part for part in before if part.name in _LOADED]
        start = kept[-1].end if kept else 0
        end = bar.line - pool.size
        if end > start:
            rest = Segment("run", "Activation, graphs, other", start, end, _gib(end - start), "act", True)
            return replace(bar, inside=(*kept, rest, _moved(pool, end)))
    if gap <= 0:
        return bar
    start = before[-1].end if before else 0
    between = Segment("unused", "not explained", start, start + gap, _gib(gap), "", False)
    return replace(bar, inside=(*before, between, _moved(pool, start + gap)))


def _moved(part: Segment, start: int) -> Segment:
    return replace(part, start=start, end=start + part.size)


def _asked(start: int, asked: int, short: int, label: str, hatched_from: int = 0) -> Dead:
    """A mark of ``asked`` bytes from ``start``, of which ``short`` were missing."""
    missing = f", {_gib(short)} short" if short > 0 else ""
    rows = [(f"{label} asked", _gib(asked))] + ([("short by", _gib(short))] if short > 0 else [])
    return Dead(start, start + asked, label, f"asked {_gib(asked)} GiB{missing}", tuple(rows), hatched_from)


def _beyond_the_line(bar: Bar, death: str, tried: int, free: int) -> Bar:
    """All inside the line is taken; what is left beyond it was too small.

    What else lay beyond is what the log leaves: the total, less the line, less what was free.
    """
    edge = max([bar.line, *(part.end for part in bar.inside)])
    others = _to_the_right(
        [part for part in bar.outside if part.name not in ("unprofiled_transients", "outside")], bar.frame
    )
    merged = [part for part in bar.outside if part.name == "outside"]
    held = bar.frame - edge - free
    known = sum(part.size for part in others)
    label = _ASKED[death]
    if held < 0:  # more was free than lies beyond the line: the pool was not full yet
        mark = _asked(max(bar.frame - known - tried, 0), tried, max(tried - free, 0), label)
        return replace(bar, outside=others, free=None, need=None, dead=mark)
    if merged or known > held:
        others = (Segment("outside", "Outside the line", bar.frame - held, bar.frame, _gib(held), "ctx", True),)
    elif held - known > _ODD:
        start = bar.frame - held
        since = Segment("held", "Held since start", start, bar.frame - known, _gib(_left(held, others)), "trans", True)
        others = (since, *others)
    mark = _asked(edge - max(tried - free, 0), tried, max(tried - free, 0), label)
    return replace(bar, outside=others, free=None, need=None, dead=mark)


def _to_the_right(parts: Sequence[Segment], end: int) -> tuple[Segment, ...]:
    """``parts`` one beside the other, the last up to ``end``."""
    placed: list[Segment] = []
    for part in reversed(parts):
        placed.insert(0, _moved(part, end - part.size))
        end -= part.size
    return tuple(placed)


def _left(held: int, others: Sequence[Segment]) -> float:
    """Bytes of ``held`` that ``others`` leave, so that the printed figures add up."""
    return (cents(held) - sum(round(100 * float(part.printed.replace(",", ""))) for part in others)) * GIB / 100


def _before_the_pool(bar: Bar, death: str, tried: int, free: int) -> Bar:
    """No pool yet: what was loaded, what else was held, and the request that passes the frame."""
    used = max(bar.frame - free, 0)
    loaded: list[Segment] = []
    if death != "weights_load":
        loaded = [part for part in bar.inside if part.name in _LOADED]
    if loaded and loaded[-1].end > used:
        loaded = []
    start = loaded[-1].end if loaded else 0
    if used - start > _ODD or not loaded:
        words = ("Loaded so far", "weights") if death == "weights_load" else ("Held then", "act")
        loaded.append(Segment("held", words[0], start, used, _gib(used - start), words[1], True))
    mark = _asked(used, tried, max(tried - free, 0), _ASKED[death])
    return replace(bar, inside=tuple(loaded), outside=(), free=None, need=None, pool_from=None, dead=mark)


def _held_by_others(bar: Bar, case: Case) -> Bar:
    """Before the load: what others hold reaches from the right over the line."""
    free, asked = case.value("start_free_bytes"), case.value("requested_bytes")
    if free is None:
        return bar
    free = int(free)
    short = int(asked) - free if asked is not None else bar.line - free
    held = bar.frame - free
    said = f"{_gib(held)} GiB" + (f", {_gib(short)} short" if short > 0 else "")
    rows = [("Held by others", _gib(held))] + ([("short by", _gib(short))] if short > 0 else [])
    mark = Dead(free, bar.frame, "Held by others", said, tuple(rows))
    empty = Segment("free", "free at the start", 0, free, _gib(free), "", False)
    return replace(bar, inside=(), outside=(), free=empty, need=None, pool_from=None, dead=mark)


def _pool(bar: Bar, case: Case) -> Bar:
    """The pool against the need of one request: outlined as long as the need, hatched where the pool ends."""
    pool = next((part for part in bar.inside if part.name == POOL), None)
    needed = case.value("kv_needed_bytes") or (case.plan.kv.needed_bytes if case.plan else None)
    if pool is None or not needed:
        return bar
    printed = case.value("available_kv_bytes")
    have = int(printed) if printed is not None else pool.size
    end = max([bar.line, *(part.end for part in bar.inside)]) if have <= 0 else pool.end
    start = end - have
    mark = _asked(start, int(needed), max(int(needed) - have, 0), "One request", hatched_from=max(end, bar.line))
    return replace(bar, need=None, dead=mark)


def _named(bar: Bar, death: str) -> Bar:
    """No figure was printed: the component that the class names, as large as the budget has it."""
    names = (_NAMED[death], "outside", "small")
    part = next((part for name in names for part in bar.parts if part.name == name), None)
    if part is None:
        return bar
    past = part.end - bar.frame
    said = f"{part.printed} GiB by the budget" + (f", {_gib(past)} short" if past > 0 else "; asked: not printed")
    rows = ((f"{_ASKED[death]}, budgeted", part.printed), ("asked: not printed", ""))
    return replace(bar, need=None, dead=Dead(part.start, part.end, _ASKED[death], said, rows))
