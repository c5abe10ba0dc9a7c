"""What the manual knows, as rows for the command and the pages."""

from __future__ import annotations

from glmcalc.facts.evidence import checkpoints, sources
from glmcalc.facts.frozen import asdict
from glmcalc.facts.hardware import devices
from glmcalc.facts.models import model_entries
from glmcalc.facts.quantity import GB, GIB
from glmcalc.model.checkpoint import load_checkpoint
from glmcalc.model.format_support import weight_format
from glmcalc.model.gguf import PUBLISHED_REPO, published_files
from glmcalc.model.gguf_layout import gguf_tensors
from glmcalc.solve.claims import claim_rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def models_rows() -> list[dict[str, Any]]:
    """Known checkpoints: parameters and bytes counted from their ``config.json`` and recipe; then the known GGUF files."""
    rows: list[dict[str, Any]] = []
    for entry in model_entries():
        checkpoint = load_checkpoint(entry.id)
        geometry = checkpoint.geometry
        rows.append(
            {
                "id": entry.id,
                "quantization": checkpoint.recipe.fmt,
                "parameters": checkpoint.parameters,
                "total_bytes": checkpoint.total_bytes,
                "total_low_bytes": checkpoint.total_band.low,
                "total_high_bytes": checkpoint.total_band.high,
                "total_gb": round(checkpoint.total_bytes / GB, 2),
                "engines": list(weight_format(entry.format).engines),
                "layers": geometry.num_hidden_layers,
                "indexers": len(geometry.indexer_layers),
                "max_model_len": geometry.max_position_embeddings,
                "license": entry.license,
                "note": entry.note,
                "source": entry.source,
                "date": entry.date,
                "kind": entry.kind,
            }
        )
    return rows + _gguf_rows()


def _gguf_rows() -> list[dict[str, Any]]:
    """The published GGUF files by label, at the bytes of their files."""
    geometry = load_checkpoint("zai-org/GLM-5.2").geometry
    elements = sum(tensor.elements for tensor in gguf_tensors(geometry))
    published = {row["format"].removeprefix("GGUF "): row for row in checkpoints() if row["repo"] == PUBLISHED_REPO}
    rows = []
    for label, size in published_files().items():
        rows.append({
            "id": f"{PUBLISHED_REPO} {label}", "quantization": label, "parameters": elements, "total_bytes": size,
            "total_low_bytes": size, "total_high_bytes": size, "total_gb": round(size / GB, 2), "engines": ["llama.cpp"],
            "layers": geometry.num_hidden_layers, "indexers": geometry.num_hidden_layers + geometry.num_nextn_predict_layers,
            "max_model_len": geometry.max_position_embeddings, "license": "MIT",
            "note": "a file for llama.cpp; not a name for --model", "source": published[label]["source"],
            "date": published[label]["date"], "kind": published[label]["kind"],
        })  # fmt: skip
    return rows


def hardware_rows() -> list[dict[str, Any]]:
    """Known devices: what is stated of them, and the memory that a budget takes, in GiB with its range."""
    rows = []
    for chip in devices():
        memory = chip.memory()
        row: dict[str, Any] = asdict(chip)
        row["memory_gib"] = round(memory.bytes / GIB, 2) if memory else None
        row["memory_low_gib"] = round(memory.low_bytes / GIB, 2) if memory else None
        row["memory_high_gib"] = round(memory.high_bytes / GIB, 2) if memory else None
        row["basis"] = memory.basis if memory else None
        row["memory_how"] = memory.note if memory else None
        row["memory_source"] = memory.source if memory else None
        if memory is None:
            row["reason"] = "no source states its memory"
        rows.append(row)
    return rows


def claims_rows() -> list[dict[str, Any]]:
    """The published guide's figures beside the arithmetic."""
    return claim_rows()


def sources_rows() -> list[dict[str, Any]]:
    """Every source that the data rest on."""
    return sources()
