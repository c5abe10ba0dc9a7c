"""Rows of ``glmcalc size`` as the page and the chapter show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Sequence

from glmcalc.facts.hardware import device
from glmcalc.facts.quantity import GIB

Three = tuple[float, float, float]
_OF_WEIGHTS = ("weights", "mtp_layer", "load_extras")


@dataclass(frozen=True)
class Shown:
    """One machine.

    Attributes:
        key: id of the machine; label: as people write it.
        status: the row's own, or ``too_slow`` for one that fits and misses a wish.
        speed, ttft, usd_mtok: low, likely and high; usd: from and to, an hour; all None where not known.
    """

    key: str
    label: str
    vendor: str
    gpu: str
    gpus: int
    status: str
    weights: str | None
    engine: str | None
    parallelism: str | None
    max_context: int | None
    max_concurrency: int | None
    speed: Three | None
    ttft: Three | None
    usd: tuple[float, float] | None
    price_date: str | None
    usd_mtok: Three | None
    quality: str | None
    reason: str
    nearest: str | None

    @property
    def usd_middle(self) -> float | None:
        """The middle of the price an hour."""
        return None if self.usd is None else sum(self.usd) / 2


def shown(row: Mapping[str, Any]) -> Shown:
    """A row of :func:`glmcalc.solve.size.size_rows`."""
    price = row["price"]
    status = "too_slow" if row["misses"] and row["status"] in ("fits", "marginal") else str(row["status"])
    return Shown(
        key=row["id"],
        label=machine_name(row["name"]),
        vendor=device(row["gpu"]).vendor,
        gpu=row["gpu"],
        gpus=row["gpus"],
        status=status,
        weights=row["quantization"],
        engine=row["engine"],
        parallelism=row["parallelism"],
        max_context=row["max_context"],
        max_concurrency=row["max_concurrency"],
        speed=_three(row["tok_s_user"]),
        ttft=_three(row["ttft_s"]),
        usd=None if price is None else (price["low"], price["high"]),
        price_date=None if price is None else price["date"],
        usd_mtok=_three(row["usd_per_million"]),
        quality=row["quality_note"],
        reason=_reason(row),
        nearest=None if status == "no_evidence" else _nearest(row["nearest"]),
    )


def machine_name(text: str) -> str:
    """``8 x H200 141GB SXM`` with the sign of multiplication."""
    return text.replace(" x ", " × ", 1)


def _three(found: Mapping[str, float] | None) -> Three | None:
    return None if found is None else (found["low"], found["mid"], found["high"])


def _reason(row: Mapping[str, Any]) -> str:
    texts = [f"{text[:1].upper()}{text[1:]}." for text in row["misses"]] + [str(row["reason"])]
    if row["status"] in ("fits", "marginal") and row["tok_s_user"] is None and row["speed_reason"]:
        texts.append(f"No speed: {str(row['speed_reason']).rstrip('.')}.")
    return " ".join(texts)


def _nearest(found: Mapping[str, Any] | None) -> str | None:
    if found is None:
        return None
    price = "" if found["usd_per_hour"] is None else f", about ${found['usd_per_hour']:,.2f} an hour"
    return f"{machine_name(found['name'])} with {found['quantization']} weights, {found['parallelism']}{price}."


def memory_parts(row: Mapping[str, Any]) -> tuple[float, list[tuple[str, float]]] | None:
    """GiB over all GPUs of a row with components: the driver's total, and weights, run time, pool, and beyond the line."""
    per_gpu = row.get("per_gpu")
    if not per_gpu or not per_gpu["memory_bytes"]:
        return None
    sizes = dict.fromkeys(("weights", "runtime", "pool", "beyond"), 0.0)
    for part in per_gpu["components"]:
        name = (
            "weights" if part["name"] in _OF_WEIGHTS
            else "pool" if part["name"] == "kv_pool"
            else "runtime" if part["inside_utilization"]
            else "beyond"
        )  # fmt: skip
        sizes[name] += max(part["bytes"], 0) / GIB * row["gpus"]
    return per_gpu["memory_bytes"] / GIB * row["gpus"], list(sizes.items())


def reach(row: Mapping[str, Any]) -> list[tuple[int, float]]:
    """Points of what a row with limits holds: length and requests, at the pessimistic end, from short to long."""
    points = {cell["context"]: cell["max_concurrency"] for cell in row["concurrencies"] if cell["max_concurrency"]}
    for cell in row["contexts"]:
        length = cell["max_context"]
        if length and length >= 8192:
            points[length] = max(points.get(length, 0), cell["sequences"])
    kept: list[tuple[int, float]] = []
    for length, most in sorted(points.items(), reverse=True):  # what a longer one holds, a shorter one holds
        if not kept or most > kept[-1][1]:
            kept.append((length, float(most)))
    return kept[::-1]


def speed_text(figures: Three | None) -> str:
    """The likely figure, and the range below it, as HTML; empty where not known."""
    if figures is None:
        return ""
    low, likely, high = (_significant(value) for value in figures)
    return f'{likely}<span class="gm-band2">{low} to {high}</span>'


def usd_text(ends: tuple[float, float] | None) -> str:
    """The middle of a price an hour, and its ends below, as HTML; empty where not known."""
    if ends is None:
        return ""
    middle = sum(ends) / 2
    span = "" if ends[0] == ends[1] else f'<span class="gm-band2">{ends[0]:,.2f} to {ends[1]:,.2f}</span>'
    return f"{middle:,.2f}{span}"


def _significant(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def vendors(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Vendors of some rows, each once, in their order."""
    return list(dict.fromkeys(device(row["gpu"]).vendor for row in rows))
