"""Bytes are whole numbers; GB (10^9) and GiB (2^30) appear only when a figure is shown."""

from __future__ import annotations

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
    """A figure with its range, in bytes: ``low <= likely <= high``."""

    low: int
    likely: int
    high: int

    def __post_init__(self) -> None:
        if not self.low <= self.likely <= self.high:
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
        return Band(min(int(self.likely * low), self.likely), self.likely, max(int(self.likely * high), self.likely))

    def plus(self, other: Band) -> Band:
        """Sum of two figures whose errors go together: ends add up."""
        return Band(self.low + other.low, self.likely + other.likely, self.high + other.high)


def combine(bands: list[Band], least: int = 0) -> Band:
    """Sum of figures whose errors are independent: the distances from the middle add as squares.

    Args:
        bands: the parts.
        least: the least distance from the middle to each end, in bytes; 0 leaves exact sums exact.
    """
    middle = sum(band.likely for band in bands)
    below = sum((band.likely - band.low) ** 2 for band in bands) ** 0.5
    above = sum((band.high - band.likely) ** 2 for band in bands) ** 0.5
    return Band(middle - max(round(below), least), middle, middle + max(round(above), least))


def gib(value: int | float, places: int = 2) -> str:
    """``value`` bytes as GiB, without the unit.

    >>> gib(57_384_000_000)
    '53.44'
    """
    return f"{value / GIB:,.{places}f}"


def gb(value: int | float, places: int = 2) -> str:
    """``value`` bytes as GB, without the unit."""
    return f"{value / GB:,.{places}f}"


def engine_gib(value: int) -> str:
    """``value`` bytes as vLLM prints them: GiB rounded to two places, no zeros kept at the end (``round(x / 2**30, 2)``).

    >>> engine_gib(10 * 2**30)
    '10.0'
    """
    return str(round(value / GIB, 2))
