"""Arithmetic of one token: FLOPs and bytes with and without a shared indexer, and against grouped-query attention.

Every function takes plain numbers or columns of them. A multiply-add counts as two FLOPs. What depends on the model
comes from its ``config.json`` (:class:`Work`); tests hold GLM-5.2's figures to those that were derived by hand.
"""

from __future__ import annotations

from functools import lru_cache

from glmcalc.facts.frozen import record
from glmcalc.model.checkpoint import Checkpoint
from glmcalc.model.geometry import Geometry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SOURCE = "derived: matrix shapes of the checkpoint's modules (glmcalc.model.modules)"


@record
class Work:
    """FLOPs of one token by what they grow with.

    Attributes:
        active: parameters that one token passes through (40.3e9 for GLM-5.2: 8 of 256 experts, no embedding, no MTP layer).
        core_per_position: FLOPs of the attention core for each position attended to, all layers.
        scan_per_position: FLOPs of one full layer's indexer for each position before the token.
        topk: positions that the sparse core attends to at most; None where attention is dense.
        indexers: layers that run their indexer.
    """

    active: int
    core_per_position: int
    scan_per_position: int
    topk: int | None
    indexers: int


@lru_cache(maxsize=64)
def work_of(checkpoint: Checkpoint) -> Work:
    """FLOPs of one token of ``checkpoint``.

    The core is that of absorbed MLA: queries and sums over ``kv_lora_rank + qk_rope_head_dim`` and ``kv_lora_rank``
    elements for each head. The indexer takes ``index_n_heads`` products of ``index_head_dim`` a position.
    """
    g = checkpoint.geometry
    width = g.kv_lora_rank + g.qk_rope_head_dim + g.kv_lora_rank
    return Work(
        active=active_parameters(checkpoint),
        core_per_position=2 * g.num_attention_heads * width * g.num_hidden_layers,
        scan_per_position=2 * g.index_n_heads * g.index_head_dim,
        topk=g.index_topk if g.sparse else None,
        indexers=len(g.indexer_layers),
    )


def active_parameters(checkpoint: Checkpoint) -> int:
    """Parameters that one token passes through: all but the embedding, the MTP layer and the experts not chosen."""
    g = checkpoint.geometry
    total = 0
    for module in checkpoint.modules:
        if checkpoint.is_mtp(module) or module.name == "embed_tokens" or module.columns == 1:
            continue
        share = g.num_experts_per_tok if module.group == "routed experts" else module.count
        total += module.rows * module.columns * share * module.repeats
    return total


def attended(context: Any, topk: int | None) -> Any:
    """Positions that one token's core attends to: ``min(context, topk)``, or all where attention is dense.

    Written without a comparison, so that columns go through as they are.

    >>> attended(8192, 2048), attended(1000, 2048), attended(8192, None)
    (2048.0, 1000.0, 8192)
    """
    return context if topk is None else (context + topk - abs(context - topk)) / 2


def weight_flops(active: Any) -> Any:
    """FLOPs of one token through the weights: two a parameter."""
    return 2 * active


def core_flops(work: Work, context: Any) -> Any:
    """FLOPs of one token's attention core at position ``context``, all layers (22.2e9 for GLM-5.2 from 2,048 on)."""
    return work.core_per_position * attended(context, work.topk)


def scan_flops(per_position: Any, indexers: Any, context: Any) -> Any:
    """FLOPs of one token's indexer scan: every earlier position, in each layer that runs its indexer."""
    return per_position * indexers * context


def token_flops(work: Work, context: Any, indexers: Any = None, core: bool = True) -> Any:
    """FLOPs to decode one token at position ``context``.

    Args:
        indexers: layers that run their indexer; the model's own by default, all of them for a model without sharing.
        core: whether the sparse attention core is counted.
    """
    layers = work.indexers if indexers is None else indexers
    scan = scan_flops(work.scan_per_position, layers, context)
    return weight_flops(work.active) + scan + (core_flops(work, context) if core else 0)


def sharing_ratio(work: Work, context: Any, layers: int, core: bool = True) -> Any:
    """FLOPs of one token when each of ``layers`` runs its indexer, over those when only the model's own do.

    The vendor's 2.9x at 1M tokens is this ratio without the core (https://huggingface.co/zai-org/GLM-5.2).
    """
    return token_flops(work, context, layers, core) / token_flops(work, context, None, core)


def prefill_flops(work: Work, tokens: Any, indexers: Any = None) -> Any:
    """FLOPs of a whole prompt: weights and core for each token, and half the square of the length for the indexer.

    The core is counted at its full width from the first token on, an overstatement below ``topk`` tokens only.
    """
    layers = work.indexers if indexers is None else indexers
    each = weight_flops(work.active) + work.core_per_position * (work.topk or tokens / 2)
    return each * tokens + work.scan_per_position * layers * tokens * tokens / 2


def gqa_bytes_per_token(geometry: Geometry, kv_heads: int = 8, element_bytes: int = 2) -> int:
    """KV bytes of one token with grouped-query attention of ``kv_heads`` heads in place of MLA, all layers.

    Keys and values as wide as the model's own heads (638,976 B for GLM-5.2 and 8 heads in BF16).
    """
    g = geometry
    return kv_heads * (g.qk_head_dim + g.v_head_dim) * element_bytes * g.num_hidden_layers


def gqa_core_flops(geometry: Geometry, context: Any) -> Any:
    """FLOPs of one token's dense attention over ``context`` positions, as grouped-query or multi-head attention has them.

    Sharing keys over heads saves bytes, not products: each query head still meets each position.
    """
    g = geometry
    return 2 * g.num_attention_heads * (g.qk_head_dim + g.v_head_dim) * g.num_hidden_layers * context


def gqa_read_s(geometry: Geometry, context: Any, bandwidth: Any, kv_heads: int = 8, element_bytes: int = 2) -> Any:
    """Seconds to read the KV cache of ``context`` tokens once at ``bandwidth`` bytes/s: the least one decode step takes."""
    return gqa_bytes_per_token(geometry, kv_heads, element_bytes) * context / bandwidth
