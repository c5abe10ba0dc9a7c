"""Bytes of GGUF files: tensor by tensor where the types are known, a published size, or a band where there is only a label.

A label such as ``Q4_K_M`` names a mix and no tensor's type: what its bits per weight times the elements would give is up to a
third off (``UD-IQ1_S`` is 2.30 bits a weight, its type 1.56).
"""

from __future__ import annotations

import re
from functools import lru_cache

from glmcalc.facts.errors import InputError
from glmcalc.facts.evidence import checkpoints
from glmcalc.facts.frozen import record
from glmcalc.facts.models import base_name, find_model, load_config
from glmcalc.facts.quantity import Band
from glmcalc.facts.store import nearest
from glmcalc.model.geometry import Geometry, read_geometry
from glmcalc.model.gguf_layout import gguf_tensors
from glmcalc.model.gguf_recipe import GgufRecipe, gguf_tensor_bytes, gguf_types, parse_recipe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Mapping


PUBLISHED_REPO = "unsloth/GLM-5.2-GGUF"
PUBLISHED_SOURCE = "https://huggingface.co/unsloth/GLM-5.2-GGUF"
_PUBLISHED_MODEL = "GLM-5.2"
# Tokenizer, names and offsets: 9.54 MB in each of the three files whose tensors are known; in no memory of a GPU.
METADATA = Band(8_000_000, 9_540_000, 16_000_000)

# Labels that are no type, and the smallest type that stands for most of such a file (llama.cpp src/llama-quant.cpp).
_LABELS = {
    "IQ2_S": "IQ2_XS", "IQ2_M": "IQ2_S", "IQ3_XS": "IQ3_XXS", "IQ3_M": "IQ3_S", "Q8_K": "Q8_0",
}  # fmt: skip
_SUFFIXES = {"S": 0, "": 1, "M": 2, "L": 3, "XL": 4}
_LABEL = re.compile(r"(?:UD-)?(?P<base>I?Q\d_K|I?Q\d_[A-Z0-9]+|TQ[12]_0)(?:_(?P<size>S|M|L|XL))?")
_WHOLE = ("BF16", "F16", "F32", "Q8_0")
_STACKED = ("blk.N.attn_k_b.weight", "blk.N.attn_v_b.weight")  # three dimensions, as experts have
_EXPERTS_MXFP4 = ("MXFP4", "MXFP4_MOE")
# In order of bits: what a mix takes for the tensors that it keeps better. Old types (Q4_1, Q5_0, ...) have their own.
_LADDER = (
    "IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "Q2_K", "IQ3_XXS", "Q3_K", "IQ4_XS", "Q4_K", "Q5_K", "Q6_K", "Q8_0",
    "BF16", "F32",
)  # fmt: skip
# Neighbouring published files differ by as little as 0.05 % (UD-IQ2_XXS, UD-IQ2_M): no fence to hold an unseen one.
_NEIGHBOUR_MARGIN = 0.03
_OLD = {"Q4_0": "Q4_1", "Q4_1": "Q5_0", "Q5_0": "Q5_1", "Q5_1": "Q8_0"}


@record
class GgufSize:
    """Size of a GGUF file in bytes, with its band.

    Attributes:
        label: as asked, upper case.
        low_bytes, bytes, high_bytes: the file, or its tensors where they were summed (a file has 9.5 MB of metadata more).
        basis: ``measured`` (a published file of this label), ``exact`` (types of all tensors known) or ``estimated``.
        source: a URL, or "derived: " and the rule.
        note: what the figure rests on, and what would settle it.
    """

    label: str
    low_bytes: int
    bytes: int
    high_bytes: int
    basis: str
    source: str
    note: str

    @property
    def band(self) -> Band:
        """The three figures as a band."""
        return Band(self.low_bytes, self.bytes, self.high_bytes)


def gguf_bytes(label: str, model: str = "zai-org/GLM-5.2", geometry: Geometry | None = None) -> GgufSize:
    """Size of the GGUF file of ``model`` that ``label`` names, in bytes with a band, basis and source.

    In this order: the published file of that label (``UD-Q4_K_M``; ``Q4_K_M`` means the same file, with the band of a
    label, since others publish mixes under it); the sum over tensors where the label settles every type (``Q8_0``, ``BF16``,
    ``MXFP4_MOE``, or a recipe ``rest=Q8_0,up=IQ2_XXS,gate=IQ2_XXS,down=IQ3_XXS``); else :func:`label_band`. A published file
    is of one model and stands for no other.

    Args:
        label: a type or a mix of llama.cpp, in any case.
        model: a known id; its published files are looked at.
        geometry: in place of the known model's.

    Raises:
        InputError: a label or type that llama.cpp has not, or a family whose GGUF layout is not known.

    >>> gguf_bytes("UD-IQ2_XXS").bytes, gguf_bytes("UD-IQ2_XXS").basis
    (238458632928, 'measured')
    """
    shape = geometry or read_geometry(load_config(find_model(model)))
    name = label.strip().upper()
    if "=" in name:
        recipe = parse_recipe(label)
        return _summed(name, gguf_tensor_bytes(shape, recipe), "derived: elements by type, the recipe as given")
    own = geometry is None and base_name(find_model(model).id) == _PUBLISHED_MODEL
    files = published_files() if own else {}
    if name in files:
        note = f"file of {PUBLISHED_REPO}, metadata of 9.5 MB included"
        return GgufSize(name, files[name], files[name], files[name], "measured", PUBLISHED_SOURCE, note)
    whole = _whole(name, shape)
    if whole is not None:
        return whole
    band = label_band(name, shape, {key: size for key, size in published_files().items() if key != f"UD-{name}"})
    if f"UD-{name}" not in files:
        return band
    size = files[f"UD-{name}"]
    note = f"{PUBLISHED_REPO} has it as UD-{name}; a mix of the same label by another publisher lies in the band"
    ends = (min(band.low_bytes, size), size, max(band.high_bytes, size))
    return GgufSize(name, *ends, "measured", PUBLISHED_SOURCE, note)


