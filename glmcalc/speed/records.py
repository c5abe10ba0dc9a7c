"""Measured speeds: the rows of ``data/throughput.jsonl``, and the machine and load that each of them stands for."""

from __future__ import annotations

from functools import lru_cache

from glmcalc.facts.evidence import with_provenance
from glmcalc.facts.frozen import record
from glmcalc.facts.hardware import device
from glmcalc.facts.store import load_jsonl
from glmcalc.model.checkpoint import load_checkpoint
from glmcalc.speed.terms import Load, Machine, device_peak
from glmcalc.speed.traffic import traffic_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FILE = "throughput.jsonl"


@record
class Measured:
    """One row with what it stands for; ``row`` is the row itself."""

    row: dict[str, Any]
    machine: Machine
    load: Load

    @property
    def name(self) -> str:
        """Its id."""
        return str(self.row["id"])

    @property
    def preset(self) -> str:
        """The preset that it belongs to, or is nearest to."""
        return str(self.row["preset"])

    @property
    def band(self) -> str:
        """``A`` where parallelism is tensor parallelism alone and speculation is stated, else ``B`` (see ``glmcalc.speed.bands``)."""
        row = self.row
        unstated = {"tp", "drafts", "acceptance_length"} & set(row["inferred"]) or row["acceptance_basis"] == "assumed"
        divided = self.machine.groups > 1 or self.machine.context_ranks > 1
        return "B" if divided or unstated else "A"


def rows() -> list[dict[str, Any]]:
    """All rows, each with source, date and kind; lengths in tokens, times in ms, rates in tokens/s."""
    return with_provenance(load_jsonl(FILE), FILE)


@lru_cache(maxsize=16)
def measured(use: str) -> tuple[Measured, ...]:
    """Rows of one use.

    Args:
        use: ``decode`` (fitted), ``check`` (decode, not fitted), ``ttft``, ``prefill`` (fitted), ``ttft_check``.
    """
    return tuple(_measured(row) for row in rows() if use in row["uses"])


def acceptance() -> list[dict[str, Any]]:
    """Acceptance lengths on real text by number of drafts."""
    return [row for row in rows() if "acceptance" in row["uses"]]


def machine_of(row: dict[str, Any]) -> Machine:
    """The machine of a row: its device's data sheet, its parallel sizes, its weights' bytes."""
    chip = device(row["gpu"])
    checkpoint = load_checkpoint(row["model"])
    tp, dp = row["tp"], row["dp"]
    # A hand-made format of a known model: all of its weights at the stated bits.
    traffic = traffic_of(checkpoint, row["routed_bits"], row["other_bits"])
    record_name = row["kv_record"] or ("fp8_ds_mla" if chip.vendor == "NVIDIA" else "bf16")
    return Machine(
        checkpoint=checkpoint,
        traffic=traffic,
        bandwidth=(chip.bandwidth_gb_s or 0.0) * 1e9,
        peak=device_peak(chip),
        link=None if chip.interconnect_gb_s is None else chip.interconnect_gb_s * 1e9,
        architecture=chip.architecture,
        vendor=chip.vendor,
        ranks=tp * dp,
        attention_ranks=tp,
        groups=dp,
        context_ranks=row["dcp"],
        prompt_ranks=row["cp"],
        kv_record=record_name,
    )


def _measured(row: dict[str, Any]) -> Measured:
    separated = row["traffic"] == "separated"
    return Measured(row, machine_of(row), Load(
        requests=row["concurrency"] or 1,
        context=row["context"] or row["input_length"] or 1,
        drafts=row["drafts"] or 0,
        prompt=None if separated else row["input_length"],
        output=None if separated else row["output_length"],
    ))  # fmt: skip
