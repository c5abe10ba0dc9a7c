"""How many bytes a tensor takes in each checkpoint format, and which modules a checkpoint quantizes.

The formulas work on whole numbers and on columns of them alike; which formula applies is decided outside.
"""

from __future__ import annotations

import re
from functools import lru_cache

from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.facts.quantity import ceil_div

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, Sequence


FP8_BLOCK = 128
NVFP4_GROUP = 16

# Never quantized, whatever a list says: the engine builds it without a quantization (``quant_config=None``), and
# checkpoints list it under another name, ``indexers_proj``.
_ALWAYS_BF16 = "indexer.weights_proj"


def bf16_bytes(rows: int, columns: int) -> int:
    """Bytes of a ``rows x columns`` matrix in bfloat16: two an element."""
    return 2 * rows * columns


def fp8_block_bytes(rows: int, columns: int) -> int:
    """Bytes of a matrix in FP8 with one fp32 scale per 128 x 128 block.

    ``o*i + 4*ceil(o/128)*ceil(i/128)``, the layout of ``weight_block_size: [128, 128]`` checkpoints
    (vLLM ``quantization/fp8.py``).

    >>> fp8_block_bytes(576, 6144)  # kv_a: 576 rows are four and a half blocks
    3539904
    """
    return rows * columns + 4 * ceil_div(rows, FP8_BLOCK) * ceil_div(columns, FP8_BLOCK)


def nvfp4_bytes(rows: int, columns: int) -> int:
    """Bytes of a matrix in NVFP4 as modelopt stores it.

    Half a byte an element, one FP8 scale per 16 elements, and two fp32 scalars (``weight_scale_2``, ``input_scale``).

    >>> nvfp4_bytes(2048, 6144)
    7077896
    """
    return rows * columns // 2 + rows * columns // NVFP4_GROUP + 8


_LINEAR_BYTES = {"bf16": bf16_bytes, "fp8": fp8_block_bytes, "nvfp4": nvfp4_bytes}


def linear_bytes(fmt: str, rows: int, columns: int) -> int:
    """Bytes of one linear layer stored as ``fmt``: ``bf16``, ``fp8``, ``nvfp4``, or one of ``formats.QUANTIZED``."""
    if fmt not in _LINEAR_BYTES:
        from glmcalc.model.formats import QUANTIZED

        return QUANTIZED[fmt](rows, columns)
    return _LINEAR_BYTES[fmt](rows, columns)


@record
class Recipe:
    """Which modules of a checkpoint are quantized, and how.

    Attributes:
        fmt: ``bf16``, ``fp8``, ``nvfp4`` or a form of INT4: the format of quantized linears.
        norm_bytes: bytes of one element of a norm (2; DeepSeek-V3.2 stores 4).
        stores_mtp_embeddings: the MTP layer carries copies of the embedding and the head (DeepSeek; GLM-5.x does not).
    """

    fmt: str
    norm_bytes: int = 2
    stores_mtp_embeddings: bool = False
    _exact: frozenset[str] = frozenset()
    _prefixes: tuple[str, ...] = ()
    _patterns: tuple[re.Pattern[str], ...] = ()

    @property
    def embeddings(self) -> str:
        """Format of embedding and head: no engine's checkpoint quantizes them."""
        return "bf16"

    def format_of(self, module: str) -> str:
        """Format in which linear ``module`` (``model.layers.3.self_attn.o_proj``) is stored."""
        if self.fmt == "bf16" or module in self._exact or module.endswith(_ALWAYS_BF16):
            return "bf16"
        if self._prefixes and module.startswith(self._prefixes):
            return "bf16"
        for pattern in self._patterns:
            if pattern.fullmatch(module):
                return "bf16"
        return self.fmt

    def formats(self, layers: Sequence[int], name: str) -> dict[str, list[int]]:
        """Formats in which linear ``name`` (``self_attn.o_proj``) of these layers is stored, each with its layers.

        The same as :meth:`format_of` of each, with the lists of names sorted by layer once.
        """
        if self.fmt == "bf16" or name.endswith(_ALWAYS_BF16):
            return {"bf16": list(layers)} if layers else {}
        exact, prefixes, whole = _excluded_layers(self)
        excluded = exact.get(name, set()).union(*(those for start, those in prefixes.items() if name.startswith(start)))
        if whole or self._patterns:
            for layer in layers:
                module = f"model.layers.{layer}.{name}"
                if module.startswith(whole) or any(pattern.fullmatch(module) for pattern in self._patterns):
                    excluded.add(layer)
        found: dict[str, list[int]] = {}
        for layer in layers:
            found.setdefault("bf16" if layer in excluded else self.fmt, []).append(layer)
        return found


