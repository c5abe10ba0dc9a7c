"""One change: a flag, an environment variable, a version or an action, with the whole command and what it costs."""

from __future__ import annotations

from glmcalc.budget.plan import plan
from glmcalc.budget.result import Plan
from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.model.deployment import Deployment
from glmcalc.solve.nearest import COSTS, nearest_fit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable

    from glmcalc.advise.case import Case


@record
class Change:
    """What to do.

    Attributes:
        kind: ``flag``, ``env``, ``version`` or ``action``.
        name, before, after: of the flag or variable; None where there is none.
        text: the whole change in a sentence.
        cost: what it costs, or None where it costs nothing.
        command: the whole command after the change, or None where there is none.
        plan: the budget of that command, or None.
        risk: why it may not hold, or None.
    """

    kind: str
    name: str | None
    before: object
    after: object
    text: str
    cost: str | None = None
    command: str | None = None
    plan: Plan | None = None
    risk: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As in ``diagnose --json``."""
        return {"kind": self.kind, "name": self.name, "from": self.before, "to": self.after, "text": self.text}

    def as_alternative(self) -> dict[str, Any]:
        """As in ``alternatives``: the change with its command, cost and risk."""
        status = self.plan.verdict.status if self.plan else None
        return {**self.to_dict(), "command": self.command, "cost": self.cost, "risk": self.risk, "budget": status}


def flag(name: str) -> str:
    """The flag of a setting."""
    return "--" + name.replace("_", "-")


def set_flag(case: Case, name: str, values: Iterable[Any], why: str, cost: str | None = None) -> Change | None:
    """The first of ``values`` with which the budget says "fits"; without a budget the first one.

    Args:
        name: a setting of :class:`Deployment`.
        values: candidates, the least change first.
        why: a phrase with what it does; ``{to}`` is the value.

    Returns:
        None when no candidate fits. Where the budget can never say more than marginal (a fork, an unmodelled flag) the
        first candidate is taken, and ``risk`` says so.
    """
    first = None
    for value in values:
        made = _flag_change(case, name, value, why, cost)
        if made is None:
            continue
        if made.plan is None or made.plan.verdict.status == "fits":
            return made
        first = first or made
    if (
        first is not None
        and first.plan is not None
        and first.plan.resolved.uncertain
        and first.plan.verdict.status == "marginal"
    ):
        return first
    return None


def _flag_change(case: Case, name: str, value: Any, why: str, cost: str | None) -> Change | None:
    asked = case.deployment
    before = getattr(asked, name) if asked else None
    if case.plan is not None and before is None:
        before = _resolved_value(case.plan, name)
    command, made, risk = None, None, None
    if asked is not None:
        try:
            changed = asked.changed(**{name: value})
            command = changed.command()
            if case.plan is not None:
                made = plan(changed)
                if made.verdict.status != "fits":
                    risk = f"the budget calls it {made.verdict.status.replace('_', ' ')}: {made.verdict.reason}"
        except InputError:
            return None
    text = f"{flag(name)} {value}: {why.format(to=value)}"
    return Change("flag", flag(name), before, value, text, cost or COSTS.get(name), command, made, risk)


def _resolved_value(made: Plan, name: str) -> Any:
    values = {"tensor_parallel_size": made.resolved.tp, "decode_context_parallel_size": made.resolved.dcp}
    return values[name] if name in values else getattr(made.resolved, name, None)


def several(case: Case, why: str) -> Change | None:
    """The nearest command that fits when no single flag makes it fit; None without a budget or a solution."""
    if case.plan is None:
        return None
    found = nearest_fit(case.plan)
    if found is None:
        return None
    if len(found.change) == 1 and found.change[0]["flag"].startswith("--"):
        row = found.change[0]
        text = f"{found.described}: {why}"
        return Change("flag", row["flag"], row["from"], row["to"], text, found.cost, _own(found.deployment), found.plan)
    text = f"{found.described}: {why}"
    return Change("action", None, None, None, text, found.cost, _own(found.deployment), found.plan)


def _own(deployment: Deployment) -> str:
    return deployment.command()


def action(text: str, command: str | None = None, cost: str | None = None) -> Change:
    """Something to do that is no flag."""
    return Change("action", None, None, None, text, cost, command)


def variable(case: Case, name: str, value: str, why: str, before: object = None, risk: str | None = None) -> Change:
    """An environment variable in front of the command."""
    command = f"{name}={value} {case.deployment.command()}" if case.deployment else None
    return Change("env", name, before, value, f"{name}={value}: {why}", None, command, case.plan, risk)


def version(text: str, after: str | None, case: Case) -> Change:
    """Another release of the engine."""
    before = case.facts.engine_version
    return Change("version", "vllm", before, after, text, "a new version: run glmcalc diff first", None)
