"""Changes that make the KV pool larger, or a request smaller, each computed for the case and budgeted anew."""

from __future__ import annotations

import math

from glmcalc.advise.changes import Change, action, flag_change, is_sure, set_flag, several
from glmcalc.advise.flag_changes import batched_tokens, sequences
from glmcalc.advise.ladder_knobs import grain, round_length
from glmcalc.advise.relief import printed_pool_holds, utilization
from glmcalc.facts.frozen import replace
from glmcalc.solve.ceiling import raised_too_far

TYPE_CHECKING = False
if TYPE_CHECKING:
    from glmcalc.advise.case import Case
    from glmcalc.budget.result import Plan

_MORE_HARDWARE = ("model ", "--tensor-parallel-size", "--pipeline-parallel-size")


def raise_utilization(case: Case) -> Change | None:
    """Utilization up, as far as what lies outside still fits."""
    now = utilization(case)
    if case.plan is None:
        return None
    values = [round(value / 100, 2) for value in range(math.floor(100 * now) + 1, 97)]
    return set_flag(
        case,
        "gpu_memory_utilization",
        values,
        "the pool grows; what lies outside still fits",
        "less slack for run-time peaks",
        lambda value, after: printed_pool_holds(case, after, value - now) and not _too_far(case, after),
    )


def _too_far(case: Case, after: Plan | None) -> bool:
    """Whether utilization passes the ceiling that ``tune`` and ``downgrade`` keep to."""
    return after is not None and case.plan is not None and raised_too_far(case.plan, after)


def sequences_to_pool(case: Case) -> Change | None:
    """The cap on requests at what the pool holds."""
    holds = case.value("max_concurrency") or (case.plan.kv.pool.max_concurrency if case.plan else None)
    now = case.plan.resolved.max_num_seqs if case.plan else (case.deployment.max_num_seqs if case.deployment else None)
    running = case.value("running")
    cap = max(int(running), 1) if running else (max(math.floor(holds), 1) if holds else None)
    if cap is None:
        return None
    values = [value for value in (cap, cap // 2, cap // 4) if value and (now is None or value < now)]
    return set_flag(case, "max_num_seqs", values, "requests wait instead of being computed twice")


def kv_length(case: Case) -> Change | None:
    """A length at or below the engine's own estimate that the pessimistic pool holds too."""
    estimated = case.value("estimated_max_model_len")
    now = case.plan.resolved.max_model_len if case.plan else case.value("max_model_len")
    if estimated is None and case.plan is None:
        return None
    most = int(min(value for value in (estimated, now) if value is not None))
    printed = f"; the engine's own estimate is {int(estimated):,} tokens" if estimated else ""
    return set_flag(
        case,
        "max_model_len",
        _lengths(most),
        f"one request of that length fits in the pool{' at the pessimistic end' if case.plan else ''}{printed}",
        None,
        lambda value, after: printed_pool_holds(case, after),
    )


def _lengths(most: int) -> list[int]:
    """Round lengths at or below ``most``, the longest first, each about 3 % below the one before."""
    values = []
    while most >= 256:
        values.append(round_length(most))
        most = min(most - grain(most), int(most * 0.97))
    return values


def printed_length(case: Case) -> Change | None:
    """The length that the engine itself names, where this log's own figures confirm it and the budget without them does not."""
    estimated = case.value("estimated_max_model_len")
    if estimated is None or case.plan is None or case.measured is None:
        return None
    low = case.shown(case.plan).kv.low.estimated_max_model_len
    for value in _lengths(int(min(estimated, low or estimated))):
        made = flag_change(case, "max_model_len", value, "just under what the engine itself says that its pool holds")
        if made is not None and made.plan is not None and case.shown(made.plan).verdict.status == "fits":
            return replace(
                made, risk=f"it fits by what this log printed; without the log {made.risk}" if made.risk else None
            )
    return None


def shortening_is_cheap(case: Case) -> bool:
    """Whether a length that surely fits is within a tenth of the one that was asked for."""
    asked = case.plan.resolved.max_model_len if case.plan else case.value("max_model_len")
    found = kv_length(case)
    return bool(asked and found and found.risk is None and isinstance(found.after, int) and found.after >= 0.9 * asked)


def keep_length(case: Case) -> Change | None:
    """What holds the whole length, where that takes more than one flag."""
    found = several(case, "the length stays")
    if found is None or found.kind != "action" or any(word in found.text for word in _MORE_HARDWARE):
        return None
    return found


def kv_record(case: Case) -> Change | None:
    """From the bf16 record to the one with scales."""
    if case.plan is None or case.plan.resolved.record != "bf16":
        return None
    dtype = "fp8" if case.plan.resolved.device.architecture == "sm90" else "fp8_ds_mla"
    return set_flag(
        case,
        "kv_cache_dtype",
        [dtype],
        "656 B a token and layer in place of 1,152: the pool holds 1.7 times the tokens",
        None,
        lambda value, after: printed_pool_holds(case, after),
    )


def context_parallel(case: Case) -> Change | None:
    """The smallest decode context parallelism with which one request fits."""
    if case.plan is None:
        return None
    r = case.plan.resolved
    sizes = [size for size in (2, 4, 8) if size > r.dcp and r.tp % size == 0]
    return set_flag(
        case,
        "decode_context_parallel_size",
        sizes,
        "each rank holds a share of every request; the length stays",
        None,
        lambda value, after: printed_pool_holds(case, after),
    )


def more_pool(case: Case) -> Change | None:
    """A pool, from one flag where the budget confirms that it is enough; else from the least doubtful one."""
    if case.plan is None:
        return action(
            "Raise --gpu-memory-utilization while slack is real, lower --max-num-batched-tokens, or take smaller weights."
        )
    found = [made for make in (raise_utilization, batched_tokens, sequences) if (made := make(case)) is not None]
    return next((made for made in found if is_sure(made, case)), found[0] if found else None)
