"""How many tokens a step gives with MTP: measured acceptance lengths on real text, never those of random data."""

from __future__ import annotations

from functools import lru_cache

from glmcalc.facts.errors import InputError
from glmcalc.speed import records


@lru_cache(maxsize=1)
def lengths() -> tuple[tuple[int, float], ...]:
    """Drafts and tokens accepted a step, its own token included: from none (1) to the deepest that was measured."""
    found = {0: 1.0, **{row["drafts"]: row["acceptance_length"] for row in records.acceptance()}}
    return tuple(sorted(found.items()))


def acceptance_length(drafts: int) -> float:
    """Tokens a step at ``drafts`` drafts, interpolated; beyond the deepest measured that of the deepest.

    >>> acceptance_length(5)
    3.61
    """
    table = lengths()
    low, before = table[0]
    for high, after in table:
        if drafts <= high:
            return after if high == drafts else before + (after - before) * (drafts - low) / (high - low)
        low, before = high, after
    return before


def check_acceptance(stated: float | None, drafts: int) -> float:
    """The acceptance length to count with: the stated one, else the measured one.

    Raises:
        InputError: below 1, or above what ``drafts`` drafts can give.
    """
    if stated is None:
        return acceptance_length(drafts)
    if not 1.0 <= stated <= drafts + 1:
        more = "" if drafts else "; no speculation is asked for (--speculative-config)"
        raise InputError("acceptance_length", stated, f"1 to {drafts + 1}, the drafts and the token itself{more}")
    return float(stated)
