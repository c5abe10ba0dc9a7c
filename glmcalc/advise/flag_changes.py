"""Changes of one flag against a death, each computed for the case and budgeted anew."""

from __future__ import annotations

import math

from glmcalc.advise.changes import Change, action, set_flag, several
from glmcalc.advise.relief import (
    given_back,
    relieves,
    short_bytes,
    step_shrinks,
    total,
    utilization,
)
from glmcalc.facts.frozen import replace
from glmcalc.facts.quantity import GIB, gib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from glmcalc.advise.case import Case
    from glmcalc.budget.result import Plan


NAMED_AND_ENDED = "`nvidia-smi --query-compute-apps=pid,used_memory --format=csv` names it, `kill PID` ends it"
_SPARE = GIB  # left free beyond what was short


def lower_utilization(case: Case) -> Change | None:
    """Utilization down by what was short and a GiB to spare, at least by 0.02."""
    now, size, short = utilization(case), total(case), short_bytes(case)
    step = max(0.02, (short + _SPARE) / size if size and short else 0.0)
    first = math.floor(100 * (now - step) + 1e-6)
    if first <= 40:
        return None
    values = [round(value / 100, 2) for value in range(first, max(first - 16, 40), -1)]
    lacked = f", which was short by {gib(short)} GiB" if short else ""

    def enough(value: float, after: Plan | None) -> bool:
        back = given_back(case, after)
        return back is None or back >= short

    found = set_flag(case, "gpu_memory_utilization", values, "", "a smaller pool", enough)
    if found is None:
        return None
    after = found.after if isinstance(found.after, float) else now
    moved = f"{gib((now - after) * size)} GiB of each GPU go" if size else "memory goes"
    return replace(found, text=f"{found.name} {found.after}: {moved} from the pool to what ran out{lacked}")


def lower_to_free(case: Case) -> Change | None:
    """Utilization to just under what is free at the start."""
    free, size = case.value("start_free_bytes"), total(case)
    if free is not None and size:
        first = math.floor(100 * free / size)
    elif case.plan is not None:
        first = math.floor(100 * utilization(case)) - 1
    else:
        return Change(
            "flag",
            "--gpu-memory-utilization",
            utilization(case),
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
    """Ending a leftover process: where more is missing than context and NCCL explain, or than this process holds itself."""
    size, held = total(case), 3 * GIB
    if case.plan is not None:
        held = case.plan.component("context_nccl").band.high + GIB
    free, own = case.value("start_free_bytes"), 0.0
    if free is None and case.value("process_bytes") is not None:
        free, own = case.value("free_bytes"), float(case.value("process_bytes") or 0)
    taken = size - free - own if free is not None and size else None
    if taken is not None and taken <= held:
        return None
    command = case.deployment.command() if case.deployment else None
    told = f"{gib(taken)} GiB of the GPU are held by something else. " if taken is not None else ""
    text = f"{told}End the leftover process: {NAMED_AND_ENDED}. Then start the same command."
    return action(text, command, None, None if taken is not None else "only where nvidia-smi shows one")


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
        if case.death.death == "startup_no_kv_blocks":
            return after is None or relieves(case, after)
        if not (short and now and tried is not None and free is not None):
            return True
        if in_proportion:
            granted = tried * value / now
            return granted + _SPARE / 2 <= free + max(step_shrinks(case, after) - (tried - granted), 0)
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
    return set_flag(
        case,
        "max_num_seqs",
        values,
        "a smaller sampler pass, fewer graphs, fewer decode rows",
        None,
        lambda value, after: after is None or not _must_relieve(case) or relieves(case, after),
    )


def _must_relieve(case: Case) -> bool:
    return bool(short_bytes(case)) or case.death.death == "startup_no_kv_blocks"


def weights(case: Case) -> Change | None:
    """What makes the weights fit; where the budget says they do, what else may hold the memory."""
    if case.plan is None:
        return action(
            "Take a smaller checkpoint or more GPUs for tensor parallelism: no KV flag helps while the weights do not fit."
        )
    found = several(case, "weights and what goes with them take less of each GPU")
    if found is not None:
        return found
    if case.plan.verdict.status == "fits":
        return free_memory(case) or action(
            "By the budget these weights fit: look for a second process on the GPU, and for a loader that keeps a second copy."
        )
    return action("No known checkpoint and parallel size fits on these GPUs: take more of them. No KV flag helps.")


def capture_size(case: Case) -> Change | None:
    """Fewer and smaller CUDA graphs."""
    seqs = case.plan.resolved.max_num_seqs if case.plan else 64
    values = [value for value in (256, 128, 64, 32) if value <= max(seqs, 32)]
    return set_flag(
        case,
        "max_cudagraph_capture_size",
        values,
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
