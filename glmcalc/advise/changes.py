"""One change: a flag, an environment variable, a version or an action, with the whole command and what it costs."""

from __future__ import annotations

from itertools import chain, islice

from glmcalc.advise.classes import class_names
from glmcalc.advise.relief import relieves
from glmcalc.budget.plan import plan
from glmcalc.budget.result import Plan
from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record, replace
from glmcalc.model.deployment import Deployment
from glmcalc.solve.nearest import COSTS, ladder
from glmcalc.solve.steps import applied, changed_settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, Iterator

    from glmcalc.advise.case import Case
    from glmcalc.model.resolved import Resolved

    Enough = Callable[[Any, Plan | None], bool]


# Settings that one flag says whole; a speculation or another number of GPUs takes more than that.
_WHOLE_FLAGS = (
    "kv_cache_dtype", "decode_context_parallel_size", "max_num_seqs", "max_num_batched_tokens", "gpu_memory_utilization",
    "max_model_len", "block_size", "max_cudagraph_capture_size",
)  # fmt: skip


_MOST_TRIED = 120
_HIGH_LINE = 0.95


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
        made = flag_change(case, name, value, why, cost)
        if made is None or (enough is not None and not enough(value, made.plan)):
            continue
        if made.risk is None:
            return made
        if risky is None and (
            made.plan is None or made.plan.verdict.status != "does_not_fit" or budget_is_refuted(case)
        ):
            risky = made
    return risky


def budget_is_refuted(case: Case) -> bool:
    """Whether the server came further than the budget would have let it: then its estimate is too high for this case."""
    if case.plan is None or case.plan.verdict.status != "does_not_fit":
        return False
    order = class_names()
    stage = case.plan.verdict.stage
    return stage in order and order.index(stage) < order.index(case.death.death)


def needs_more(change: Change) -> bool:
    """Whether a change takes GPUs that may not be there."""
    return any(word in change.text.split(":")[0] for word in ("--tensor-parallel-size", "--pipeline-parallel-size"))


def is_sure(change: Change, case: Case) -> bool:
    """Whether a change may stand first: the budget confirms it, or can say no more than marginal of this deployment anyway.

    A doubt that the change itself brings (a feature not established for this release) is a risk, and no such limit.
    """
    if change.kind == "version":
        return False
    made, before = change.plan, case.plan
    if change.risk is None or made is None or before is None:
        return change.risk is None
    known = set(made.resolved.uncertain) <= set(before.resolved.uncertain)
    return bool(before.resolved.uncertain) and known and made.verdict.status == "marginal"


def flag_change(case: Case, name: str, value: Any, why: str, cost: str | None = None) -> Change | None:
    """One flag set to ``value``; None where the engine refuses that."""
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
                if made.verdict.status == "unsupported":
                    return None
                risk = _doubt(case, made)
        except InputError:
            return None
    text = f"{flag(name)} {'off' if value is None else value}: {why.format(to=value)}"
    return Change("flag", flag(name), before, value, text, cost or COSTS.get(name), command, made, risk)


def _doubt(case: Case, made: Plan) -> str | None:
    """Why a command may not hold: by the budget, and by this log's own figures where it printed them."""
    if made.verdict.status != "fits":
        return f"the budget calls it {_said(made)}"
    shown = case.shown(made)
    return None if shown.verdict.status == "fits" else f"by what this log printed it is {_said(shown)}"


def _said(made: Plan) -> str:
    return f"{made.verdict.status.replace('_', ' ')}: {made.verdict.reason}"


def _resolved_value(made: Plan, name: str) -> Any:
    values = {"tensor_parallel_size": made.resolved.tp, "decode_context_parallel_size": made.resolved.dcp}
    return values[name] if name in values else getattr(made.resolved, name, None)


def several(case: Case, why: str) -> Change | None:
    """The first command of the ladder that fits and relieves what died, whatever the budget of the old one says.

    None without a budget or such a command. A shorter context is left to the change of that name.
    """
    if case.plan is None:
        return None
    asked, r = case.plan.resolved.asked, case.plan.resolved
    died = replace(case.plan, verdict=replace(case.plan.verdict, status="does_not_fit", stage=case.death.death))
    for changes in islice(chain(_smaller_steps(died.resolved, case.death.death), ladder(died)), _MOST_TRIED):
        if "max_model_len" in changes:
            continue
        try:
            made = plan(applied(asked, changes, r.device))
        except InputError:
            continue
        if all(_best_possible(one) for one in (made, case.shown(made))) and relieves(case, made):
            risk = _doubt(case, made)
            return _as_change(asked.changed(**changes), made, changed_settings(r, made.resolved, changes), why, risk)
    return None


def _best_possible(made: Plan) -> bool:
    """Whether a budget says "fits", or "marginal" of a deployment of which it can never say more."""
    return made.verdict.status == "fits" or (made.verdict.status == "marginal" and bool(made.resolved.uncertain))


def _smaller_steps(r: Resolved, death: str) -> Iterator[dict[str, Any]]:
    """Before anything is given up for a pool or a profile run: fewer tokens, fewer rows, and the line up for a pool."""
    if death not in ("startup_no_kv_blocks", "profile_run_activation"):
        return
    for tokens in (r.max_num_batched_tokens, 8192, 4096, 2048):
        for seqs in (r.max_num_seqs, 64, 16):
            changes: dict[str, Any] = {}
            if seqs < r.max_num_seqs:
                changes["max_num_seqs"] = seqs
            if max(seqs, 1) <= tokens < r.max_num_batched_tokens:
                changes["max_num_batched_tokens"] = tokens
            if changes:
                yield changes
                if death == "startup_no_kv_blocks" and r.gpu_memory_utilization < _HIGH_LINE:
                    yield {**changes, "gpu_memory_utilization": _HIGH_LINE}


def _as_change(after: Deployment, made: Plan, rows: list[dict[str, Any]], why: str, risk: str | None) -> Change:
    told = ", ".join(f"{row['flag']} {row['to'] if row['to'] is not None else 'off'}" for row in rows)
    cost = "; ".join(dict.fromkeys(COSTS[row["name"]] for row in rows if row["name"] in COSTS))
    text = f"{told}: {why}"
    if len(rows) == 1 and rows[0]["name"] in _WHOLE_FLAGS:
        row = rows[0]
        return Change("flag", row["flag"], row["from"], row["to"], text, cost, after.command(), made, risk)
    return Change("action", None, None, None, text, cost, after.command(), made, risk)


def action(text: str, command: str | None = None, cost: str | None = None, risk: str | None = None) -> Change:
    """Something to do that is no flag."""
    return Change("action", None, None, None, text, cost, command, None, risk)


def variable(case: Case, name: str, value: str, why: str, before: object = None, risk: str | None = None) -> Change:
    """An environment variable in front of the command."""
    command = f"{name}={value} {case.deployment.command()}" if case.deployment else None
    return Change("env", name, before, value, f"{name}={value}: {why}", None, command, case.plan, risk)


def version(text: str, after: str | None, case: Case) -> Change:
    """Another release of the engine."""
    before = case.facts.engine_version
    return Change("version", "vllm", before, after, text, "a new version: run glmcalc diff first", None)
