"""The decision: hold, raise, lower or roll back. Safety comes first, then the gate, then the gain."""

from __future__ import annotations

import math

from glmcalc.advise.tuning.evidence import Condition, conditions
from glmcalc.advise.tuning.room import Room
from glmcalc.advise.tuning.state import Setting, State, Step
from glmcalc.budget.plan import plan
from glmcalc.facts.frozen import record, replace
from glmcalc.facts.gates import gate, rate_bound
from glmcalc.facts.quantity import gib
from glmcalc.solve.ceiling import floor3

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Collection

    from glmcalc.budget.result import Plan


# Conditions that the guide's schedule waits for too.
_ALWAYS = ("errors", "free", "preemptions", "setting")
LOWEST = 0.05  # below this no deployment of this model has weights and pool


@record
class Decision:
    """What to do now.

    Attributes:
        kind: ``hold``, ``raise``, ``lower`` or ``roll_back``.
        setting: what should run next; for ``hold`` the one that runs.
        passed: whether the gate of the running step has passed.
        gate: its conditions.
    """

    kind: str
    setting: Setting
    reason: str
    passed: bool
    gate: tuple[Condition, ...]


def decide(state: State, made: Plan, room: Room | None, stale: bool = False, absent: Collection[str] = ()) -> Decision:
    """What the state and the budget of the running setting say.

    Args:
        made: budget of the deployment at the running setting.
        room: how far utilization may go; None where the memory of the GPU is not known.
        stale: the last reading was an older one; no step is taken on it.
        absent: counters that the gate needs and the last reading lacks.
    """
    step = state.now
    r = made.resolved
    found = tuple(conditions(step, room, step.setting.max_num_seqs, r.max_model_len, absent))
    passed = _passed(state, step, found)
    for rule in (_after_death, _too_high, _after_preemption):
        said = rule(state, made, room)
        if said is not None:
            return Decision(*said, passed=False, gate=found)
    hold = _why_hold(state, made, room, found, passed, stale)
    if hold is not None or room is None:
        return Decision("hold", step.setting, hold or "", passed, found)
    target, gain = _target(state, room, made)
    if target is None:
        return Decision("hold", step.setting, gain, passed, found)
    return Decision("raise", target, gain, passed, found)


def _passed(state: State, step: Step, found: tuple[Condition, ...]) -> bool:
    if step.dead or step.gained().get("preemptions"):
        return False
    if state.mode == "guide":
        clean = all(row.met is not False for row in found if row.name in _ALWAYS)
        return clean and step.seconds >= 3600 * gate("guide_hours")
    return all(row.met is not False for row in found)


def _after_death(state: State, made: Plan, room: Room | None) -> tuple[str, Setting, str] | None:
    step, free, r = state.now, state.now.peaks.get("free_bytes"), made.resolved
    why = step.died if step.dead else None
    if why is None and free is not None and free < gate("rollback_free"):
        why = f"only {gib(free)} GiB of the fullest GPU were free; below {gib(gate('rollback_free'))} the next peak ends it"
    if why is None:
        return None
    good = state.last_good()
    if good is not None:
        return "roll_back", good.setting, f"{_sentence(why)} Back to step {good.number}, the last good one."
    lower = _down(step.setting)
    if room is not None:
        lower = replace(lower, gpu_memory_utilization=max(min(lower.gpu_memory_utilization, room.ceiling), LOWEST))
    if not plan(
        r.asked.changed(gpu_memory_utilization=lower.gpu_memory_utilization, kv_cache_memory_bytes=None)
    ).kv.pool.fits:
        return "roll_back", step.setting, (
            f"{_sentence(why)} No earlier step has proven itself, and lower the pool does not hold one request of "
            f"{r.max_model_len:,} tokens: less utilization is not the way. Read its log (glmcalc diagnose)."
        )  # fmt: skip
    return (
        "roll_back",
        lower,
        f"{_sentence(why)} No earlier step has proven itself, so down by {gate('rollback_step'):g}.",
    )


def _down(setting: Setting, fraction: float | None = None) -> Setting:
    """The setting with less memory; a pinned pool is unpinned, because utilization also bounds the profile."""
    lower = setting.gpu_memory_utilization - (gate("rollback_step") if fraction is None else fraction)
    return replace(setting, gpu_memory_utilization=max(floor3(lower), LOWEST), kv_cache_memory_bytes=None)


