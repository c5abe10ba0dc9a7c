"""The points of the curve: the plan of each length, for the deployment and for single changes to it."""

from __future__ import annotations

from typing import Any

from glmcalc.budget.plan import plan
from glmcalc.budget.result import Plan
from glmcalc.facts.errors import InputError
from glmcalc.model.deployment import Deployment
from glmcalc.present.curve import LONGEST, SHORTEST, Line, Point

# The workspaces' factor changes above 262,144 tokens, so the curve has a step there: a point on either side of it.
LENGTHS = (SHORTEST, 32768, 131072, 262144, 262208, 524288, LONGEST)


def lines(asked: Deployment, made: Plan) -> tuple[Line, list[Line], Point]:
    """The present curve, what single changes make of it, and the present point.

    Args:
        asked: the deployment; made: its plan.
    """
    here = point_of(made)
    others = [_line(label, asked, changes) for label, changes in _changes(made)]
    return _line("present", asked, {}), others, here


def _changes(made: Plan) -> list[tuple[str, dict[str, Any]]]:
    r = made.resolved
    found: list[tuple[str, dict[str, Any]]] = []
    if r.tp % (2 * r.dcp) == 0:
        found.append((f"DCP {2 * r.dcp}", {"decode_context_parallel_size": 2 * r.dcp}))
    elif r.dcp > 1:
        found.append(("DCP 1", {"decode_context_parallel_size": None}))
    if r.record == "bf16":
        found.append(("fp8 KV", {"kv_cache_dtype": "fp8"}))
    else:
        found.append(("bf16 KV", {"kv_cache_dtype": "bfloat16"}))
    if r.mtp:
        found.append(("MTP off", {"speculative_method": None, "num_speculative_tokens": None}))
    elif r.checkpoint.geometry.num_nextn_predict_layers:
        found.append(("MTP on", {"speculative_method": "mtp", "num_speculative_tokens": 3}))
    return found


def _line(label: str, asked: Deployment, changes: dict[str, Any]) -> Line:
    points = []
    try:
        changed = asked.changed(**changes)
        for length in LENGTHS:
            made = plan(changed.changed(max_model_len=length))
            if made.verdict.status == "unsupported":
                return Line(label, (), "refused")
            points.append(point_of(made))
            if length >= made.resolved.checkpoint.geometry.max_position_embeddings:
                break
    except InputError:
        # A length past the model's maximum ends the curve; a change that is refused has none.
        if not points:
            return Line(label, (), "refused")
    if not any(point.likely > 0 for point in points):
        return Line(label, (), "no pool")
    return Line(label, tuple(points))


def point_of(made: Plan) -> Point:
    """What the pool of one plan holds."""
    kv = made.kv
    likely = kv.pool.max_concurrency or 0.0
    low, high = kv.low.max_concurrency or 0.0, kv.high.max_concurrency or 0.0
    return Point(made.resolved.max_model_len or 1, min(low, likely), likely, max(high, likely))
