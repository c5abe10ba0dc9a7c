"""The model's shape, read from its ``config.json``; what is not known is refused, never approximated."""

from __future__ import annotations

from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping


FAMILIES: dict[str, str] = {
    "glm_moe_dsa": "GlmMoeDsaForCausalLM",
    "deepseek_v32": "DeepseekV32ForCausalLM",
    "deepseek_v3": "DeepseekV3ForCausalLM",
}
SPARSE_FAMILIES = ("glm_moe_dsa", "deepseek_v32")

_SIZES = (
    "num_hidden_layers",
    "hidden_size",
    "intermediate_size",
    "moe_intermediate_size",
    "num_attention_heads",
    "q_lora_rank",
    "kv_lora_rank",
    "qk_nope_head_dim",
    "qk_rope_head_dim",
    "v_head_dim",
    "n_routed_experts",
    "n_shared_experts",
    "num_experts_per_tok",
    "first_k_dense_replace",
    "vocab_size",
    "max_position_embeddings",
)
_INDEXER_SIZES = ("index_head_dim", "index_n_heads", "index_topk")
_LARGEST = 1 << 31


@record
class Geometry:
    """Shape of one checkpoint. All sizes are counts of elements, layers, heads, experts or tokens.

    ``indexer_layers`` are the main layers that own an indexer by the rule of current engines; the MTP layers own
    one each besides (``vllm_config`` of ``DeepseekV32Attention``: ``index_topk_freq``, ``index_skip_topk_offset``,
    ``index_topk_pattern``). Empty for a family without sparse attention.
    """

    model_type: str
    num_hidden_layers: int
    hidden_size: int
    intermediate_size: int
    moe_intermediate_size: int
    num_attention_heads: int
    q_lora_rank: int
    kv_lora_rank: int
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    v_head_dim: int
    n_routed_experts: int
    n_shared_experts: int
    num_experts_per_tok: int
    first_k_dense_replace: int
    vocab_size: int
    max_position_embeddings: int
    num_nextn_predict_layers: int
    index_head_dim: int
    index_n_heads: int
    index_topk: int
    indexer_layers: tuple[int, ...]

    @property
    def sparse(self) -> bool:
        """Whether attention is sparse, with an indexer (DSA)."""
        return self.model_type in SPARSE_FAMILIES

    @property
    def qk_head_dim(self) -> int:
        """Elements of one query head: the part without position and the rotary part."""
        return self.qk_nope_head_dim + self.qk_rope_head_dim

    def is_dense(self, layer: int) -> bool:
        """Whether ``layer`` has a plain MLP in place of experts; an MTP layer never has."""
        return layer < self.first_k_dense_replace


def read_geometry(config: Mapping[str, Any]) -> Geometry:
    """Geometry from the object in a ``config.json``.

    Raises:
        InputError: another family, a field that is missing or of the wrong type, or fields that contradict each other.
    """
    if not isinstance(config, dict):
        raise InputError("config.json", type(config).__name__, "a JSON object")
    family = _family(config)
    sizes = {name: _size(config, name) for name in _SIZES}
    sparse = family in SPARSE_FAMILIES
    indexer = {name: _size(config, name) if sparse else 0 for name in _INDEXER_SIZES}
    mtp_layers = _size(config, "num_nextn_predict_layers", smallest=0)
    if mtp_layers > 1:
        raise InputError(
            "num_nextn_predict_layers", mtp_layers, "0 or 1: engines with more draft layers are not modelled"
        )
    _check_consistency(config, family, sizes)
    return Geometry(
        model_type=family,
        **sizes,
        **indexer,
        num_nextn_predict_layers=mtp_layers,
        indexer_layers=_indexer_layers(config, sizes["num_hidden_layers"]) if sparse else (),
    )


def _family(config: Mapping[str, Any]) -> str:
    family = config.get("model_type")
    if not isinstance(family, str) or family not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise InputError("model_type", family, f"one of {known}: the memory of another family is not known here")
    architectures = config.get("architectures")
    if architectures is not None and architectures != [FAMILIES[family]]:
        raise InputError("architectures", architectures, f'["{FAMILIES[family]}"] for model_type "{family}"')
    if family == "deepseek_v3" and config.get("index_topk") is not None:
        raise InputError(
            "index_topk", config["index_topk"], 'absent for model_type "deepseek_v3", which has no indexer'
        )
    return str(family)


