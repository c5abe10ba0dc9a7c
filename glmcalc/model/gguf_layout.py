"""The tensors of a GGUF file of this family: names, shapes and counts, as llama.cpp stores the model."""

from __future__ import annotations

from functools import lru_cache

from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.model.geometry import Geometry

SOURCE = "https://huggingface.co/unsloth/GLM-5.2-GGUF"


@record
class GgufTensor:
    """A class of equal tensors.

    Attributes:
        name: as in the file, N for the layer.
        row: elements of one row (``ne[0]``), which blocks must divide.
        rows: rows of one tensor, over all its other dimensions.
        count: how many tensors; ``native`` of them on layers that have them in the original checkpoint too.
        role: ``f32`` (never quantized), ``up``, ``gate``, ``down`` (routed experts), ``indexer_proj``, or ``rest``.
    """

    name: str
    row: int
    rows: int
    count: int
    role: str
    native: int = 0

    @property
    def elements(self) -> int:
        """Elements over all tensors of the class."""
        return self.row * self.rows * self.count


@lru_cache(maxsize=32)
def gguf_tensors(geometry: Geometry) -> tuple[GgufTensor, ...]:
    """Every tensor of the file, by class.

    An indexer stands on every layer, also where the checkpoint has none of its own (57 copies in GLM-5.2); ``kv_b`` is
    stored as ``k_b`` and ``v_b``; router, norms and expert biases are F32. Source: the headers of a published file
    (``data/gguf_files.jsonl``).

    Raises:
        InputError: a family whose GGUF layout is not known here.
    """
    if geometry.model_type != "glm_moe_dsa":
        raise InputError(
            "model", geometry.model_type, "of the family glm_moe_dsa: the GGUF layout of others is not known"
        )
    g = geometry
    layers = g.num_hidden_layers + g.num_nextn_predict_layers
    dense = min(g.first_k_dense_replace, g.num_hidden_layers)
    outer = [
        GgufTensor("output.weight", g.hidden_size, g.vocab_size, 1, "rest"),
        GgufTensor("output_norm.weight", g.hidden_size, 1, 1, "f32"),
        GgufTensor("token_embd.weight", g.hidden_size, g.vocab_size, 1, "rest"),
    ]
    parts = [*_attention(g, layers), *_indexer(g, layers), *_dense(g, dense), *_experts(g, layers - dense)]
    return tuple(tensor for tensor in (*outer, *parts, *_mtp(g)) if tensor.count)


def _attention(g: Geometry, layers: int) -> list[GgufTensor]:
    heads, hidden, latent = g.num_attention_heads, g.hidden_size, g.kv_lora_rank
    return [
        GgufTensor("blk.N.attn_norm.weight", hidden, 1, layers, "f32"),
        GgufTensor("blk.N.attn_q_a.weight", hidden, g.q_lora_rank, layers, "rest"),
        GgufTensor("blk.N.attn_q_a_norm.weight", g.q_lora_rank, 1, layers, "f32"),
        GgufTensor("blk.N.attn_q_b.weight", g.q_lora_rank, heads * g.qk_head_dim, layers, "rest"),
        GgufTensor("blk.N.attn_kv_a_mqa.weight", hidden, latent + g.qk_rope_head_dim, layers, "rest"),
        GgufTensor("blk.N.attn_kv_a_norm.weight", latent, 1, layers, "f32"),
        GgufTensor("blk.N.attn_k_b.weight", g.qk_nope_head_dim, latent * heads, layers, "rest"),
        GgufTensor("blk.N.attn_v_b.weight", latent, g.v_head_dim * heads, layers, "rest"),
        GgufTensor("blk.N.attn_output.weight", heads * g.v_head_dim, hidden, layers, "rest"),
        GgufTensor("blk.N.ffn_norm.weight", hidden, 1, layers, "f32"),
    ]


def _indexer(g: Geometry, layers: int) -> list[GgufTensor]:
    size = g.index_head_dim
    own = len(g.indexer_layers) + g.num_nextn_predict_layers
    return [
        GgufTensor("blk.N.indexer.attn_k.weight", g.hidden_size, size, layers, "rest"),
        GgufTensor("blk.N.indexer.attn_q_b.weight", g.q_lora_rank, g.index_n_heads * size, layers, "rest"),
        GgufTensor("blk.N.indexer.k_norm.bias", size, 1, layers, "f32"),
        GgufTensor("blk.N.indexer.k_norm.weight", size, 1, layers, "f32"),
        GgufTensor("blk.N.indexer.proj.weight", g.hidden_size, g.index_n_heads, layers, "indexer_proj", own),
    ]


def _dense(g: Geometry, layers: int) -> list[GgufTensor]:
    return [
        GgufTensor("blk.N.ffn_down.weight", g.intermediate_size, g.hidden_size, layers, "rest"),
        GgufTensor("blk.N.ffn_gate.weight", g.hidden_size, g.intermediate_size, layers, "rest"),
        GgufTensor("blk.N.ffn_up.weight", g.hidden_size, g.intermediate_size, layers, "rest"),
    ]


def _experts(g: Geometry, layers: int) -> list[GgufTensor]:
    hidden, width, experts = g.hidden_size, g.moe_intermediate_size, g.n_routed_experts
    shared = width * g.n_shared_experts
    return [
        GgufTensor("blk.N.ffn_gate_inp.weight", hidden, experts, layers, "f32"),
        GgufTensor("blk.N.exp_probs_b.bias", experts, 1, layers, "f32"),
        GgufTensor("blk.N.ffn_down_exps.weight", width, hidden * experts, layers, "down"),
        GgufTensor("blk.N.ffn_gate_exps.weight", hidden, width * experts, layers, "gate"),
        GgufTensor("blk.N.ffn_up_exps.weight", hidden, width * experts, layers, "up"),
        GgufTensor("blk.N.ffn_down_shexp.weight", shared, hidden, layers, "rest"),
        GgufTensor("blk.N.ffn_gate_shexp.weight", hidden, shared, layers, "rest"),
        GgufTensor("blk.N.ffn_up_shexp.weight", hidden, shared, layers, "rest"),
    ]


def _mtp(g: Geometry) -> list[GgufTensor]:
    layers = g.num_nextn_predict_layers
    return [
        GgufTensor("blk.N.nextn.eh_proj.weight", 2 * g.hidden_size, g.hidden_size, layers, "rest"),
        GgufTensor("blk.N.nextn.enorm.weight", g.hidden_size, 1, layers, "f32"),
        GgufTensor("blk.N.nextn.hnorm.weight", g.hidden_size, 1, layers, "f32"),
        GgufTensor("blk.N.nextn.shared_head_norm.weight", g.hidden_size, 1, layers, "f32"),
    ]
