"""The budget of one GPU: weights, what runs beside them, the pool that is left, and the verdict on it."""

from __future__ import annotations

from glmcalc.budget import kv, runtime, weights, workspaces
from glmcalc.budget.calibrated import SOURCE as CALIBRATED
from glmcalc.budget.calibrated import Calibrated, calibrated
from glmcalc.budget.result import Component, KvCache, Plan
from glmcalc.budget.terms import inside_terms
from glmcalc.budget.verdict import judge
from glmcalc.facts.columns import cut, either, every, larger, raised, rounded
from glmcalc.facts.engines import rule
from glmcalc.facts.frozen import record
from glmcalc.facts.quantity import Band, band_where, combine
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
    made = figures_of(resolved)
    cache = _cache(resolved, made)
    requested = raised(made.memory.likely * resolved.gpu_memory_utilization) if made.memory else None
    verdict = judge(resolved, list(made.components), cache, made.memory)
    return Plan(resolved, made.components, cache, made.memory, requested, verdict)


@record
class Figures:
    """The numbers of a budget, before any verdict; every size may be a column.

    Attributes:
        available: the pool of the pipeline stage with the fewest blocks, bytes per rank.
        stages: block and pool of each pipeline stage, at the low, the likely and the high end.
        pools: the engine's planning at each of them.
        block_bytes, block_bytes_low: of the largest stage; ``low`` where the release leaves the layers open.
    """

    components: tuple[Component, ...]
    available: Band
    stages: tuple[list[kv.Stage], list[kv.Stage], list[kv.Stage]]
    pools: tuple[kv.PoolFigures, kv.PoolFigures, kv.PoolFigures]
    block_bytes: int
    block_bytes_low: int
    memory: Band | None


def figures_of(r: Resolved) -> Figures:
    """The numbers of the budget of a deployment: what stands before the pool, the pool, and what comes after it.

    Lengths, sequences, batched tokens and utilization of ``r`` may be columns (``glmcalc.solve.sweep``).
    """
    measured = calibrated(r)
    stages = _stages(r, measured)
    memory = _memory(r)
    terms = list(measured.terms) if measured else inside_terms(r)
    bands = _pools(r, stages, memory, terms, measured)
    rows = (
        [kv.Stage(stage.block_bytes, band.low) for stage, band in zip(stages, bands)],
        [kv.Stage(stage.block_bytes, band.likely) for stage, band in zip(stages, bands)],
        [kv.Stage(stage.block_bytes_low, band.high) for stage, band in zip(stages, bands)],
    )
    old = rule("printed_tokens", r.version).value == "blocks"
    pools = tuple(
        kv.pool_figures(row, r.max_model_len, r.dcp, r.block_size, r.asked.num_gpu_blocks_override, r.auto_fit, old)
        for row in rows
    )
    stage, pool = _fewest_blocks(stages, bands)
    largest = max(stages, key=lambda stage: stage.block_bytes)
    components = _components(r, stage, terms, pool, pools[1], largest.block_bytes, measured)
    return Figures(
        tuple(components), pool, rows, (pools[0], pools[1], pools[2]), largest.block_bytes, largest.block_bytes_low, memory
    )  # fmt: skip


def _fewest_blocks(stages: list[_Stage], pools: list[Band]) -> tuple[_Stage, Band]:
    """The stage whose pool has the fewest blocks, of equal ones that with the largest block; and its pool."""
    stage, pool = stages[0], pools[0]
    for other, its in zip(stages[1:], pools[1:]):
        ours, theirs = pool.likely // stage.block_bytes, its.likely // other.block_bytes
        fewer = (theirs < ours) | ((theirs == ours) & (other.block_bytes > stage.block_bytes))
        stage = _Stage(
            band_where(fewer, other.main, stage.main), either(fewer, other.mtp, stage.mtp),
            other.certain if every(fewer) else stage.certain,
            either(fewer, other.block_bytes, stage.block_bytes), either(fewer, other.block_bytes_low, stage.block_bytes_low),
        )  # fmt: skip
        pool = band_where(fewer, its, pool)
    return stage, pool


@record
class _Stage:
    """One pipeline stage: its weights (``certain``, or the release leaves a range open) and its block."""

    main: Band
    mtp: int
    certain: bool
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
        certain = least[index].low == main == most[index].high and not repeated
        stages.append(_Stage(
            band, loaded[index].mtp, certain, _block_bytes(r, layers, last, every), _block_bytes(r, layers, last, not owners_only),
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
        below, above = rounded((used.high - used.likely) * wider), rounded((used.likely - used.low) * wider)
        if measured:
            below, above = measured.spread.high, -measured.spread.low
        low, likely, high = (
            raised(total * r.gpu_memory_utilization) for total in (memory.low, memory.likely, memory.high)
        )
        pools.append(Band(low - used.likely - below, likely - used.likely, high - used.likely + above))
    return pools


def _cache(r: Resolved, made: Figures) -> KvCache:
    per_token = _per_token(made.block_bytes, r.block_size * r.dcp)
    low = _per_token(made.block_bytes_low, r.block_size * r.dcp)
    least, likely, most = (kv.pool_of(figures) for figures in made.pools)
    return KvCache(
        r.record, r.block_size, made.block_bytes, per_token, low if low != per_token else None, made.available,
        likely, least, most,
    )  # fmt: skip


def _per_token(block_bytes: int, tokens: int) -> int | float:
    whole, rest = divmod(block_bytes, tokens)
    return block_bytes / tokens if rest else whole


def _components(
    r: Resolved, stage: _Stage, terms: list[Component], pool: Band, planned: kv.PoolFigures, block_bytes: int,
    measured: Calibrated | None,
) -> list[Component]:  # fmt: skip
    printed = r.asked.weights_bytes is not None
    main = Band.exact(r.asked.weights_bytes or 0) if printed else stage.main
    basis = "measured" if printed else ("exact" if stage.certain else "estimated")
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
    shown = Band(larger(pool.low, 0), larger(pool.likely, 0), larger(pool.high, 0))
    if r.asked.num_gpu_blocks_override is not None:
        shown = Band.exact(r.asked.num_gpu_blocks_override * block_bytes)
    given = r.asked.available_kv_bytes is not None or r.asked.kv_cache_memory_bytes is not None
    pool_basis = "measured" if given else ("calibrated" if measured else "estimated")
    rows.append(Component("kv_pool", "KV pool", shown, True, pool_basis, "what remains"))
    transient = runtime.unprofiled_transients(r, cut(planned.max_concurrency))
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