def _size(config: Mapping[str, Any], name: str, smallest: int = 1) -> int:
    value = config.get(name)
    if value is None:
        raise InputError(name, None, "present in config.json", f"{name} is missing from config.json.")
    if isinstance(value, bool) or not isinstance(value, int) or not smallest <= value < _LARGEST:
        raise InputError(name, value, f"a whole number from {smallest} to {_LARGEST - 1:,}")
    return value


def _check_consistency(config: Mapping[str, Any], family: str, sizes: Mapping[str, int]) -> None:
    layers = sizes["num_hidden_layers"]
    if sizes["first_k_dense_replace"] > layers:
        raise InputError(
            "first_k_dense_replace", sizes["first_k_dense_replace"], f"at most num_hidden_layers ({layers})"
        )
    if sizes["num_experts_per_tok"] > sizes["n_routed_experts"]:
        raise InputError(
            "num_experts_per_tok",
            sizes["num_experts_per_tok"],
            f"at most n_routed_experts ({sizes['n_routed_experts']})",
        )
    qk_head_dim = sizes["qk_nope_head_dim"] + sizes["qk_rope_head_dim"]
    expected: dict[str, object] = {
        "qk_head_dim": qk_head_dim,
        "num_key_value_heads": sizes["num_attention_heads"],
        "num_experts": sizes["n_routed_experts"],
        "moe_layer_freq": 1,
        "tie_word_embeddings": False,
        "attention_bias": False,
    }
    for name, value in expected.items():
        stated = config.get(name)
        if stated is not None and stated != value:
            raise InputError(name, stated, f"{value} for this family with the other fields of this config.json")
    _check_layer_list(config, "mlp_layer_types", layers, [
        "dense" if layer < sizes["first_k_dense_replace"] else "sparse" for layer in range(layers)
    ])  # fmt: skip


def _check_layer_list(config: Mapping[str, Any], name: str, layers: int, expected: list[str]) -> None:
    stated = config.get(name)
    if stated is None:
        return
    if not isinstance(stated, (list, tuple)) or len(stated) != layers:
        length = len(stated) if isinstance(stated, (list, tuple, str)) else type(stated).__name__
        raise InputError(name, length, f"a list of num_hidden_layers ({layers}) entries")
    for layer, (said, meant) in enumerate(zip(stated, expected)):
        if said != meant:
            raise InputError(name, said, f'"{meant}" at layer {layer}, by the other fields of this config.json')


def _indexer_layers(config: Mapping[str, Any], layers: int) -> tuple[int, ...]:
    """Main layers with an indexer of their own, by the engine's rule (``DeepseekV32Attention.__init__``, vLLM 0.33.0).

    The engine does not read ``indexer_types``; the checkpoint's weights follow it. When both are stated they must agree.
    """
    pattern = config.get("index_topk_pattern")
    if pattern is not None:
        if not isinstance(pattern, (str, list, tuple)) or len(pattern) != layers:
            raise InputError("index_topk_pattern", pattern, f"null, or one of F and S for each of the {layers} layers")
        wrong = [kind for kind in pattern if kind not in ("F", "S")]
        if wrong:
            raise InputError("index_topk_pattern", wrong[0], "F (own indexer) or S (shared) for each layer")
        owners = tuple(layer for layer in range(layers) if pattern[layer] != "S")
    else:
        every = _size(config, "index_topk_freq") if config.get("index_topk_freq") is not None else 1
        offset = _size(config, "index_skip_topk_offset", smallest=0) if every > 1 else 0
        owners = tuple(layer for layer in range(layers) if max(layer - offset + 1, 0) % every == 0)
    _check_layer_list(config, "indexer_types", layers, [
        "full" if layer in owners else "shared" for layer in range(layers)
    ])  # fmt: skip
    if not owners or owners[0] != 0:
        raise InputError(
            "index_topk_pattern", pattern, "a rule by which layer 0 owns an indexer: others share from before"
        )
    return owners
