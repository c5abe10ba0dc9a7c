"""The whole answer to one question: the budget, and the change that mends it. What command, page and report all show."""

from __future__ import annotations

from glmcalc.budget.plan import plan
from glmcalc.budget.result import Plan
from glmcalc.commands import ParsedCommand
from glmcalc.facts.errors import InputError
from glmcalc.model.deployment import Deployment
from glmcalc.model.pasted import overridden, read_pasted, settings_of
from glmcalc.model.resolved import check_calibration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def answer(deployment: Deployment, parsed: ParsedCommand | None = None, mend: bool = True) -> dict[str, Any]:
    """The object that ``glmcalc budget --json`` prints.

    Args:
        deployment: what is asked.
        parsed: the pasted command it came from; its unmodelled flags and warnings are passed on.
        mend: look for the nearest command that fits when this one does not.

    Raises:
        InputError: as :func:`glmcalc.plan`.
    """
    if deployment.engine.lower() != "vllm":
        return _of_another_engine(deployment, parsed)
    return describe(plan(deployment), parsed, mend)


def _of_another_engine(deployment: Deployment, parsed: ParsedCommand | None) -> dict[str, Any]:
    """The budget of SGLang or llama.cpp; no search for what would fit, the advice names the one flag."""
    from glmcalc.budget.engines import plan as plan_any
    from glmcalc.commands.others import visible_devices, without_effect

    data = plan_any(deployment).to_dict()
    data["verdict"]["mend"] = None
    if parsed is not None:
        data["warnings"] += list(parsed.warnings)
        data["not_modelled"] = list(parsed.not_modelled)
        data["no_effect_on_memory"] = list(parsed.no_effect_on_memory)
        if parsed.engine == deployment.engine:
            data["not_modelled"], data["no_effect_on_memory"] = without_effect(parsed.engine, parsed.not_modelled)
        seen = visible_devices(parsed.environment) if deployment.engine == "llama.cpp" else None
        if seen is not None and seen[1] == data["deployment"]["gpus"]:
            data["command"] = f"{seen[0]} {data['command']}"
    return data


def describe(made: Plan, parsed: ParsedCommand | None = None, mend: bool = True) -> dict[str, Any]:
    """A plan as the object that ``glmcalc budget --json`` prints."""
    data = made.to_dict()
    found = None
    if mend and made.verdict.status != "fits":
        from glmcalc.solve.nearest import nearest_fit

        found = nearest_fit(made)
    data["verdict"]["mend"] = found.to_dict() if found else None
    if parsed is not None:
        data["warnings"] += list(parsed.warnings)
        data["not_modelled"] = list(parsed.not_modelled)
        data["no_effect_on_memory"] = list(parsed.no_effect_on_memory)
    return data


def deployment_from(text: str | None, options: dict[str, Any]) -> tuple[Deployment, ParsedCommand | None]:
    """A deployment from a pasted command, options, or both; options win. A ``calibration`` may be a file's path or content.

    Raises:
        InputError: as :class:`Deployment`, ``read_pasted`` and ``load_calibration``.
    """
    stated = {name: value for name, value in options.items() if value is not None}
    if isinstance(stated.get("calibration"), str):
        from glmcalc.model.calibration import load_calibration

        stated["calibration"] = load_calibration(stated["calibration"])
    parsed = read_pasted(text) if text else None
    deployment = Deployment.from_settings(overridden(settings_of(parsed) if parsed else {}, stated))
    check_calibration(deployment)
    return deployment, parsed


__all__ = ["InputError", "answer", "deployment_from", "describe"]
