"""Climbing down: one knob after the other until it fits, then back up by all that turned out not to be needed."""

from __future__ import annotations

from glmcalc.advise.ladder_knobs import Stand, covered, grain, round_length, supported, values
from glmcalc.advise.ladder_limits import Goal, failing, margins
from glmcalc.advise.ladder_order import knob_of, milder_knobs, order
from glmcalc.budget.plan import plan
from glmcalc.budget.result import Plan
from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.facts.quantity import MIB
from glmcalc.solve.ceiling import raised_too_far
from glmcalc.solve.steps import applied

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable, Mapping

    Changes = dict[str, Any]

UNSUPPORTED = "supported"
# A step that moves less than a hundredth of a GiB, or a fiftieth of what is missing, is not worth a restart.
_LEAST_GAIN = 10 * MIB
_LEAST_SHARE = 0.02
_GOOD_SHARE = 0.05
_TRIFLE = 0.98  # of a length: less is not worth another step
_MOST_STEPS = 60
_LINES = ("gpu_memory_utilization", "gpu_memory_utilization_up")


@record
class Rung:
    """One knob and the settings that it changes."""

    knob: str
    changes: Changes


@record
class Taken:
    """A rung as it was taken: the budget before and after, and the limit that failed before.

    Attributes:
        gained_bytes: what it adds to the margin of ``limit``, bytes per GPU; 0 where it only lifts a refusal.
        left_bytes: the margin of ``limit`` after it; negative: still missing.
    """

    rung: Rung
    before: Plan
    after: Plan
    limit: str
    gained_bytes: int
    left_bytes: int


