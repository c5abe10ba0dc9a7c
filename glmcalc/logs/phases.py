"""What the engine was doing at a line, and whether it went on serving after it."""

from __future__ import annotations

import re
from bisect import bisect_right

TYPE_CHECKING = False
if TYPE_CHECKING:
    from glmcalc.logs.read import LogFacts

NEVER = 1 << 62  # the line of what did not happen
_HALF_LOADED = re.compile(r"\b\d{1,2}% Completed|:\s+\d{1,2}%\|")


def phase_at(facts: LogFacts, line: int) -> str | None:
    """The last phase at or before a line; as :meth:`LogFacts.phase_at`, for logs with very many of them."""
    at = bisect_right(facts.phases, (line, "\uffff"))
    return facts.phases[at - 1][1] if at else None


def phase_of(facts: LogFacts, index: int) -> str:
    """What the engine was doing at a line; ``""`` where no line says so.

    A progress bar is printed late: where a bar of loading that is not full comes first after the line, it was loading.
    """
    number = facts.lines[index].number
    phase = phase_at(facts, number)
    if phase is None and facts.phases:
        at, following = facts.phases[0]
        shown = next((line.text for line in facts.lines[index : index + 40] if line.number == at), "")
        if following == "loading" and _HALF_LOADED.search(shown):
            return "loading"
    return phase or ""


def serving_between(facts: LogFacts, line: int, end: int, times: int) -> bool:
    """Whether it printed at least ``times`` lines of a serving engine between two lines."""
    return sum(1 for at, phase in facts.phases if line < at < end and phase == "serving") >= times


def serving_after(facts: LogFacts, line: int, times: int) -> bool:
    """Whether it printed at least ``times`` lines of a serving engine after a line."""
    return serving_between(facts, line, NEVER, times)
