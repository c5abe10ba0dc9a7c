"""Changes of one flag against a death, each computed for the case and budgeted anew."""

from __future__ import annotations

import math

from glmcalc.advise.changes import Change, action, set_flag, several
from glmcalc.facts.quantity import GIB, gib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from glmcalc.advise.case import Case
    from glmcalc.budget.result import Plan


_SPARE = GIB  # left free beyond what was short
_DEFAULT_UTILIZATION = 0.92


def _utilization(case: Case) -> float:
    printed = case.value("gpu_memory_utilization")
    if case.plan is not None:
        return case.plan.resolved.gpu_memory_utilization
    stated = case.deployment.gpu_memory_utilization if case.deployment else None
    return float(stated or printed or _DEFAULT_UTILIZATION)


def _total(case: Case) -> float | None:
    printed = case.value("gpu_total_bytes")
    if printed:
        return float(printed)
    return float(case.plan.memory.likely) if case.plan and case.plan.memory else None


def short_bytes(case: Case) -> int:
    """What was asked for beyond what was free, in bytes; 0 where the log does not say, or where it was not that."""
    tried, free = case.value("tried_bytes"), case.value("free_bytes")
    return max(int(tried - free), 0) if tried is not None and free is not None else 0


def given_back(case: Case, after: Plan | None) -> int | None:
    """Bytes of one GPU that a change leaves outside the pool, by the budget; None without one.

    A lower utilization line gives back what it moves by. Fewer tokens or rows give back what late buffers and peaks that no
    profile covers shrink by; what they free inside the line goes to the pool and helps nobody here.
    """
    before = case.plan
    if before is None or after is None or before.utilization_bytes is None or after.utilization_bytes is None:
        return None
    parts = ("late_buffers", "unprofiled_transients")
    shrunk = sum(before.component(name).band.likely - after.component(name).band.likely for name in parts)
    return before.utilization_bytes - after.utilization_bytes + shrunk


def lower_utilization(case: Case) -> Change | None:
    """Utilization down by what was short and a GiB to spare, at least by 0.02."""
    now, total, short = _utilization(case), _total(case), short_bytes(case)
    step = max(0.02, (short + _SPARE) / total if total and short else 0.0)
    first = math.floor(100 * (now - step) + 1e-6)
    if first < 40:
        return None
    values = [round(value / 100, 2) for value in range(first, max(first - 16, 40), -1)]
    gains = (
        f"{gib((now - values[0]) * total)} GiB or more of each GPU go from the pool to what ran out"
        if total
        else "memory goes from the pool to what ran out"
    )
    if short:
        gains += f", which was short by {gib(short)} GiB"

    def enough(value: float, after: Plan | None) -> bool:
        back = given_back(case, after)
        return back is None or back >= short

    return set_flag(case, "gpu_memory_utilization", values, gains, "a smaller pool", enough)


def raise_utilization(case: Case) -> Change | None:
    """Utilization up, as far as what lies outside still fits."""
    now = _utilization(case)
    if case.plan is None:
        return None
    values = [round(value / 100, 2) for value in range(math.floor(100 * now) + 1, 97)]
    return set_flag(
        case,
        "gpu_memory_utilization",
        values,
        "the pool grows; what lies outside still fits",
        "less slack for run-time peaks",
        lambda value, after: printed_pool_holds(case, after, value - now),
    )


def printed_pool_holds(case: Case, after: Plan | None, raised: float = 0.0) -> bool:
    """Whether the pool that the log printed, with ``raised`` of the GPU's memory added, holds one request of the new plan.

    True where the log printed no pool, or there is no plan to ask.
    """
    printed, total = case.value("available_kv_bytes"), _total(case)
    if after is None or printed is None:
        return True
    pool = printed + raised * total if total else printed
    return after.kv.needed_bytes + after.kv.bytes_per_block <= pool


