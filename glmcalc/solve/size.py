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
    rows = [configuration_row(config, need, limits) for config in configurations_of(need.gpus)]
    if need.gpus and rows and all(row["status"] in ("unsupported", "no_evidence") for row in rows):
        _refuse(need, rows[0])
    finish(rows, need)
    return sorted(rows, key=_order)


def configuration_row(config: Configuration, need: Need, limits: bool = True) -> dict[str, Any]:
    """The row of one machine, without what only a comparison of machines says (:func:`size_rows`)."""
    if config.use == "facts":
        why = f"no memory accounting and no comparable speed of this model on {config.device.name} is known here"
        return row_without_verdict(config, need, "no_evidence", f"Facts only: {why}.")
    from glmcalc.solve.size_search import search

    try:
        found = search(config, need)
    except InputError as error:
        return row_without_verdict(config, need, "unsupported", error.message)
    return row_of(config, need, found, limits)


def _refuse(need: Need, row: dict[str, Any]) -> None:
    """Refuse a form of the weights, or an engine, that none of the devices asked for runs.

    Raises:
        InputError: with the reason of the first machine, which names what runs.
    """
    field = "quantization" if need.quantization is not None else "engine"
    value = getattr(need, field)
    if value is not None:
        raise InputError(
            field, value, "a form that the device runs" if field == "quantization" else "another engine", row["reason"]
        )


def serves(rows: list[dict[str, Any]]) -> bool:
    """Whether at least one machine serves the need for sure."""
    return any(row["serves"] for row in rows)


def _order(row: dict[str, Any]) -> tuple[Any, ...]:
    price = row["usd_per_hour"]
    return (
        not row["serves"], STATUSES.index(row["status"]), bool(row["misses"]), row["quality_rank"] or 0,
        price is None, price or 0.0, row["gpus"], row["gpu"],
    )  # fmt: skip


__all__ = ["Need", "configuration_row", "serves", "size_rows"]
