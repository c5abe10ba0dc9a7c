"""What a machine costs an hour, and what its tokens cost: prices with their range, date and source."""

from __future__ import annotations

from functools import lru_cache

from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.facts.hardware import Device
from glmcalc.speed.bands import Range, inverse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping

COLUMNS = ("gpu", "usd_per_hour", "date", "source")
_SECONDS = 3600.0
_TOKENS = 1e6


@record
class Price:
    """US$ an hour of one GPU: from ``low`` to ``high``, equal where one price is known; ``date`` as given, year and month."""

    low: float
    high: float
    date: str
    source: str

    def times(self, gpus: int) -> Price:
        """Of ``gpus`` such GPUs."""
        return Price(self.low * gpus, self.high * gpus, self.date, self.source)

    def to_dict(self) -> dict[str, Any]:
        """As in ``size --json``: US$ an hour."""
        low, high = round(self.low, 4), round(self.high, 4)
        return {"low": low, "high": high, "date": self.date, "source": self.source}


def list_price(chip: Device) -> Price | None:
    """The device's own price range over marketplaces; None where none is known."""
    known = [price for price in (chip.price_low_usd_hr, chip.price_high_usd_hr) if price is not None]
    if not known or chip.price_date is None:
        return None
    return Price(min(known), max(known), chip.price_date, chip.price_source or chip.source)


def hourly_price(chip: Device, gpus: int, prices: Mapping[str, Price] | None = None) -> Price | None:
    """US$ an hour of ``gpus`` devices: the user's price where there is one, else the list's; None where none is known."""
    one = (prices or {}).get(chip.id) or list_price(chip)
    return None if one is None else one.times(gpus)


def usd_per_million(hourly: Any, tok_s: Any) -> Any:
    """US$ for a million tokens at ``hourly`` US$ and ``tok_s`` tokens per second, kept busy the whole hour.

    Plain numbers or columns of them.

    >>> round(usd_per_million(36.0, 1000.0), 2)
    10.0
    """
    return hourly / _SECONDS / tok_s * _TOKENS


def token_price(price: Price, tok_s_total: Range) -> Range:
    """US$ for a million output tokens: the middle of the price at the middle of the speed, the worst and best of both outside."""
    low_speed = inverse(tok_s_total, _TOKENS / _SECONDS)
    middle = (price.low + price.high) / 2
    return Range(low_speed.low * price.low, low_speed.mid * middle, low_speed.high * price.high)


@lru_cache(maxsize=8)
def load_prices(path: str) -> dict[str, Price]:
    """Prices of one GPU from a CSV file with the columns gpu, usd_per_hour, date and source.

    Raises:
        InputError: unreadable, a missing column, an unknown GPU or one with two rows, a price that is none, or a date that is not a year
            and month.
    """
    import csv
    import io

    rows = csv.DictReader(io.StringIO(_text(path)))
    missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
    if missing:
        raise InputError(
            "prices", path, f"a CSV file with the columns {', '.join(COLUMNS)}",
            f"prices: {path} has no column {missing[0]}; it needs {', '.join(COLUMNS)}.",
        )  # fmt: skip
    prices: dict[str, Price] = {}
    lines: dict[str, int] = {}
    for number, row in enumerate(rows, start=2):
        gpu = str(row["gpu"])
        prices[gpu] = _price(row, number)
        if gpu in lines:
            raise InputError("gpu", gpu, f"one row of the prices for each GPU (it has lines {lines[gpu]} and {number})")
        lines[gpu] = number
    return prices


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read(1_000_001)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise InputError("prices", path, "a readable CSV file", f"prices: cannot read {path} ({reason}).") from error
    if len(text) > 1_000_000:
        raise InputError("prices", path, "at most 1,000,000 characters")
    return text


def _price(row: Mapping[str, str | None], line: int) -> Price:
    import re

    from glmcalc.facts.hardware import device

    device(row["gpu"] or "")
    text = row["usd_per_hour"] or ""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e6:
        raise InputError("usd_per_hour", text, f"US$ an hour of one GPU, above 0 (line {line} of the prices)")
    date = (row["date"] or "").strip()
    if not re.fullmatch(r"20\d\d-\d\d(-\d\d)?", date):
        raise InputError("date", date, f"a date such as 2026-11 (line {line} of the prices)")
    return Price(value, value, date, (row["source"] or "").strip() or "not stated")
