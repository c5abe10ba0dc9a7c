"""Block types of ggml, and the bytes of a GGUF file's tensors when the type of each is known."""

from __future__ import annotations

from functools import lru_cache

from glmcalc.facts.errors import InputError
from glmcalc.facts.evidence import with_provenance
from glmcalc.facts.frozen import record
from glmcalc.facts.models import find_model, load_config
from glmcalc.facts.store import load_json, load_jsonl, nearest
from glmcalc.model.geometry import Geometry, read_geometry
from glmcalc.model.gguf_layout import GgufTensor, gguf_tensors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@record
class GgufType:
    """A block type of ggml: ``elements`` weights take ``bytes``; ``fallback`` stands in where a row is no whole blocks."""

    name: str
    elements: int
    bytes: int
    fallback: str | None

    @property
    def bits_per_weight(self) -> float:
        """Bits of one weight, its share of the scales included."""
        return 8 * self.bytes / self.elements


@record
class GgufRecipe:
    """Types of the tensors: one for each of the three matrices of the routed experts, one for all other matrices.

    Vectors, router and expert biases are always F32.

    Attributes:
        mtp: the type of the MTP layer's routed experts; None: as the others.
        indexer_proj: which ``indexer.proj`` stay F32: ``all`` (published mixes), ``own`` (layers whose indexer is their own:
            the published Q8_0 and BF16 files, by their bytes) or ``none``.
    """

    rest: str
    up: str
    gate: str
    down: str
    mtp: str | None = None
    indexer_proj: str = "all"


@lru_cache(maxsize=1)
def gguf_types() -> dict[str, GgufType]:
    """All block types by name.

    Raises:
        InputError: a row without provenance.
    """
    rows = with_provenance(load_json("gguf_types.json")["types"], "gguf_types.json")
    return {row["id"]: GgufType(row["id"], row["elements"], row["bytes"], row["fallback"]) for row in rows}


def parse_recipe(text: str) -> GgufRecipe:
    """A recipe from ``rest=Q8_0,up=IQ2_XXS,gate=IQ2_XXS,down=IQ3_XXS``; ``experts=T`` means up, gate and down.

    ``mtp=T`` besides, where the MTP layer's experts differ from the others.

    Raises:
        InputError: a part that is missing, twice or unknown, or a type that ggml has not.
    """
    allowed = "rest=TYPE,up=TYPE,gate=TYPE,down=TYPE (or experts=TYPE for the last three), and mtp=TYPE if it differs"
    given: dict[str, str] = {}
    for part in text.upper().split(","):
        name, _, kind = part.strip().partition("=")
        for each in ("UP", "GATE", "DOWN") if name == "EXPERTS" else (name,):
            if each not in ("REST", "UP", "GATE", "DOWN", "MTP") or each in given:
                raise InputError("quantization", text, allowed)
            given[each] = _known_type(kind.strip()).name
    mtp = given.pop("MTP", None)
    if len(given) != 4:
        raise InputError("quantization", text, allowed)
    return GgufRecipe(given["REST"], given["UP"], given["GATE"], given["DOWN"], mtp)


def gguf_tensor_bytes(geometry: Geometry, recipe: GgufRecipe) -> int:
    """Bytes of all tensors of a file by ``recipe``, without the file's metadata.

    Raises:
        InputError: an unknown type, or a family whose GGUF layout is not known.
    """
    experts = {"up": recipe.up, "gate": recipe.gate, "down": recipe.down}
    total = 0
    for tensor in gguf_tensors(geometry):
        kind = "F32" if tensor.role == "f32" else experts.get(tensor.role, recipe.rest)
        apart, other = 0, kind
        if tensor.role in experts and recipe.mtp is not None:
            apart, other = geometry.num_nextn_predict_layers, recipe.mtp
        elif tensor.role == "indexer_proj":
            apart, other = {"all": tensor.count, "own": tensor.native, "none": 0}[recipe.indexer_proj], "F32"
        total += apart * _bytes(tensor, other) + (tensor.count - apart) * _bytes(tensor, kind)
    return total


def catalogued_bytes(label: str) -> int | None:
    """Bytes of all tensors of a published file whose types were read tensor by tensor; None where they were not."""
    rows = with_provenance(load_jsonl("gguf_files.jsonl"), "gguf_files.jsonl")
    row: dict[str, Any] | None = next((row for row in rows if row["label"] == label.upper()), None)
    if row is None:
        return None
    shape = read_geometry(load_config(find_model(row["model"])))
    shapes = {tensor.name: tensor for tensor in gguf_tensors(shape)}
    total: int = sum(
        count * _bytes(shapes[name], kind) for name, types in row["types"].items() for kind, count in types.items()
    )
    return total


def _known_type(name: str) -> GgufType:
    types = gguf_types()
    if name not in types:
        close = nearest(name, types)
        raise InputError(
            "quantization", name, f"a type of ggml: {', '.join(types)}" + (f" (did you mean {close}?)" if close else "")
        )
    return types[name]


def _bytes(tensor: GgufTensor, kind: str) -> int:
    """Bytes of one tensor of the class in type ``kind``, or its fallback where a row is no whole number of blocks."""
    block = _known_type(kind)
    while tensor.row % block.elements and block.fallback:
        block = gguf_types()[block.fallback]
    return tensor.elements // tensor.count // block.elements * block.bytes
