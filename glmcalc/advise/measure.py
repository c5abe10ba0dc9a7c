"""A machine's terms from printed figures: the engine's identity, solved for what a log does not print.

The engine's identity is ``available = ceil(total x utilization) - everything else``. Terms that the log prints are taken;
what is left of the identity goes to the terms that it does not print, each in proportion to the square of its range, and
never below zero or past its range. What no term can take is a residual, and is shown as one.
"""

from __future__ import annotations

from glmcalc.budget import runtime
from glmcalc.budget.calibrated import RESIDUAL
from glmcalc.budget.plan import plan
from glmcalc.budget.result import Plan
from glmcalc.budget.terms import stock_terms
from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.facts.quantity import MIB, Band, combine
from glmcalc.logs.read import LogFacts, MemoryLine
from glmcalc.model.calibration import Calibration
from glmcalc.model.deployment import Deployment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Mapping


# Half of the last digit of a log's two decimals of GiB.
_ROUNDING = round(0.005 * (1 << 30))
# The printed quantity that a term is.
_PRINTED_AS = {
    "activation_peak": "peak_activation_bytes",
    "non_torch": "non_torch_bytes",
    "cuda_graphs": "cuda_graph_estimated_bytes",
}


@record
class Measured:
    """What a log's figures say of a machine.

    Attributes:
        before: the budget without them; after: with them.
        calibration: what ``--calibration`` takes.
        closed_form_bytes: weights of one GPU by the closed form, the MTP layer included.
        unprinted: what the identity leaves to the terms that the log does not print, bytes; expected: their range.
        residual: what no term could take, bytes; 0 where the ranges hold it.
    """

    before: Plan
    calibration: Calibration
    after: Plan
    closed_form_bytes: int
    unprinted: int
    expected: Band
    residual: int


def printed_lines(facts: LogFacts) -> dict[str, MemoryLine]:
    """Each printed quantity once: over ranks the smallest pool and the largest of all else, of the last start."""
    found: dict[str, MemoryLine] = {}
    seen: set[tuple[str, str | None]] = set()
    for row in reversed(facts.memory):
        if (row.name, row.process) in seen:
            continue
        seen.add((row.name, row.process))
        kept = found.get(row.name)
        smaller = row.name in ("available_kv_bytes", "kv_tokens", "max_concurrency")
        if kept is None or (row.value < kept.value if smaller else row.value > kept.value):
            found[row.name] = row
    return found


def measure(asked: Deployment, figures: Mapping[str, int | float]) -> Measured:
    """Terms of a machine from printed figures.

    Args:
        asked: the deployment they were printed at.
        figures: bytes and tokens by the names of ``data/log_lines.jsonl``; ``available_kv_bytes`` must be there.

    Raises:
        InputError: a pool that was set by hand, a device of unknown memory, or a deployment that the engine refuses.
    """
    before = _plan_of(asked, figures)
    closed = closed_form(before, figures)
    weights = figures.get("weights_bytes")
    terms, unprinted, expected, residual = _terms(before, closed, figures)
    shift = 0 if weights is None else int(weights) - closed
    if residual < 0:  # less was used than the terms' least: the weights are smaller than by the closed form
        shift, residual = shift + residual, 0
    if residual > 0:
        terms[RESIDUAL] = Band.exact(residual)
    calibration = Calibration(
        before.resolved.asked, tuple(sorted(terms.items())), weights is not None, shift,
        int(figures["available_kv_bytes"]), _graphs_above(figures), _indexer_rule(before, figures),
    )  # fmt: skip
    after = plan(before.resolved.asked.changed(calibration=calibration))
    return Measured(before, calibration, after, closed, unprinted, expected, residual)


def _plan_of(asked: Deployment, figures: Mapping[str, int | float]) -> Plan:
    """The budget of the log's own deployment, by its closed forms alone."""
    for name in ("kv_cache_memory_bytes", "num_gpu_blocks_override"):
        if getattr(asked, name) is not None:
            allowed = "left to the profile: a pool set by hand says nothing of the terms"
            raise InputError(name, getattr(asked, name), allowed)
    total = figures.get("gpu_total_bytes") if asked.gpu_memory_bytes is None else asked.gpu_memory_bytes
    machine = asked.changed(
        gpu_memory_bytes=None if total is None else int(total), kept=(), speculative_extra=None, calibration=None,
        available_kv_bytes=None, weights_bytes=None,
    )  # fmt: skip
    made = plan(machine)
    if made.memory is None:
        raise InputError("gpu", asked.gpu, "a device whose memory is known, or say it with --gpu-memory-gib")
    return made


def closed_form(made: Plan, figures: Mapping[str, int | float]) -> int:
    """Weights of one GPU by the closed form, the MTP layer included, bytes.

    The printed tokens show which layers own an indexer, and so what was loaded, where the release leaves it open.
    """
    shown, asked = _indexer_rule(made, figures), made.resolved.asked
    if shown is not None:
        pool = int(figures["available_kv_bytes"])
        made = plan(asked.changed(calibration=Calibration(asked, (), False, 0, pool, None, shown)))
    return made.component("weights").band.likely + made.component("mtp_layer").band.likely


