"""A start-up log as a row that can be given back to the project: figures and flags, nothing of whose machine it is."""

from __future__ import annotations

from hashlib import sha256

from glmcalc.advise.calibrate import Calibrated
from glmcalc.facts.models import model_entries
from glmcalc.facts.quantity import GIB
from glmcalc.logs.secrets import mask

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Printed quantities and the fields of ``data/observations.jsonl`` that hold them.
_FIELDS = {
    "weights_bytes": "weights_gib_per_gpu", "available_kv_bytes": "available_kv_gib", "peak_activation_bytes": "peak_activation_gib",
    "non_torch_bytes": "non_torch_gib", "cuda_graph_actual_bytes": "cuda_graph_gib", "cuda_graph_estimated_bytes": "cuda_graph_estimated_gib",
    "kv_tokens": "kv_tokens", "max_concurrency": "max_concurrency",
}  # fmt: skip
_INFERABLE = ("gpu", "engine_version")


def observation(made: Calibrated, day: str) -> dict[str, Any]:
    """A row of ``data/observations.jsonl``.

    Numbers, flags that move memory, release, device and a known checkpoint's name; no host, path, address, file name or
    other flag. The source stays open until whoever gives the row says where its log stands.

    Args:
        made: the log's calibration.
        day: the log's date as far as it is known, ``2026-11-25``.
    """
    r = made.measured.before.resolved
    asked = r.asked
    known = {entry.id for entry in model_entries()}
    name = r.checkpoint.name if r.checkpoint.name in known else None
    observed = {field: _figure(made.lines[line].value, line) for line, field in _FIELDS.items() if line in made.lines}
    if observed.get("kv_tokens") and observed.get("available_kv_gib"):
        per_rank = observed["kv_tokens"] / r.dcp
        observed["bytes_per_token"] = round(observed["available_kv_gib"] * GIB / per_rank, 1)
    total = made.lines.get("gpu_total_bytes")
    said = " ".join(made.case.inferred)
    key = sha256(repr((r.device.id, r.tp, sorted(observed.items()))).encode()).hexdigest()[:8]
    return {
        "id": f"given-{r.device.id.replace('_', '-')}x{r.gpus}-{r.checkpoint.recipe.fmt}-{key}",
        "family": f"given-{r.device.id.replace('_', '-')}-{key}",
        "model": _model_name(name),
        "checkpoint": name,
        "quantization": r.checkpoint.recipe.fmt.upper(),
        "engine": "vLLM",
        "engine_version": mask(asked.engine_version)[0],
        "gpu": r.device.id,
        "n_gpus": r.gpus,
        "tp": r.tp,
        "dp": r.dp,
        "ep": r.tp * r.dp if r.ep else None,
        "pp": r.pp,
        "dcp": r.dcp,
        "mtp": r.mtp,
        "kv_cache_dtype": asked.kv_cache_dtype or "auto",
        "max_model_len": "auto" if r.auto_fit else r.max_model_len,
        "max_num_seqs": r.max_num_seqs,
        "max_num_batched_tokens": r.max_num_batched_tokens,
        "gpu_memory_utilization": r.gpu_memory_utilization,
        "is_fork": r.version.fork,
        "observed": observed,
        "total_gib_printed": round(total.value / GIB, 2) if total else None,
        "known_odd": None,
        "recipe": name,
        "inferred": [field for field in _INFERABLE if field == "gpu" and f"{r.device.id}:" in said],
        "source": "unlocated: a start-up log given to the project; put its address here",
        "date": day,
        "kind": "measured",
        "note": "written by glmcalc calibrate; defaults that the log does not state are the engine's",
    }


def _figure(value: int | float, line: str) -> int | float:
    return round(value / GIB, 2) if line.endswith("_bytes") else value


def _model_name(checkpoint: str | None) -> str:
    """The model as the other rows call it (``GLM-5.2``), or that it is not a known one."""
    if checkpoint is None:
        return "not a known checkpoint"
    words = checkpoint.split("/")[-1].split("-")
    return "-".join(words[:2])
