"""The ladder: what to give up, in order, until a deployment fits; or why it cannot, and the nearest that can."""

from __future__ import annotations

from glmcalc.advise.ladder_climb import UNSUPPORTED, Climber, Taken
from glmcalc.advise.ladder_limits import LIMIT_OF, SPARE, Goal, failing, margins, pool_tokens
from glmcalc.advise.ladder_order import check_keep
from glmcalc.advise.ladder_relax import as_steps
from glmcalc.advise.ladder_search import Elsewhere, Searched, elsewhere, search
from glmcalc.advise.ladder_steps import Step, safe_beside, step_of
from glmcalc.budget.plan import plan
from glmcalc.budget.result import Plan
from glmcalc.facts.errors import InputError
from glmcalc.facts.evidence import checkpoints
from glmcalc.facts.frozen import record, replace
from glmcalc.facts.quantity import gb, gib
from glmcalc.facts.store import nearest
from glmcalc.model.deployment import Deployment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Classes of death that no memory flag mends.
NOT_MEMORY = ("host_ram", "not_oom_other", "healthy", "unknown")
NOT_SEARCHED = ("--cpu-offload-gb (weights in host memory)", "checkpoints in W4A16, AWQ, MXFP4 or W4AFP8")


@record
class Ladder:
    """What to give up, in order.

    Attributes:
        start: the budget to begin with.
        keep, death: what is given up last; the class of death that a log showed, or None.
        steps: each budgeted, each on top of those before it.
        outcome: ``fits``; ``marginal`` where no change makes the budget certain; ``cannot``; ``not_memory``.
        end: the budget after the last step.
        reason: why it does not fit in the end, or None.
        nearest: other hardware on which it does, the nearest first.
        searched: the proof of a ``cannot``, or None.
        missing_bytes: what is missing at the start, bytes per GPU at the pessimistic end, to the limit ``limit``.
        notes: what a person should know of the start.
    """

    start: Plan
    keep: str
    death: str | None
    steps: tuple[Step, ...]
    outcome: str
    end: Plan
    reason: str | None
    nearest: tuple[Elsewhere, ...]
    searched: Searched | None
    limit: str | None
    missing_bytes: int
    notes: tuple[str, ...] = ()

    @property
    def fits_after(self) -> bool:
        """Whether the budget says "fits" after the last step."""
        return self.outcome == "fits"

    @property
    def command(self) -> str:
        """The whole line after the last step."""
        return self.end.command

    def to_dict(self) -> dict[str, Any]:
        """As ``glmcalc downgrade --json`` prints it."""
        before, after, r = self.start.verdict, self.end.verdict, self.start.resolved
        found = [other.to_dict() for other in self.nearest]
        warnings = [*self.notes, *self.end.resolved.warnings]
        return {
            "keep": self.keep,
            "death": self.death,
            "start": {
                "status": before.status, "stage": before.stage, "reason": before.reason, "limit": self.limit,
                "missing_bytes": self.missing_bytes, "tokens": pool_tokens(self.start), "gpu": r.device.id,
                "gpus": r.gpus, "command": self.start.command,
            },
            "steps": [step.to_dict() for step in self.steps],
            "fits_after": self.fits_after,
            "outcome": self.outcome,
            "after": {"status": after.status, "stage": after.stage, "reason": after.reason, "tokens": pool_tokens(self.end),
                      "engine_version": self.end.resolved.asked.engine_version},
            "command": self.command,
            "reason": self.reason,
            "nearest": found[0] if found else None,
            "nearest_others": found[1:],
            "searched": self.searched.text if self.searched else None,
            "not_searched": [*NOT_SEARCHED, _gguf(self.start)] if self.searched else [],
            "safe": safe_beside(self.end),
            "warnings": warnings,
        }  # fmt: skip


def downgrade(
    deployment: Deployment, keep: str = "context", death: str | None = None, short_bytes: int | None = None
) -> Ladder:
    """What to give up, least harm first, until ``deployment`` fits at the pessimistic end of its band.

    Args:
        deployment: what does not fit.
        keep: ``context``, ``users``, ``quality`` or ``speed``: given up last.
        death: a class of death that a log showed. Its limit must then move by ``short_bytes``, even where the budget says
            that it holds.
        short_bytes: how much the log's server was short of, bytes per GPU; None: 1 GiB to spare.

    Returns:
        Steps, each budgeted on top of those before it. ``gained_bytes`` of a step is what it adds to the margin of the limit
        that failed before it, bytes per GPU at the pessimistic end: room that it makes, or need that it takes away.

    Raises:
        InputError: as :func:`glmcalc.plan`, or an unknown ``keep`` or ``death``.

    >>> ladder = downgrade(Deployment(gpu="h200_sxm", tensor_parallel_size=8, max_num_seqs=1))
    >>> [(step.flag, step.after) for step in ladder.steps], ladder.fits_after
    ([('--kv-cache-dtype', 'fp8'), ('--decode-context-parallel-size', 2)], True)
    """
    check_keep(keep)
    check_death(death)
    asked = plan(deployment)
    start = _with_scales(asked) if keep == "quality" else asked
    made = _climbed(start, keep, death, short_bytes)
    return made if start is asked else replace(made, notes=(_SCALED,))


_SCALED = (
    "The ladder begins with --kv-cache-dtype fp8_ds_mla: the default there is plain FP8 KV without scales, with which a loss of "
    "quality was reported."
)


