"""One step of a ladder in words and figures: what changes, what it gains, what it costs, with sources."""

from __future__ import annotations

from glmcalc.advise.ladder_climb import Taken
from glmcalc.advise.ladder_limits import pool_tokens
from glmcalc.advise.ladder_speed import cost_by_model
from glmcalc.budget.plan import plan
from glmcalc.budget.result import Plan
from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.solve.steps import StepFact, changed_settings, step_fact, step_facts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


_STAYS_PLAIN = "KV is plain FP8 without scales, which has a reported loss: fp8_ds_mla is the safe record, beside"


@record
class Step:
    """One step.

    Attributes:
        knob: id of ``data/downgrade_steps.jsonl``; ``several`` where no single change helps by itself.
        flag, before, after: what is set.
        taken: budgets before and after it, the limit that failed, and what it gains (bytes per GPU).
        facts: the rows with its costs.
        safe: where the step lands on a setting with a reported loss of quality, the safe one and its budget; else None.
    """

    knob: str
    flag: str
    before: Any
    after: Any
    change: str
    taken: Taken
    facts: tuple[StepFact, ...]
    safe: dict[str, Any] | None

    @property
    def tokens_gained(self) -> int:
        """Tokens that the pool gains, at the likely figure; negative where it loses some."""
        return pool_tokens(self.taken.after) - pool_tokens(self.taken.before)

    def to_dict(self) -> dict[str, Any]:
        """As in ``steps`` of ``downgrade --json``."""
        verdict, facts = self.taken.after.verdict, self.facts
        speed, quality = _said(facts, "speed"), _said(facts, "quality")
        if speed["cost"] is None:
            speed = cost_by_model(self.taken.before, self.taken.after) or speed
        if self.safe is not None and not any(fact.reported_loss for fact in facts):
            quality["cost"] = f"{quality['cost'] or quality['reason']}; {_STAYS_PLAIN}"
        return {
            "knob": self.knob,
            "change": self.change,
            "flag": self.flag,
            "from": self.before,
            "to": self.after,
            "limit": self.taken.limit,
            "gained_bytes": self.taken.gained_bytes,
            "missing_after_bytes": max(-self.taken.left_bytes, 0),
            "tokens_gained": self.tokens_gained,
            "tokens": pool_tokens(self.taken.after),
            "quality_cost": quality["cost"],
            "quality_reason": quality["reason"],
            "quality_source": quality["source"],
            "reported_loss": self.safe is not None,
            "eval_gate": any(fact.eval_gate for fact in facts),
            "safe": self.safe,
            "speed_cost": speed["cost"],
            "speed_reason": speed["reason"],
            "speed_source": speed["source"],
            "cost": "; ".join(dict.fromkeys(fact.cost for fact in facts)),
            "source": facts[0].source,
            "restart": any(fact.restart for fact in facts),
            "reversible": all(fact.reversible for fact in facts),
            "undo": "; ".join(dict.fromkeys(fact.undo for fact in facts)),
            "status": verdict.status,
            "stage": verdict.stage,
            "reason": verdict.reason,
            "engine_version": self.taken.after.resolved.asked.engine_version,
            "command": self.taken.after.command,
        }


def _said(facts: tuple[StepFact, ...], kind: str) -> dict[str, Any]:
    """Cost, source and reason over the rows of a step; a cost without figures gives way to one with them."""
    costs = [getattr(fact, f"{kind}_cost") for fact in facts]
    reasons = [getattr(fact, f"{kind}_reason") for fact in facts if getattr(fact, f"{kind}_reason")]
    known = [cost for cost in costs if cost is not None]
    told = [cost for cost in known if not cost.startswith("none")] or known
    sources = [getattr(fact, f"{kind}_source") for fact in facts if getattr(fact, f"{kind}_source")]
    if None in costs and not [cost for cost in told if not cost.startswith("none")]:
        return {"cost": None, "source": None, "reason": "; ".join(dict.fromkeys(reasons))}
    return {"cost": "; ".join(dict.fromkeys(told)), "source": sources[0] if sources else None, "reason": None}


def step_of(taken: Taken) -> Step:
    """The step that was taken, with its facts."""
    before, after = taken.before.resolved, taken.after.resolved
    rows = changed_settings(before, after, dict.fromkeys(taken.rung.changes))
    facts = _facts(taken, rows)
    flag = ", ".join(row["flag"] for row in rows) or facts[0].flag
    was, now = (rows[0][end] if len(rows) == 1 else _listed(rows, end) for end in ("from", "to"))
    said = ", ".join(f"{row['flag']} {_shown(row['from'])} to {_shown(row['to'])}" for row in rows)
    verb = facts[0].verb if len(facts) == 1 else "several changes at once: none of them helps by itself"
    safe = safe_beside(taken.after)
    return Step(taken.rung.knob, flag, was, now, f"{said}: {verb}.", taken, facts, safe)


def _facts(taken: Taken, rows: list[dict[str, Any]]) -> tuple[StepFact, ...]:
    if taken.rung.knob in step_facts():
        return (step_fact(taken.rung.knob),)
    return tuple(step_fact(_row_of(row)) for row in rows) or (step_fact("max_num_seqs"),)


def _row_of(row: dict[str, Any]) -> str:
    name = str(row["name"])
    if name == "kv_cache_dtype":
        return {"fp8": "kv_cache_dtype_plain", "nvfp4_ds_mla": "kv_cache_dtype_nvfp4"}.get(row["to"], name)
    if name in ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size"):
        return "spread"
    if name == "gpu_memory_utilization" and row["to"] > row["from"]:
        return "gpu_memory_utilization_up"
    return name


def _listed(rows: list[dict[str, Any]], key: str) -> str | None:
    return ", ".join(_shown(row[key]) for row in rows) if rows else None


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "default" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def safe_beside(made: Plan) -> dict[str, Any] | None:
    """For a deployment on plain FP8 KV without scales: the record with scales, and what the budget says with it."""
    r = made.resolved
    if r.record != "fp8_e4m3" or not r.checkpoint.geometry.sparse:
        return None
    fact = step_fact("kv_cache_dtype_plain")
    safe: dict[str, Any] = {
        "flag": "--kv-cache-dtype",
        "to": "fp8_ds_mla",
        "why": fact.quality_cost,
        "source": fact.quality_source,
    }
    try:
        other = plan(r.asked.changed(kv_cache_dtype="fp8_ds_mla"))
    except InputError as error:
        return {**safe, "status": "unsupported", "reason": error.message, "command": None}
    return {**safe, "status": other.verdict.status, "reason": other.verdict.reason, "command": other.command}
