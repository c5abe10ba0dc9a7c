"""Progressive tuning: readings of a server in, the next safe step out. A step is a command to run; nothing is restarted."""

from __future__ import annotations

import shlex
from functools import lru_cache

from glmcalc.advise.tuning.account import guide_note, setting_row, watch, what_it_proves
from glmcalc.advise.tuning.decide import Decision, decide
from glmcalc.advise.tuning.evidence import lacking, seen
from glmcalc.advise.tuning.observe import killed, observe, replace_now, said, told_dead
from glmcalc.advise.tuning.room import Room, room_of
from glmcalc.advise.tuning.state import SAME_UTILIZATION, Pending, Setting, State, Step
from glmcalc.budget.plan import plan
from glmcalc.budget.result import Plan
from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record, replace
from glmcalc.facts.gates import gate
from glmcalc.logs.secrets import MASK, mask
from glmcalc.model.deployment import Deployment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

    from glmcalc.logs.metrics import Reading


MODES = ("budget", "guide")
_budget = lru_cache(maxsize=64)(plan)  # one tuning asks for the same few settings again and again


@record
class Advice:
    """The answer of one call.

    Attributes:
        state: what to keep for the next call.
        decision: what to do, and why.
        deployment: the deployment as it runs; next: as it should run.
        room: how far utilization may go, or None where the GPU's memory is not known.
        pin: the pool in bytes with which a good step may be made final, or None; pin_note: why, or why not.
        warnings: what a person should know beside it.
    """

    state: State
    decision: Decision
    deployment: Deployment
    next: Deployment
    room: Room | None
    pin: int | None
    pin_note: str | None
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As ``glmcalc tune --json`` prints it; secrets of the command are masked."""
        state, decision, step = self.state, self.decision, self.state.now
        good = state.last_good() if not step.good else step
        return {
            "decision": decision.kind,
            "reason": decision.reason,
            "next_command": mask(self.next.command())[0],
            "watch": watch(self.room),
            "mode": state.mode,
            "step": step.number,
            "setting": setting_row(step.setting),
            "next_setting": setting_row(decision.setting),
            "gate_passed": decision.passed,
            "gate": [row.to_dict() for row in decision.gate],
            "evidence": seen(step),
            "ceiling": self.room.to_dict() if self.room else None,
            "ceiling_reason": None if self.room else "the memory of this GPU is not known",
            "step_buys": self.room.buys(gate("guide_step")) if self.room else None,
            "proves": what_it_proves(step.seconds / 3600),
            "guide": guide_note(self.room) if state.mode == "guide" else None,
            "last_good": setting_row(good.setting) if good else None,
            "frozen": state.frozen,
            "pin_bytes": self.pin,
            "pin_reason": self.pin_note,
            "pinned_command": mask(self._pinned())[0] if self.pin else None,
            "warnings": list(self.warnings),
        }

    def _pinned(self) -> str:
        return self.deployment.changed(kv_cache_memory_bytes=self.pin).command()


def tune(
    deployment: Deployment,
    readings: Sequence[Reading],
    state: State | None = None,
    *,
    mode: str | None = None,
    source: str | None = None,
    live: bool = False,
    planned: bool = False,
    died: str | None = None,
    cause: str | None = None,
) -> Advice:
    """The next safe step.

    Args:
        deployment: as its launch command says it, GPU included.
        readings: of :func:`glmcalc.logs.metrics.read_metrics`, the oldest first.
        state: what an earlier call returned; None begins.
        mode: ``budget`` (steps of half the surplus, up to the budget's ceiling) or ``guide`` (the published schedule);
            None: that of the state, else ``budget``.
        source, live: where the readings come from, and whether their order is certain (see ``observe``).
        planned: a restart seen in these readings is no death.
        died: what the server died of since the last call, where that is known.
        cause: why a death or preemptions seen so far will not happen again; the evidence starts anew.

    Raises:
        InputError: a mode that is none, or a state of another deployment.
    """
    if mode is not None and mode not in MODES:
        raise InputError("mode", mode, "budget or guide")
    made = _budget(deployment)
    r = made.resolved
    command = Setting(r.gpu_memory_utilization, r.asked.kv_cache_memory_bytes, r.max_num_seqs)
    identity = _identity(made)
    if state is None:
        first = Step(1, _first(deployment, command, readings), "start", None)
        state = State(identity, mode or "budget", (first,))
    _check_identity(state, identity)
    if mode is not None:
        state = replace(state, mode=mode)
    ran = state.now
    if cause is not None:
        state = _excused(state, cause)
    notes = _other_name(deployment, readings)
    stale = False
    for reading in readings:
        done = observe(state, reading, command, source, live or len(readings) > 1, planned)
        state, stale = done.state, done.stale
        if done.note is not None and done.note not in notes:
            notes.append(done.note)
    if state.now.number != ran.number:
        # A cause opens the window of the step that runs; what the ended one had proved stands.
        steps = tuple(replace(row, good=ran.good) if row.number == ran.number else row for row in state.steps)
        state = replace(state, steps=steps)
    if died is not None:
        state = told_dead(state, command, mask(died)[0])
    return _advise(deployment, state, stale, lacking(readings[-1]) if readings else (), notes)


def _advise(deployment: Deployment, state: State, stale: bool, absent: tuple[str, ...], notes: list[str]) -> Advice:
    running = _at(deployment, state.now.setting)
    made = _budget(running)
    room = room_of(made)
    free = state.now.peaks.get("free_bytes")
    if room is not None and free is not None and free < room.headroom:
        now = state.now.setting.gpu_memory_utilization
        state = replace(state, short_at=min(now, state.short_at or now))
    decision = decide(state, made, room, stale, absent)
    if decision.kind == "raise" and state.pending is not None and state.pending.decision == "raise":
        told = state.pending.setting  # what was said already, where it is still no more than half of the surplus
        if told.gpu_memory_utilization <= decision.setting.gpu_memory_utilization:
            decision = replace(decision, setting=told)
    if decision.kind == "roll_back" and not state.now.dead:
        state = killed(state, decision.reason)
    pin, pin_note = _pin(state.now, made) if decision.kind == "hold" and decision.passed else (None, None)
    pending = Pending(decision.kind, decision.setting) if decision.kind != "hold" else None
    if pending is None and pin is not None:
        pending = Pending("pin", replace(state.now.setting, kv_cache_memory_bytes=pin))
    short = state.short_at is not None and state.now.setting.gpu_memory_utilization >= state.short_at
    step = replace(
        state.now,
        good=(state.now.good or decision.passed) and not short,
        decision=decision.kind,
        reason=decision.reason,
    )
    state = replace(replace_now(state, step), pending=state.pending if stale else pending)
    following = _at(deployment, decision.setting)
    return Advice(
        state, decision, running, following, room, pin, pin_note, tuple(_warnings(state, made, following, notes))
    )


def _at(deployment: Deployment, setting: Setting) -> Deployment:
    sizes = _budget(deployment).resolved  # `--gpus 8` alone sets it, and the command must say it
    return deployment.changed(
        tensor_parallel_size=deployment.tensor_parallel_size or (sizes.tp if sizes.tp > 1 else None),
        gpu_memory_utilization=setting.gpu_memory_utilization,
        kv_cache_memory_bytes=setting.kv_cache_memory_bytes,
        max_num_seqs=setting.max_num_seqs,
    )


_IDENTITY = (
    "gpus", "tp", "pp", "dp", "dcp", "ep", "max_model_len", "max_num_batched_tokens", "record", "block_size", "mtp",
    "num_speculative_tokens",
)  # fmt: skip


def _identity(made: Plan) -> dict[str, Any]:
    r = made.resolved
    return {
        "model": r.checkpoint.name,
        "gpu": r.device.id,
        "engine_version": r.asked.engine_version,
        **{name: getattr(r, name) for name in _IDENTITY},
        "enforce_eager": r.asked.enforce_eager,
    }


def _check_identity(state: State, identity: dict[str, Any]) -> None:
    """Evidence of another deployment says nothing of this one.

    Raises:
        InputError: a setting that a step does not move has moved.
    """
    for name, value in identity.items():
        was = state.identity.get(name)
        if was != value:
            raise InputError(
                "state", f"{name} = {was}", f"a state of this deployment ({name} = {value}), or a new file",
                f"state: it is of a deployment with {name} = {was}, and this one has {value}. Its evidence says nothing of "
                "this one: give another --state.",
            )  # fmt: skip


def _first(deployment: Deployment, command: Setting, readings: Sequence[Reading]) -> Setting:
    """The setting at the beginning: the command's; where that does not state utilization, the server's own."""
    told = readings[0].setting("gpu_memory_utilization") if readings else None
    if deployment.gpu_memory_utilization is None and told is not None and 0 < told <= 1:
        return replace(command, gpu_memory_utilization=told)
    return command


def _excused(state: State, cause: str) -> State:
    """A cause was given: nothing is frozen, and the window of the running step opens anew."""
    step = state.now
    lives = tuple(replace(life, base=life.last) for life in step.lives[-1:])
    lives = tuple(replace(life, first_time=life.last_time) for life in lives)
    fresh = replace(
        step, lives=lives, peaks={}, free=(), scrapes=0, good=False, began=lives[-1].last_time if lives else None
    )
    steps = tuple(replace(row, excused=row.died is not None) for row in (*state.steps[:-1], fresh))
    when = lives[-1].last_time if lives else None
    return replace(
        state,
        steps=steps,
        frozen=None,
        short_at=None,
        pending=None,
        causes=(*state.causes, (when, mask(cause)[0]))[-50:],
    )


def _pin(step: Step, made: Plan) -> tuple[int | None, str]:
    """The pool that runs, in bytes: blocks as the server states them, times the bytes of one."""
    config = step.config or {}
    blocks, block = config.get("num_gpu_blocks"), config.get("block_size")
    if step.setting.kv_cache_memory_bytes is not None:
        return None, "the pool is pinned already"
    if not blocks or made.resolved.pp > 1 or made.resolved.asked.num_gpu_blocks_override is not None:
        return None, "the server does not state its blocks: take the bytes from the log line `--kv-cache-memory`"
    low, high = made.kv.low.num_blocks or 0, made.kv.high.num_blocks or 0
    if block != made.resolved.block_size or not 0.8 * low <= blocks <= 1.2 * high:
        return None, (
            f"the server states {blocks:,.0f} blocks of {block or 0:.0f} tokens, and the budget foresees {low:,} to {high:,} of "
            f"{made.resolved.block_size}: not pinned on that. Is it this deployment's server?"
        )  # fmt: skip
    size = round(blocks) * made.kv.bytes_per_block
    return size, f"{blocks:,.0f} blocks of {made.kv.bytes_per_block:,} B: restarts and releases then keep this pool"


def _other_name(deployment: Deployment, readings: Sequence[Reading]) -> list[str]:
    """What to say where the scrape calls its model as the command does not."""
    said = next((reading.model for reading in reversed(readings) if reading.model), None)
    if said is None or said in shlex.split(deployment.command()):
        return []
    return [
        f"the server calls its model {mask(said)[0]}, and the command does not: check that the scrape is of this server"
    ]


def _warnings(state: State, made: Plan, following: Deployment, notes: list[str]) -> list[str]:
    found, step = list(notes), state.now
    told = (step.config or {}).get("gpu_memory_utilization")
    if told is not None and abs(told - step.setting.gpu_memory_utilization) > SAME_UTILIZATION:
        found.append(
            f"the server states utilization {told:g}, and the step is taken to run {said(step.setting)}: check that this is "
            "its command"
        )  # fmt: skip
    verdict = _budget(following).verdict
    if verdict.status in ("does_not_fit", "unsupported"):
        found.append(f"the budget calls the next command {verdict.status.replace('_', ' ')}: {verdict.reason}")
    if MASK in mask(following.command())[0]:
        found.append("secrets of the command are masked: put your own back before you run it")
    found += [text for text in made.resolved.warnings if text not in found]
    return found
