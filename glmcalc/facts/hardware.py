"""Devices: memory as sold, and as the driver reports it to the engine."""

from __future__ import annotations

from functools import cache, lru_cache

from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.facts.quantity import GB, GIB
from glmcalc.facts.store import csv_row, load_csv, nearest

PROVENANCE = ("source", "date", "kind")
# nvidia-smi counts what the driver keeps for itself; the engine's mem_get_info does not. The part kept grows with the
# memory: 0.35 to 0.60 GiB up to H200, 0.72 on GB200, 1.05 on GB300 (both figures of each in data/hardware.csv).
_SMI_ABOVE_ENGINE_GIB = (0.4, 0.5, 0.7)
_SMI_ABOVE_ENGINE_LARGE_GIB = (0.7, 0.9, 1.1)
_LARGE_GIB = 160.0


@record
class Memory:
    """Memory of one device in bytes, with its range and how it is known; ``note`` says how it was reckoned, if it was."""

    bytes: int
    low_bytes: int
    high_bytes: int
    basis: str
    source: str
    note: str | None = None


@record
class Device:
    """One row of ``data/hardware.csv``; None where a figure is not known.

    Attributes:
        memory_gb: as sold, in GB (10^9 bytes).
        memory_gib_engine: as the engine's ``mem_get_info`` reports it, in GiB.
        memory_gib_nvidia_smi: as nvidia-smi shows it, in GiB; 0.4 to 1.1 above the former.
        memory_note: what else is known of these two figures.
        bandwidth_gb_s: as the vendor states it.
        bf16_tflops, fp8_tflops, fp4_tflops: dense matrix rate in 10^12 FLOP/s.
        interconnect_gb_s: GB/s per GPU to the others, one direction.
        price_low_usd_hr, price_high_usd_hr: US$ an hour over marketplaces; ``price_source`` holds one or more URLs.
    """

    id: str
    name: str
    vendor: str
    architecture: str | None
    memory_gb: float | None
    memory_gib_engine: float | None
    memory_gib_engine_source: str | None
    memory_gib_nvidia_smi: float | None
    memory_gib_nvidia_smi_source: str | None
    memory_note: str | None
    bandwidth_gb_s: float | None
    bf16_tflops: float | None
    fp8_tflops: float | None
    fp4_tflops: float | None
    interconnect_gb_s: float | None
    price_low_usd_hr: float | None
    price_high_usd_hr: float | None
    price_date: str | None
    price_source: str | None
    source: str
    date: str
    kind: str

    def memory(self) -> Memory | None:
        """Memory that the engine sees, in bytes; None where not even the size as sold is known.

        A figure the engine printed is taken as it is, and is measured. One of nvidia-smi is lowered by 0.5 GiB (0.4 to
        0.7), above 160 GiB by 0.9 (0.7 to 1.1): an estimate from a measured figure. Without either the range is from
        GB x 10^9 to GB x 2^30 bytes, and the lower end, which cannot promise too much, stands in the middle.
        """
        if self.memory_gib_engine is not None:
            size = round(self.memory_gib_engine * GIB)
            return Memory(size, size, size, "measured", self.memory_gib_engine_source or self.source)
        if self.memory_gib_nvidia_smi is not None:
            shown = self.memory_gib_nvidia_smi
            gaps = _SMI_ABOVE_ENGINE_LARGE_GIB if shown > _LARGE_GIB else _SMI_ABOVE_ENGINE_GIB
            least, likely, most = (round((shown - above) * GIB) for above in reversed(gaps))
            note = f"nvidia-smi's {shown:.2f} GiB less {gaps[1]:g} ({gaps[0]:g} to {gaps[2]:g})"
            source = f"{self.memory_gib_nvidia_smi_source or self.source} ({note.replace('(', 'or ').rstrip(')')})"
            return Memory(likely, least, most, "estimated", source, note)
        if self.memory_gb is None:
            return None
        low, high = round(self.memory_gb * GB), round(self.memory_gb * GIB)
        note = f"as sold: {self.memory_gb:g} GB of 10^9 bytes, or of 2^30"
        return Memory(low, low, high, "estimated", self.source, note)


@lru_cache(maxsize=1)
def _devices() -> dict[str, Device]:
    return {row["id"]: read_device(row) for row in load_csv("hardware.csv")}


def read_device(row: dict[str, str]) -> Device:
    """A device from a row of text.

    Raises:
        InputError: a row without source, date or kind.
    """
    for field in PROVENANCE:
        if not row.get(field):
            raise InputError(field, row.get(field), "present", f"hardware.csv: {row.get('id')} has no {field}.")

    def number(name: str) -> float | None:
        return float(row[name]) if row.get(name) else None

    return Device(
        id=row["id"],
        name=row["name"],
        vendor=row["vendor"],
        architecture=row.get("architecture") or None,
        memory_gb=number("memory_gb"),
        memory_gib_engine=number("memory_gib_engine"),
        memory_gib_engine_source=row.get("memory_gib_engine_source") or None,
        memory_gib_nvidia_smi=number("memory_gib_nvidia_smi"),
        memory_gib_nvidia_smi_source=row.get("memory_gib_nvidia_smi_source") or None,
        memory_note=row.get("memory_note") or None,
        bandwidth_gb_s=number("bandwidth_gb_s"),
        bf16_tflops=number("bf16_tflops"),
        fp8_tflops=number("fp8_tflops"),
        fp4_tflops=number("fp4_tflops"),
        interconnect_gb_s=number("interconnect_gb_s"),
        price_low_usd_hr=number("price_low_usd_hr"),
        price_high_usd_hr=number("price_high_usd_hr"),
        price_date=row.get("price_date") or None,
        price_source=row.get("price_source") or None,
        source=row["source"],
        date=row["date"],
        kind=row["kind"],
    )


def devices() -> list[Device]:
    """All devices, in the order of the file."""
    return list(_devices().values())


@cache
def device(name: str) -> Device:
    """The device with this id.

    Raises:
        InputError: an unknown id; the nearest is offered.
    """
    row = csv_row("hardware.csv", name)
    if row is None:
        close = nearest(name, _devices())
        hint = f" (did you mean {close}?)" if close else ""
        raise InputError(
            "gpu",
            name,
            f"one of {', '.join(_devices())}{hint}",
            f"gpu {name!r} is not known{hint}. glmcalc hardware lists the ids.",
        )
    return read_device(row)
