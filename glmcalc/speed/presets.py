"""Coefficients of the engines' generations, and which of them stands for a deployment."""

from __future__ import annotations

from functools import lru_cache

from glmcalc.facts.errors import InputError
from glmcalc.facts.evidence import with_provenance
from glmcalc.facts.frozen import record
from glmcalc.facts.hardware import Device
from glmcalc.facts.store import load_json, nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FILE = "speed_presets.json"
SUMMER = (0, 5, 13)  # the SGLang release that the summer rows were taken with
# A data sheet's bandwidth and peak are no measurement: these stay without a figure until someone publishes one.
UNKNOWN_ARCHITECTURES = {
    "sm80": "no speed of GLM-5.2 on A100 is published",
    "sm86": "no speed of GLM-5.2 on this generation is published, other than with experts in host memory",
    "sm89": "no speed of GLM-5.2 on this generation is published",
}
UNKNOWN_VENDORS = {
    "Intel": "no speed of GLM-5.2 on Gaudi is published",
    "Google": "no speed of GLM-5.2 on TPU is published",
    "Huawei": "published bandwidths of Ascend contradict each other",
}


@record
class Figure:
    """A coefficient with its 90 % interval."""

    low: float
    mid: float
    high: float


@record
class Preset:
    """One stack's coefficients: a row of ``data/speed_presets.json`` whose ``what`` is ``preset``.

    Attributes:
        floor_ms: milliseconds of a step that are not bytes; ``slope``: times the byte roofline; ``scan_factor``: times the
            kernel tables' scan.
        interruption: id of the coefficient for other requests' prefill.
        devices, formats: those of its rows (None: any format); it stands for all of ``architectures``.
        least_band: no better band than this, whatever is stated.
        single_request: its rows are all of one request at a time.
        rows: ids in ``data/throughput.jsonl``; ``most_requests``: of the busiest of them;
            ``longest_context``: tokens of the longest.
    """

    id: str
    label: str
    engine: str
    vendor: str
    architectures: tuple[str, ...]
    devices: tuple[str, ...]
    formats: tuple[str, ...] | None
    interruption: str
    least_band: str
    single_request: bool
    floor_ms: Figure
    slope: Figure
    scan_factor: Figure
    rows: tuple[str, ...]
    most_requests: int
    longest_context: int
    note: str
    source: str
    date: str


@record
class Choice:
    """A preset with how near it is: ``band`` A, B or C, and ``why`` it is no better, as phrases."""

    preset: Preset
    band: str
    why: tuple[str, ...]


@lru_cache(maxsize=1)
def facts() -> tuple[dict[str, Any], ...]:
    """All rows of the file, each with source, date and kind."""
    return tuple(with_provenance(load_json(FILE)["rows"], FILE))


def coefficient(name: str) -> Figure:
    """A coefficient that all stacks share."""
    return next(_figure(row) for row in facts() if row["id"] == name)


def context_ranks_cost() -> dict[str, Any]:
    """Measured tokens per second of one stream by size of decode context parallelism (``tok_s``), with their source."""
    return next(row for row in facts() if row["what"] == "context_ranks")


def band_factor(name: str) -> float:
    """Half-width of a band as a factor: figures are from ``mid / factor`` to ``mid * factor``."""
    return float(next(row["factor"] for row in facts() if row["what"] == "band" and row["id"] == name))


def prefill_reports() -> tuple[dict[str, Any], ...]:
    """Published prefill rates of devices that have no FLOP rate to count against."""
    return tuple(row for row in facts() if row["what"] == "prefill_rate")


@lru_cache(maxsize=1)
def presets() -> tuple[Preset, ...]:
    """All presets, in the order of the file."""
    return tuple(_preset(row) for row in facts() if row["what"] == "preset")


def preset(name: str) -> Preset:
    """The preset with this id.

    Raises:
        InputError: an unknown id; the nearest is offered.
    """
    for one in presets():
        if one.id == name:
            return one
    names = [one.id for one in presets()]
    close = nearest(name, names)
    raise InputError(
        "engine_preset", name, f"one of {', '.join(names)}" + (f" (did you mean {close}?)" if close else "")
    )


def _figure(row: dict[str, Any]) -> Figure:
    return Figure(row["low"], row["mid"], row["high"])


