"""The last value that holds, found without trying every one: by halving where limits only tighten, and exactly where not."""

from __future__ import annotations

from glmcalc.budget.margins import STAGES, Margin, margins
from glmcalc.budget.plan import plan
from glmcalc.budget.result import Plan
from glmcalc.facts.frozen import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping

    from glmcalc.model.deployment import Deployment

_CAPTURE = STAGES.index("cuda_graph_capture")


@record
class Point:
    """One budget of a search.

    Attributes:
        plan: the budget.
        margins: how far it is from each point at which the engine may die, in the order of a start; empty where the engine
            refuses the deployment or the memory is not known.
    """

    plan: Plan
    margins: tuple[Margin, ...]

    @property
    def known(self) -> bool:
        """Whether a budget decides at all: no refusal, and the memory is known."""
        return bool(self.margins)

    @property
    def reusable(self) -> int:
        """Bytes of the profile's peak that are free again while graphs are captured: the one term that helps as it grows."""
        parts = (part.band.low for part in self.plan.components if part.name == "activation_peak")
        return 0 if self.plan.resolved.asked.available_kv_bytes is not None else next(parts, 0)

    def holds(self, end: str, reusable: int | None = None) -> bool:
        """Whether no limit is crossed at ``end`` of the band (``low`` is the pessimistic one, or ``likely``).

        Args:
            end: ``low`` or ``likely``.
            reusable: in place of this budget's own :attr:`reusable`, bytes.
        """
        more = 0 if reusable is None else reusable - self.reusable
        return self.known and all(
            getattr(margin.band, end) + (more if margin.stage == _CAPTURE else 0) >= 0 for margin in self.margins
        )


class Points:
    """The budgets of one search, each made once.

    Args:
        deployment: what is asked.
        changes: settings of a value.
    """

    def __init__(self, deployment: Deployment, changes: Callable[[Any], Mapping[str, Any]]) -> None:
        self._deployment, self._changes = deployment, changes
        self._made: dict[Any, Point] = {}

    @property
    def count(self) -> int:
        """Budgets made so far."""
        return len(self._made)

    def at(self, value: Any) -> Point:
        """The budget at ``value``.

        Raises:
            InputError: a value that neither the model nor the engine takes.
        """
        if value not in self._made:
            self._made[value] = point_of(plan(self._deployment.changed(**self._changes(value))))
        return self._made[value]


def point_of(made: Plan) -> Point:
    """A budget with the limits that it is judged by."""
    r = made.resolved
    if r.refusals or (made.memory is None and r.asked.available_kv_bytes is None):
        return Point(made, ())
    parts = {part.name: part.band for part in made.components}
    pools = (made.kv.low.figures, made.kv.pool.figures, made.kv.high.figures)
    return Point(made, tuple(margins(r, parts, pools, made.memory)))


def greatest(points: Points, low: int, high: int, holds: Callable[[Point, int], bool]) -> int | None:
    """The greatest value from ``low`` to ``high`` that holds, or None.

    Every limit tightens as the value grows, but one: what the profile's peak leaves for the capture of graphs grows with
    it. So the search runs with a bound of that gain in place of the gain itself, where halving is right, and lowers the
    bound to the gain at what it found until both agree. No value above is passed over: each lies within the bound.

    Args:
        holds: of a budget and bytes to take for :attr:`Point.reusable`; given those bytes, it may only turn from true to
            false as the value grows.
    """
    gain = points.at(high).reusable
    while True:
        found = last_true(low, high, lambda value: holds(points.at(value), gain))  # noqa: B023 - called at once
        if found is None:
            return None
        own = points.at(found).reusable
        if own == gain or holds(points.at(found), own):
            return found
        gain, high = own, found - 1
        if high < low:
            return None


def last_true(low: int, high: int, holds: Callable[[int], bool]) -> int | None:
    """The last whole number from ``low`` to ``high`` where ``holds``, which may turn once from true to false; or None.

    >>> last_true(1, 100, lambda n: n * n < 50)
    7
    """
    if holds(high):
        return high
    if high == low or not holds(low):
        return None
    good, bad = low, high
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if holds(middle) else (good, middle)
    return good