def lower_to_free(case: Case) -> Change | None:
    """Utilization to just under what is free at the start."""
    free, total = case.value("start_free_bytes"), _total(case)
    if free is not None and total:
        first = math.floor(100 * free / total)
    elif case.plan is not None:
        first = math.floor(100 * _utilization(case)) - 1
    else:
        return Change(
            "flag",
            "--gpu-memory-utilization",
            _utilization(case),
            None,
            "Lower --gpu-memory-utilization to just under free / total memory of the GPU.",
        )
    return set_flag(
        case,
        "gpu_memory_utilization",
        [round(value / 100, 2) for value in range(first, max(first - 30, 10), -1)],
        "just under what is free",
        "a smaller pool",
    )


def free_memory(case: Case) -> Change | None:
    """Ending a leftover process, where more is missing than context and NCCL explain."""
    free, total = case.value("start_free_bytes"), _total(case)
    held = 3 * GIB
    if case.plan is not None:
        held = case.plan.component("context_nccl").band.high + GIB
    if free is not None and total and total - free <= held:
        return None
    taken = f"{gib(total - free)} GiB of the GPU are held by something else. " if free is not None and total else ""
    text = f"{taken}End the leftover process: `nvidia-smi --query-compute-apps=pid,used_memory --format=csv` names it, `kill PID` ends it. Then start the same command."
    return action(text, case.deployment.command() if case.deployment else None)


def batched_tokens(case: Case) -> Change | None:
    """A smaller prefill chunk, half or less.

    Where the log says what was asked for and what was free: one whose share of the request would have been granted with half
    a GiB to spare. For a kernel whose scratch grows with the chunk that is in proportion; for others it is what the budget
    says is given back.
    """
    asked = case.deployment
    now = case.plan.resolved.max_num_batched_tokens if case.plan else (asked.max_num_batched_tokens if asked else None)
    seqs = case.plan.resolved.max_num_seqs if case.plan else ((asked.max_num_seqs if asked else None) or 1)
    values = [value for value in (16384, 8192, 4096, 2048) if (now is None or value <= now / 2) and value >= seqs]
    if now is None:
        values = [value for value in values if value <= 8192]
    tried, free, short = case.value("tried_bytes"), case.value("free_bytes"), short_bytes(case)
    row = case.death.signature
    in_proportion = row is None or "batched_tokens" in row.remedies[:1] or case.death.death == "profile_run_activation"

    def enough(value: int, after: Plan | None) -> bool:
        if not (short and now and tried is not None and free is not None):
            return True
        if in_proportion:
            return bool(tried * value / now + _SPARE / 2 <= free)
        back = given_back(case, after)
        return back is not None and back >= short

    return set_flag(
        case,
        "max_num_batched_tokens",
        values,
        f"the step's scratch shrinks in proportion{_granted(tried, free) if short and in_proportion else ''}",
        "long prompts prefill in more chunks",
        enough,
    )


def _granted(tried: float | int | None, free: float | int | None) -> str:
    if tried is None or free is None:
        return ""
    return f"; {gib(tried)} GiB was asked for, {gib(free)} was free"


def sequences(case: Case) -> Change | None:
    """A smaller cap on requests."""
    now = case.plan.resolved.max_num_seqs if case.plan else (case.deployment.max_num_seqs if case.deployment else None)
    values = [value for value in (256, 64, 16) if now is None or value < now]
    return set_flag(case, "max_num_seqs", values, "a smaller sampler pass, fewer graphs, fewer decode rows")


