"""Bands: a middle with its two ends, multiplicative, combined in logarithms."""

from __future__ import annotations

import math

from glmcalc.facts.frozen import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DIGITS = 4


@record
class Range:
    """A figure with the ends of its 90 % band, in one unit: ``low <= mid <= high``."""

    low: float
    mid: float
    high: float

    @property
    def width(self) -> float:
        """High end over low end."""
        return self.high / self.low

    def to_dict(self) -> dict[str, Any]:
        """As scripts read it, to four digits."""
        return {name: float(f"{getattr(self, name):.{DIGITS}g}") for name in ("low", "mid", "high")}


def around(mid: float, factor: float) -> Range:
    """From ``mid / factor`` to ``mid * factor``."""
    return Range(mid / factor, mid, mid * factor)


def times(one: Range, factor: float) -> Range:
    """The same range in another unit."""
    return Range(one.low * factor, one.mid * factor, one.high * factor)


def inverse(one: Range, numerator: float = 1.0) -> Range:
    """``numerator`` over the range: its ends change places."""
    return Range(numerator / one.high, numerator / one.mid, numerator / one.low)


def combined(*factors: float) -> float:
    """One factor for errors that are independent: the squares of the logarithms add.

    >>> round(combined(1.35, 1.15), 3)
    1.392
    """
    return math.exp(math.sqrt(sum(math.log(factor) ** 2 for factor in factors)))