def _terms(made: Plan, closed: int, figures: Mapping[str, int | float]) -> tuple[dict[str, Band], int, Band, int]:
    """Terms by name; what is left to those that the log does not print, its range, and what none of them can take."""
    r = made.resolved
    printed = "weights_bytes" in figures
    used = (made.utilization_bytes or 0) - int(figures["available_kv_bytes"])
    rest = used - (int(figures["weights_bytes"]) if printed else closed)
    if r.version.fork:
        kind = "fork_overhead_printed" if printed else "fork_overhead_predicted"
        return {"fork_overhead": _exactly(max(rest, 0))}, rest, runtime.term(kind).band, min(rest, 0)
    terms: dict[str, Band] = {}
    open_: dict[str, Band] = {}
    for component in stock_terms(r, printed):
        name = _PRINTED_AS.get(component.name, "")
        if component.band == Band.exact(0):
            continue
        if name in figures:
            terms[component.name] = _exactly(max(int(figures[name]), 0))
        else:
            open_[component.name] = component.band
    rest -= sum(band.likely for band in terms.values())
    shared, residual = share_out(rest, open_)
    return {**terms, **shared}, rest, combine(list(open_.values())), residual


def share_out(rest: int, bands: Mapping[str, Band]) -> tuple[dict[str, Band], int]:
    """``rest`` bytes over terms known by their ranges: each moves from its middle by the share of its squared range.

    That is the least-squares answer for independent terms whose sum is known. No term leaves its range; what is then left
    over, above or below, is the second figure. ``sum(likely) + residual == rest``, always.

    >>> shared, left = share_out(100, {"a": Band(0, 10, 50), "b": Band(0, 60, 70)})
    >>> {name: band.likely for name, band in shared.items()}, left
    ({'a': 38, 'b': 62}, 0)
    """
    values = {name: band.likely for name, band in bands.items()}
    free = {name for name, band in bands.items() if band.high > band.low}
    missing = rest - sum(values.values())
    while missing and free:
        weight = {name: _room(bands[name], missing) ** 2 for name in sorted(free)}
        whole = sum(weight.values())
        for name in free.copy():
            wanted = values[name] + (round(missing * weight[name] / whole) if whole else 0)
            values[name] = min(max(wanted, bands[name].low), bands[name].high)
            if values[name] != wanted or not weight[name]:
                free.discard(name)
        before, missing = missing, rest - sum(values.values())
        if abs(missing) <= len(bands) or missing == before:
            break
    for name, band in bands.items():  # what rounding left
        to = min(max(values[name] + missing, band.low), band.high)
        missing -= to - values[name]
        values[name] = to
    spread = {name: _narrowed(bands, name) for name in bands}
    return {name: _around(values[name], spread[name]) for name in bands}, rest - sum(values.values())


def _room(band: Band, missing: int) -> float:
    """Half of the range on the side to which something is missing, in MiB."""
    return ((band.high - band.likely) if missing > 0 else (band.likely - band.low)) / MIB


def _narrowed(bands: Mapping[str, Band], name: str) -> int:
    """What stays open of one term once the sum of all is known, bytes to each side."""
    squares = {one: ((band.high - band.low) / 2) ** 2 for one, band in bands.items()}
    whole = sum(squares.values())
    return round((squares[name] * (1 - squares[name] / whole)) ** 0.5) if whole else 0


def _around(value: int, spread: int) -> Band:
    return Band(max(value - spread, 0), max(value, 0), max(value, 0) + spread)


def _exactly(value: int) -> Band:
    return Band(max(value - _ROUNDING, 0), value, value + _ROUNDING)


def _graphs_above(figures: Mapping[str, int | float]) -> int | None:
    actual, estimated = figures.get("cuda_graph_actual_bytes"), figures.get("cuda_graph_estimated_bytes")
    return None if actual is None or estimated is None else int(actual - estimated)


def _indexer_rule(made: Plan, figures: Mapping[str, int | float]) -> str | None:
    """Which layers own an indexer cache by the printed pool and tokens, where only one of the two rules agrees with both."""
    tokens = figures.get("kv_tokens")
    g = made.resolved.checkpoint.geometry
    if tokens is None or not g.sparse or len(g.indexer_layers) == g.num_hidden_layers:
        return None
    pool = int(figures["available_kv_bytes"])
    agreeing = [name for name in ("every_layer", "owning_layers") if tokens_agree(made, name, pool, int(tokens))]
    return agreeing[0] if len(agreeing) == 1 else None


def tokens_agree(made: Plan, rule: str, pool: int, tokens: int) -> bool:
    """Whether a printed pool, known to 0.01 GiB, and printed tokens fit together under a rule for indexer caches.

    Engines print tokens by blocks or by requests at once (``data/engine_versions.json``); a block to each side covers both.
    """
    r = made.resolved
    probe = Calibration(r.asked, (), False, 0, pool, None, rule)
    ends = []
    for value in (pool - _ROUNDING, pool + _ROUNDING):
        asked = r.asked.changed(available_kv_bytes=max(value, 0), calibration=probe)
        ends.append(plan(asked).kv.pool.tokens or 0)
    margin = 2 * r.block_size * r.dcp
    return ends[0] - margin <= tokens <= ends[1] + margin
