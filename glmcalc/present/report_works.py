"""The command that does work, where the one asked for does not: the nearest that holds the need, or what comes closest."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from glmcalc.facts.errors import InputError
from glmcalc.present.command_html import mend
from glmcalc.present.report_case import Case
from glmcalc.present.report_changes import Change, changes_of
from glmcalc.present.report_offers import Offer, under_the_needs
from glmcalc.present.report_verdict import judge

_NO_FLAGS = ("model", "quantization")  # which the checkpoint says


def working_command(case: Case, ways: Sequence[Offer], width: int) -> str:
    """Heading, changes and command; empty where the deployment as it is needs none.

    A command under which the engine starts is not one that serves: where the budget's nearest does not hold the need, the
    same machine's deployment that does stands in its place, and where there is none the heading says what is held.
    """
    near = case.data["verdict"]["mend"]
    if case.needs is None:
        return mend(case.data, copy=False, width=width)
    if judge(case).memory in ("fits", "marginal") and not near:
        return ""
    started = _started(case, near) if near else None
    if started is not None and judge(started).memory == "fits":
        return mend(case.data, copy=False, width=width)
    same = next((way for way in ways if way.name == "Same machine" and way.case is not None), None)
    if same is not None:
        return _of_the_same_machine(case, same, width)
    if not near:
        return ""
    return mend(
        case.data, copy=False, width=width, title=f"A command that starts <small>{_falls_short(case, started)}</small>"
    )


def _started(case: Case, near: Mapping[str, Any]) -> Case | None:
    """The budget's nearest command under the needs; None where it takes no request as long as they are."""
    try:
        return under_the_needs(case, near["command"], case.deployment.gpu, near["gpus"])
    except InputError:
        return None


def _falls_short(case: Case, started: Case | None) -> str:
    assert case.needs is not None
    if started is None:
        return f"it takes no request of {case.needs.length:,} tokens"
    likely = max(started.held(case.needs.length).times[1], 0) * started.groups
    return f"it holds {likely:,.1f} of the {case.needs.concurrency:,} requests asked for"


def _of_the_same_machine(case: Case, same: Offer, width: int) -> str:
    made = same.case
    assert made is not None
    assert case.needs is not None
    low, likely, high = (times * made.groups for times in made.held(case.needs.length).times)
    changes = [_flag(change, made, case) for change in changes_of(made, case)]
    said = {
        "change": changes,
        "command": made.data["command"],
        "summary": f"{likely:,.1f} requests of {case.needs.length:,} tokens at once ({low:,.1f} to {high:,.1f})",
        "cost": same.note,
    }
    return mend({"verdict": {"mend": said}}, copy=False, width=width)


def _flag(change: Change, made: Case, case: Case) -> dict[str, str]:
    """A change as the command has it: by its flag where it is one of vLLM's, else by its label."""
    old, new = change.old, change.new
    if change.name == "kv_cache_dtype":
        old, new = (str(one.data["deployment"]["kv_cache_dtype"]) for one in (case, made))
    named = made.engine == case.engine == "vllm" and change.name not in _NO_FLAGS
    return {"flag": "--" + change.name.replace("_", "-") if named else change.label, "from": old, "to": new}
