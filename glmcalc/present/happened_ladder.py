"""The ladder on the pages: what to give up in order, with the whole command after its last step."""

from __future__ import annotations

from typing import Any, Mapping

from glmcalc.advise.case import Case
from glmcalc.advise.ladder import NOT_MEMORY, downgrade
from glmcalc.facts.errors import InputError
from glmcalc.logs.secrets import mask
from glmcalc.present.command_html import command_block
from glmcalc.present.ladder_html import ladder_section

_SHORT = (("tried_bytes", "free_bytes"), ("kv_needed_bytes", "available_kv_bytes"))


def folded_ladder(case: Case) -> str:
    """The ladder of a case, folded; empty where there is no budget to climb from or nothing of memory died."""
    if case.plan is None or case.deployment is None or case.death.death in NOT_MEMORY:
        return ""
    try:
        data = downgrade(case.deployment, death=case.death.death, short_bytes=_short(case)).to_dict()
    except InputError:  # a combination that no plan can have: the answer above stands without it
        return ""
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


def _short(case: Case) -> int | None:
    """What the log says was missing, in bytes of one GPU; None where it does not say."""
    for asked, had in _SHORT:
        wanted, there = case.value(asked), case.value(had)
        if wanted is not None and there is not None and wanted > there:
            return int(wanted - there)
    return None
