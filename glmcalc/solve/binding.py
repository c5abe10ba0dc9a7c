"""What stops the next step of a search: which limit, of which component, and by how many bytes."""

from __future__ import annotations

from glmcalc.budget.kv import requests_at_once
from glmcalc.budget.plan import figures_of
from glmcalc.budget.result import Plan
from glmcalc.budget.verdict import death_checks
from glmcalc.facts.engines import rule
from glmcalc.facts.frozen import record
from glmcalc.facts.quantity import MIB, gib
from glmcalc.model.resolved import Resolved
from glmcalc.solve.boundary import Point

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

POOL = "kv_pool"
_POOL_STAGES = ("startup_no_kv_blocks", "startup_kv_too_small")
_BEYOND = ("startup_free_memory", "cuda_graph_capture", "runtime_workspace", "runtime_activation")
_COMPONENTS = {
    "startup_free_memory": "context_nccl", "weights_load": "weights", "profile_run_activation": "activation_peak",
    "cuda_graph_capture": "late_buffers", "runtime_workspace": "unprofiled_transients",
    "runtime_activation": "unprofiled_transients", "startup_no_kv_blocks": POOL, "startup_kv_too_small": POOL,
}  # fmt: skip


@record
class Binding:
    """What stops a value.

    Attributes:
        limit: a class of death, ``kv_pool`` for a pool too small for what is asked, ``boundary_crash``, ``model_maximum``,
            ``flag_maximum``, ``flag_minimum``, ``refused``, ``uncertain`` or ``memory_unknown``.
        component: the component that the limit turns on, or None.
        at: the value that is stopped, or None where no next one exists.
        status: of the verdict there.
        short_bytes: missing on one GPU at the pessimistic end; None where bytes are not what is missing.
        text: a sentence with the numbers.
    """

    limit: str
    component: str | None
    at: int | float | None
    status: str | None
    short_bytes: int | None
    text: str

    def to_dict(self) -> dict[str, Any]:
        """As in ``solve --json``."""
        return {
            "limit": self.limit, "component": self.component, "at": self.at, "status": self.status,
            "short_bytes": self.short_bytes, "text": self.text,
        }  # fmt: skip


def binding_at(point: Point, value: int | float, inside: bool = False) -> Binding:
    """The first limit of a start that ``value`` crosses at the pessimistic end.

    Args:
        point: the budget at ``value``.
        inside: only those limits that do not turn on what is left beyond the utilization line.
    """
    r, verdict = point.plan.resolved, point.plan.verdict
    made = point.plan
    checks = death_checks(r, list(made.components), made.kv, made.memory) if point.known else []
    crossed = (check for check in checks if check.margin.low < 0 and not (inside and check.stage in _BEYOND))
    check = next(crossed, None)
    if check is None:
        limit = "refused" if r.refusals else "uncertain" if point.known else "memory_unknown"
        return Binding(limit, None, value, verdict.status, None, verdict.reason)
    if check.stage in _POOL_STAGES:
        return _pool_binding(point, value, 1)
    short = -check.margin.low
    text = f"{check.reason} At the pessimistic end {_size(short)} is missing."
    return Binding(check.stage, _COMPONENTS[check.stage], value, verdict.status, short, text)


def pool_of_requests(point: Point, requests: int) -> Binding:
    """The pool as the limit of so many requests of full length at once."""
    return _pool_binding(point, requests, requests)


def _pool_binding(point: Point, value: int | float, requests: int) -> Binding:
    kv, r = point.plan.kv, point.plan.resolved
    blocks = 1 if r.auto_fit else max(kv.low.blocks_per_request, 1)
    block, pool = _tightest_stage(point.plan)
    needed = (requests * blocks + 1) * block
    short = max(needed - pool, 1)
    asked = f"{requests:,} requests of {kv.low.max_model_len:,} tokens need" if requests > 1 else (
        "One block needs" if r.auto_fit else f"One request of {r.max_model_len:,} tokens needs"
    )  # fmt: skip
    text = (
        f"{asked} {requests * blocks + 1:,} blocks, the null block included: {gib(needed)} GiB on each GPU. The KV pool is "
        f"{gib(pool)} GiB at the pessimistic end: {_size(short)} is missing."
    )
    return Binding(POOL, POOL, value, point.plan.verdict.status, short, text)


def _tightest_stage(made: Plan) -> tuple[int, int]:
    """Bytes of a block and of the pool, at the pessimistic end, of the pipeline stage with the fewest blocks."""
    stated = made.resolved.asked.num_gpu_blocks_override
    if stated is not None:
        return made.kv.bytes_per_block, stated * made.kv.bytes_per_block
    if made.resolved.pp == 1:
        return made.kv.bytes_per_block, made.kv.available.low
    stage = min(
        figures_of(made.resolved).stages[0],
        key=lambda one: (one.available // one.bytes_per_block, -one.bytes_per_block),
    )
    return stage.bytes_per_block, stage.available


def requests_held(plan: Plan, end: str) -> int:
    """Requests of full length that the pool of one replica holds at once beside the null block, at ``low`` or ``likely``."""
    return requests_at_once({"low": plan.kv.low, "likely": plan.kv.pool}[end].figures)


def boundary_crash(length: int, r: Resolved) -> str | None:
    """Why a length must not be taken: some releases crash with MTP where it is a whole number of blocks. None: it may."""
    if not (r.mtp and r.checkpoint.geometry.sparse) or length % r.block_size:
        return None
    ruling = rule("block_table_margin", r.version)
    if ruling.value != "short_by_one":
        return None
    spare = f"; the exact margin is not established, {length - 72:,} leaves room" if length > 1024 else ""
    return (
        f"max_model_len {length:,} is a multiple of {r.block_size} and MTP is on: {r.version.text} crashes on it under "
        f"concurrent load ({ruling.source}). It is avoided{spare}."
    )


def _size(size: int) -> str:
    return (
        f"{gib(size)} GiB"
        if size >= 10 * MIB
        else f"{size / MIB:,.2f} MiB"
        if size >= MIB // 100
        else f"{size:,} bytes"
    )
