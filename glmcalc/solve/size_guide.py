"""The published guide's four machines: its claim, the same by our arithmetic, why they differ, and the nearest that works."""

from __future__ import annotations

import re

from glmcalc.budget.engines import plan
from glmcalc.facts.evidence import claims
from glmcalc.facts.quantity import gb
from glmcalc.model.checkpoint import load_checkpoint
from glmcalc.model.deployment import DEFAULT_MODEL, Deployment
from glmcalc.solve.size import configuration_row, size_rows
from glmcalc.solve.size_need import Configuration, Need, configurations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MACHINES = {
    "row_8xh200": "h200_sxm_x8", "row_8xh100": "h100_sxm_x8", "row_4xh100": "h100_sxm_x4", "row_mac": "mac_m3_ultra_256_x1",
}  # fmt: skip
_GGUF = "Q4_K_M"


def guide_rows() -> list[dict[str, Any]]:
    """The four rows, in the guide's order.

    Each has ``claim`` (the guide's words) with ``claimed`` (its numbers), ``as_claimed`` (status, reason and command of just
    that), ``why``, ``ours`` (what this machine does serve: a row of :func:`size_rows` at the claimed context) and ``nearest``:
    the machine that serves the claim, where this one does not.
    """
    known = {config.id: config for config in configurations()}
    return [_row(claim, known[_MACHINES[claim["id"]]]) for claim in claims() if claim["id"] in _MACHINES]


def _row(claim: dict[str, Any], config: Configuration) -> dict[str, Any]:
    claimed = _numbers(claim)
    need = Need(claimed["context"], claimed["sequences"]["high"])
    ours = configuration_row(config, need, limits=True)
    made = plan(_as_claimed(config, claimed))
    others = size_rows(Need(need.context, need.concurrency, gpus=_family(config)), limits=False)
    own = next(row for row in others if row["id"] == config.id)
    return {
        "id": claim["id"], "machine": config.id, "name": config.label, "claim": claim["claim"], "claimed": claimed,
        "as_claimed": {"status": made.verdict.status, "stage": made.verdict.stage, "reason": made.verdict.reason,
                       "command": made.command},
        "ours": {**ours, "misses": own["misses"], "serves": own["serves"]},
        "why": _why(config, claimed), "nearest": own["nearest"], "source": claim["source"], "date": claim["date"],
    }  # fmt: skip


def _numbers(claim: dict[str, Any]) -> dict[str, Any]:
    """The guide's numbers, read from its words: ``1M context; 2-4 sequences; FP8; 40-80 tok/s per user``."""
    words = claim["claim"]
    sequences = re.search(r"(\d+)(?:-(\d+))? sequences?", words)
    speed = re.search(r"(\d+)-(\d+) tok/s", words)
    assert sequences is not None
    assert speed is not None
    low = int(sequences[1])
    return {
        "context": int(claim["value"]), "sequences": {"low": low, "high": int(sequences[2] or low)},
        "quantization": _GGUF if _GGUF in words else "fp8", "tok_s_user": {"low": int(speed[1]), "high": int(speed[2])},
    }  # fmt: skip


def _as_claimed(config: Configuration, claimed: dict[str, Any]) -> Deployment:
    if claimed["quantization"] == _GGUF:
        slots = claimed["sequences"]["high"]
        return Deployment(
            engine="llama.cpp", gpu=config.gpu, quantization=_GGUF, ctx_size=claimed["context"] * slots, parallel=slots
        )
    return Deployment(
        gpu=config.gpu, gpus=config.gpus, tensor_parallel_size=config.gpus, kv_cache_dtype="fp8",
        max_model_len=claimed["context"], max_num_seqs=claimed["sequences"]["high"],
    )  # fmt: skip


def _why(config: Configuration, claimed: dict[str, Any]) -> str:
    if claimed["quantization"] == _GGUF:
        from glmcalc.model.gguf import published_files

        size = published_files()[f"UD-{_GGUF}"]
        return (
            f"The published {_GGUF} files are {gb(size, 0)} GB and the machine has 256: of that publisher's files only those of "
            "1 and 2 bits are smaller."
        )
    stored = load_checkpoint(DEFAULT_MODEL).bytes_without_mtp
    memory = config.device.memory()
    have = memory.bytes * config.gpus if memory else 0
    if stored > have:
        return (
            f"FP8 is one byte a parameter: {gb(stored, 0)} GB of weights, and {config.gpus} GPUs have {gb(have, 0)} GB; the guide "
            "counts 372 GB, which is half a byte each."
        )
    return (
        "Tensor parallelism repeats the KV cache on each GPU, so that a request of 1M tokens needs over 52 GiB on each; spread by "
        "decode context parallelism it fits. The guide's tok/s has no context: none was published beyond 200,000 tokens."
    )


def _family(config: Configuration) -> tuple[str, ...]:
    """Devices to look for the nearest among: the same, and for a Mac the larger one."""
    return (
        ("mac_m3_ultra_256", "mac_m3_ultra_512")
        if config.device.vendor == "Apple"
        else (config.gpu, "h200_sxm", "b200_sxm")
    )
