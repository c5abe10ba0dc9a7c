"""The budget of llama.cpp: whole layers on each GPU, a cache of all its cells at once, and a compute buffer on each device.

Cache bytes are llama.cpp's own (``src/llama-kv-cache-dsa.cpp``): per cell and layer the latent and rotary part, no V, and on
layers with an indexer its key, all in the type of ``--cache-type-k``. Logs print them exactly.
"""

from __future__ import annotations

from glmcalc.budget.llamacpp_verdict import judge_llamacpp
from glmcalc.budget.other_result import OtherPlan, TokenPool
from glmcalc.budget.other_terms import listed, other_term, times
from glmcalc.budget.other_verdict import apart
from glmcalc.budget.result import Component
from glmcalc.facts.frozen import record
from glmcalc.facts.quantity import Band, ceil_div, combine
from glmcalc.model.deployment import Deployment
from glmcalc.model.geometry import Geometry
from glmcalc.model.llamacpp_file import parts_of
from glmcalc.model.llamacpp_settings import CACHE_TYPES, UBATCH, LlamacppResolved, resolve_llamacpp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

KV_SOURCE = "https://github.com/ggml-org/llama.cpp/pull/26474"


@record
class Placed:
    """What lies on the fullest GPU, and in the host's memory: bytes of weights and cache.

    Attributes:
        share: part of the layers on GPUs that the fullest one holds.
    """

    weights: Band
    host_weights: Band
    cache: int
    host_cache: int
    share: float


