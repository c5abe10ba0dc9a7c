"""Whether a change relieves what died: by the log's own figures where they are there, and by the budget."""

from __future__ import annotations

from glmcalc.budget.result import Plan
from glmcalc.facts.engines import NEWEST, parse_version, rule
from glmcalc.facts.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from glmcalc.advise.case import Case

_OLDEST = "0.1.0"
_LOADED = ("weights", "mtp_layer", "load_extras")
_RUNNING = (*_LOADED, "fork_overhead", "workspaces", "activation_peak", "mtp_runtime", "non_torch", "not_explained")
_STEP = ("workspaces", "activation_peak")
_OUTSIDE = ("late_buffers", "unprofiled_transients")


def utilization(case: Case) -> float:
    """The share that was asked for: of the plan, the flags, the log, or the default."""
    printed = case.value("gpu_memory_utilization")
    if case.plan is not None:
        return case.plan.resolved.gpu_memory_utilization
    stated = case.deployment.gpu_memory_utilization if case.deployment else None
    return float(stated or printed or default_utilizations(case)[-1])


def default_utilizations(case: Case) -> list[float]:
    """What utilization may be where nothing states it: the default of the release, or each that there was."""
    known = case.deployment.engine_version if case.deployment else case.facts.engine_version
    try:
        versions = [parse_version(str(known))] if known else [parse_version(_OLDEST), parse_version(NEWEST)]
    except InputError:  # a version that names no release
        versions = [parse_version(_OLDEST), parse_version(NEWEST)]
    rulings = [rule("gpu_memory_utilization", version) for version in versions]
    values = [value for ruling in rulings for value in (ruling.value, ruling.other) if value is not None]
    return sorted({float(value) for value in values})


def total(case: Case) -> float | None:
    """Memory of one GPU in bytes, as the log printed it, else as the budget takes it; None where neither is known."""
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
    return before.utilization_bytes - after.utilization_bytes + _likely(before, _OUTSIDE) - _likely(after, _OUTSIDE)


def step_shrinks(case: Case, after: Plan | None) -> int:
    """Bytes by which what a step holds in the profile run gets smaller, by the budget; 0 elsewhere and without one."""
    if case.death.death != "profile_run_activation" or case.plan is None or after is None:
        return 0
    return max(_likely(case.plan, _STEP) - _likely(after, _STEP), 0)


def printed_pool_holds(case: Case, after: Plan | None, raised: float = 0.0) -> bool:
    """Whether the pool that the log printed, with ``raised`` of the GPU's memory added, holds one request of the new plan.

    True where the log printed no pool, or there is no plan to ask.
    """
    printed, size = case.value("available_kv_bytes"), total(case)
    if after is None or printed is None:
        return True
    pool = printed + raised * size if size else printed
    return after.kv.needed_bytes + after.kv.bytes_per_block <= pool


def relieves(case: Case, after: Plan) -> bool:
    """Whether a whole change gives more of what ran out in this death, and as much as the log says was missing.

    A budget that fits is not enough: the one before may have fitted too, or failed at another point than the server did.
    """
    before, death = case.plan, case.death.death
    if before is None:
        return False
    short = max(short_bytes(case), 1)
    if death == "weights_load":
        return _likely(before, _LOADED) - _likely(after, _LOADED) >= short
    if death == "profile_run_activation":
        return _likely(before, _RUNNING) - _likely(after, _RUNNING) >= short
    if death == "startup_free_memory":
        free = case.value("start_free_bytes")
        lower = (after.utilization_bytes or 0) < (before.utilization_bytes or 0)
        return lower and (free is None or (after.utilization_bytes or 0) <= free)
    if death in ("startup_no_kv_blocks", "startup_kv_too_small"):
        printed = case.value("available_kv_bytes")
        pool = before.kv.available.likely if printed is None else printed
        grown = after.kv.available.likely - before.kv.available.likely
        return after.kv.needed_bytes + after.kv.bytes_per_block <= pool + grown
    if death == "preemption_not_oom":
        return (after.kv.pool.tokens or 0) > (before.kv.pool.tokens or 0)
    back = given_back(case, after)
    return back is not None and back >= short


def _likely(made: Plan, names: tuple[str, ...]) -> int:
    return sum(part.band.likely for part in made.components if part.name in names)