def _climbed(start: Plan, keep: str, death: str | None, short_bytes: int | None) -> Ladder:
    if death in NOT_MEMORY:
        reason = f"No memory flag mends {death}: glmcalc diagnose says what does."
        return _ladder(start, keep, death, [], "not_memory", reason)
    goal = _goal(start, death, short_bytes)
    climber = Climber(start, goal, keep)
    taken = climber.climb()
    if climber.holds(taken[-1].after if taken else start):
        return _finished(climber, climber.least(taken), death)
    found = search(climber)
    if found.changes is not None:
        steps = as_steps(climber, found.changes)
        if steps:
            return _finished(climber, steps, death)
    taken = climber.largest(taken)
    reason = _why_not(climber, taken, found)
    return _ladder(start, keep, death, taken, "cannot", reason, found, goal)


def _with_scales(start: Plan) -> Plan:
    """To keep quality, a deployment that does not fit begins with the KV record with scales where the default has none."""
    r = start.resolved
    default = r.asked.kv_cache_dtype in (None, "auto") and r.record == "fp8_e4m3" and r.checkpoint.geometry.sparse
    if start.verdict.status == "fits" or not default:
        return start
    return plan(r.asked.changed(kv_cache_dtype="fp8_ds_mla"))


def check_death(death: str | None) -> None:
    """Raise where ``death`` is no class.

    Raises:
        InputError: an unknown class; the nearest is offered.
    """
    known = (*LIMIT_OF, *NOT_MEMORY)
    if death is not None and death not in known:
        close = nearest(str(death), known)
        raise InputError("death", death, f"one of {', '.join(known)}" + (f" (did you mean {close}?)" if close else ""))


def _goal(start: Plan, death: str | None, short_bytes: int | None) -> Goal:
    """The limit of a death that a log showed is short by ``short_bytes`` at the start, whatever the budget says of it."""
    limit = LIMIT_OF.get(death or "")
    if limit is None:
        return Goal()
    margin = margins(start, Goal(death)).get(limit)
    if margin is None or (margin < 0 and short_bytes is None):
        return Goal(death)
    return Goal(death, max(margin + (SPARE if short_bytes is None else short_bytes), 0))


def _finished(climber: Climber, taken: list[Taken], death: str | None) -> Ladder:
    end = taken[-1].after if taken else climber.start
    if end.verdict.status == "fits":
        return _ladder(climber.start, climber.keep, death, taken, "fits", None, None, climber.goal)
    doubt = end.resolved.uncertain[0].rstrip(".") if end.resolved.uncertain else end.verdict.reason.rstrip(".")
    done = "With these steps every" if taken else "Every"
    reason = (
        f"It cannot be better than marginal: {doubt}. {done} limit holds at the pessimistic end of the known terms."
    )
    return _ladder(climber.start, climber.keep, death, taken, "marginal", reason, None, climber.goal)


def _ladder(
    start: Plan,
    keep: str,
    death: str | None,
    taken: list[Taken],
    outcome: str,
    reason: str | None,
    found: Searched | None = None,
    goal: Goal | None = None,
) -> Ladder:
    goal = goal or Goal()
    room = margins(start, goal)
    limit = failing(room, start, goal) if room else UNSUPPORTED if start.verdict.status == "unsupported" else None
    others = elsewhere(start, keep) if outcome in ("cannot", "marginal") else []
    end = taken[-1].after if taken else start
    text = reason
    if others and reason is not None:
        near = others[0].plan.resolved
        text = f"{reason} Nearest that can: {near.gpus} x {near.device.name}."
    steps = tuple(step_of(step) for step in taken)
    missing = max(-room.get(limit or "", 0), 0)
    return Ladder(start, keep, death, steps, outcome, end, text, tuple(others), found, limit, missing)


def _gguf(start: Plan) -> str:
    """GGUF files as the way out on another engine: the largest published one that is smaller than the GPUs' memory."""
    r, said = start.resolved, "GGUF files under llama.cpp, another engine"
    total = start.memory.low * r.gpus if start.memory else 0
    fitting = [
        row
        for row in checkpoints()
        if row["repo"] == "unsloth/GLM-5.2-GGUF" and row["total_bytes"] is not None and row["total_bytes"] < total
    ]
    if not fitting or "GLM-5.2" not in r.checkpoint.name:
        return said
    largest = max(fitting, key=lambda row: row["total_bytes"])
    name = largest["format"].removeprefix("GGUF ")
    return f"{said} (of {largest['repo']} {name} is the largest below these GPUs' memory: {gb(largest['total_bytes'])} GB of weights alone)"


def _why_not(climber: Climber, taken: list[Taken], found: Searched) -> str:
    r = climber.start.resolved
    here = f"{r.gpus} x {r.device.name}"
    if r.refusals and found.short_bytes is None:
        refusal = r.refusals[0].rstrip(".")
        return f"This cannot be done on {here}: {refusal}."
    if found.short_bytes is None:
        return (
            f"This cannot be done on {here}: nothing is known of its memory, or the engine refuses every combination."
        )
    death = climber.goal.death
    if death is not None and min(margins(climber.start, Goal()).values(), default=-1) >= 0:
        return (
            f"By the budget it fits on {here}, and a log says that it died ({death}): nothing that is budgeted here moves "
            "enough to what ran out. Look for another process on the GPU first."
        )
    after = " after all steps" if taken else ""
    return (
        f"This cannot be done on {here}{after}: of everything that was searched the closest ({found.closest}) is still short "
        f"by {gib(found.short_bytes)} GiB on each GPU at the pessimistic end."
    )
