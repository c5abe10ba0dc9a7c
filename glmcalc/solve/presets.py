"""The published guide's three presets, and the tables of chapter 1 that are made of many budgets."""

from __future__ import annotations

from glmcalc.budget.kv import blocks_per_request, bytes_per_block, cache_layers, indexer_record_bytes, mla_record_bytes
from glmcalc.budget.plan import plan
from glmcalc.budget.result import Plan
from glmcalc.facts.errors import InputError
from glmcalc.facts.hardware import devices
from glmcalc.facts.quantity import GIB
from glmcalc.model.checkpoint import load_checkpoint
from glmcalc.model.deployment import DEFAULT_MODEL, Deployment
from glmcalc.solve.nearest import Mend, nearest_fit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


PRESETS: dict[str, dict[str, Any]] = {
    "conservative": {"max_model_len": 32_000, "max_num_seqs": 16, "gpu_memory_utilization": 0.85},
    "1M": {"max_model_len": 1_048_576, "max_num_seqs": 1, "gpu_memory_utilization": 0.92},
    "balanced": {"max_model_len": 65_536, "max_num_seqs": 8, "gpu_memory_utilization": 0.88},
}
LENGTHS = (32_768, 65_536, 131_072, 524_288, 1_048_576)
SEQUENCES = (1, 2, 4, 8, 16)


def preset(name: str, gpu: str = "h200_sxm", gpus: int = 8, **changes: Any) -> Deployment:
    """One of the presets on ``gpus`` GPUs under tensor parallelism.

    Raises:
        InputError: no preset of that name.
    """
    if name not in PRESETS:
        raise InputError("preset", name, f"one of {', '.join(PRESETS)}")
    return Deployment(**{"gpu": gpu, "gpus": gpus, "tensor_parallel_size": gpus, **PRESETS[name], **changes})


def kv_sizing_rows(model: str = DEFAULT_MODEL, mtp: bool = False, dcp: int = 1) -> list[dict[str, Any]]:
    """KV of so many requests of so many tokens, for each record: GiB on each GPU under tensor parallelism.

    Whole blocks of 64 tokens, the null block left out; tensor parallelism repeats the cache, so its size does not matter.
    """
    geometry = load_checkpoint(model).geometry
    count = cache_layers(geometry, range(geometry.num_hidden_layers), mtp, True, False)
    index = indexer_record_bytes(geometry.index_head_dim)
    rows = []
    for length in LENGTHS:
        for sequences in SEQUENCES:
            row: dict[str, Any] = {"max_model_len": length, "sequences": sequences}
            for record in ("bf16", "fp8_ds_mla", "fp8_e4m3"):
                block = bytes_per_block(
                    mla_record_bytes(record, geometry.kv_lora_rank, geometry.qk_rope_head_dim), count.mla, index, count.indexer, 64
                )  # fmt: skip
                row[f"{record}_gib"] = sequences * blocks_per_request(length, dcp, 64) * block / GIB
            rows.append(row)
    return rows


def tier_rows(gpus: int = 8, vendor: str = "NVIDIA") -> list[dict[str, Any]]:
    """Each preset on each device of ``vendor``: status, stage, and the nearest that fits.

    ``nearest`` are its changes, with the GPUs they take where that is another number; ``nearest_gpus`` that number and
    ``nearest_command`` its whole command; ``command`` is the one that runs: as asked where it fits, else the nearest.
    """
    rows = []
    for chip in devices():
        if chip.vendor != vendor:
            continue
        for name in PRESETS:
            made = plan(preset(name, chip.id, gpus))
            rows.append({"gpu": chip.id, "gpus": gpus, "preset": name, **_outcome(made)})
    return rows


def _outcome(made: Plan) -> dict[str, Any]:
    row: dict[str, Any] = {
        "status": made.verdict.status,
        "stage": made.verdict.stage,
        "reason": made.verdict.reason,
        "nearest": None,
        "nearest_gpus": None,
        "nearest_command": None,
        "command": made.command if made.verdict.status == "fits" else None,
    }
    mend = nearest_fit(made)
    if mend is not None:
        row["nearest"] = described(mend, made)
        row["nearest_gpus"] = mend.plan.resolved.gpus
        row["command"] = row["nearest_command"] = mend.plan.command
    return row


def described(mend: Mend, start: Plan) -> str:
    """A mend's changes on one line, with the number of GPUs where it is another than ``start`` has."""
    gpus = mend.plan.resolved.gpus
    return mend.described + (f" ({gpus} GPUs in place of {start.resolved.gpus})" if gpus != start.resolved.gpus else "")
