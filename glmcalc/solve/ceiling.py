"""How high utilization may go: what lies outside its line, at its worst, and a margin stay free. ``tune``, ``downgrade`` and
``claims`` stop there.
"""

from __future__ import annotations

import math

from glmcalc.budget.result import Plan
from glmcalc.facts.gates import gate

CLOSE = 1e-9  # a fraction that went through an addition is still itself


def outside_high(made: Plan) -> tuple[tuple[str, int], ...]:
    """What lives outside the utilization line, by name: bytes of one GPU at the pessimistic end."""
    return tuple((part.name, part.band.high) for part in made.components if not part.inside_utilization)


def margin_bytes() -> int:
    """What stays free of one GPU beyond that, in bytes (``ceiling_margin`` of ``data/tuning_gates.jsonl``)."""
    return round(gate("ceiling_margin"))


def utilization_ceiling(made: Plan) -> float | None:
    """The highest utilization for this deployment, rounded down to 0.001; None where the memory of the GPU is not known.

    ``1 - (outside + margin) / total``, with the smallest memory that the driver may report; 0 where nothing is left. It does
    not depend on the utilization that the deployment states.
    """
    if made.memory is None:
        return None
    total = made.memory.low
    return max(floor3((total - margin_bytes() - sum(size for _, size in outside_high(made))) / total), 0.0)


def raised_too_far(before: Plan, after: Plan) -> bool:
    """Whether ``after`` states more utilization than ``before``, and more than its own ceiling."""
    now, ceiling = after.resolved.gpu_memory_utilization, utilization_ceiling(after)
    return ceiling is not None and now > max(before.resolved.gpu_memory_utilization, ceiling) + CLOSE


def floor3(value: float) -> float:
    """``value`` rounded down to a thousandth, so that a step never passes what it was computed from.

    >>> floor3(0.9999), floor3(0.92)
    (0.999, 0.92)
    """
    return math.floor(value * 1000 + 1e-6) / 1000
