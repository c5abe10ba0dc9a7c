"""Every weight of the model, as a list of modules: the one place that knows the layers' insides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator

from glmcalc.model.geometry import Geometry
from glmcalc.model.recipes import Recipe, linear_bytes


@dataclass(frozen=True)
class Module:
    """A weight, or ``count`` equal ones.

    Attributes:
        name: as in the checkpoint, without the layer (``self_attn.o_proj``).
        layer: index, or None for what stands outside the layers; an MTP layer has ``num_hidden_layers`` and up.
        group: the row of the tables it is summed into.
        rows, columns: shape; a vector has ``columns == 1``.
        count: how many (experts).
        fmt: ``bf16``, ``fp8``, ``nvfp4``, or ``norm`` / ``fp32`` for vectors.
        split: how the engine spreads it: ``rows`` or ``columns`` over TP, ``experts``, ``replicated``, or ``shared``
            (stored, but the engine uses the main model's copy).
    """

    name: str
    layer: int | None
    group: str
    rows: int
    columns: int
    count: int
    fmt: str
    split: str
    norm_bytes: int = 2

    @property
    def parameters(self) -> int:
        """Elements, scales not counted."""
        return self.rows * self.columns * self.count

    @property
    def stored_bytes(self) -> int:
        """Bytes in the checkpoint, scales included."""
        if self.fmt == "norm":
            return self.parameters * self.norm_bytes
        if self.fmt == "fp32":
            return self.parameters * 4
        return self.count * linear_bytes(self.fmt, self.rows, self.columns)


def list_modules(geometry: Geometry, recipe: Recipe) -> Iterator[Module]:
    """All weights of the checkpoint, MTP layers included.

    Source: the tensor lists of the published checkpoints, whose counts and bytes this reproduces
    (``data/checkpoints.jsonl``; tests hold it to the byte).
    """
    g = geometry
    last = g.num_hidden_layers + g.num_nextn_predict_layers
    for layer in range(last):
        yield from _layer(g, recipe, layer)
    yield Module("embed_tokens", None, "embed_tokens", g.vocab_size, g.hidden_size, 1, "bf16", "rows")
    yield Module("lm_head", None, "lm_head", g.vocab_size, g.hidden_size, 1, "bf16", "rows")
    yield Module("norm", None, "norms", g.hidden_size, 1, 1, "norm", "replicated", recipe.norm_bytes)


@dataclass(frozen=True)
class _Layer:
    """Makes the modules of one layer: knows its number and its formats."""

    recipe: Recipe
    layer: int

    def linear(self, name: str, group: str, rows: int, columns: int, split: str, count: int = 1) -> Module:
        sample = name.replace("experts.", "experts.0.") if count > 1 else name
        fmt = self.recipe.format_of(f"model.layers.{self.layer}.{sample}")
        return Module(name, self.layer, group, rows, columns, count, fmt, split)

    def bf16(self, name: str, group: str, rows: int, columns: int, split: str) -> Module:
        """A matrix that no checkpoint quantizes."""
        return Module(name, self.layer, group, rows, columns, 1, "bf16", split)

    def vector(self, name: str, size: int, group: str = "norms", fmt: str = "norm") -> Module:
        return Module(name, self.layer, group, size, 1, 1, fmt, "replicated", self.recipe.norm_bytes)


def _layer(g: Geometry, recipe: Recipe, layer: int) -> Iterator[Module]:
    make = _Layer(recipe, layer)
    is_mtp = layer >= g.num_hidden_layers
    yield from _attention(g, make)
    if layer in g.indexer_layers or (g.sparse and is_mtp):
        yield from _indexer(g, make)
    if g.is_dense(layer):
        yield make.linear("mlp.gate_proj", "dense MLP", g.intermediate_size, g.hidden_size, "rows")
        yield make.linear("mlp.up_proj", "dense MLP", g.intermediate_size, g.hidden_size, "rows")
        yield make.linear("mlp.down_proj", "dense MLP", g.hidden_size, g.intermediate_size, "columns")
    else:
        yield from _experts(g, make)
    if is_mtp:
        yield from _mtp_extras(g, make)


def _attention(g: Geometry, make: _Layer) -> Iterator[Module]:
    heads, hidden = g.num_attention_heads, g.hidden_size
    latent = g.kv_lora_rank + g.qk_rope_head_dim
    yield make.linear("self_attn.q_a_proj", "attention q_a, kv_a", g.q_lora_rank, hidden, "replicated")
    yield make.linear("self_attn.kv_a_proj_with_mqa", "attention q_a, kv_a", latent, hidden, "replicated")
    yield make.linear("self_attn.q_b_proj", "attention q_b", heads * g.qk_head_dim, g.q_lora_rank, "rows")
    kv_b_rows = heads * (g.qk_nope_head_dim + g.v_head_dim)
    yield make.linear("self_attn.kv_b_proj", "attention kv_b", kv_b_rows, g.kv_lora_rank, "rows")
    yield make.linear("self_attn.o_proj", "attention o", hidden, heads * g.v_head_dim, "columns")
    yield make.vector("input_layernorm", hidden)
    yield make.vector("post_attention_layernorm", hidden)
    yield make.vector("self_attn.q_a_layernorm", g.q_lora_rank)
    yield make.vector("self_attn.kv_a_layernorm", g.kv_lora_rank)


def _indexer(g: Geometry, make: _Layer) -> Iterator[Module]:
    yield make.linear(
        "self_attn.indexer.wq_b", "indexer", g.index_n_heads * g.index_head_dim, g.q_lora_rank, "replicated"
    )
    yield make.linear("self_attn.indexer.wk", "indexer", g.index_head_dim, g.hidden_size, "replicated")
    yield make.linear("self_attn.indexer.weights_proj", "indexer", g.index_n_heads, g.hidden_size, "replicated")
    yield make.vector("self_attn.indexer.k_norm", 2 * g.index_head_dim, group="indexer")


def _experts(g: Geometry, make: _Layer) -> Iterator[Module]:
    hidden, width, experts = g.hidden_size, g.moe_intermediate_size, g.n_routed_experts
    yield make.bf16("mlp.gate", "router", experts, hidden, "replicated")
    yield make.vector("mlp.gate.e_score_correction_bias", experts, "router", "fp32")
    yield make.linear("mlp.experts.gate_proj", "routed experts", width, hidden, "experts", experts)
    yield make.linear("mlp.experts.up_proj", "routed experts", width, hidden, "experts", experts)
    yield make.linear("mlp.experts.down_proj", "routed experts", hidden, width, "experts", experts)
    shared = width * g.n_shared_experts
    yield make.linear("mlp.shared_experts.gate_proj", "shared experts", shared, hidden, "rows")
    yield make.linear("mlp.shared_experts.up_proj", "shared experts", shared, hidden, "rows")
    yield make.linear("mlp.shared_experts.down_proj", "shared experts", hidden, shared, "columns")


def _mtp_extras(g: Geometry, make: _Layer) -> Iterator[Module]:
    yield make.bf16("eh_proj", "MTP eh_proj", g.hidden_size, 2 * g.hidden_size, "replicated")
    for name in ("enorm", "hnorm", "shared_head.norm"):
        yield make.vector(name, g.hidden_size)
    if make.recipe.stores_mtp_embeddings:
        for name in ("embed_tokens", "shared_head.head"):
            yield make.bf16(name, "MTP copies of embedding and head", g.vocab_size, g.hidden_size, "shared")