def _fixed_pool(state: State, made: Plan) -> bool:
    return (
        state.now.setting.kv_cache_memory_bytes is not None or made.resolved.asked.num_gpu_blocks_override is not None
    )


def _too_high(state: State, made: Plan, room: Room | None) -> tuple[str, Setting, str] | None:
    """Above the ceiling, or with less free than the headroom, as measured."""
    if room is None or _fixed_pool(state, made):
        return None
    step, now = state.now, state.now.setting.gpu_memory_utilization
    if now > room.ceiling + 1e-9 and room.ceiling > LOWEST:
        outside = sum(size for _, size in room.outside) + room.margin
        text = (
            f"{now:g} is above the ceiling of {room.ceiling:g}: what lives outside the utilization line may take "
            f"{gib(outside)} GiB of each GPU, margin included."
        )
        return "lower", replace(step.setting, gpu_memory_utilization=room.ceiling), text
    free = step.peaks.get("free_bytes")
    if free is not None and free < room.headroom:
        short = max(room.headroom - free, gate("least_step"))
        target = _down(step.setting, short / room.total)
        text = f"{gib(free)} GiB were free at the worst moment and {gib(room.headroom)} are needed: {gib(short)} GiB of the pool go back."
        return ("lower", target, text) if target != step.setting else None
    return None


def _after_preemption(state: State, made: Plan, room: Room | None) -> tuple[str, Setting, str] | None:
    """Preemptions say that the pool is too small for the requests at once: fewer of them, never more memory."""
    step = state.now
    gained = step.gained()
    count = gained.get("preemptions", 0.0)
    if not count:
        return None
    finished = gained.get("finished") or 0.0
    rate = 100 * count / max(finished, 1.0)
    text = f"{count:,.0f} preemptions beside {finished:,.0f} finished requests: the pool is too small for this mix"
    fewer, why = _fewer(step, made)
    if rate <= gate("preemptions_per_100"):
        return "hold", step.setting, f"{text}, but rarely so. No step up after a preemption."
    if fewer is None:
        return "hold", step.setting, (
            f"{text}, and max_num_seqs cannot go lower. Utilization stays: a KV record with scales, decode context "
            "parallelism or a shorter max_model_len give more (glmcalc downgrade)."
        )  # fmt: skip
    return "lower", replace(step.setting, max_num_seqs=fewer), (
        f"{text}. max_num_seqs {step.setting.max_num_seqs} -> {fewer}: {why}. Utilization stays."
    )  # fmt: skip


def _fewer(step: Step, made: Plan) -> tuple[int | None, str]:
    """How many requests at once the pool holds, and how that is known; None where it is no fewer than now.

    The mean length counts each request in full. Where more ran at once, each round of them would preempt those beyond it: at
    least ``1 - fit / running`` of a finished request. Fewer preemptions than that say that the mean does not explain what
    ran (shared prefixes, requests that were not long at the same time), and a tenth less than what ran is enough to try.
    """
    gained, running = step.gained(), step.peaks.get("running")
    count = gained.get("finished_counted") or 0.0
    tokens = gained.get("finished_prompt_tokens", 0.0) + gained.get("finished_generation_tokens", 0.0)
    pool = pool_tokens(step, made)
    fit = math.floor(made.kv.pool.max_concurrency or 1)
    why = "as many of full length as the pool holds, since the mix is not known"
    if count and tokens and pool:
        block = round((step.config or {}).get("block_size", made.resolved.block_size)) * made.resolved.dcp
        fit = pool // (math.ceil(tokens / count / block) * block)
        why = f"as many of the mean length seen ({tokens / count:,.0f} tokens) as the pool holds"
    rare = running and gained.get("preemptions", 0.0) < (1 - fit / running) * (gained.get("finished") or 1.0)
    if running and (fit >= running or rare or not count):
        fit, why = math.floor(0.9 * running), f"nine tenths of the {running:,.0f} that ran when it preempted"
    fewer = max(fit, 1)
    return (fewer if fewer < step.setting.max_num_seqs else None), why


def pool_tokens(step: Step, made: Plan) -> int | None:
    """Tokens that the pool holds without its null block: as the server states them, else by the budget; None where it holds none."""
    config = step.config or {}
    said, block = config.get("kv_cache_size_tokens"), config.get("block_size")
    if said and block:
        return max(round(said - block * made.resolved.dcp), 0) or None
    blocks = made.kv.pool.num_blocks
    return (blocks - 1) * made.resolved.block_size * made.resolved.dcp if blocks else None


