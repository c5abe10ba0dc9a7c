"""What a step of the ladder costs in speed, by the speed model, where no measurement of the step itself is known."""

from __future__ import annotations

from glmcalc.budget.result import Plan
from glmcalc.facts.errors import InputError
from glmcalc.speed.estimate import speed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from glmcalc.speed.result import Speed

CONTEXT = 32_768
"""Tokens of the request at which two deployments are compared; both must hold it."""

# Below this the model does not see the step: it knows decode, and a step may cost elsewhere (a smaller prefill chunk).
_LEAST = 0.03


def cost_by_model(before: Plan, after: Plan) -> dict[str, Any] | None:
    """Decode speed of one request before and after a step, as a phrase with its source; None where the model is silent.

    The model's band is that of a stack, and nearly the same on both sides: the ratio is known better than either figure.
    """
    length = min(CONTEXT, before.resolved.max_model_len, after.resolved.max_model_len)
    old, new = _speed(before, length), _speed(after, length)
    if old is None or new is None or old.tok_s_user is None or new.tok_s_user is None:
        return None
    was, now = old.tok_s_user.mid, new.tok_s_user.mid
    rows = min(old.records, new.records)
    if not rows:
        return None
    change = now / was - 1
    if abs(change) < _LEAST:
        return None
    figures = f"{was:.0f} to {now:.0f} tok/s of one user at {length:,} tokens, by the speed model"
    return {
        "cost": f"{change:+.0%}: {figures}",
        "source": f"derived: glmcalc.speed.estimate, {rows} records",
        "reason": None,
    }


def _speed(made: Plan, length: int) -> Speed | None:
    try:
        return speed(made.resolved.asked, length, 1)
    except InputError:
        return None
