"""How far a deployment is from each point at which the engine may die, in bytes; every size may be a column."""

from __future__ import annotations

from glmcalc.budget.kv import FITS, TOO_SMALL, PoolFigures
from glmcalc.facts.columns import either, larger, raised, smaller
from glmcalc.facts.engines import rule
from glmcalc.facts.frozen import record
from glmcalc.facts.quantity import Band
from glmcalc.model.resolved import Resolved

# Classes of death; the place of each is its code in columns. None: nothing dies.
STAGES = (
    None, "startup_free_memory", "weights_load", "profile_run_activation", "startup_no_kv_blocks", "startup_kv_too_small",
    "cuda_graph_capture", "runtime_workspace", "runtime_activation",
)  # fmt: skip
_FREE, _WEIGHTS, _PROFILE, _NO_BLOCKS, _TOO_SMALL, _CAPTURE, _SCRATCH, _PEAK = range(1, len(STAGES))
_OUTSIDE = ("late_buffers", "unprofiled_transients", "context_nccl")


@record
class Margin:
    """One point at which the engine may die: its code in :data:`STAGES`, and how far it is (negative: it dies)."""

    stage: int
    band: Band


def margins(
    r: Resolved, parts: dict[str, Band], pools: tuple[PoolFigures, PoolFigures, PoolFigures], memory: Band | None
) -> list[Margin]:
    """Every point at which the engine may die, in the order of a start; the pool alone where a log printed it.

    Args:
        r: the deployment.
        parts: the components by name.
        pools: the engine's planning at the low, the likely and the high end.
        memory: of the device, or None where it is not known.
    """
    found = [_pool_margin(*pools)]
    if memory is None or r.asked.available_kv_bytes is not None:
        return found
    return [*_load_margins(r, parts, memory), *found, *_late_margins(r, parts, memory)]


STATUSES = ("fits", "marginal", "does_not_fit", "unsupported")


def verdict_codes(found: list[Margin], unsure: bool) -> tuple[int, int]:
    """Status and stage as codes in :data:`STATUSES` and :data:`STAGES`, of a deployment that the engine takes.

    Args:
        found: as from :func:`margins`.
        unsure: something leaves it marginal at best.
    """
    status, stage = int(unsure), 0
    for end, code in (("low", 1), ("high", 2)):
        for margin in reversed(found):  # the first of a start is decided last, and stands
            dies = getattr(margin.band, end) < 0
            status, stage = either(dies, code, status), either(dies, margin.stage, stage)
    return status, stage


def free_memory(parts: dict[str, Band], memory: Band) -> Band:
    """What is free at start: all but the context and NCCL."""
    context = parts["context_nccl"]
    return Band(memory.low - context.high, memory.likely - context.likely, memory.high - context.low)


def loaded_bytes(parts: dict[str, Band]) -> Band:
    """What loading the model takes."""
    return parts["weights"].plus(parts["mtp_layer"]).plus(parts.get("load_extras", Band.exact(0)))


def running_bytes(parts: dict[str, Band]) -> Band:
    """What the profile run takes at its peak."""
    running = loaded_bytes(parts)
    for name in ("fork_overhead", "workspaces", "activation_peak", "mtp_runtime", "non_torch", "not_explained"):
        if name in parts:
            running = running.plus(parts[name])
    return running


def is_pinned(r: Resolved) -> bool:
    """Whether the pool is stated by hand, so that utilization does not size it."""
    return r.asked.kv_cache_memory_bytes is not None or r.asked.num_gpu_blocks_override is not None


def beyond_line(r: Resolved, parts: dict[str, Band], memory: Band) -> int:
    """What is left beyond the utilization line, bytes; where the pool is stated, beyond all that is inside."""
    inside = raised(memory.likely * r.gpu_memory_utilization)
    if is_pinned(r):
        inside = sum(band.likely for name, band in parts.items() if name not in _OUTSIDE)
    return memory.likely - inside


def _load_margins(r: Resolved, parts: dict[str, Band], memory: Band) -> list[Margin]:
    """What must fit before there is a pool: the requested share, the weights, the profile run."""
    free, share = free_memory(parts, memory), r.gpu_memory_utilization
    requested = _in_order(
        free.low - raised(memory.low * share),
        free.likely - raised(memory.likely * share),
        free.high - raised(memory.high * share),
    )
    return [
        Margin(_FREE, requested),
        Margin(_WEIGHTS, _minus(free, loaded_bytes(parts))),
        Margin(_PROFILE, _minus(free, running_bytes(parts))),
    ]


def _pool_margin(low: PoolFigures, likely: PoolFigures, high: PoolFigures) -> Margin:
    """Only a sign: -1 where the engine's planning refuses it, else 0. The likely figure says which death it is."""
    ends = (0 - (pool.outcome != FITS) for pool in (low, likely, high))
    stage = _stage_of(likely, _stage_of(low, _TOO_SMALL))
    return Margin(stage, _in_order(*ends))


def _stage_of(pool: PoolFigures, otherwise: int) -> int:
    return either(pool.outcome == FITS, otherwise, either(pool.outcome == TOO_SMALL, _TOO_SMALL, _NO_BLOCKS))


def _late_margins(r: Resolved, parts: dict[str, Band], memory: Band) -> list[Margin]:
    """What comes after the pool is fixed: graphs and builders, then the peaks of serving."""
    context, late, peak = parts["context_nccl"], parts["late_buffers"], parts["unprofiled_transients"]
    slack = beyond_line(r, parts, memory)
    # The profile's activation peak is free again while graphs are captured and builders allocate.
    reusable = parts.get("activation_peak", Band.exact(0)).low
    capture = Band(
        slack - context.high - late.high + reusable,
        slack - context.likely - late.likely + reusable,
        slack - context.low - late.low + reusable,
    )
    serving = Band(
        slack - context.high - late.likely - peak.high,
        slack - context.likely - late.likely - peak.likely,
        slack - context.low - late.low - peak.low,
    )
    old = r.record == "fp8_ds_mla" and rule("split_kv_accumulators", r.version).value == "allocated"
    stage = either(peak.likely > 4 * peak.low, _SCRATCH, _PEAK) if old else _PEAK
    # A pool stated by hand is allocated as it is: it may be more than there is, before anything else wants memory.
    pinned = [Margin(_FREE, _minus(Band.exact(slack + reusable), context))] if is_pinned(r) else []
    return [*pinned, Margin(_CAPTURE, capture), Margin(stage, serving)]


def _minus(free: Band, used: Band) -> Band:
    return Band(free.low - used.high, free.likely - used.likely, free.high - used.low)


def _in_order(one: int, two: int, three: int) -> Band:
    """The same three figures, sorted."""
    least, most = smaller(smaller(one, two), three), larger(larger(one, two), three)
    return Band(least, one + two + three - least - most, most)
