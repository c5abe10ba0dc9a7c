"""The budget of one GPU: weights, what runs beside them, the pool that is left, and the verdict on it."""

from __future__ import annotations

import math

from glmcalc.budget import kv, runtime, weights, workspaces
from glmcalc.budget.calibrated import SOURCE as CALIBRATED
from glmcalc.budget.calibrated import Calibrated, calibrated
from glmcalc.budget.result import Component, KvCache, Plan
from glmcalc.budget.terms import inside_terms
from glmcalc.budget.verdict import judge
from glmcalc.facts.engines import rule
from glmcalc.facts.frozen import record
from glmcalc.facts.quantity import Band, combine
from glmcalc.model.deployment import Deployment
from glmcalc.model.resolved import Resolved, resolve


def plan(deployment: Deployment) -> Plan:
    """Budget ``deployment`` on one of its GPUs and say whether it fits.

    Args:
        deployment: flags under vLLM's names; None stands for the engine's default.

    Returns:
        Components, KV cache and verdict; ``to_dict()`` is what ``glmcalc budget --json`` prints.

    Raises:
        InputError: a value that neither the model nor the engine takes.

    >>> from glmcalc import Deployment
    >>> plan(Deployment(gpu="h200_sxm", gpus=8, tensor_parallel_size=8, max_model_len=131000, max_num_seqs=64,
    ...                 kv_cache_dtype="fp8")).verdict.status
    'fits'
    """
    resolved = resolve(deployment)
    measured = calibrated(resolved)
    stages = _stages(resolved, measured)
    memory = _memory(resolved)
    terms = list(measured.terms) if measured else inside_terms(resolved)
    pools = _pools(resolved, stages, memory, terms, measured)
    binding = min(range(len(stages)), key=lambda i: (pools[i].likely // stages[i].block_bytes, -stages[i].block_bytes))
    cache = _cache(resolved, stages, pools, binding)
    components = _components(resolved, stages[binding], terms, pools[binding], cache, measured)
    requested = math.ceil(memory.likely * resolved.gpu_memory_utilization) if memory else None
    verdict = judge(resolved, components, cache, memory)
    return Plan(resolved, tuple(components), cache, memory, requested, verdict)


@record
class _Stage:
    """One pipeline stage: its weights (the release may leave a range open) and its block."""

    main: Band
    mtp: int
    block_bytes: int
    block_bytes_low: int


def _stages(r: Resolved, measured: Calibrated | None) -> list[_Stage]:
    ruling = rule("indexer_caches", r.version)
    if measured and r.asked.calibration and r.asked.calibration.indexer_caches:
        ruling = ruling.settled(r.asked.calibration.indexer_caches)
    every = ruling.value == "every_layer"
    shift = Band.exact(measured.weights_shift if measured else 0)
    split = weights.Split(r.tp, r.pp, r.dp, r.ep, r.mtp, all_indexers=every and r.checkpoint.geometry.sparse)
    loaded = weights.weights_by_stage(r.checkpoint, split)
    most = least = weights.main_bands(r.checkpoint, split)
    if ruling.other is not None:
        least = weights.main_bands(r.checkpoint, weights.Split(r.tp, r.pp, r.dp, r.ep, r.mtp))
    stages = []
    for index, layers in enumerate(weights.stage_layers(r.checkpoint.geometry.num_hidden_layers, r.pp)):
        last = index == r.pp - 1
        main = loaded[index].main
        repeated = loaded[index].repeated_if_sequence_parallel
        band = Band(least[index].low, main, most[index].high + repeated).plus(shift)
        owners_only = ruling.other is not None or not every
        stages.append(_Stage(
            band, loaded[index].mtp, _block_bytes(r, layers, last, every), _block_bytes(r, layers, last, not owners_only),
        ))  # fmt: skip
    return stages


def _block_bytes(r: Resolved, layers: range, last: bool, every: bool) -> int:
    g = r.checkpoint.geometry
    count = kv.cache_layers(g, layers, r.mtp, last, every)
    record = kv.mla_record_bytes(r.record, g.kv_lora_rank, g.qk_rope_head_dim)
    return kv.bytes_per_block(record, count.mla, kv.indexer_record_bytes(g.index_head_dim), count.indexer, r.block_size)


def _memory(r: Resolved) -> Band | None:
    return Band(r.memory.low_bytes, r.memory.bytes, r.memory.high_bytes) if r.memory else None


def _weights_band(r: Resolved, stage: _Stage) -> Band:
    if r.asked.weights_bytes is not None:
        return Band.exact(r.asked.weights_bytes)
    return stage.main.plus(Band.exact(stage.mtp))


def _pools(
    r: Resolved, stages: list[_Stage], memory: Band | None, terms: list[Component], measured: Calibrated | None
) -> list[Band]:
    """The pool of each stage: bytes per rank, with its band."""
    if r.asked.available_kv_bytes is not None:
        return [Band.exact(r.asked.available_kv_bytes)] * len(stages)
    if r.asked.kv_cache_memory_bytes is not None:
        return [Band.exact(r.asked.kv_cache_memory_bytes)] * len(stages)
    if memory is None:
        return [Band.exact(0)] * len(stages)
    least = round(runtime.term("least_half_width").likely)
    wider = 1.0 if r.version.certain or r.version.fork else 1.25
    pools = []
    for stage in stages:
        parts = [component.band for component in terms] + [_weights_band(r, stage)]
        used = combine(parts, least)
        below, above = round((used.high - used.likely) * wider), round((used.likely - used.low) * wider)
        if measured:
            below, above = measured.spread.high, -measured.spread.low
        low, likely, high = (
            math.ceil(total * r.gpu_memory_utilization) for total in (memory.low, memory.likely, memory.high)
        )
        pools.append(Band(low - used.likely - below, likely - used.likely, high - used.likely + above))
    return pools


def _cache(r: Resolved, stages: list[_Stage], pools: list[Band], binding: int) -> KvCache:
    def planned(end: str, blocks: str = "block_bytes") -> kv.Pool:
        rows = [kv.Stage(getattr(stage, blocks), getattr(pool, end)) for stage, pool in zip(stages, pools)]
        old = rule("printed_tokens", r.version).value == "blocks"
        return kv.plan_pool(
            rows, r.max_model_len, r.dcp, r.block_size, r.asked.num_gpu_blocks_override, r.auto_fit, old
        )

    largest = max(stages, key=lambda stage: stage.block_bytes)
    per_token = _per_token(largest.block_bytes, r.block_size * r.dcp)
    low = _per_token(largest.block_bytes_low, r.block_size * r.dcp)
    return KvCache(
        r.record, r.block_size, largest.block_bytes, per_token, low if low != per_token else None, pools[binding],
        planned("likely"), planned("low"), planned("high", "block_bytes_low"),
    )  # fmt: skip


def _per_token(block_bytes: int, tokens: int) -> int | float:
    whole, rest = divmod(block_bytes, tokens)
    return block_bytes / tokens if rest else whole


def _components(
    r: Resolved, stage: _Stage, terms: list[Component], pool: Band, cache: KvCache, measured: Calibrated | None
) -> list[Component]:
    printed = r.asked.weights_bytes is not None
    main = Band.exact(r.asked.weights_bytes or 0) if printed else stage.main
    basis = "measured" if printed else ("exact" if main.low == main.high else "estimated")
    origin = "as printed by the log" if printed else weights.SOURCE
    if measured and measured.weights_printed and not printed:
        basis, origin = "calibrated", CALIBRATED
    draft = "in the printed weights" if printed else None
    rows = [
        Component("weights", "Weights", main, True, basis, origin),
        Component(
            "mtp_layer", "MTP layer", Band.exact(0 if printed else stage.mtp), True, "exact", weights.SOURCE, draft
        ),
        *terms,
    ]
    shown = Band(max(pool.low, 0), max(pool.likely, 0), max(pool.high, 0))
    if r.asked.num_gpu_blocks_override is not None:
        shown = Band.exact(r.asked.num_gpu_blocks_override * cache.bytes_per_block)
    given = r.asked.available_kv_bytes is not None or r.asked.kv_cache_memory_bytes is not None
    pool_basis = "measured" if given else ("calibrated" if measured else "estimated")
    rows.append(Component("kv_pool", "KV pool", shown, True, pool_basis, "what remains"))
    concurrency = int(cache.pool.max_concurrency or 0)
    transient = runtime.unprofiled_transients(r, concurrency)
    context = runtime.context_term(r)
    rows += [
        Component("late_buffers", "Late buffers", _late(r, measured), False, "calibrated" if measured and measured.graphs_above is not None else "estimated", workspaces.SOURCE, "indexer and block tables, graphs above their estimate"),
        Component("unprofiled_transients", "Unprofiled peak", transient, False, "estimated", runtime.term("unprofiled_other").source, "decode logits, kernels' scratch, allocator growth"),
        Component("context_nccl", "Context, NCCL", context.band, False, context.kind, context.source, "taken before the engine's baseline"),
    ]  # fmt: skip
    return rows


def _late(r: Resolved, measured: Calibrated | None) -> Band:
    """Late buffers, with what the graphs took above their estimate where a log of this machine says it."""
    if measured is None or measured.graphs_above is None:
        return runtime.late_buffers(r)
    size = runtime.late_buffer_size(r) + max(measured.graphs_above, 0)
    return Band(size, size, size + abs(measured.graphs_above))
