"""Bytes are whole numbers; GB (10^9) and GiB (2^30) appear only when a figure is shown."""

from __future__ import annotations

import math

from glmcalc.facts.columns import cut, either, every, larger, root, rounded, smaller
from glmcalc.facts.frozen import record

GIB = 1 << 30
MIB = 1 << 20
KIB = 1 << 10
GB = 10**9


def ceil_div(size: int, parts: int) -> int:
    """``size / parts`` rounded up, for whole numbers and columns of them.

    >>> ceil_div(32001, 64)
    501
    """
    return -(-size // parts)


@record
class Band:
    """A figure with its range, in bytes: ``low <= likely <= high``. Each may be a column of them."""

    low: int
    likely: int
    high: int

    def __post_init__(self) -> None:
        ordered = (self.low <= self.likely) & (self.likely <= self.high)
        if ordered is not True and not every(ordered):
            raise ValueError(f"band out of order: {self.low}, {self.likely}, {self.high}")

    @classmethod
    def exact(cls, value: int) -> Band:
        """A figure without doubt."""
        return cls(value, value, value)

    @classmethod
    def gib(cls, low: float, likely: float, high: float) -> Band:
        """A range given in GiB."""
        return cls(round(low * GIB), round(likely * GIB), round(high * GIB))

    def scaled(self, low: float, high: float) -> Band:
        """The same middle, with ends at ``low`` and ``high`` times it."""
        likely = self.likely
        return Band(smaller(cut(likely * low), likely), likely, larger(cut(likely * high), likely))

    @property
    def nothing(self) -> bool:
        """Whether it is exactly 0; a column never is."""
        return bool(self.low.__class__ is int and self.high.__class__ is int and self.low == 0 == self.high)

    def plus(self, other: Band) -> Band:
        """Sum of two figures whose errors go together: ends add up."""
        return Band(self.low + other.low, self.likely + other.likely, self.high + other.high)


def band_where(which: bool, one: Band, other: Band) -> Band:
    """``one`` where ``which`` holds, else ``other``; each may be a column."""
    return Band(
        either(which, one.low, other.low), either(which, one.likely, other.likely), either(which, one.high, other.high)
    )


def combine(bands: list[Band], least: int = 0) -> Band:
    """Sum of figures whose errors are independent: the distances from the middle add as squares.

    Args:
        bands: the parts.
        least: the least distance from the middle to each end, in bytes; 0 leaves exact sums exact.
    """
    middle = sum(band.likely for band in bands)
    below = above = 0.0  # added one by one: ``sum`` of floats corrects itself, which columns do not
    for band in bands:
        under, over = band.likely - band.low, band.high - band.likely
        below += float_square(under)
        above += float_square(over)
    return Band(middle - larger(rounded(root(below)), least), middle, middle + larger(rounded(root(above)), least))


def float_square(distance: int) -> float:
    """``distance`` times itself as a 64-bit float: the square of a size in bytes is beyond whole numbers of 64 bits."""
    wide = 1.0 * distance
    return wide * wide


def gib(value: int | float, places: int = 2) -> str:
    """``value`` bytes as GiB, without the unit.

    >>> gib(57_384_000_000)
    '53.44'
    """
    return f"{value / GIB:,.{places}f}"


def gb(value: int | float, places: int = 2) -> str:
    """``value`` bytes as GB, without the unit."""
    return f"{value / GB:,.{places}f}"


def at_least(count: float) -> str:
    """``count`` cut to one place, never rounded up: what surely holds.

    >>> at_least(4.97), at_least(5.0), at_least(1_234.56)
    ('4.9', '5.0', '1,234.5')
    """
    return f"{math.floor(round(10 * count, 6)) / 10:,.1f}"


def engine_gib(value: int) -> str:
    """``value`` bytes as vLLM prints them: GiB rounded to two places, no zeros kept at the end (``round(x / 2**30, 2)``).

    >>> engine_gib(10 * 2**30)
    '10.0'
    """
    return str(round(value / GIB, 2))
