"""One GPU's memory as printed rows that add up: hundredths of a GiB, the rounding carried by the least certain row."""

from __future__ import annotations

from glmcalc.facts.frozen import record
from glmcalc.facts.quantity import GIB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, Sequence

POOL = "kv_pool"


@record
class Row:
    """One printed line of the budget.

    Attributes:
        name, label: the component's id and its words.
        cents: hundredths of a GiB, as printed; rows of a ledger add up to its totals in this unit.
        low, high: hundredths of a GiB, or None where the figure has no range.
        basis: ``exact``, ``measured``, ``calibrated`` or ``estimated``.
    """

    name: str
    label: str
    cents: int
    low: int | None
    high: int | None
    basis: str
    source: str
    note: str | None


@record
class Ledger:
    """Rows inside the utilization line, rows beyond it, and the totals they add up to, in hundredths of a GiB.

    Attributes:
        unused: inside the line and given to nothing (a pool that is stated by hand); negative: past the line.
        free: between the line and what lies beyond it, up to the driver's total; negative: a collision.
    """

    inside: tuple[Row, ...]
    outside: tuple[Row, ...]
    line: int | None
    total: int | None
    total_low: int | None
    total_high: int | None

    @property
    def used(self) -> int:
        """Sum of the rows inside."""
        return sum(row.cents for row in self.inside)

    @property
    def unused(self) -> int:
        """What the line leaves over; negative when the rows pass it."""
        return 0 if self.line is None else self.line - self.used

    @property
    def free(self) -> int | None:
        """What lies between the line and the rows beyond it."""
        if self.line is None or self.total is None:
            return None
        return self.total - self.line - sum(row.cents for row in self.outside)

    def row(self, name: str) -> Row | None:
        """The row called ``name``."""
        return next((row for row in self.inside + self.outside if row.name == name), None)


def cents(value: int | float) -> int:
    """Bytes as hundredths of a GiB, halves away from zero.

    >>> cents(25.705 * 2**30), cents(-1 << 29)
    (2571, -50)
    """
    sign = -1 if value < 0 else 1
    return sign * int((abs(value) * 200 + GIB) // (2 * GIB))


def gib_text(hundredths: int) -> str:
    """Hundredths of a GiB in figures, with a true minus sign.

    >>> gib_text(8846), gib_text(-7)
    ('88.46', '−0.07')
    """
    return ("−" if hundredths < 0 else "") + f"{abs(hundredths) // 100:,}.{abs(hundredths) % 100:02d}"


def ledger(plan: Mapping[str, Any]) -> Ledger:
    """The printed budget of ``Plan.to_dict()``; ``per_gpu`` must hold components."""
    per_gpu = plan["per_gpu"]
    parts: Sequence[Mapping[str, Any]] = per_gpu["components"]
    inside = [part for part in parts if part["inside_utilization"]]
    outside = [part for part in parts if not part["inside_utilization"]]
    memory, line = per_gpu.get("memory_bytes"), per_gpu.get("utilization_bytes")
    low, high = per_gpu.get("memory_low_bytes"), per_gpu.get("memory_high_bytes")
    wide = memory is not None and low is not None and high is not None and low != high
    return Ledger(
        _rows(inside),
        _rows(outside),
        None if line is None else cents(line),
        None if memory is None else cents(memory),
        cents(low) if wide and low is not None else None,
        cents(high) if wide and high is not None else None,
    )


def printed_gib(plan: Mapping[str, Any]) -> dict[str, float]:
    """GiB of each component of ``Plan.to_dict()`` to two places, by name: the one figure that everything prints."""
    book = ledger(plan)
    return {row.name: row.cents / 100 for row in (*book.inside, *book.outside)}


def _rows(parts: Sequence[Mapping[str, Any]]) -> tuple[Row, ...]:
    """Rows whose printed figures add up to the printed sum of their bytes."""
    printed = [cents(part["bytes"]) for part in parts]
    over = cents(sum(part["bytes"] for part in parts)) - sum(printed)
    if over and parts:
        printed[_carrier(parts)] += over
    return tuple(_row(part, figure) for part, figure in zip(parts, printed))


def _carrier(parts: Sequence[Mapping[str, Any]]) -> int:
    """Which row takes the rounding: the one with the widest range, the pool last, because the log prints the pool."""

    def doubt(index: int) -> tuple[bool, int, int]:
        part = parts[index]
        return part["name"] != POOL, part["high_bytes"] - part["low_bytes"], part["bytes"]

    return max(range(len(parts)), key=doubt)


def _row(part: Mapping[str, Any], figure: int) -> Row:
    ranged = part["low_bytes"] != part["high_bytes"]
    return Row(
        name=part["name"],
        label=part["label"],
        cents=figure,
        low=cents(part["low_bytes"]) if ranged else None,
        high=cents(part["high_bytes"]) if ranged else None,
        basis=part["basis"],
        source=part["source"] or "",
        note=part.get("note"),
    )