def is_gguf_label(text: str) -> bool:
    """Whether ``text`` is a type, a mix or a recipe of GGUF."""
    name = text.strip().upper()
    if "=" in name:
        return True
    if name in _EXPERTS_MXFP4[1:] or (name in gguf_types() and name not in ("BF16", "MXFP4", "NVFP4")):
        return True
    match = _LABEL.fullmatch(name)
    return match is not None and _base_type(match) is not None


@lru_cache(maxsize=1)
def published_files() -> dict[str, int]:
    """Bytes of the published files by label, metadata included (``data/checkpoints.jsonl``)."""
    return {
        row["format"].removeprefix("GGUF "): row["total_bytes"]
        for row in checkpoints()
        if row["repo"] == PUBLISHED_REPO and row["total_bytes"] is not None
    }


def label_band(label: str, geometry: Geometry, published: Mapping[str, int]) -> GgufSize:
    """What a label alone says of a file's size: a band between two mixes that it can be.

    A mix has most of its weights in the type that its label names and some in larger ones. So it lies between that type
    throughout and the next larger type throughout; where the published files of the neighbouring labels lie outside of that,
    the band goes out to 3 % beyond them (below only for the I types, whose files can be smaller than their label).

    Args:
        label: a type or mix, upper case.
        geometry: of the model.
        published: bytes of published GLM-5.2 files by label; the one of this label is to be left out by the caller.
    """
    match = _LABEL.fullmatch(label)
    base = _base_type(match) if match else None
    whole = _whole(label, geometry)
    if whole is not None:
        return whole
    if match is None or base is None:
        close = nearest(label, [*gguf_types(), *published_files()])
        hint = f" (did you mean {close}?)" if close else ""
        raise InputError("quantization", label, f"a type or mix of llama.cpp such as Q4_K_M or UD-IQ2_XXS{hint}")
    low, high = _uniform(geometry, base), _uniform(geometry, _next_type(base))
    place = _place(label)
    ranked = sorted((_place(name), size) for name, size in published.items())
    scale = _elements(geometry) / _elements(read_geometry(load_config(find_model(_PUBLISHED_MODEL))))
    below = [size for other, size in ranked if other < place]
    above = [size for other, size in ranked if other > place]
    if below and base.startswith("IQ"):
        low = min(low, int(below[-1] * scale * (1 - _NEIGHBOUR_MARGIN)))
    if above:
        high = max(high, int(above[0] * scale * (1 + _NEIGHBOUR_MARGIN)))
    note = (
        "the label names a mix, not the types of its tensors: give the file's bytes, or its recipe "
        "(rest=TYPE,up=TYPE,gate=TYPE,down=TYPE)"
    )
    source = "derived: between the label's type and the next larger throughout, and the published neighbours"
    return GgufSize(label, low, (low + high) // 2, high, "estimated", source, note)


def _whole(name: str, geometry: Geometry) -> GgufSize | None:
    """Where the label settles every tensor's type."""
    if name in _WHOLE:
        total = gguf_tensor_bytes(geometry, GgufRecipe(name, name, name, name, indexer_proj="own"))
        return _summed(name, total, f"derived: every matrix in {name}, vectors and router in F32")
    if name in _EXPERTS_MXFP4:
        total = gguf_tensor_bytes(geometry, GgufRecipe("Q8_0", "MXFP4", "MXFP4", "MXFP4"))
        stacked = sum(t.elements for t in gguf_tensors(geometry) if t.name in _STACKED)
        low = total - int(stacked * (8.5 - 4.25) / 8)
        note = "no such file of this model was read; whether llama.cpp takes k_b and v_b for experts is open"
        source = "derived: routed experts in MXFP4, all else in Q8_0 (llama.cpp src/llama-quant.cpp)"
        return GgufSize(name, low, total, total + METADATA.high, "estimated", source, note)
    return None


def _summed(name: str, total: int, source: str) -> GgufSize:
    note = "sum over the tensors; the file's metadata, about 9.5 MB, is not in it"
    return GgufSize(name, total, total, total + METADATA.high, "exact", source, note)


def _base_type(match: re.Match[str]) -> str | None:
    base = _LABELS.get(match["base"], match["base"])
    return base if base in gguf_types() else None


def _place(label: str) -> tuple[float, bool, int]:
    """Where a label stands among the others: bits of its type, I types first, then S to XL."""
    match = _LABEL.fullmatch(label)
    base = (_base_type(match) if match else None) or label
    size = _SUFFIXES[(match["size"] if match else None) or ""]
    return gguf_types()[base].bits_per_weight, not base.startswith("IQ"), size


def _next_type(base: str) -> str:
    if base in _OLD:
        return _OLD[base]
    bits = gguf_types()[base].bits_per_weight
    return next((name for name in _LADDER if gguf_types()[name].bits_per_weight > bits), base)


def _uniform(geometry: Geometry, kind: str) -> int:
    return gguf_tensor_bytes(geometry, GgufRecipe(kind, kind, kind, kind, indexer_proj="none"))


def _elements(geometry: Geometry) -> int:
    return sum(tensor.elements for tensor in gguf_tensors(geometry))
