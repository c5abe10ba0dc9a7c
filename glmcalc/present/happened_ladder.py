"""The ladder on the pages: what to give up in order, with the whole command after its last step."""

from __future__ import annotations

from typing import Any, Mapping

from glmcalc.advise.case import Case
from glmcalc.advise.changes import Change
from glmcalc.advise.diagnose import Diagnosis
from glmcalc.advise.ladder import NOT_MEMORY, Ladder, downgrade
from glmcalc.facts.errors import InputError
from glmcalc.logs.secrets import mask
from glmcalc.present.command_html import command_block
from glmcalc.present.ladder_html import ladder_section

# What was asked for and what was there, as each kind of death prints it.
_SHORT = (
    ("requested_bytes", "start_free_bytes"),
    ("tried_bytes", "free_bytes"),
    ("kv_needed_bytes", "available_kv_bytes"),
)


def folded_ladder(made: Diagnosis) -> str:
    """The ladder of a diagnosis, folded; empty where nothing has to be given up.

    That is: nothing of memory died, there is no budget to climb from, the change leaves the command as it is (another process
    holds the memory), or the ladder comes to the very change that stands above it.
    """
    case = made.case
    if (
        case.plan is None
        or case.deployment is None
        or case.death.death in NOT_MEMORY
        or _same_command(made.change, case)
    ):
        return ""
    asked = case.deployment if case.measured is None else case.deployment.changed(calibration=case.measured)
    try:
        ladder = downgrade(asked, death=case.death.death, short_bytes=_short(case))
    except InputError:  # a combination that no plan can have: the answer above stands without it
        return ""
    if _is_the_change(ladder, made.change):
        return ""
    data = ladder.to_dict()
    steps = len(data["steps"])
    said = f"{steps} step{'s' if steps != 1 else ''}" if data["fits_after"] or steps else "no step fits"
    if not data["fits_after"]:
        said += {"marginal": ", at best marginal"}.get(data["outcome"], ", and it still does not fit")
    return (
        f'<details class="gm-fold"><summary>The ladder: what to give up, in order <small>{said}; context kept to the last'
        f"</small></summary>{whole_ladder(data)}</details>"
    )


def whole_ladder(data: Mapping[str, Any]) -> str:
    """``Ladder.to_dict()`` as HTML, the command after the last step below it."""
    flags = [str(step["flag"]) for step in data["steps"]]
    done = bool(flags) and data["outcome"] in ("fits", "marginal")
    return ladder_section(data) + (command_block(mask(str(data["command"]))[0], flags) if done else "")


def _same_command(change: Change | None, case: Case) -> bool:
    """Whether the change is to start the old command again, after something else was done."""
    if change is None or change.kind != "action" or change.command is None or case.deployment is None:
        return False
    return change.command.endswith(case.deployment.command())


def _is_the_change(ladder: Ladder, change: Change | None) -> bool:
    """Whether the ladder ends in the command of the change."""
    return bool(
        ladder.steps and change is not None and change.plan is not None and change.plan.command == ladder.command
    )


def _short(case: Case) -> int | None:
    """What the log says was missing, in bytes of one GPU; None where it does not say."""
    for asked, had in _SHORT:
        wanted, there = case.value(asked), case.value(had)
        if wanted is not None and there is not None and wanted > there:
            return int(wanted - there)
    return None
