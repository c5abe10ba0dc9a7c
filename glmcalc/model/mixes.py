"""Recipes of checkpoints that store their experts in one format and the rest in another."""

from __future__ import annotations

import re
from functools import lru_cache

from glmcalc.facts.errors import InputError
from glmcalc.facts.evidence import with_provenance
from glmcalc.facts.frozen import record
from glmcalc.facts.store import load_jsonl
from glmcalc.model.formats import INT4_GROUPS, W4AFP8_GROUP
from glmcalc.model.recipes import Recipe, read_recipe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, Sequence


_WEIGHTS_PROJ = "indexer.weights_proj"  # engines build it unquantized; MLX, which is none of them, quantizes it
_CONFIG = "config"


@record
class MixedRecipe:
    """Formats by kind of module; asked as :class:`Recipe` is.

    Attributes:
        fmt: what the format is called (``w4afp8``, ``mxfp4``, ``mlx-4bit``, ``w4a16``, ``awq``).
        routed, shared, others: formats of routed experts, shared experts and all other linears; ``config``: as ``base`` says.
        embeddings: format of embedding and head.
        mtp: ``as_others``, ``bf16``, or ``none`` where the checkpoint has no MTP layer.
        mtp_layer: the first MTP layer.
        base: what the ``config.json`` that it is made from says.
        norm_bytes, stores_mtp_embeddings: as in :class:`Recipe`.
    """

    fmt: str
    routed: str
    shared: str
    others: str
    embeddings: str
    mtp: str
    mtp_layer: int
    base: Recipe
    norm_bytes: int = 2
    stores_mtp_embeddings: bool = False

    def format_of(self, module: str) -> str:
        """Format in which linear ``module`` (``model.layers.3.self_attn.o_proj``) is stored."""
        parts = module.split(".", 3)
        layer, name = int(parts[2]), parts[3]
        if self.mtp == "bf16" and layer >= self.mtp_layer:
            return "bf16"
        kind = self.others
        if name.startswith("mlp.experts."):
            kind = self.routed
        elif name.startswith("mlp.shared_experts."):
            kind = self.shared
        elif name.endswith(_WEIGHTS_PROJ) and not self.fmt.startswith("mlx"):
            kind = "bf16"
        return self.base.format_of(module) if kind == _CONFIG else kind

    def formats(self, layers: Sequence[int], name: str) -> dict[str, list[int]]:
        """Formats in which linear ``name`` of these layers is stored, each with its layers."""
        found: dict[str, list[int]] = {}
        for layer in layers:
            found.setdefault(self.format_of(f"model.layers.{layer}.{name}"), []).append(layer)
        return found


def known_recipe(name: str, config: Mapping[str, Any]) -> MixedRecipe:
    """The recipe ``name`` of ``data/weight_recipes.jsonl``, over what ``config`` states.

    Raises:
        InputError: a recipe without provenance, or a config whose own recipe is not known.
    """
    row = _rows()[name]
    base = read_recipe(config)
    return MixedRecipe(
        row["fmt"], row["routed_experts"], row["shared_experts"], row["others"], row["embeddings"], row["mtp"],
        int(config["num_hidden_layers"]), base, base.norm_bytes,
    )  # fmt: skip


def stated_recipe(config: Mapping[str, Any]) -> Recipe | MixedRecipe:
    """The recipe that a ``config.json`` states: :func:`read_recipe`, and W4AFP8, AWQ and INT4 of compressed-tensors besides.

    Raises:
        InputError: a method, a group size or a number of bits whose layout is not known.
    """
    stated = config.get("quantization_config")
    method = stated.get("quant_method") if isinstance(stated, dict) else None
    if not isinstance(stated, dict) or method not in ("w4afp8", "awq", "compressed-tensors"):
        return read_recipe(config)
    if method == "w4afp8":
        _check("group_size", stated.get("group_size", W4AFP8_GROUP), (W4AFP8_GROUP,))
        excluded = stated.get("modules_to_not_convert") or stated.get("ignored_layers")
        fp8 = {"quant_method": "fp8", "weight_block_size": [128, 128], "modules_to_not_convert": excluded}
        base = read_recipe({**config, "quantization_config": fp8})
        layers = int(config["num_hidden_layers"])
        return MixedRecipe("w4afp8", "w4afp8", _CONFIG, _CONFIG, "bf16", "as_others", layers, base, base.norm_bytes)
    plain = read_recipe({**config, "quantization_config": None})
    return _awq(stated, plain) if method == "awq" else _compressed_tensors(stated, plain)


def _awq(stated: Mapping[str, Any], plain: Recipe) -> Recipe:
    """AWQ: every linear whose name holds none of ``modules_to_not_convert``."""
    _check("bits", stated.get("bits", stated.get("w_bit")), (4,))
    group = _check("group_size", stated.get("group_size", stated.get("q_group_size")), INT4_GROUPS)
    names = _names(stated.get("modules_to_not_convert"))
    patterns = tuple(re.compile(f".*{re.escape(name)}.*") for name in names)
    return _int4(group, bool(stated.get("zero_point", True)), patterns, plain)


def _compressed_tensors(stated: Mapping[str, Any], plain: Recipe) -> Recipe:
    """Compressed-tensors: one group of linears in INT4; ``ignore`` holds names, and regular expressions after ``re:``."""
    groups = list((stated.get("config_groups") or {}).values())
    if len(groups) != 1 or (groups[0] or {}).get("targets") != ["Linear"]:
        raise InputError(
            "config_groups", len(groups), 'one group with the targets ["Linear"]: other mixes are not known'
        )
    weights = groups[0].get("weights") or {}
    _check("num_bits", weights.get("num_bits"), (4,))
    _check("type", weights.get("type", "int"), ("int",))
    group = _check("group_size", weights.get("group_size"), INT4_GROUPS)
    patterns = []
    for name in _names(stated.get("ignore")):
        try:
            patterns.append(re.compile(f"{name[3:]}.*" if name.startswith("re:") else re.escape(name)))
        except re.error as error:
            raise InputError("ignore", name, "a name, or re: and a regular expression") from error
    return _int4(group, not weights.get("symmetric", True), tuple(patterns), plain)


def _int4(group: int, zero_points: bool, patterns: tuple[re.Pattern[str], ...], plain: Recipe) -> Recipe:
    name = f"int4-g{group}-zp" if zero_points else f"int4-g{group}"
    return Recipe(name, plain.norm_bytes, plain.stores_mtp_embeddings, _patterns=patterns)


def _check(field: str, value: Any, allowed: Sequence[Any]) -> Any:
    if isinstance(value, bool) or value not in allowed:
        raise InputError(field, value, " or ".join(map(str, allowed)))
    return value


def _names(value: Any) -> list[str]:
    names = value if value is not None else []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError("quantization_config", type(names).__name__, "a list of module names to leave out")
    return names


@lru_cache(maxsize=1)
def _rows() -> dict[str, dict[str, Any]]:
    rows = with_provenance(load_jsonl("weight_recipes.jsonl"), "weight_recipes.jsonl")
    return {row["id"]: row for row in rows}
