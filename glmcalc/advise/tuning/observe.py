"""From a reading to the state: which process it is of, which step, and what it adds.

Within one process counters only rise, so the highest value of each is kept: a reading that is repeated or comes late adds
nothing and disturbs nothing. Another process means a restart: the step that was asked for, or a death.
"""

from __future__ import annotations

from glmcalc.advise.tuning.state import SAME_UTILIZATION, STATED, Life, Setting, State, Step
from glmcalc.facts.frozen import record, replace
from glmcalc.logs.metrics import Reading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Mapping


KEPT_FREE = 48
KEPT_LIVES = 20  # a crash loop does not fill the file
_CLOCK = 1.5  # seconds: two readings of one process agree in when it began
_COUNTED = ("finished", "preemptions", "prompt_tokens", "generation_tokens", "finished_counted", "errors", "aborted")


@record
class Observed:
    """The state with a reading added.

    Attributes:
        note: what a person should know about the reading, or None.
        stale: whether it is older than one already recorded, so that no step may rest on it.
    """

    state: State
    note: str | None = None
    stale: bool = False


def observe(
    state: State, reading: Reading, command: Setting, source: str | None, live: bool, planned: bool
) -> Observed:
    """Add one reading.

    Args:
        command: the setting that the launch command names.
        source: where the reading comes from; two readings of one place are in the order of their times.
        live: whether it was taken just now, or the readings are known to be in order.
        planned: whether a restart seen now is no death.
    """
    ordered = live or (source is not None and source == state.source)
    state = replace(state, source=source)
    step = state.now
    if not step.lives and state.pending is not None:  # it died before it was ever scraped
        return _restarted(state, reading, command, planned)
    if not step.lives:
        return Observed(replace_now(state, _joined(step, reading, config=stated(reading), command=command)))
    place = _place(step.lives[-1], reading, ordered)
    if place == "same":
        return _same(state, reading, command)
    if place == "new":
        return _restarted(state, reading, command, planned)
    return _older(state, reading)


def replace_now(state: State, step: Step) -> State:
    """The state with its last step replaced."""
    return replace(state, steps=(*state.steps[:-1], step))


def _place(life: Life, reading: Reading, ordered: bool) -> str:
    """``same`` process, a ``new`` one, or an ``older`` reading than those known."""
    fell = any(
        reading.counters[name] < life.last[name] - 0.5
        for name in _COUNTED
        if name in reading.counters and name in life.last
    )
    later = reading.time is None or life.last_time is None or reading.time > life.last_time
    if reading.began is not None and life.began is not None:
        if abs(reading.began - life.began) > _CLOCK:
            return "new" if reading.began > life.began else "older"
        if not fell:
            return "same"
        # One process never counts down. Where the order is certain the process is another one after all.
        return "new" if ordered and later else "older"
    before = reading.time is not None and life.first_time is not None and reading.time < life.first_time
    if before:  # of this process or of the one before it: nothing says which
        return "older"
    return ("new" if later else "older") if fell else "same"


def stated(reading: Reading) -> dict[str, float] | None:
    """What the server says of itself, by label; None where the scrape does not hold it."""
    values = {name: reading.setting(name) for name in STATED}
    return {name: value for name, value in values.items() if value is not None} if reading.config else None


def _means(config: Mapping[str, float] | None, setting: Setting, before: Mapping[str, float] | None) -> bool:
    """Whether the server's own statement is this setting, and was another one before.

    Its ``max_num_seqs`` is not exported, so a step of that alone cannot be told from a restart by it. Its bytes are looked
    at only for a pinned pool: some servers fill them in themselves.
    """
    name = "gpu_memory_utilization" if setting.kv_cache_memory_bytes is None else "kv_cache_memory_bytes"
    value, wanted = (config or {}).get(name), float(getattr(setting, name))
    return value is not None and abs(value - wanted) <= SAME_UTILIZATION and value != (before or {}).get(name)


def _same(state: State, reading: Reading, command: Setting) -> Observed:
    step, life, note = state.now, state.now.lives[-1], None
    unknown = reading.began is None or life.began is None
    if unknown and (taken := _taken(state, reading, command)) is not None:
        return Observed(_begin(state, taken[0], taken[1], reading, command, fresh_process=False))
    if command not in (step.setting, step.command):
        note = (
            f"the command says {said(command)}, and the server is still the process that ran {said(step.setting)}: "
            "its evidence counts for that"
        )
    return Observed(replace_now(state, _joined(step, reading)), note)


def _older(state: State, reading: Reading) -> Observed:
    """An older scrape: peaks of the window's own processes still count, and nothing else."""
    step = state.now
    if not any(_begins_with(life, reading) for life in step.lives):
        note = "this scrape is of an earlier process than the step that runs: nothing is taken from it"
        return Observed(state, note, stale=True)
    note = "this scrape is older than one already recorded: it adds its peaks, and no step is taken on it"
    # The window opened in the middle of a process, or nothing says of which process this is.
    unsure = reading.began is None or any(life.base for life in step.lives)
    if unsure and step.began is not None and reading.time is not None and reading.time < step.began:
        return Observed(state, note, stale=True)
    step = replace(step, peaks=_peaks(step.peaks, reading), scrapes=step.scrapes + 1)
    return Observed(replace_now(state, step), note, stale=True)