def sequences_to_pool(case: Case) -> Change | None:
    """The cap on requests at what the pool holds."""
    holds = case.value("max_concurrency") or (case.plan.kv.pool.max_concurrency if case.plan else None)
    now = case.plan.resolved.max_num_seqs if case.plan else (case.deployment.max_num_seqs if case.deployment else None)
    running = case.value("running")
    cap = max(int(running), 1) if running else (max(math.floor(holds), 1) if holds else None)
    if cap is None or (now is not None and cap >= now):
        return (
            None
            if cap is None
            else set_flag(case, "max_num_seqs", [max(cap // 2, 1)], "requests wait instead of being computed twice")
        )
    return set_flag(
        case,
        "max_num_seqs",
        [cap, *(v for v in (cap // 2, cap // 4) if v)],
        "requests wait instead of being computed twice",
    )


def kv_length(case: Case) -> Change | None:
    """A length at or below the engine's own estimate that the pessimistic pool holds too."""
    estimated = case.value("estimated_max_model_len")
    now = case.plan.resolved.max_model_len if case.plan else case.value("max_model_len")
    if estimated is None and case.plan is None:
        return None
    most = int(min(value for value in (estimated, now) if value is not None))
    values = []
    while most >= 256:
        step = 1000 if most > 8000 else 64
        rounded = most // step * step
        values.append(rounded - 8 if rounded % 64 == 0 else rounded)
        most = min(rounded - step, int(rounded * 0.97))
    printed = f"; the engine's own estimate is {int(estimated):,} tokens" if estimated else ""
    return set_flag(
        case,
        "max_model_len",
        [value for value in values if value > 0],
        f"one request of that length fits in the pool at the pessimistic end{printed}",
        None,
        lambda value, after: printed_pool_holds(case, after),
    )


def shortening_is_cheap(case: Case) -> bool:
    """Whether the length that fits is within a twentieth of the one that was asked for."""
    fits = case.value("estimated_max_model_len") or (case.plan.kv.low.estimated_max_model_len if case.plan else None)
    asked = case.plan.resolved.max_model_len if case.plan else case.value("max_model_len")
    return bool(fits and asked and fits >= 0.95 * asked)


def keep_length(case: Case) -> Change | None:
    """What holds the whole length, where that takes more than one flag."""
    found = several(case, "the length stays")
    return found if found is not None and found.kind == "action" and "--max-model-len" not in found.text else None


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


def weights(case: Case) -> Change | None:
    """What makes the weights fit; where the budget says they do, what else may hold the memory."""
    if case.plan is None:
        return action(
            "Take a smaller checkpoint or more GPUs for tensor parallelism: no KV flag helps while the weights do not fit."
        )
    found = several(case, "the weights fit, and a pool is left")
    if found is not None:
        return found
    if case.plan.verdict.status == "fits":
        return free_memory(case) or action(
            "By the budget these weights fit: look for a second process on the GPU, and for a loader that keeps a second copy."
        )
    return action("No known checkpoint and parallel size fits on these GPUs: take more of them. No KV flag helps.")


def more_pool(case: Case) -> Change | None:
    """A pool, from one flag where that is enough."""
    for make in (raise_utilization, batched_tokens, sequences):
        found = make(case)
        if found is not None and case.plan is not None:
            return found
    return several(case, "a pool is left") or action(
        "Raise --gpu-memory-utilization while slack is real, lower --max-num-batched-tokens, or take smaller weights."
    )


def capture_size(case: Case) -> Change | None:
    """Fewer and smaller CUDA graphs."""
    seqs = case.plan.resolved.max_num_seqs if case.plan else 64
    values = [value for value in (256, 128, 64, 32) if value <= max(seqs, 32)]
    return set_flag(
        case,
        "max_cudagraph_capture_size",
        values[:1] + values[1:],
        "fewer and smaller graphs",
        "larger batches run without a graph",
    )


def odd_length(case: Case) -> Change | None:
    """A length that is no multiple of 64."""
    length = (
        case.plan.resolved.max_model_len
        if case.plan
        else case.value("max_model_len") or (case.deployment.max_model_len if case.deployment else None)
    )
    if not isinstance(length, int):
        return action("Set --max-model-len to a number that is no multiple of 64.")
    rounded = length // 1000 * 1000
    value = rounded if rounded % 64 and length - rounded <= 1000 else length - 72
    return set_flag(case, "max_model_len", [value, length - 72], "no multiple of 64, with room for the draft tokens")