def _preset(row: dict[str, Any]) -> Preset:
    return Preset(
        id=row["id"],
        label=row["label"],
        engine=row["engine"],
        vendor=row["vendor"],
        architectures=tuple(row["architectures"]),
        devices=tuple(row["devices"]),
        formats=tuple(row["formats"]) if row["formats"] else None,
        interruption=row["interruption"],
        least_band=row["least_band"],
        single_request=row["single_request"],
        floor_ms=_figure(row["floor_ms"]),
        slope=_figure(row["slope"]),
        scan_factor=_figure(row["scan_factor"]),
        rows=tuple(row["rows"]),
        most_requests=row["most_requests"],
        longest_context=row["longest_context"],
        note=row["note"],
        source=row["source"],
        date=row["date"],
    )


def unknown_device(chip: Device) -> str | None:
    """Why no speed is given for a device, as a phrase; None where one can be."""
    for known, reason in ((chip.vendor, UNKNOWN_VENDORS), (chip.architecture, UNKNOWN_ARCHITECTURES)):
        if known in reason:
            return reason[str(known)]
    if chip.bandwidth_gb_s is None:
        return "its bandwidth is not known"
    if not any(chip.architecture in one.architectures for one in presets()):
        return f"no speed of GLM-5.2 on {chip.name} is published"
    return None


def choose(
    chip: Device, engine: str, version: str | None, fmt: str, named: str | None = None, shared: bool = True
) -> Choice:
    """The preset that stands for an engine on a device: same vendor and class of device first, then the engine.

    Args:
        version: the engine's version as given, None where it is not; tells SGLang's spring from its summer.
        fmt: format of the weights.
        named: a preset's id that is to be taken.
        shared: the model shares indexers over layers (GLM-5.2 and later). Of GLM-5 and 5.1 SGLang's records are of spring:
            those stand for it where no version is stated.

    Raises:
        InputError: ``named`` is unknown, or of another vendor than the device.
    """
    if named is not None:
        return _named(preset(named), chip, fmt)
    near = [one for one in presets() if chip.architecture in one.architectures and one.engine != "tilert"]
    own = [one for one in near if one.engine == engine]
    if own:
        return _of_engine(own, chip, version, fmt, shared)
    best = next((one for one in reversed(near) if one.formats is None or fmt in one.formats), near[-1])
    return Choice(best, "C", (f"no measurement of {engine} on {chip.name}: {best.label} stands in",))


def _named(one: Preset, chip: Device, fmt: str) -> Choice:
    if one.vendor != chip.vendor:
        raise InputError("engine_preset", one.id, f"one of {chip.vendor}'s, for {chip.id}")
    if chip.architecture not in one.architectures:
        return Choice(one, "C", (f"{one.label} was not measured on {chip.name} or its class",))
    return _rated(one, chip, fmt)


def _of_engine(own: list[Preset], chip: Device, version: str | None, fmt: str, shared: bool) -> Choice:
    if own[0].engine == "sglang" and chip.vendor == "NVIDIA":
        spring = not shared if version is None else _release(version) < SUMMER
        own = [one for one in own if ("spring" in one.id) == spring]
    fitting = [one for one in own if one.formats is None or fmt in one.formats]
    return _rated((fitting or own)[0], chip, fmt)


def _rated(one: Preset, chip: Device, fmt: str) -> Choice:
    why, band = [], one.least_band
    if chip.id not in one.devices:
        why.append(f"none of its rows is of {chip.name}")
        if chip.vendor == "Apple":  # chips of one family that differ in bandwidth and cores alike
            return Choice(one, "C", (f"{one.label} was not measured on {chip.name}",))
    if one.formats is not None and fmt not in one.formats:
        why.append(f"its rows are of {' and '.join(one.formats)} weights, not {fmt}")
    if chip.interconnect_gb_s is not None and chip.vendor == "NVIDIA" and _linked(one) and chip.interconnect_gb_s < 400:
        why.append(f"its rows are of NVLink machines; {chip.name} has {chip.interconnect_gb_s:g} GB/s")
    band = max(band, "B") if why else band
    return Choice(one, band, (*why, one.note) if one.least_band != "A" else tuple(why))


def _linked(one: Preset) -> bool:
    return "sm120" not in one.architectures and "sm121" not in one.architectures


def _release(text: str) -> tuple[int, ...]:
    digits = text.lstrip("v").split("+")[0].split(".")
    numbers = []
    for part in digits[:3]:
        kept = "".join(c for c in part if c.isdigit())
        if not kept:
            break
        numbers.append(int(kept))
    return tuple(numbers) or SUMMER
