"""Every weight of the model, as a list of modules: the one place that knows the layers' insides."""

from __future__ import annotations

from glmcalc.facts.frozen import record
from glmcalc.model.geometry import Geometry
from glmcalc.model.recipes import Recipe, linear_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

    from glmcalc.model.mixes import MixedRecipe


@record
class Module:
    """A weight that several layers have alike, or ``count`` equal ones in each.

    Attributes:
        name: as in the checkpoint, without the layer (``self_attn.o_proj``).
        layers: the layers that have it, or None for what stands outside the layers; an MTP layer has
            ``num_hidden_layers`` and up, and never shares a row with the others.
        group: the row of the tables it is summed into.
        rows, columns: shape; a vector has ``columns == 1``.
        count: how many in a layer (experts).
        fmt: a format of ``recipes.linear_bytes``, or ``norm`` / ``fp32`` for vectors.
        split: how the engine spreads it: ``rows`` or ``columns`` over TP, ``experts``, ``replicated``, or ``shared``
            (stored, but the engine uses the main model's copy).
        norm_bytes: bytes of an element of a norm.
    """

    name: str
    layers: tuple[int, ...] | None
    group: str
    rows: int
    columns: int
    count: int
    fmt: str
    split: str
    norm_bytes: int = 2

    @property
    def repeats(self) -> int:
        """In how many places the model has it: one outside the layers, else one in each layer."""
        return 1 if self.layers is None else len(self.layers)

    @property
    def parameters(self) -> int:
        """Elements over all layers, scales not counted."""
        return self.rows * self.columns * self.count * self.repeats

    @property
    def stored_bytes(self) -> int:
        """Bytes in the checkpoint over all layers, scales included."""
        if self.fmt == "norm":
            return self.parameters * self.norm_bytes
        if self.fmt == "fp32":
            return self.parameters * 4
        return self.count * self.repeats * linear_bytes(self.fmt, self.rows, self.columns)


def list_modules(geometry: Geometry, recipe: Recipe | MixedRecipe) -> Iterator[Module]:
    """All weights of the checkpoint, MTP layers included.

    Source: the tensor lists of the published checkpoints, whose counts and bytes this reproduces
    (``data/checkpoints.jsonl``; tests hold it to the byte).
    """
    g = geometry
    main = range(g.num_hidden_layers)
    mtp = range(g.num_hidden_layers, g.num_hidden_layers + g.num_nextn_predict_layers)
    for layers, owners in ((main, g.indexer_layers), (mtp, tuple(mtp) if g.sparse else ())):
        if layers:
            yield from _layers(g, recipe, tuple(layers), owners)
    yield from _mtp_extras(g, _Layers(recipe, tuple(mtp)))
    yield Module("embed_tokens", None, "embed_tokens", g.vocab_size, g.hidden_size, 1, recipe.embeddings, "rows")
    yield Module("lm_head", None, "lm_head", g.vocab_size, g.hidden_size, 1, recipe.embeddings, "rows")
    yield Module("norm", None, "norms", g.hidden_size, 1, 1, "norm", "replicated", recipe.norm_bytes)


@record
class _Layers:
    """Makes the modules that some layers have; layers in which a checkpoint stores one differently make rows apart."""

    recipe: Recipe | MixedRecipe
    layers: tuple[int, ...]

    def linear(self, name: str, group: str, rows: int, columns: int, split: str, count: int = 1) -> Iterator[Module]:
        sample = name.replace("experts.", "experts.0.") if count > 1 else name
        for fmt, layers in self.recipe.formats(self.layers, sample).items():
            yield Module(name, tuple(layers), group, rows, columns, count, fmt, split)

    def bf16(self, name: str, group: str, rows: int, columns: int, split: str) -> Iterator[Module]:
        """A matrix that no checkpoint quantizes."""
        if self.layers:
            yield Module(name, self.layers, group, rows, columns, 1, "bf16", split)

    def vector(self, name: str, size: int, group: str = "norms", fmt: str = "norm") -> Iterator[Module]:
        if self.layers:
            yield Module(name, self.layers, group, size, 1, 1, fmt, "replicated", self.recipe.norm_bytes)


