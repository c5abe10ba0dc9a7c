"""The fewest GPUs on which a deployment fits, over the ways to spread it."""

from __future__ import annotations

from glmcalc.budget.plan import plan
from glmcalc.budget.result import Plan
from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.model.checkpoint import load_checkpoint
from glmcalc.solve.binding import Binding, binding_at
from glmcalc.solve.boundary import Point, point_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

    from glmcalc.model.deployment import Deployment

_MOST_STAGES = 8
_MOST_TENSOR = 64


@record
class Fewest:
    """What :func:`fewest_gpus` found; as in ``Solution``."""

    value: int | None
    likely: int | None
    next_value: int | None
    binding: Binding
    plan: Plan
    reason: str | None
    notes: tuple[str, ...]
    parallelism: dict[str, int] | None
    budgets: int


def fewest_gpus(deployment: Deployment) -> Fewest:
    """The fewest GPUs that fit at the pessimistic end; among equal numbers the fewest pipeline stages.

    Raises:
        InputError: figures of one split that a log printed, or no split that the engine takes.
    """
    for name in ("available_kv_bytes", "weights_bytes"):
        if getattr(deployment, name) is not None:
            why = f"{name} is of one split over GPUs and says nothing of others: leave it out to search the number of GPUs."
            raise InputError("for", "gpus", f"a deployment without {name}", why)
    tried: list[Point] = []
    refused: list[InputError] = []
    likely: Point | None = None
    for changes in _splits(deployment):
        try:
            point = point_of(plan(deployment.changed(**changes)))
        except InputError as error:
            refused.append(error)
            continue
        if likely is None and point.holds("likely"):
            likely = point
        if point.plan.verdict.status == "fits":
            return _found(point, likely or point, tried, _notes(deployment, refused))
        tried.append(point)
    if not tried:
        raise refused[0]
    return _nothing(tried, likely, _notes(deployment, refused))


def _splits(deployment: Deployment) -> Iterator[dict[str, int | None]]:
    """Sizes of parallelism from the fewest GPUs up; of equal numbers the one with the fewest stages first."""
    heads = load_checkpoint(deployment.model, deployment.quantization).geometry.num_attention_heads
    dp = deployment.data_parallel_size or 1
    sizes = [size for size in range(1, min(heads, _MOST_TENSOR) + 1) if heads % size == 0]
    stages = range(1, max(_stages(deployment), 1) + 1)
    for _, pp, tp in sorted((tp * pp, pp, tp) for tp in sizes for pp in stages):
        if tp % (deployment.decode_context_parallel_size or 1) == 0:
            spread: dict[str, int | None] = {"tensor_parallel_size": tp, "pipeline_parallel_size": pp, "gpus": None}
            yield {**spread, "data_parallel_size": dp}


def _stages(deployment: Deployment) -> int:
    """Most pipeline stages to try: more than one only where the deployment has some."""
    stated = deployment.pipeline_parallel_size or 1
    return max(stated, _MOST_STAGES) if stated > 1 else 1


def _found(point: Point, likely: Point, tried: list[Point], notes: tuple[str, ...]) -> Fewest:
    value = point.plan.resolved.gpus
    fewer = [other for other in tried if other.plan.resolved.gpus < value]
    if fewer:
        # Of the splits over the next smaller number, the one that is missing least says what stops it.
        most = max(other.plan.resolved.gpus for other in fewer)
        bounds = [_bound(other) for other in fewer if other.plan.resolved.gpus == most]
        bound = min(bounds, key=lambda one: one.short_bytes if one.short_bytes is not None else 1 << 60)
    else:
        bound = Binding("flag_minimum", None, None, None, None, "No smaller number of GPUs can hold this split.")
    return Fewest(
        value,
        likely.plan.resolved.gpus,
        _whole(bound.at),
        bound,
        point.plan,
        None,
        notes,
        _sizes(point),
        len(tried) + 1,
    )


def _nothing(tried: list[Point], likely: Point | None, notes: tuple[str, ...]) -> Fewest:
    last = tried[-1]
    most = last.plan.resolved.gpus
    bound = _bound(last)
    reason = f"No number of GPUs up to {most} fits for sure. {bound.text}"
    shown = likely or last
    return Fewest(
        None, likely.plan.resolved.gpus if likely else None, None, bound, shown.plan, reason, notes,
        _sizes(shown), len(tried),
    )  # fmt: skip


def _bound(point: Point) -> Binding:
    r = point.plan.resolved
    bound = binding_at(point, r.gpus)
    split = f"tensor_parallel_size {r.tp}" + (f", pipeline_parallel_size {r.pp}" if r.pp > 1 else "")
    return Binding(bound.limit, bound.component, r.gpus, bound.status, bound.short_bytes, f"With {split}: {bound.text}")


def _whole(value: int | float | None) -> int | None:
    return None if value is None else int(value)


def _sizes(point: Point) -> dict[str, int]:
    r = point.plan.resolved
    return {"tensor_parallel_size": r.tp, "pipeline_parallel_size": r.pp, "data_parallel_size": r.dp}


def _notes(deployment: Deployment, refused: list[InputError]) -> tuple[str, ...]:
    stages = f", pipeline_parallel_size 1 to {_stages(deployment)}" if _stages(deployment) > 1 else ""
    kept = (
        f"; data_parallel_size {deployment.data_parallel_size} is kept"
        if (deployment.data_parallel_size or 1) > 1
        else ""
    )
    rest = [f"Left out: {error.message}" for error in refused[:1]]
    if not stages:
        rest.append("Give --pipeline-parallel-size 2 to search splits over pipeline stages too.")
    return (f"Searched: tensor_parallel_size over the divisors of the attention heads{stages}{kept}.", *rest)
