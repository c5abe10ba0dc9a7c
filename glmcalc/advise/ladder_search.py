"""Whether anything at all fits on these GPUs: a search over the whole space of knobs; and what fits elsewhere."""

from __future__ import annotations

import math

from glmcalc.advise.ladder_climb import Climber
from glmcalc.advise.ladder_knobs import FLOOR, OUTSIDE, spread_changes, spreads
from glmcalc.advise.ladder_limits import Goal, margins
from glmcalc.advise.ladder_steps import safe_beside
from glmcalc.budget.plan import plan
from glmcalc.budget.result import Plan
from glmcalc.facts.engines import NEWEST
from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.facts.hardware import Device, devices
from glmcalc.facts.models import model_names
from glmcalc.facts.quantity import gib
from glmcalc.model.checkpoint import load_checkpoint
from glmcalc.model.resolved import Resolved
from glmcalc.solve.ceiling import margin_bytes, utilization_ceiling
from glmcalc.solve.steps import applied, changed_settings, smaller_checkpoints

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator

    Changes = dict[str, Any]

# Every limit grows as these shrink, so that one budget at the smallest stands for all.
SMALLEST: Changes = {
    "max_num_seqs": 1, "max_num_batched_tokens": 512, "enforce_eager": True, "speculative_method": None,
    "num_speculative_tokens": None, "speculative_extra": None, "max_cudagraph_capture_size": None,
    "kv_cache_memory_bytes": None, "num_gpu_blocks_override": None, "block_size": None,
    "enable_chunked_prefill": None,
}  # fmt: skip
_RECORDS = ("bfloat16", "fp8_ds_mla", "fp8", "nvfp4_ds_mla")
_MOST_GPUS = 64


@record
class Searched:
    """What a search over all knobs found.

    Attributes:
        changes: of the first combination that holds, or None.
        budgets: how many combinations were budgeted.
        text: what was searched, a sentence.
        short_bytes: what the closest combination is short of, bytes per GPU; None where the engine refuses all of them.
        closest: that combination, in words.
    """

    changes: Changes | None
    budgets: int
    text: str
    short_bytes: int | None
    closest: str | None


def search(climber: Climber) -> Searched:
    """Whether any combination of knobs holds on the GPUs that are there, within what the budget models."""
    start, goal = climber.start, climber.goal
    least: tuple[int, str] | None = None
    budgets = 0
    names: dict[str, set[Any]] = {"checkpoints": set(), "spreads": set()}
    for changes in _space(start.resolved):
        made = climber.changed(start, changes)
        budgets += 1
        if made is None or set(made.resolved.uncertain) - set(start.resolved.uncertain):
            continue
        best = _best_line(climber, made, changes)
        if best is None:
            continue
        budgets += 1
        names["checkpoints"].add(made.resolved.checkpoint.name)
        names["spreads"].add((made.resolved.tp, made.resolved.pp))
        lined, settled = best
        short = -min(margins(lined, goal).values())
        if climber.holds(lined):
            return Searched(settled, budgets, _searched(start.resolved, names, budgets), None, None)
        if least is None or short < least[0]:
            least = (short, _described(start.resolved, lined.resolved, settled))
    text = _searched(start.resolved, names, budgets)
    return Searched(None, budgets, text, least[0] if least else None, least[1] if least else None)