@lru_cache(maxsize=16)
def _excluded_layers(recipe: Recipe) -> tuple[dict[str, set[int]], dict[str, set[int]], tuple[str, ...]]:
    """Layers by excluded name, layers by excluded beginning of a name, and beginnings that are not inside one layer."""
    exact: dict[str, set[int]] = {}
    prefixes: dict[str, set[int]] = {}
    whole: list[str] = []
    for name in recipe._exact:
        layer, rest = _layer_of(name)
        if layer is not None:
            exact.setdefault(rest, set()).add(layer)
    for name in recipe._prefixes:
        layer, rest = _layer_of(name)
        if layer is None:
            whole.append(name)
        else:
            prefixes.setdefault(rest, set()).add(layer)
    return exact, prefixes, tuple(whole)


def _layer_of(name: str) -> tuple[int | None, str]:
    """``model.layers.3.mlp.gate`` as 3 and ``mlp.gate``; None for what is not inside one layer."""
    parts = name.split(".", 3)
    if len(parts) == 4 and parts[:2] == ["model", "layers"] and parts[2].isdecimal():
        return int(parts[2]), parts[3]
    return None, name


def read_recipe(config: Mapping[str, Any]) -> Recipe:
    """The recipe that a ``config.json`` states in ``quantization_config``; BF16 when it states none.

    Raises:
        InputError: a method, block size or group size whose layout is not known.
    """
    quantization = config.get("quantization_config")
    deepseek = str(config.get("model_type", "")).startswith("deepseek")
    norm_bytes = 4 if config.get("model_type") == "deepseek_v32" else 2
    if quantization is None:
        return Recipe("bf16", norm_bytes, deepseek)
    if not isinstance(quantization, dict):
        raise InputError("quantization_config", quantization, "a JSON object")
    method = quantization.get("quant_method")
    if method == "fp8":
        if quantization.get("weight_block_size") != [FP8_BLOCK, FP8_BLOCK]:
            raise InputError("weight_block_size", quantization.get("weight_block_size"), "[128, 128]")
        return _recipe("fp8", quantization.get("modules_to_not_convert"), norm_bytes, deepseek)
    if method in ("modelopt", "modelopt_fp4") and quantization.get("quant_algo") == "NVFP4":
        for group in (quantization.get("config_groups") or {}).values():
            size = (group.get("weights") or {}).get("group_size")
            if size != NVFP4_GROUP:
                raise InputError("group_size", size, f"{NVFP4_GROUP} for NVFP4")
        return _recipe("nvfp4", quantization.get("ignore"), norm_bytes, deepseek)
    raise InputError("quant_method", method, "fp8 (block 128x128) or modelopt with quant_algo NVFP4")


def _recipe(fmt: str, excluded: object, norm_bytes: int, deepseek: bool) -> Recipe:
    names = excluded if excluded is not None else []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError("quantization_config", type(names).__name__, "a list of module names to leave out")
    prefixes = tuple(name[:-1] for name in names if name.endswith("*") and "*" not in name[:-1])
    patterns = tuple(
        re.compile(re.escape(name).replace(r"\*", ".*")) for name in names if "*" in name[:-1] and name not in prefixes
    )
    exact = frozenset(name for name in names if "*" not in name)
    return Recipe(fmt, norm_bytes, deepseek, exact, prefixes, patterns)
