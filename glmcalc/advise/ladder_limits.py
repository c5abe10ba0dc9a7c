"""How far a deployment is from each death, in bytes per GPU at the pessimistic end: what a ladder has to make up."""

from __future__ import annotations

from glmcalc.budget.result import Plan
from glmcalc.budget.verdict import death_checks
from glmcalc.facts.frozen import record
from glmcalc.facts.quantity import GIB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Mapping

POOL = "kv_pool"
RUNTIME = "runtime_peak"
PREEMPTION = "preemption_not_oom"
# Which limit each class of death is about. Classes that are not here are mended by no memory flag.
LIMIT_OF = {
    "startup_free_memory": "startup_free_memory", "weights_load": "weights_load",
    "profile_run_activation": "profile_run_activation", "startup_no_kv_blocks": POOL, "startup_kv_too_small": POOL,
    "cuda_graph_capture": "cuda_graph_capture", "runtime_workspace": RUNTIME, "runtime_activation": RUNTIME,
    PREEMPTION: PREEMPTION,
}  # fmt: skip
SPARE = GIB  # asked for beyond the budget where a server died although the budget says it fits


@record
class Goal:
    """What must hold at the end of a ladder.

    Attributes:
        death: the class that a log showed, or None: then the budget's own verdict decides.
        asked_for: how far the limit of ``death`` must be from failing at the end, bytes per GPU.
    """

    death: str | None = None
    asked_for: int = 0


def margins(plan: Plan, goal: Goal) -> Mapping[str, int]:
    """Bytes per GPU between the deployment and each limit, at the pessimistic end; negative: that much is missing.

    In the order of a start, the limit of ``goal.death`` first. Empty where the engine refuses the deployment, or nothing is
    known of the device's memory.
    """
    r = plan.resolved
    if r.refusals or (plan.memory is None and r.asked.available_kv_bytes is None):
        return {}
    found: dict[str, int] = {}
    for check in death_checks(r, list(plan.components), plan.kv, plan.memory):
        limit = LIMIT_OF[check.stage]
        found[limit] = pool_margin(plan) if limit == POOL else check.margin.low
    if goal.death == PREEMPTION:
        found[PREEMPTION] = _of_requests(plan, r.max_num_seqs)
    first = LIMIT_OF.get(goal.death or "")
    if first is None or first not in found:
        return found
    return {first: found[first] - goal.asked_for, **{name: size for name, size in found.items() if name != first}}


def pool_margin(plan: Plan) -> int:
    """Pool minus one request of full length and the null block, bytes per GPU at the pessimistic end.

    Its sign is the engine's own planning; under auto-fit, where any length will do, one block has to fit.
    """
    pool = plan.kv.low
    bytes_left = _of_requests(plan, 1)
    if pool.fits:
        return max(bytes_left, 0)
    return min(bytes_left, -1)


def _of_requests(plan: Plan, requests: int) -> int:
    blocks = 1 if plan.resolved.auto_fit else plan.kv.pool.blocks_per_request
    stated = plan.resolved.asked.num_gpu_blocks_override
    available = plan.kv.available.low if stated is None else stated * plan.kv.bytes_per_block
    return available - (requests * blocks + 1) * plan.kv.bytes_per_block


def failing(found: Mapping[str, int], plan: Plan, goal: Goal) -> str | None:
    """The limit to mend next: that of the death which a log showed, else the one that the verdict names; None: all hold."""
    first = LIMIT_OF.get(goal.death or "")
    if first is not None and found.get(first, 0) < 0:
        return first
    named = LIMIT_OF.get(plan.verdict.stage or "")
    if named is not None and found.get(named, 0) < 0:
        return named
    return next((name for name, size in found.items() if size < 0), None)


def pool_tokens(plan: Plan) -> int:
    """Tokens that the pool of one replica holds at the likely figure, the null block included; 0 where nothing is left."""
    return (plan.kv.pool.num_blocks or 0) * plan.resolved.block_size * plan.resolved.dcp


def needed_bytes(plan: Plan) -> int:
    """What one GPU needs at the likely figures for one request of full length: all but the pool, and the blocks it holds."""
    fixed = sum(component.band.likely for component in plan.components if component.name != "kv_pool")
    return fixed + (plan.kv.pool.blocks_per_request + 1) * plan.kv.bytes_per_block