def _space(r: Resolved) -> Iterator[Changes]:
    """Each checkpoint, split, KV record and context-parallel size, all else at its smallest."""
    length = min(FLOOR, r.max_model_len)
    smallest = {**SMALLEST, "max_model_len": length}
    if r.version.certain and not r.version.fork:
        smallest["engine_version"] = NEWEST
    printed = r.asked.available_kv_bytes is not None
    models = [None] if printed else [None, *(name for name, _ in smaller_checkpoints(r.checkpoint.name))]
    sizes = [(r.tp, r.pp)] if printed else [(r.tp, r.pp), *spreads(r, r.gpus)]
    for model in models:
        chosen = {} if model is None else {"model": model, "quantization": None}
        for tp, pp in sizes:
            kept = (tp, pp) == (r.tp, r.pp)
            spread = {} if kept and (r.dp == 1 or printed) else spread_changes(r, tp, pp, r.gpus)
            for dtype in _RECORDS:
                for dcp in (None, 2, 4, 8, 16):
                    if tp % (dcp or 1) == 0:
                        yield {
                            **smallest,
                            **chosen,
                            **spread,
                            "kv_cache_dtype": dtype,
                            "decode_context_parallel_size": dcp,
                        }


def _best_line(climber: Climber, made: Plan, changes: Changes) -> tuple[Plan, Changes] | None:
    """The budget at the highest utilization that leaves enough beyond the line: below it the pool only shrinks.

    Up from the start it goes no further than its ceiling, which ``tune`` would take back.
    """
    found = margins(made, climber.goal)
    if not found:
        return None
    outside = [found[name] for name in OUTSIDE if name in found]
    ceiling = utilization_ceiling(made)
    if not outside or made.memory is None or ceiling is None:
        return made, changes
    now = made.resolved.gpu_memory_utilization
    highest = min(now + min(outside) / made.memory.likely, max(ceiling, now))
    line = min(max(math.floor(100 * highest + 1e-6), 5), 99) / 100
    settled = {**changes, "gpu_memory_utilization": line}
    lined = climber.changed(climber.start, settled)
    return (lined, settled) if lined is not None else None


def _searched(r: Resolved, names: dict[str, set[Any]], budgets: int) -> str:
    checkpoints, sizes = sorted(names["checkpoints"]), sorted(names["spreads"])
    if not checkpoints:
        return f"{budgets} combinations of KV record, context parallelism and split were tried; the engine refuses each"
    split = ", ".join(f"tp {tp} pp {pp}" for tp, pp in sizes)
    return (
        f"{budgets} budgets over {len(checkpoints)} checkpoint(s) ({', '.join(checkpoints)}), {split}, all KV records and "
        f"decode context parallel sizes, at the highest utilization that leaves {gib(margin_bytes())} GiB free beside all that "
        f"lies beyond the line at its worst (as glmcalc tune does), with one request of "
        f"{min(FLOOR, r.max_model_len):,} tokens, 512 batched tokens, no CUDA graphs and no MTP"
    )


def _described(before: Resolved, after: Resolved, changes: Changes) -> str:
    shown = (
        "model",
        "tensor_parallel_size",
        "pipeline_parallel_size",
        "kv_cache_dtype",
        "decode_context_parallel_size",
    )
    rows = changed_settings(before, after, {name: changes[name] for name in shown if name in changes})
    return ", ".join(f"{row['flag']} {row['to']}" for row in rows) or "the flags as they are"


@record
class Elsewhere:
    """A deployment on other hardware that fits.

    Attributes:
        kind: ``more_gpus`` or ``other_gpu``.
        plan: its budget.
        change: ``flag``, ``from`` and ``to`` of each setting that differs.
    """

    kind: str
    plan: Plan
    change: tuple[dict[str, Any], ...]

    def to_dict(self) -> dict[str, Any]:
        """As in ``nearest`` of ``downgrade --json``."""
        r = self.plan.resolved
        return {
            "kind": self.kind, "gpu": r.device.id, "gpus": r.gpus, "engine_version": r.asked.engine_version,
            "change": list(self.change),
            "status": self.plan.verdict.status, "reason": self.plan.verdict.reason, "command": self.plan.command,
            "safe": safe_beside(self.plan),
        }  # fmt: skip


def elsewhere(start: Plan, keep: str) -> list[Elsewhere]:
    """The nearest hardware that fits for sure: more of the same GPU, and another GPU in the same number."""
    return [*_more(start, keep), *_other(start, keep)]


