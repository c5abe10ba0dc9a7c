"""A start-up log in the calculator's box: the page's settings from its flags, its terms in place of estimates."""

from __future__ import annotations

from typing import Mapping

from glmcalc.advise.calibrate import calibrate
from glmcalc.budget.result import Plan
from glmcalc.facts.errors import InputError
from glmcalc.facts.quantity import gib
from glmcalc.model.deployment import Deployment
from glmcalc.present import state as states


def state_from_log(text: str, state: Mapping[str, str], shown: Plan | None) -> tuple[dict[str, str], str]:
    """The page's state after a start-up log was pasted, and what to say of it.

    Args:
        text: the log, whole or only its memory lines.
        state: the page's present state; its GPU stands where the log does not name one.
        shown: the present plan, whose command stands where the log holds no flags.

    Raises:
        InputError: as :func:`glmcalc.advise.calibrate.calibrate`.
    """
    stated = {"gpu": state.get("gpu")}
    try:
        made, own = calibrate(text, None, stated), "its own flags"
    except InputError:
        if shown is None:
            raise
        made, own = calibrate(text, shown.command, {**stated, "gpus": shown.resolved.gpus}), "the settings of this page"
    before, after = (plan.kv.available for plan in (made.measured.before, made.measured.after))
    deployment: Deployment = made.measured.after.resolved.asked
    kept = {name: getattr(deployment, name) for name in states.NAMES if hasattr(deployment, name)}
    fresh = states.from_settings({name: value for name, value in kept.items() if value not in (False, ())})
    fresh["gpus"] = str(made.measured.after.resolved.gpus)
    note = (
        f"Read: a start-up log, with {own}. This machine's terms stand in for estimates: the pool's range narrows from "
        f"{gib(before.high - before.low)} to {gib(after.high - after.low)} GiB. Clear the field calibration to go back."
    )
    return fresh, note
