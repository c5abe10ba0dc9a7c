"""Which model and which GGUF file a llama.cpp deployment names, and what of the file is experts, MTP layer or embedding."""

from __future__ import annotations

import re

from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.facts.models import base_name, find_model, load_config, model_entries
from glmcalc.facts.quantity import Band
from glmcalc.model.deployment import DEFAULT_MODEL, Deployment
from glmcalc.model.geometry import Geometry, read_geometry
from glmcalc.model.gguf import GgufSize, gguf_bytes, is_gguf_label, published_files

_LABEL = re.compile(
    r"(?<![A-Z0-9])((?:UD-)?(?:I?Q\d_[A-Z0-9]+(?:_[A-Z]{1,2})?|TQ\d_0|MXFP4_MOE|BF16|F16|F32))(?![A-Z0-9])"
)
_DEFAULT_LABEL = "Q4_K_M"  # what -hf takes of a repository when no label is given
_UNIFORM = ("BF16", "F16", "F32", "Q8_0")


@record
class GgufFile:
    """One file as a deployment names it.

    Attributes:
        name: as it is to be given to llama-server; ``flag`` is ``-m`` or ``-hf``.
        model: the known model that it is of. size: None where only the log's own figure is to be used.
    """

    name: str
    flag: str
    model: str
    geometry: Geometry
    label: str | None
    size: GgufSize | None


@record
class Parts:
    """Bytes of a file by where llama.cpp puts them; bands where the types of single tensors are not known.

    Attributes:
        expert_layer: routed experts of one layer. other_layer: all else of one layer, on average.
        embedding, head: input embedding (always on the CPU) and output.
    """

    expert_layer: Band
    other_layer: Band
    embedding: Band
    head: Band


def find_file(asked: Deployment) -> GgufFile:
    """The file that ``asked`` names: a path, a repository with a label, or a known model with a quantization.

    Raises:
        InputError: no model of a known GGUF layout in the name, or no label, and no bytes in its place.
    """
    stated = asked.model
    hub = re.fullmatch(r"([\w.-]+/[\w.-]+?-GGUF)(?::([\w.-]+))?", stated, re.IGNORECASE)
    path = stated.lower().endswith(".gguf")
    if not hub and not path:
        return _known(asked)
    found = re.search(r"GLM-?5(?:\.\d)?(?![\d.]*-?(?:flash|air))", stated, re.IGNORECASE)
    model = _model_called(found[0].upper().replace("GLM5", "GLM-5")) if found else None
    if model is None:
        raise InputError(
            "model", stated, "a GGUF file of GLM-5, 5.1, 5.2 or 5.3: the shape of another is not known here",
            f"model {stated!r}: no model whose GGUF layout is known is named in it (GLM-5, 5.1, 5.2, 5.3).",
        )  # fmt: skip
    label = asked.quantization
    if label is None and hub:
        label = hub[2] or _DEFAULT_LABEL
    elif label is None:
        named = _LABEL.findall(stated.rsplit("/", 1)[-1].upper())
        label = named[-1] if named else None
    return _sized(asked, stated, "-hf" if hub else "-m", model, label)


def _known(asked: Deployment) -> GgufFile:
    wanted = "zai-org/GLM-5.2" if asked.model == DEFAULT_MODEL else asked.model
    entry = find_model(wanted)
    model = _model_called(base_name(entry.id)) or entry.id
    if asked.quantization is None and entry.format not in ("bf16",) and asked.weights_bytes is None:
        raise InputError(
            "quantization", None, "a GGUF label such as UD-Q4_K_XL, Q8_0 or BF16",
            f"llama.cpp loads GGUF files, not {entry.id}: say which, such as --quantization UD-Q4_K_XL.",
        )  # fmt: skip
    label = asked.quantization or ("BF16" if asked.weights_bytes is None else None)
    name = f"unsloth/{base_name(model)}-GGUF" + (f":{label}" if label else "")
    return _sized(asked, name, "-hf", model, label)


def _sized(asked: Deployment, name: str, flag: str, model: str, label: str | None) -> GgufFile:
    geometry = read_geometry(load_config(find_model(model)))
    if label is not None and label.lower() in ("bf16", "bfloat16", "f16"):
        label = "BF16" if label.lower() != "f16" else "F16"
    if label is None and asked.weights_bytes is None:
        raise InputError(
            "quantization", None, "a GGUF label such as UD-Q4_K_XL, or the model buffer's size with --weights-gib",
            f"{name} names no type: say --quantization LABEL, or --weights-gib with the log's model buffer size.",
        )  # fmt: skip
    if label is not None and not is_gguf_label(label) and label not in _UNIFORM:
        close = [known for known in published_files() if label.upper() in known]
        raise InputError("quantization", label, f"a GGUF label such as {close[0] if close else 'UD-Q4_K_XL'}")
    size = gguf_bytes(label, model) if label is not None else None
    return GgufFile(name, flag, model, geometry, label, size)


def _model_called(base: str) -> str | None:
    """The BF16 checkpoint of the model with this base name."""
    return next((e.id for e in model_entries() if e.format == "bf16" and base_name(e.id) == base.upper()), None)


def parts_of(size: GgufSize, g: Geometry) -> Parts:
    """How the bytes of a file split; exact where the label is one type throughout, else a band.

    What is no routed expert is kept better in every mix: between the file's own average and BF16, most likely Q8_0.
    """
    layers = g.num_hidden_layers + g.num_nextn_predict_layers
    sparse = layers - g.first_k_dense_replace
    vocabulary = g.vocab_size * g.hidden_size
    experts = 3 * g.n_routed_experts * g.moe_intermediate_size * g.hidden_size
    others = _other_elements(g, layers)
    total = sparse * experts + others + 2 * vocabulary
    average = size.bytes / total
    uniform = size.label in _UNIFORM
    each = (average, average, average) if uniform else (average, max(average, 1.0625), max(average, 2.0))

    def band(elements: int) -> Band:
        return Band(*(round(elements * one) for one in each))

    rest = band(others + 2 * vocabulary)
    expert = Band(*sorted(round((whole - part) / sparse) for whole, part in (
        (size.low_bytes, rest.high), (size.bytes, rest.likely), (size.high_bytes, rest.low),
    )))  # fmt: skip
    layer = band(others)
    return Parts(
        expert,
        Band(layer.low // layers, layer.likely // layers, layer.high // layers),
        band(vocabulary),
        band(vocabulary),
    )


def _other_elements(g: Geometry, layers: int) -> int:
    """Elements of all layers that are no routed experts: attention, indexers (on every layer), shared experts, dense MLPs."""
    heads, hidden = g.num_attention_heads, g.hidden_size
    attention = (
        g.q_lora_rank * hidden + heads * g.qk_head_dim * g.q_lora_rank + (g.kv_lora_rank + g.qk_rope_head_dim) * hidden
        + heads * (g.qk_nope_head_dim + g.v_head_dim) * g.kv_lora_rank + heads * g.v_head_dim * hidden
    )  # fmt: skip
    indexer = g.index_n_heads * g.index_head_dim * g.q_lora_rank + (g.index_head_dim + g.index_n_heads) * hidden
    dense = g.first_k_dense_replace
    shared = (layers - dense) * (3 * g.n_shared_experts * g.moe_intermediate_size + g.n_routed_experts) * hidden
    return (
        layers * (attention + indexer)
        + shared
        + dense * 3 * g.intermediate_size * hidden
        + g.num_nextn_predict_layers * 2 * hidden**2
    )