def _more(start: Plan, keep: str) -> Iterator[Elsewhere]:
    r = start.resolved
    gpus = r.gpus
    while gpus * 2 <= _MOST_GPUS:
        gpus *= 2
        for tp, pp in spreads(r, gpus):
            if tp <= 16 and pp <= 8:
                made = _settled(start, {**spread_changes(r, tp, pp, gpus)}, keep)
                if made is not None:
                    yield _elsewhere("more_gpus", start, made)
                    return


def _other(start: Plan, keep: str) -> Iterator[Elsewhere]:
    """The smallest GPU on which it fits as it is, and a smaller one after a ladder of its own; in more GPUs where needed."""
    r = start.resolved
    chips = [chip for chip in devices() if chip.id != r.device.id and chip.vendor == "NVIDIA" and chip.memory()]
    chips.sort(key=_size)
    gpus, found = r.gpus, False
    while not found and gpus <= _MOST_GPUS:
        for one in _of_these(start, keep, chips, gpus):
            found = True
            yield one
        gpus *= 2


def _of_these(start: Plan, keep: str, chips: list[Device], gpus: int) -> Iterator[Elsewhere]:
    r = start.resolved
    more = {} if gpus == r.gpus else {**spread_changes(r, min(gpus, 16), max(gpus // 16, 1), gpus), "gpus": gpus}
    ranked = chips
    for chip in chips:
        if (made := _as_it_is(start, {**more, "gpu": chip.id})) is not None:
            yield _elsewhere("other_gpu", start, made)
            ranked = [other for other in chips if _size(other) < _size(chip)]
            break
    for chip in ranked:
        if (made := _settled(start, {**more, "gpu": chip.id}, keep)) is not None:
            yield _elsewhere("other_gpu", start, made)
            return


def _size(chip: Device) -> int:
    memory = chip.memory()
    return memory.low_bytes if memory else 0


def _as_it_is(start: Plan, changes: Changes) -> Plan | None:
    try:
        made = plan(applied(start.resolved.asked, changes, start.resolved.device))
    except InputError:
        return None
    return made if made.verdict.status == "fits" else None


def _settled(start: Plan, changes: Changes, keep: str) -> Plan | None:
    """The deployment there, as it is or after its own ladder; None where neither fits for sure."""
    try:
        made = plan(applied(start.resolved.asked, changes, start.resolved.device))
    except InputError:
        return None
    if not _could_hold(made):
        return None
    climber = Climber(made, Goal(), keep)
    taken = climber.climb()
    end = taken[-1].after if taken else made
    if not climber.holds(end) or end.resolved.uncertain:
        return None
    shorter = climber.least(taken)
    return shorter[-1].after if shorter else made


def _could_hold(made: Plan) -> bool:
    """Whether all GPUs together have the memory of the smallest checkpoint's tensors: without it no ladder need be tried."""
    r = made.resolved
    names = [r.checkpoint.name, *(name for name, _ in smaller_checkpoints(r.checkpoint.name))]
    least = min(load_checkpoint(name).bytes_without_mtp if name in model_names() else 0 for name in names)
    return made.memory is not None and made.memory.high * r.gpus > least


def _elsewhere(kind: str, start: Plan, made: Plan) -> Elsewhere:
    before, after = start.resolved, made.resolved
    names = ("gpu", "gpus", "model", "tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size",
             "kv_cache_dtype", "decode_context_parallel_size", "max_num_seqs", "max_num_batched_tokens",
             "gpu_memory_utilization", "speculative_method", "max_model_len", "enforce_eager", "max_cudagraph_capture_size",
             "engine_version", "kv_cache_memory_bytes", "num_gpu_blocks_override", "block_size", "enable_chunked_prefill")  # fmt: skip
    return Elsewhere(kind, made, tuple(changed_settings(before, after, dict.fromkeys(names))))