class Climber:
    """Budgets candidates of one ladder, each once.

    Args:
        start: the budget to begin with.
        goal: what must hold at the end.
        keep: what is given up last.
    """

    def __init__(self, start: Plan, goal: Goal, keep: str) -> None:
        self.start, self.goal, self.keep = start, goal, keep
        self._made: dict[Any, Plan | None] = {start.resolved.asked: start}
        self._harm = {knob: rank for rank, knob in enumerate(order(None, keep))}

    @property
    def budgeted(self) -> int:
        """How many different deployments were budgeted."""
        return len(self._made)

    def changed(self, before: Plan, changes: Changes) -> Plan | None:
        """The budget after ``changes``; None where the engine refuses them."""
        try:
            asked = applied(before.resolved.asked, changes, before.resolved.device)
            if asked not in self._made:
                self._made[asked] = plan(asked)
        except InputError:
            return None
        return self._made[asked]

    def holds(self, made: Plan) -> bool:
        """Whether every limit holds at the pessimistic end, that of the death which a log showed included."""
        found = margins(made, self.goal)
        return bool(found) and min(found.values()) >= 0

    def stand(self, made: Plan) -> Stand | None:
        """Where ``made`` fails; None where it does not."""
        found = margins(made, self.goal)
        if not found:
            return Stand(made, found, UNSUPPORTED, self.start.resolved.max_model_len)
        limit = failing(found, made, self.goal)
        return Stand(made, found, limit, self.start.resolved.max_model_len) if limit else None

    def take(self, stand: Stand, rung: Rung) -> Taken | None:
        """The rung taken from here; None where it does not help here, harms more than it helps, or is refused.

        It helps when the margin of the failing limit grows, and no limit that fails after it lost more than that: utilization
        only moves memory. It may not add a doubt that was not there, raise utilization beyond its ceiling, or leave a batch
        without its graph where it says that none is.
        """
        after = self.changed(stand.plan, rung.changes)
        if after is None or set(after.resolved.uncertain) - set(stand.r.uncertain):
            return None
        if raised_too_far(self.start, after) or not covered(rung.knob, after.resolved):
            return None
        found = margins(after, self.goal)
        if not found:
            return None
        if stand.limit == UNSUPPORTED:
            return Taken(rung, stand.plan, after, UNSUPPORTED, 0, 0)
        gained = found[stand.limit] - stand.margins[stand.limit] if stand.limit in found else 0
        if gained <= 0 or _most_lost(stand.margins, found) > gained + MIB:
            return None
        return Taken(rung, stand.plan, after, stand.limit, gained, found[stand.limit])

    def choose(self, stand: Stand, knob: str) -> Taken | None:
        """The least change of ``knob`` that mends the failing limit; where none does, the one that gains most."""
        best: Taken | None = None
        for changes in values(knob, stand):
            taken = self.take(stand, Rung(knob, changes))
            if taken is None:
                continue
            if taken.left_bytes >= 0:
                return self._longest(stand, taken)
            if best is None or taken.gained_bytes > best.gained_bytes:
                best = taken
        least = max(_LEAST_GAIN, -_LEAST_SHARE * stand.margins.get(stand.limit, 0))
        return best if best is not None and best.gained_bytes >= least else None

    def _longest(self, stand: Stand, taken: Taken) -> Taken:
        """For a length that mends: the longest that does. Anything else stays as it is."""
        if "max_model_len" not in taken.rung.changes:
            return taken
        low, high = taken.rung.changes["max_model_len"], stand.r.max_model_len
        while high - low > grain(high):
            middle = (low + high) // 2
            tried = self.take(stand, Rung(taken.rung.knob, {"max_model_len": middle}))
            if tried is not None and tried.left_bytes >= 0:
                low, taken = middle, tried
            else:
                high = middle
        rounded = self.take(stand, Rung(taken.rung.knob, {"max_model_len": round_length(low)}))
        return rounded if rounded is not None and rounded.left_bytes >= 0 else taken

    def climb(self) -> list[Taken]:
        """Steps in order of harm until every limit holds, or nothing helps any more."""
        taken: list[Taken] = []
        made, seen = self.start, {self.start.resolved.asked}
        while len(taken) < _MOST_STEPS:
            stand = self.stand(made)
            if stand is None:
                break
            lines = {step.rung.knob for step in taken} & set(_LINES)
            step = self._lifted(stand) if stand.limit == UNSUPPORTED else self._next(stand, seen, lines)
            if step is None:
                break
            taken.append(step)
            made = step.after
            seen.add(made.resolved.asked)
        return taken

    def _next(self, stand: Stand, seen: set[Any], lines: set[str]) -> Taken | None:
        for knob in order(stand.limit, self.keep):
            if knob in _LINES and lines - {knob}:
                continue  # the line goes one way only
            step = self.choose(stand, knob)
            if step is not None and step.after.resolved.asked not in seen:
                return step
        return None

    def _lifted(self, stand: Stand) -> Taken | None:
        options = list(supported(stand.r))
        if self.keep == "quality":
            options.sort(key=lambda option: "kv_cache_dtype" in option[1])
        for knob, changes in options:
            step = self.take(stand, Rung(knob, changes))
            if step is not None:
                return step
        return None

    def walk(self, rungs: list[Rung]) -> list[Taken] | None:
        """Those of the rungs that help, one after the other from the start, until it holds; None where it never does."""
        taken = self.helping(rungs)
        return taken if self.holds(taken[-1].after if taken else self.start) else None

    def helping(self, rungs: Iterable[Rung]) -> list[Taken]:
        """Those of the rungs that help, one after the other from the start, until it holds or they end.

        One that does not help yet waits: utilization may go up further once the length is shorter.
        """
        made, waiting = self.start, list(rungs)
        taken: list[Taken] = []
        while (stand := self.stand(made)) is not None:
            step = next((one for rung in waiting if (one := self.take(stand, rung)) is not None), None)
            if step is None:
                break
            taken.append(step)
            waiting.remove(step.rung)
            made = step.after
        return taken

    def largest(self, taken: list[Taken]) -> list[Taken]:
        """Of a ladder that does not hold in the end, the steps that move a good share of what is missing."""
        kept = [
            step.rung
            for step in self.helping(_last_of_each(taken))
            if step.gained_bytes >= _GOOD_SHARE * -(step.left_bytes - step.gained_bytes)
        ]
        return self.helping(kept)

    def least(self, taken: list[Taken]) -> list[Taken]:
        """A ladder that holds, without the steps that it does not need, and each of the others as small as will do."""
        taken = self.walk(_last_of_each(taken)) or taken
        for _ in range(3):
            shorter = self._relaxed(self._pruned(taken))
            if len(shorter) == len(taken) and [t.rung for t in shorter] == [t.rung for t in taken]:
                break
            taken = shorter
        return taken

    def by_harm(self, rungs: Iterable[Rung]) -> list[Rung]:
        """The most harmful first."""
        return sorted(rungs, key=lambda rung: -self._harm.get(rung.knob, 0))

    def _pruned(self, taken: list[Taken]) -> list[Taken]:
        for rung in self.by_harm(step.rung for step in taken):
            if any(step.rung is rung for step in taken):
                taken = self._without(taken, rung) or taken
        return taken

    def _without(self, taken: list[Taken], rung: Rung) -> list[Taken] | None:
        """The ladder without ``rung``, where it still holds."""
        rungs = [step.rung for step in taken if step.rung is not rung]
        return self.walk(rungs) if "max_model_len" in rung.changes else self._walk_shorter(rungs)

    def _walk_shorter(self, rungs: list[Rung]) -> list[Taken] | None:
        """As ``walk``, with a length up to 2 % shorter where that is needed and length is not what is kept."""
        taken = self.walk(rungs)
        if taken is not None or self.keep == "context":
            return taken
        for index, other in enumerate(rungs):
            if "max_model_len" in other.changes:
                length = round_length(int(other.changes["max_model_len"] * _TRIFLE))
                return self.walk([*rungs[:index], Rung(other.knob, {"max_model_len": length}), *rungs[index + 1 :]])
        return None

    def _relaxed(self, taken: list[Taken]) -> list[Taken]:
        for rung in self.by_harm(step.rung for step in taken):
            index = next((i for i, step in enumerate(taken) if step.rung is rung), None)
            taken = taken if index is None else self._smaller(taken, index)
        return taken

    def _smaller(self, taken: list[Taken], index: int) -> list[Taken]:
        step = taken[index]
        rungs = [other.rung for other in taken]
        if "max_model_len" in step.rung.changes:
            return self._longer(taken, index)
        stand = self.stand(step.before)
        if stand is None:
            return taken
        for knob in milder_knobs(step.rung.knob):
            for changes in values(knob, stand) if stand.limit != UNSUPPORTED else ():
                if changes == step.rung.changes:
                    return taken
                other = self._walk_shorter([*rungs[:index], Rung(knob, changes), *rungs[index + 1 :]])
                if other is not None:
                    return other
        return taken

    def _longer(self, taken: list[Taken], index: int) -> list[Taken]:
        """A longer length where later steps left room for it."""
        rungs = [step.rung for step in taken]
        low, high = rungs[index].changes["max_model_len"], taken[index].before.resolved.max_model_len
        while high - low > 2 * grain(high):
            middle = round_length((low + high) // 2)
            knob = knob_of("max_model_len", middle, self.start.resolved.max_model_len)
            rung = Rung(knob, {"max_model_len": middle})
            other = self.walk([*rungs[:index], rung, *rungs[index + 1 :]]) if low < middle < high else None
            if other is not None:
                low, taken = middle, other
            else:
                high = min(middle, high - 1)
        return taken


def _last_of_each(taken: list[Taken]) -> list[Rung]:
    """Of the rungs that change the same settings the last, which undoes those before it."""
    last = {tuple(step.rung.changes): step.rung for step in taken}
    return [step.rung for step in taken if last[tuple(step.rung.changes)] is step.rung]


def _most_lost(before: Mapping[str, int], after: Mapping[str, int]) -> int:
    """The most that a limit which fails afterwards lost, bytes per GPU."""
    return max((before.get(name, 0) - size for name, size in after.items() if size < 0), default=0)
