"""What the tuner remembers: the steps so far, what was seen at each, and what was said last. One small file."""

from __future__ import annotations

from glmcalc.facts.frozen import fresh, record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping


KEPT_STEPS = 200
SAME_UTILIZATION = 5e-5  # two statements of one utilization differ by less
# Labels of ``vllm:cache_config_info`` that are kept.
STATED = ("gpu_memory_utilization", "kv_cache_memory_bytes", "num_gpu_blocks", "block_size", "kv_cache_size_tokens")


@record
class Setting:
    """What a step moves: the rest of the deployment stays.

    Attributes:
        kv_cache_memory_bytes: pool of each GPU where it is pinned, which overrides utilization; else None.
    """

    gpu_memory_utilization: float
    kv_cache_memory_bytes: int | None
    max_num_seqs: int

    def reaches(self, other: Setting) -> bool:
        """Whether this takes at least as much memory as ``other`` in every respect."""
        if (self.kv_cache_memory_bytes is None) != (other.kv_cache_memory_bytes is None):
            pool = self.gpu_memory_utilization >= other.gpu_memory_utilization
        elif self.kv_cache_memory_bytes is not None and other.kv_cache_memory_bytes is not None:
            pool = self.kv_cache_memory_bytes >= other.kv_cache_memory_bytes
        else:
            pool = self.gpu_memory_utilization >= other.gpu_memory_utilization
        return pool and self.max_num_seqs >= other.max_num_seqs


@record
class Life:
    """One process of the server: its counters when the step's window opened (``base``), and the highest since."""

    began: float | None
    first_time: float | None
    last_time: float | None
    base: Mapping[str, float]
    last: Mapping[str, float]

    def gained(self) -> dict[str, float]:
        """Counters within the window."""
        return {name: max(value - self.base.get(name, 0.0), 0.0) for name, value in self.last.items()}


@record
class Step:
    """One setting, and what was seen while it ran.

    Attributes:
        how: ``start``, ``raise``, ``lower``, ``roll_back``, ``pin``, or ``changed`` where somebody else changed it.
        began: when it was first seen, seconds since the epoch, or None.
        config: what the server stated of itself, by name (:data:`STATED`); a name it does not state is absent. None: nothing.
        command: the setting that the command named when the step began, or None.
        peaks: highest ``kv_usage``, ``running``, ``waiting``; least ``free_bytes``.
        free: the last samples of free memory, as (time, bytes).
        good: whether its gate has passed.
        died: why it is bad, or None; excused: whether a cause was given since, so that it no longer counts.
        decision, reason: what was said last while it ran.
    """

    number: int
    setting: Setting
    how: str
    began: float | None
    lives: tuple[Life, ...] = ()
    peaks: Mapping[str, float] = fresh(dict)
    free: tuple[tuple[float, int], ...] = ()
    scrapes: int = 0
    config: Mapping[str, float] | None = None
    command: Setting | None = None
    good: bool = False
    died: str | None = None
    excused: bool = False
    decision: str | None = None
    reason: str | None = None

    def gained(self) -> dict[str, float]:
        """Counters of all its processes within the window; a name that no scrape held is absent."""
        total: dict[str, float] = {}
        for life in self.lives:
            for name, value in life.gained().items():
                total[name] = total.get(name, 0.0) + value
        return total

    @property
    def dead(self) -> bool:
        """Whether it died, and nobody has said why it will not again."""
        return self.died is not None and not self.excused

    @property
    def seconds(self) -> float:
        """Time between its first and its last scrape; 0 where times are not known."""
        spans = [
            life.last_time - life.first_time
            for life in self.lives
            if life.first_time is not None and life.last_time is not None
        ]
        return max(sum(spans), 0.0)


@record
class Pending:
    """What was said last, and waits for somebody to do it."""

    decision: str
    setting: Setting


@record
class State:
    """All of it.

    Attributes:
        identity: the deployment apart from what a step moves; evidence of another one says nothing.
        mode: ``budget`` or ``guide``.
        frozen: why utilization may not go up, or None; a cause clears it.
        short_at: the lowest utilization at which free memory fell short of the headroom, or None; a cause clears it.
        causes: what was given as cause, with when.
        source: where the last scrape came from.
        dropped: steps that the file no longer holds.
    """

    identity: Mapping[str, Any]
    mode: str
    steps: tuple[Step, ...]
    pending: Pending | None = None
    frozen: str | None = None
    short_at: float | None = None
    causes: tuple[tuple[float | None, str], ...] = ()
    source: str | None = None
    dropped: int = 0

    @property
    def now(self) -> Step:
        """The step that runs."""
        return self.steps[-1]

    def last_good(self) -> Step | None:
        """The newest earlier step whose gate passed, below every setting that died or left too little memory free."""
        dead = [step.setting for step in self.steps if step.dead]
        for step in reversed(self.steps[:-1]):
            short = self.short_at is not None and step.setting.gpu_memory_utilization >= self.short_at
            if step.good and not step.dead and not short and not any(step.setting.reaches(setting) for setting in dead):
                return step
        return None

    def trimmed(self) -> State:
        """At most :data:`KEPT_STEPS` steps, so that the file stays small; good and dead ones are kept longest."""
        extra = len(self.steps) - KEPT_STEPS
        if extra <= 0:
            return self
        from glmcalc.facts.frozen import replace

        keep = {id(step) for step in [row for row in self.steps if row.good or row.died][-KEPT_STEPS // 2 :]}
        gone = [step for step in self.steps[:-1] if id(step) not in keep][:extra]
        dropped = {id(step) for step in gone}
        kept = tuple(step for step in self.steps if id(step) not in dropped)
        return replace(self, steps=kept, dropped=self.dropped + len(gone))