def _layers(
    g: Geometry, recipe: Recipe | MixedRecipe, layers: tuple[int, ...], owners: tuple[int, ...]
) -> Iterator[Module]:
    dense = tuple(layer for layer in layers if g.is_dense(layer))
    sparse = tuple(layer for layer in layers if not g.is_dense(layer))
    yield from _attention(g, _Layers(recipe, layers))
    yield from _indexer(g, _Layers(recipe, owners))
    yield from _dense_mlp(g, _Layers(recipe, dense))
    yield from _experts(g, _Layers(recipe, sparse))


def _attention(g: Geometry, make: _Layers) -> Iterator[Module]:
    heads, hidden = g.num_attention_heads, g.hidden_size
    latent = g.kv_lora_rank + g.qk_rope_head_dim
    yield from make.linear("self_attn.q_a_proj", "attention q_a, kv_a", g.q_lora_rank, hidden, "replicated")
    yield from make.linear("self_attn.kv_a_proj_with_mqa", "attention q_a, kv_a", latent, hidden, "replicated")
    yield from make.linear("self_attn.q_b_proj", "attention q_b", heads * g.qk_head_dim, g.q_lora_rank, "rows")
    kv_b_rows = heads * (g.qk_nope_head_dim + g.v_head_dim)
    yield from make.linear("self_attn.kv_b_proj", "attention kv_b", kv_b_rows, g.kv_lora_rank, "rows")
    yield from make.linear("self_attn.o_proj", "attention o", hidden, heads * g.v_head_dim, "columns")
    yield from make.vector("input_layernorm", hidden)
    yield from make.vector("post_attention_layernorm", hidden)
    yield from make.vector("self_attn.q_a_layernorm", g.q_lora_rank)
    yield from make.vector("self_attn.kv_a_layernorm", g.kv_lora_rank)


def _indexer(g: Geometry, make: _Layers) -> Iterator[Module]:
    heads = g.index_n_heads
    yield from make.linear("self_attn.indexer.wq_b", "indexer", heads * g.index_head_dim, g.q_lora_rank, "replicated")
    yield from make.linear("self_attn.indexer.wk", "indexer", g.index_head_dim, g.hidden_size, "replicated")
    yield from make.linear("self_attn.indexer.weights_proj", "indexer", heads, g.hidden_size, "replicated")
    yield from make.vector("self_attn.indexer.k_norm", 2 * g.index_head_dim, group="indexer")


def _dense_mlp(g: Geometry, make: _Layers) -> Iterator[Module]:
    yield from make.linear("mlp.gate_proj", "dense MLP", g.intermediate_size, g.hidden_size, "rows")
    yield from make.linear("mlp.up_proj", "dense MLP", g.intermediate_size, g.hidden_size, "rows")
    yield from make.linear("mlp.down_proj", "dense MLP", g.hidden_size, g.intermediate_size, "columns")


def _experts(g: Geometry, make: _Layers) -> Iterator[Module]:
    hidden, width, experts = g.hidden_size, g.moe_intermediate_size, g.n_routed_experts
    yield from make.bf16("mlp.gate", "router", experts, hidden, "replicated")
    yield from make.vector("mlp.gate.e_score_correction_bias", experts, "router", "fp32")
    yield from make.linear("mlp.experts.gate_proj", "routed experts", width, hidden, "experts", experts)
    yield from make.linear("mlp.experts.up_proj", "routed experts", width, hidden, "experts", experts)
    yield from make.linear("mlp.experts.down_proj", "routed experts", hidden, width, "experts", experts)
    shared = width * g.n_shared_experts
    yield from make.linear("mlp.shared_experts.gate_proj", "shared experts", shared, hidden, "rows")
    yield from make.linear("mlp.shared_experts.up_proj", "shared experts", shared, hidden, "rows")
    yield from make.linear("mlp.shared_experts.down_proj", "shared experts", hidden, shared, "columns")


def _mtp_extras(g: Geometry, make: _Layers) -> Iterator[Module]:
    yield from make.bf16("eh_proj", "MTP eh_proj", g.hidden_size, 2 * g.hidden_size, "replicated")
    for name in ("enorm", "hnorm", "shared_head.norm"):
        yield from make.vector(name, g.hidden_size)
    if make.recipe.stores_mtp_embeddings:
        for name in ("embed_tokens", "shared_head.head"):
            yield from make.bf16(name, "MTP copies of embedding and head", g.vocab_size, g.hidden_size, "shared")