def _begins_with(life: Life, reading: Reading) -> bool:
    if reading.began is None or life.began is None:
        return True
    return abs(reading.began - life.began) <= _CLOCK


def _restarted(state: State, reading: Reading, command: Setting, planned: bool) -> Observed:
    step = state.now
    taken = _taken(state, reading, command)
    if taken is not None:
        note = None
        if stated(reading) is None and command != taken[0]:
            note = "a restart was expected, and neither server nor command says its setting: taken for the step that was asked for"
        return Observed(_begin(state, taken[0], taken[1], reading, command, fresh_process=True), note)
    life = Life(reading.began, reading.time, reading.time, {}, {})
    state = replace_now(state, _joined(replace(step, lives=(*step.lives, life)[-KEPT_LIVES:]), reading))
    if planned:
        return Observed(state, "a restart that was planned: the step goes on")
    died = "the server restarted, and no step was pending"
    if state.pending is not None and state.pending.decision != "pin":
        died = "the server restarted with the setting it had, before the step was taken"
        if state.pending.setting.gpu_memory_utilization == step.setting.gpu_memory_utilization:
            died = (
                "the server restarted, and neither it nor the command says that the step was taken (if it was: give the command "
                "that runs, and --cause)"
            )  # fmt: skip
    return Observed(killed(state, died))


def told_dead(state: State, command: Setting, why: str) -> State:
    """Somebody says that it died: the step that waited, where the command is that one's, else the step that runs."""
    pending = state.pending
    if pending is not None and command == pending.setting != state.now.setting:
        step = Step(state.now.number + 1, pending.setting, pending.decision, None, command=command)
        state = replace(state, steps=(*state.steps, step), pending=None)
    return killed(state, why)


def killed(state: State, why: str) -> State:
    """The step that runs is bad, and nothing goes up again without a cause."""
    return replace(replace_now(state, replace(state.now, died=why, excused=False, good=False)), frozen=why)


def _taken(state: State, reading: Reading, command: Setting) -> tuple[Setting, str] | None:
    """The setting that a restart brought and how it came, or None where it brought back the one before."""
    step, pending, config = state.now, state.pending, stated(reading)
    if pending is not None and (_means(config, pending.setting, step.config) or command == pending.setting):
        return pending.setting, pending.decision
    share = (config or {}).get("gpu_memory_utilization")
    if share and share != (step.config or {}).get("gpu_memory_utilization", share):
        return replace(command, gpu_memory_utilization=share), "changed"
    if step.command is not None and command not in (step.command, step.setting):
        return command, "changed"
    if (
        pending is None
        or pending.decision == "pin"
        or (reading.began is not None and reading.began == step.lives[-1].began)
    ):
        return None
    # A restart that was expected, and nothing says that it is another one. A server that states its setting has said so.
    return (pending.setting, pending.decision) if config is None else None


def _begin(
    state: State, setting: Setting, how: str, reading: Reading, command: Setting, *, fresh_process: bool
) -> State:
    """A new step; its window opens with the process, or with this reading where the process may be the old one."""
    base = {} if fresh_process else dict(reading.counters)
    life = Life(reading.began, reading.time, reading.time, base, dict(reading.counters))
    number = state.now.number + 1
    step = Step(number, setting, how, reading.time, (life,), config=stated(reading), command=command)
    return replace(state, steps=(*state.steps, _joined(step, reading)), pending=None).trimmed()


def _joined(
    step: Step, reading: Reading, config: Mapping[str, float] | None = None, command: Setting | None = None
) -> Step:
    """The step with a reading of its newest process added."""
    life = step.lives[-1] if step.lives else Life(reading.began, reading.time, reading.time, {}, {})
    last = dict(life.last)
    for name, value in reading.counters.items():
        last[name] = max(last.get(name, 0.0), value)
    times = [time for time in (life.last_time, reading.time) if time is not None]
    firsts = [time for time in (life.first_time, reading.time) if time is not None]
    life = replace(
        life, last=last, last_time=max(times, default=None), first_time=min(firsts, default=None),
        began=life.began if life.began is not None else reading.began,
    )  # fmt: skip
    free = step.free
    if reading.free_bytes is not None and reading.time is not None:
        free = tuple(sorted({*free, (reading.time, reading.free_bytes)}))[-KEPT_FREE:]
    return replace(
        step, lives=(*step.lives[:-1], life), peaks=_peaks(step.peaks, reading), free=free, scrapes=step.scrapes + 1,
        began=step.began if step.began is not None else reading.time, config=config or step.config,
        command=command or step.command,
    )  # fmt: skip


def _peaks(peaks: Mapping[str, float], reading: Reading) -> dict[str, float]:
    found = dict(peaks)
    for name in ("kv_usage", "running", "waiting"):
        value = getattr(reading, name)
        if value is not None:
            found[name] = max(found.get(name, 0.0), value)
    if reading.free_bytes is not None:
        found["free_bytes"] = min(found.get("free_bytes", reading.free_bytes), reading.free_bytes)
    return found


def said(setting: Setting) -> str:
    """A setting in words."""
    if setting.kv_cache_memory_bytes is not None:
        return f"{setting.kv_cache_memory_bytes:,} B of KV, {setting.max_num_seqs} seqs"
    return f"utilization {setting.gpu_memory_utilization:g}, {setting.max_num_seqs} seqs"
