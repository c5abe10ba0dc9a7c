"""Which of the known machines serve a need, with what deployment, how fast, and at what price."""

from __future__ import annotations

from glmcalc.facts.errors import InputError
from glmcalc.solve.size_fit import STATUSES
from glmcalc.solve.size_need import Configuration, Need, configurations_of
from glmcalc.solve.size_row import finish, row_of, row_without_verdict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def size_rows(need: Need, limits: bool = True) -> list[dict[str, Any]]:
    """One row for each known machine, what serves first: those that meet the need, then by status, quality, price.

    Args:
        need: what must be served.
        limits: with the greatest contexts and concurrencies, and the components; without them a row is cheaper.

    Raises:
        InputError: a quantization that none of the machines asked for can run; the nearest that they can is named.
    """
    rows = []
    refused: list[InputError] = []
    for config in configurations_of(need.gpus):
        try:
            rows.append(configuration_row(config, need, limits))
        except InputError as error:
            refused.append(error)
    if not rows and refused:
        raise refused[0]
    finish(rows, need)
    return sorted(rows, key=_order)


def configuration_row(config: Configuration, need: Need, limits: bool = True) -> dict[str, Any]:
    """The row of one machine.

    Raises:
        InputError: a quantization that the machine cannot run.
    """
    if config.use == "facts":
        return row_without_verdict(config, need)
    from glmcalc.solve.size_search import search

    found = search(config, need)
    return row_of(config, need, found, limits)


def serves(rows: list[dict[str, Any]]) -> bool:
    """Whether at least one machine serves the need for sure."""
    return any(row["serves"] for row in rows)


def _order(row: dict[str, Any]) -> tuple[Any, ...]:
    price = row["usd_per_hour"]
    return (
        not row["serves"], bool(row["misses"]), STATUSES.index(row["status"]), row["quality_rank"] or 0,
        price is None, price or 0.0, row["gpus"], row["gpu"],
    )  # fmt: skip


__all__ = ["Need", "configuration_row", "serves", "size_rows"]