def _why_hold(
    state: State, made: Plan, room: Room | None, found: tuple[Condition, ...], passed: bool, stale: bool
) -> str | None:
    """Why no step up is taken, or None."""
    if stale:
        return "This scrape is older than one already recorded: take a new one."
    if not passed:
        return _not_yet(state, found)
    if state.frozen is not None:
        return f"The gate has passed, but after a rollback nothing goes up without a cause ({state.frozen}): --cause TEXT says why it will not happen again."
    if _fixed_pool(state, made):
        return "The gate has passed, and the pool is fixed in bytes: this is the final form of the step."
    if room is None:
        return f"The memory of {made.resolved.device.name} is not known, so there is no ceiling to go up to."
    return None


def _not_yet(state: State, found: tuple[Condition, ...]) -> str:
    if state.mode == "guide":
        hours = state.now.seconds / 3600
        wrong = [row.text for row in found if row.name in _ALWAYS and row.met is False]
        waits = [f"{hours:.2f} of {gate('guide_hours'):g} h at this step"] if hours < gate("guide_hours") else []
        return f"The evidence does not suffice yet: {'; '.join(waits + wrong)}."
    text = f"The evidence does not suffice yet: {'; '.join(row.text for row in found if row.met is False)}."
    if any(row.name in ("batch", "mix") and row.met is False for row in found):
        text += " glmcalc tune --stress forces such shapes."
    return text


def _target(state: State, room: Room, made: Plan) -> tuple[Setting | None, str]:
    """The next setting and why, or None and why there is none."""
    step, now = state.now, state.now.setting.gpu_memory_utilization
    limit = room.ceiling
    if state.short_at is not None:  # half-way to where free memory was short, and never there again without a cause
        limit = min(limit, floor3((now + state.short_at) / 2) if state.short_at > now else now)
    if state.mode == "guide":
        return _guide_target(step, min(limit, gate("guide_cap")))
    usage = step.peaks.get("kv_usage")
    if usage is None or usage < gate("peak_kv_usage"):
        return None, f"The gate has passed. {_not_the_pool(step, usage)} Pin it."
    surplus = math.floor((room.ceiling - now) * room.total)
    basis = "by the budget at its pessimistic end (free memory was not measured)"
    free = step.peaks.get("free_bytes")
    if free is not None:
        surplus, basis = min(surplus, round(free) - room.headroom), "as measured, and by the budget's ceiling"
    up = min(floor3(now + gate("step_share") * surplus / room.total), limit)
    gain = round((up - now) * room.total)
    if gain < gate("least_step"):
        return None, (
            f"The gate has passed. What one step could gain is {gib(max(gain, 0))} GiB a GPU, less than a restart is worth "
            f"({gib(gate('least_step'))}). Pin it."
        )  # fmt: skip
    text = f"The gate has passed. Half of the surplus of {gib(surplus)} GiB, {basis}: {now:g} -> {up:g}."
    return replace(step.setting, gpu_memory_utilization=up), text


def _not_the_pool(step: Step, usage: float | None) -> str:
    """Why a larger pool would not be used."""
    if usage is None:
        return "Use of the pool is not exported, so nothing says that a larger one would be used."
    text = f"Peak use of the pool is {100 * usage:.0f} %"
    if step.peaks.get("waiting") and step.peaks.get("running", 0) >= step.setting.max_num_seqs:
        return f"{text}: requests wait because of max_num_seqs {step.setting.max_num_seqs}, not of the pool."
    return f"{text}: a larger one would serve nobody."


def _guide_target(step: Step, cap: float) -> tuple[Setting | None, str]:
    now, hours = step.setting.gpu_memory_utilization, step.seconds / 3600
    up = floor3(min(max(now + gate("guide_step"), gate("guide_start")), cap))
    if up - now < gate("guide_step") / 2:
        held = (
            "the guide's own cap"
            if now >= gate("guide_cap") - 1e-9
            else "as far as this machine's budget and free memory let it go"
        )
        return None, f"{hours:.1f} h without an OOM, and {now:g} is {held}."
    text = (
        f"{hours:.1f} h without an OOM: {now:g} -> {up:g}, as the guide says. That much time only shows a rate below "
        f"{rate_bound(hours):.2g} deaths an hour (95 %)."
    )
    return replace(step.setting, gpu_memory_utilization=up), text


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."