def cell_bytes(g: Geometry, cache_type: str, layers: int, indexers: int) -> int:
    """Bytes of one cell (a token) over ``layers`` layers of which ``indexers`` have an indexer cache.

    >>> from glmcalc.model.checkpoint import load_checkpoint
    >>> shape = load_checkpoint("zai-org/GLM-5.2").geometry
    >>> cell_bytes(shape, "f16", 78, 21), cell_bytes(shape, "f16", 78, 78), cell_bytes(shape, "q8_0", 1, 0)
    (95232, 109824, 612)
    """
    size, block = CACHE_TYPES[cache_type]
    latent = (g.kv_lora_rank + g.qk_rope_head_dim) * size // block
    return layers * latent + indexers * (g.index_head_dim * size // block)


def plan_llamacpp(asked: Deployment) -> OtherPlan:
    """Budget ``asked`` under llama.cpp's rules.

    Raises:
        InputError: a value that neither the model nor the engine takes.

    >>> made = plan_llamacpp(Deployment(engine="llama.cpp", gpu="mac_m3_ultra_512", quantization="UD-Q2_K_XL", ctx_size=131072))
    >>> made.kv.bytes_per_token, made.verdict.status
    (95232, 'fits')
    """
    r = resolve_llamacpp(asked)
    memory = Band(r.memory.low_bytes, r.memory.bytes, r.memory.high_bytes) if r.memory else None
    g = r.file.geometry
    token = cell_bytes(g, r.cache_type, g.num_hidden_layers, r.indexers)
    least = None if r.indexers_other is None else cell_bytes(g, r.cache_type, g.num_hidden_layers, r.indexers_other)
    placed = _place(r, token)
    compute, context = _compute(r), _context(r)
    free = apart(memory, context) if memory else Band.exact(0)
    room = apart(free, combine([placed.weights, compute]))
    if asked.available_kv_bytes is not None:
        room = Band.exact(asked.available_kv_bytes)
    pool = _pool(r, token, least, placed, room)
    components = _components(r, placed, compute, context)
    verdict = judge_llamacpp(r, placed.weights, placed.cache, compute, free, room, placed.host_weights, pool)
    host = {
        "weights_bytes": placed.host_weights.likely, "weights_low_bytes": placed.host_weights.low,
        "weights_high_bytes": placed.host_weights.high, "kv_bytes": placed.host_cache,
        "shares_memory_with_the_gpu": r.unified,
    }  # fmt: skip
    return OtherPlan(r, tuple(components), pool, memory, free.likely if memory else None, verdict, _deployment(r), host)


def _place(r: LlamacppResolved, token: int) -> Placed:
    g = r.file.geometry
    share = ceil_div(r.gpu_layers, r.gpus) / r.gpu_layers if r.gpu_layers else 0.0
    whole = token * r.cells
    on_gpu = 0 if r.kv_on_cpu or not r.gpu_layers else round(whole * r.gpu_layers / g.num_hidden_layers)
    cache = round(on_gpu * share) if r.gpus > 1 else on_gpu
    if r.asked.weights_bytes is not None or r.file.size is None:
        return Placed(Band.exact(r.asked.weights_bytes or 0), Band.exact(0), cache, whole - on_gpu, share)
    parts = parts_of(r.file.size, g)
    first = g.num_hidden_layers - r.gpu_layers
    sparse = g.num_hidden_layers - max(first, g.first_k_dense_replace)
    kept = sparse - r.experts_on_cpu
    layers = _sum([(parts.expert_layer, kept), (parts.other_layer, r.gpu_layers)])
    head = _sum([(parts.head, 1 if r.head_on_gpu else 0)])
    every = g.num_hidden_layers - g.first_k_dense_replace
    host = _sum([
        (parts.expert_layer, every - kept), (parts.other_layer, first), (parts.embedding, 1), (parts.head, 0 if r.head_on_gpu else 1),
    ])  # fmt: skip
    if r.gpus == 1 and kept == every and r.head_on_gpu:
        # All but embedding and MTP layer: the file's own bytes less those two.
        layers, head = _all_of_it(r, parts.expert_layer.plus(parts.other_layer).plus(parts.embedding)), Band.exact(0)
    if r.gpus > 1:
        placement = other_term("llamacpp_placement")
        layers = Band(*(round(end * share * times_) for end, times_ in zip(
            (layers.low, layers.likely, layers.high), (placement.low, placement.likely, placement.high)
        )))  # fmt: skip
    return Placed(layers.plus(head), host, cache, whole - on_gpu, share)


def _all_of_it(r: LlamacppResolved, without: Band) -> Band:
    size = r.file.size
    assert size is not None
    return Band(size.low_bytes - without.high, size.bytes - without.likely, size.high_bytes - without.low)


def _sum(rows: list[tuple[Band, float]]) -> Band:
    ends = [[round(getattr(band, end) * count) for band, count in rows] for end in ("low", "likely", "high")]
    return Band(*(sum(end) for end in ends))


def _compute(r: LlamacppResolved) -> Band:
    """The compute buffer of one device: it grows with context and micro-batch."""
    band = combine([
        _scaled(other_term("llamacpp_compute_base").band, r.ubatch / UBATCH),
        times("llamacpp_compute_cell_row", r.slot_cells * r.ubatch),
    ])  # fmt: skip
    if r.flash_attention:
        return band
    scores = r.file.geometry.num_attention_heads * r.slot_cells * r.ubatch * 4
    return band.plus(Band(scores // 4, scores, 2 * scores))


def _scaled(band: Band, by: float) -> Band:
    return Band(round(band.low * min(by, 1)), round(band.likely * by), round(band.high * max(by, 1)))


def _context(r: LlamacppResolved) -> Band:
    if r.device.architecture == "sm121":
        return other_term("sglang_context_shared").band
    return Band.exact(0) if r.unified else other_term("llamacpp_context").band


def _pool(r: LlamacppResolved, token: int, least: int | None, placed: Placed, room: Band) -> TokenPool:
    here = placed.cache / r.cells if placed.cache else 0.0
    ends = [r.cells if not here else int(max(size, 0) / here) for size in (room.low, room.likely, room.high)]
    held = [min(end, r.cells) for end in ends]
    more: dict[str, Any] = {
        "cells": r.cells, "slots": r.slots, "slot_cells": r.slot_cells, "needed_bytes": token * r.cells,
        "needed_bytes_per_gpu": placed.cache, "indexer_layers": r.indexers, "fits": held[1] >= r.cells,
        "estimated_max_model_len": min(ends[1], r.file.geometry.max_position_embeddings) or None,
    }  # fmt: skip
    return TokenPool(r.cache_type, token, least, room, (held[0], held[1], held[2]), r.slot_cells, more)


def _components(r: LlamacppResolved, placed: Placed, compute: Band, context: Band) -> list[Component]:
    size = r.file.size
    printed = r.asked.weights_bytes is not None or size is None
    source = "as printed by the log" if printed or size is None else size.source
    basis = "measured" if printed else "exact" if placed.weights.low == placed.weights.high else "estimated"
    note = (
        None
        if size is None
        else f"{size.label}; {r.gpu_layers} layers on GPUs, {r.experts_on_cpu:g} with their experts on the CPU"
    )
    cell = (
        "all cells at once, as the log prints them"
        if not r.indexers_other
        else "the build leaves open which layers have an indexer cache"
    )
    low = placed.cache
    if r.indexers_other is not None:
        g = r.file.geometry
        low = round(placed.cache * cell_bytes(g, r.cache_type, g.num_hidden_layers, r.indexers_other)
                    / cell_bytes(g, r.cache_type, g.num_hidden_layers, r.indexers))  # fmt: skip
    rows = [
        Component("weights", "Weights", placed.weights, True, basis, source, note),
        Component("kv_pool", "KV cache", Band(low, placed.cache, placed.cache), True, "exact" if low == placed.cache else "estimated", KV_SOURCE, cell),
        listed("compute_buffer", "Compute buffer", "llamacpp_compute_cell_row", True, f"context x micro-batch of {r.ubatch}", compute),
    ]  # fmt: skip
    if context.high:
        term = "sglang_context_shared" if r.device.architecture == "sm121" else "llamacpp_context"
        rows.append(listed("context", "Context", term, False, "taken before llama.cpp looks", context))
    return rows


def _deployment(r: LlamacppResolved) -> dict[str, Any]:
    size = r.file.size
    return {
        "engine": "llama.cpp", "engine_version": r.version.text, "model": r.file.model, "file": r.file.name,
        "quantization": r.file.label or (size.label if size else None), "gpu": r.device.id, "gpus": r.gpus,
        "tensor_parallel_size": None, "pipeline_parallel_size": None, "data_parallel_size": None,
        "decode_context_parallel_size": None, "enable_expert_parallel": None, "max_model_len": r.slot_cells,
        "ctx_size": r.cells, "max_num_seqs": r.slots, "parallel": r.slots, "max_num_batched_tokens": None,
        "ubatch_size": r.ubatch, "gpu_memory_utilization": None, "kv_cache_dtype": None, "cache_type_k": r.cache_type,
        "cache_type_v": None, "n_gpu_layers": r.gpu_layers + r.file.geometry.num_nextn_predict_layers + int(r.head_on_gpu)
        if r.gpu_layers else 0, "gpu_layers": r.gpu_layers, "experts_on_cpu_layers": r.experts_on_cpu,
        "kv_on_cpu": r.kv_on_cpu, "flash_attention": r.flash_attention, "block_size": None, "speculative_method": None,
        "num_speculative_tokens": None, "defaults_filled": list(r.filled),
    }  # fmt: skip
