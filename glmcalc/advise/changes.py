"""One change: a flag, an environment variable, a version or an action, with the whole command and what it costs."""

from __future__ import annotations

from glmcalc.budget.plan import plan
from glmcalc.budget.result import Plan
from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.solve.nearest import COSTS, nearest_fit
from glmcalc.solve.steps import applied

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable

    from glmcalc.advise.case import Case

    Enough = Callable[[Any, Plan | None], bool]


# Settings that one flag says whole; a speculation or another number of GPUs takes more than that.
_WHOLE_FLAGS = (
    "kv_cache_dtype", "decode_context_parallel_size", "max_num_seqs", "max_num_batched_tokens", "gpu_memory_utilization",
    "max_model_len", "block_size", "max_cudagraph_capture_size",
)  # fmt: skip


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


def set_flag(
    case: Case, name: str, values: Iterable[Any], why: str, cost: str | None = None, enough: Enough | None = None
) -> Change | None:
    """The first of ``values`` with which the budget says "fits" and the log's own figures agree.

    Without a budget it is the first value.

    Args:
        name: a setting of :class:`Deployment`.
        values: candidates, the least change first.
        why: a phrase with what it does; ``{to}`` is the value.
        enough: whether the log's figures agree, given the value and its budget (None without one).

    Returns:
        None when no candidate starts. Where the best that the budget says is "marginal", the first such candidate with its
        ``risk``: an alternative, or the change itself where the budget can never say more (a fork, an unmodelled flag).
    """
    risky = None
    for value in values:
        made = _flag_change(case, name, value, why, cost)
        if made is None or (enough is not None and not enough(value, made.plan)):
            continue
        if made.plan is None or made.plan.verdict.status == "fits":
            return made
        if risky is None and made.plan.verdict.status == "marginal":
            risky = made
    return risky


def is_sure(change: Change) -> bool:
    """Whether a change may stand first: the budget confirms it, or can say no more than marginal of this deployment."""
    if change.kind == "version":
        return False
    return change.risk is None or bool(change.plan and change.plan.resolved.uncertain)


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
                made = plan(applied(asked, {name: value}, case.plan.resolved.device))
                if made.verdict.status != "fits":
                    risk = f"the budget calls it {made.verdict.status.replace('_', ' ')}: {made.verdict.reason}"
        except InputError:
            return None
    text = f"{flag(name)} {'off' if value is None else value}: {why.format(to=value)}"
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
    text = f"{found.described}: {why}"
    row = found.change[0] if len(found.change) == 1 else None
    if row is not None and str(row["flag"]).startswith("--") and row["name"] in _WHOLE_FLAGS:
        command = found.deployment.command()
        return Change("flag", row["flag"], row["from"], row["to"], text, found.cost, command, found.plan)
    return Change("action", None, None, None, text, found.cost, found.deployment.command(), found.plan)


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
