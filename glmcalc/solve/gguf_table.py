"""A GGUF file as ``glmcalc weights`` shows it: its bytes with their basis, and its tensors by kind."""

from __future__ import annotations

from glmcalc.model.checkpoint import load_checkpoint
from glmcalc.model.gguf import gguf_bytes, is_gguf_label
from glmcalc.model.gguf_layout import gguf_tensors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from glmcalc.model.deployment import Deployment


_KINDS = {
    "up": "routed experts", "gate": "routed experts", "down": "routed experts", "f32": "norms, router, biases (F32)",
    "indexer_proj": "indexer proj", "rest": "attention, indexer, dense and shared MLP, embedding, head",
}  # fmt: skip
SPREAD = "llama.cpp splits layers, not tensors, and may keep experts in host memory: its budget says what lies where"


def asks_for_gguf(deployment: Deployment) -> bool:
    """Whether a deployment names a GGUF file: by its type or mix, or ``bf16`` beside llama.cpp."""
    label = deployment.quantization
    return label is not None and (
        is_gguf_label(label) or (deployment.engine == "llama.cpp" and label.lower() == "bf16")
    )


def gguf_table(deployment: Deployment) -> dict[str, Any]:
    """The object that ``glmcalc weights --json`` prints for a GGUF type, mix or recipe.

    ``total_bytes`` has its ends beside it, and ``basis``; what llama.cpp's files leave open is null, with the reason.

    Raises:
        InputError: an unknown model or type, or a family whose GGUF layout is not known.
    """
    checkpoint = load_checkpoint(deployment.model)
    geometry = None if checkpoint.known else checkpoint.geometry
    size = gguf_bytes(str(deployment.quantization), checkpoint.name if checkpoint.known else "", geometry)
    elements: dict[str, int] = {}
    for tensor in gguf_tensors(checkpoint.geometry):
        elements[_KINDS[tensor.role]] = elements.get(_KINDS[tensor.role], 0) + tensor.elements
    return {
        "model": checkpoint.name,
        "quantization": size.label,
        "engines": ["llama.cpp"],
        "parameters": sum(elements.values()),
        "total_bytes": size.bytes,
        "total_low_bytes": size.low_bytes,
        "total_high_bytes": size.high_bytes,
        "basis": size.basis,
        "source": size.source,
        "bytes_without_mtp": None,
        "per_gpu_bytes": None,
        "reason": SPREAD,
        "notes": [size.note, "the file has an indexer on every layer, also where the checkpoint shares one"],
        "modules": [
            {
                "module": name,
                "parameters": count,
                "stored_bytes": None,
                "reason": "one file, its tensors of several types",
            }
            for name, count in elements.items()
        ],
    }
