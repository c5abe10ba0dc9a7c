"""The search under vLLM: formats of the weights, splits over GPUs, KV records; pruned by weights, settled by budgets.

The least change is tried first: plain tensor parallelism, then the smallest decode context parallelism that holds all
requests, then attention in data-parallel groups, then pipeline stages. BF16 KV is not tried: it takes 1.7 times the bytes of
the FP8 record, for which no loss is reported. Plain FP8 KV, for which one is, comes last.
"""

from __future__ import annotations

import math

from glmcalc.budget.kv import blocks_per_request
from glmcalc.budget.margins import STAGES, margins
from glmcalc.budget.plan import plan
from glmcalc.budget.result import Plan
from glmcalc.budget.weights import Split, weights_by_stage
from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.model.checkpoint import Checkpoint, load_checkpoint
from glmcalc.model.deployment import Deployment
from glmcalc.model.records import device_refusals
from glmcalc.model.resolved import mismatch, resolve
from glmcalc.solve.binding import requests_held
from glmcalc.solve.size_fit import Fit, too_few, whole_status
from glmcalc.solve.size_need import Configuration, Need, quality_note, quality_of

FORMATS = ("fp8", "nvfp4", "mxfp4", "w4a16", "w4afp8", "awq")
TOKENS = 8_192
FEW_TOKENS = 2_048
SHARE, MOST_SHARE, LEAST_SHARE = 0.92, 0.95, 0.80
_BLACKWELL = ("sm100", "sm103")
_COMPARED = 2  # splits that serve, whose speeds are compared
_FLAGS_GIVE = 3 << 30  # bytes that fewer batched tokens and sequences can give back
_LATE = ("startup_free_memory", "cuda_graph_capture", "runtime_workspace", "runtime_activation")


@record
class Spread:
    """Sizes of parallelism; ``dp`` groups share the experts (expert parallelism)."""

    tp: int
    pp: int = 1
    dp: int = 1


@record
class Unloaded:
    """A format whose weights do not load: bytes of the fullest rank in its best split, and of one GPU's memory."""

    fmt: str
    spread: Spread
    needed: int
    memory: int


def formats_for(config: Configuration, need: Need, engine: str) -> list[str]:
    """Formats that ``engine`` loads on the machine, the least risk to quality first; NVFP4 on Hopper only where asked for."""
    chip = config.device
    if need.quantization is not None:
        return [load_checkpoint(need.model, need.quantization).recipe.fmt]
    found = [fmt for fmt in FORMATS if not refusals_of(fmt, config, need, engine)]
    if chip.architecture == "sm90":
        found = [fmt for fmt in found if fmt != "nvfp4"]  # no FP4 cores: 4-bit forms made for Hopper stand in
    return sorted(found, key=lambda fmt: quality_of(fmt).rank)


def refusals_of(fmt: str, config: Configuration, need: Need, engine: str) -> list[str]:
    """Why ``engine`` does not run ``fmt`` on the machine; empty where it does."""
    try:
        checkpoint = load_checkpoint(need.model, fmt)
    except InputError as error:
        return [error.message]
    if engine == "vllm":
        return device_refusals(checkpoint.geometry, checkpoint.recipe.fmt, config.device)
    from glmcalc.model.format_support import format_refusals, nearest_four_bit

    if checkpoint.recipe.fmt == "nvfp4" and config.device.vendor == "AMD":
        return [f"NVFP4 has no kernels on AMD; take {nearest_four_bit(engine, config.device)}"]
    return format_refusals(checkpoint.recipe.fmt, engine, config.device)


def search_vllm(config: Configuration, need: Need) -> tuple[list[Fit], list[Unloaded]]:
    """Candidates that were budgeted, and formats that do not load; nothing is tried below the first that serves.

    A smaller format of the weights comes before a KV record with a reported loss.
    """
    fits: list[Fit] = []
    unloaded: dict[str, Unloaded] = {}
    for kv in _records(config):
        for fmt in formats_for(config, need, "vllm"):
            if fmt in unloaded:
                continue
            checkpoint = load_checkpoint(need.model, fmt)
            loading, missing = _loading(config, need, checkpoint)
            if missing is not None:
                unloaded[fmt] = missing
            fits += _of_format(config, need, checkpoint, loading, kv)
            if any(fit.clear for fit in fits):
                return fits, list(unloaded.values())
    return fits, list(unloaded.values())


def unloaded_fit(config: Configuration, need: Need, one: Unloaded) -> Fit:
    """The budget of a format that does not load, in the split that comes nearest to it."""
    checkpoint = load_checkpoint(need.model, one.fmt)
    return fit_of(plan(deployment_for(config, need, checkpoint, one.spread, _records(config)[0])), need)


def _records(config: Configuration) -> tuple[str, ...]:
    if config.device.architecture in _BLACKWELL:
        return ("fp8_ds_mla", "fp8")
    return ("fp8",)


def spreads_of(config: Configuration, need: Need) -> list[Spread]:
    """Ways to use all GPUs: tensor parallelism in a node, data-parallel attention, pipeline stages."""
    n, per_node = config.gpus, max(config.gpus // config.nodes, 1)
    heads = load_checkpoint(need.model).geometry.num_attention_heads
    if config.apart:  # layers over the nodes: tensor parallelism would cross the network twice a layer
        return [Spread(per_node, config.nodes), *([Spread(n)] if heads % n == 0 else [])]
    found = [Spread(n)] if heads % n == 0 else []
    if need.concurrency > 1:
        found += [Spread(n // dp, 1, dp) for dp in (2, 4, 8, 16) if n % dp == 0 and heads % (n // dp) == 0 and n > 1]
    if config.nodes == 1:
        found += [Spread(n // pp, pp) for pp in (2, 4) if n % pp == 0 and heads % (n // pp) == 0 and n > pp]
    return found


def _loading(config: Configuration, need: Need, checkpoint: Checkpoint) -> tuple[list[Spread], Unloaded | None]:
    """Splits whose weights leave room on a GPU; where none does, the one that is nearest to it."""
    memory = config.device.memory()
    if memory is None:
        return [], None
    found: list[Spread] = []
    nearest: Unloaded | None = None
    for spread in spreads_of(config, need):
        try:
            size = _least_weights(checkpoint, spread, need)
        except InputError:
            continue
        if size < memory.high_bytes:
            found.append(spread)
        elif nearest is None or size < nearest.needed:
            nearest = Unloaded(checkpoint.recipe.fmt, spread, size, memory.bytes)
    return found, None if found else nearest


def _least_weights(checkpoint: Checkpoint, spread: Spread, need: Need) -> int:
    split = Split(spread.tp, spread.pp, spread.dp, spread.dp > 1, need.num_speculative_tokens > 0)
    ends = [one for one in (checkpoint, checkpoint.low) if one is not None]
    return min(max(stage.total for stage in weights_by_stage(one, split)) for one in ends)


def _of_format(config: Configuration, need: Need, checkpoint: Checkpoint, loading: list[Spread], kv: str) -> list[Fit]:
    """Fits of the splits of one format. Where the widest split falls short with all the context parallelism that it takes, no
    other of the same GPUs holds more: it divides weights and cache by all of them."""
    found: list[Fit] = []
    for spread in loading:
        if (spread.pp > 1 or config.apart) and any(fit.clear for fit in found):
            break  # stages have no record of speed: only where nothing else serves
        try:
            fit = _spread_fit(config, need, checkpoint, spread, kv)
        except InputError:
            continue
        found.append(fit)
        if not fit.clear and spread.tp > 2 and spread.dp == spread.pp == 1:
            break
        if sum(one.clear for one in found) >= _COMPARED:
            break
    return found


def _spread_fit(config: Configuration, need: Need, checkpoint: Checkpoint, spread: Spread, kv: str) -> Fit:
    """The deployment of a split with the smallest context parallelism that holds all requests."""
    asked = deployment_for(config, need, checkpoint, spread, kv)
    made = plan(asked)
    first = fit_of(made, need)
    if first.clear or made.verdict.status == "unsupported" or made.verdict.stage == "weights_load":
        return first
    size = _context_ranks(made, first.requests_each, need.context)
    wider = asked if size is None else asked.changed(decode_context_parallel_size=size)
    if _hopeless(made, first.requests_each, need.context, size or 1):
        return first if size is None else fit_of(plan(wider), need)
    fit = fit_of(settled(wider, need), need)
    if fit.clear or asked.max_num_batched_tokens == FEW_TOKENS:
        return fit
    fewer = wider.changed(max_num_batched_tokens=max(FEW_TOKENS, fit.requests_each))
    return min(fit, fit_of(settled(fewer, need), need), key=lambda one: one.order)


def _hopeless(made: Plan, requests: int, context: int, ranks: int) -> bool:
    """Whether not even the optimistic pool, grown by all that flags can give, holds the requests."""
    if made.memory is None:
        return True
    most = made.kv.available.high + (MOST_SHARE - SHARE) * made.memory.high + _FLAGS_GIVE
    return requests * blocks_per_request(context, ranks, made.resolved.block_size) * made.kv.bytes_per_block > most


def deployment_for(config: Configuration, need: Need, checkpoint: Checkpoint, spread: Spread, kv: str) -> Deployment:
    """The flags of one candidate: sequences and batched tokens from the need."""
    each = -(-need.concurrency // spread.dp)
    memory = config.device.memory()
    large = memory is not None and memory.bytes >= 70 << 30
    drafts = need.num_speculative_tokens
    asked = Deployment(
        model=checkpoint.name, gpu=config.gpu, gpus=config.gpus, tensor_parallel_size=spread.tp,
        pipeline_parallel_size=spread.pp if spread.pp > 1 else None, data_parallel_size=spread.dp if spread.dp > 1 else None,
        enable_expert_parallel=spread.dp > 1, kv_cache_dtype=kv, max_model_len=need.context, max_num_seqs=each,
        max_num_batched_tokens=max(TOKENS if large else FEW_TOKENS, each), gpu_memory_utilization=SHARE,
        speculative_method="mtp" if drafts else None, num_speculative_tokens=drafts or None,
    )  # fmt: skip
    return _with_measured(asked, need)


def _with_measured(asked: Deployment, need: Need) -> Deployment:
    """The candidate with a machine's measured terms, where they were measured on this device, model and split."""
    if need.calibration is None or need.calibration.measured_at.gpu != asked.gpu:
        return asked
    measured = asked.changed(calibration=need.calibration)
    return measured if mismatch(need.calibration, resolve(measured)) is None else asked


def settled(asked: Deployment, need: Need) -> Plan:
    """The budget with the utilization line where it belongs: lower where what comes after the pool does not fit, higher
    (to 0.95) where the pool is short and there is room beyond the line."""
    made = plan(asked)
    if made.resolved.refusals or made.memory is None:
        return made
    parts = {part.name: part.band for part in made.components}
    pools = (made.kv.low.figures, made.kv.pool.figures, made.kv.high.figures)
    late = min(
        limit.band.low for limit in margins(made.resolved, parts, pools, made.memory) if STAGES[limit.stage] in _LATE
    )
    share = asked.gpu_memory_utilization or SHARE
    moved = math.floor(1000 * (share + late / made.memory.low)) / 1000
    if late < 0:
        moved = max(moved - 0.001, LEAST_SHARE)
    elif requests_held(made, "low") >= -(-need.concurrency // made.resolved.dp):
        return made
    else:
        moved = min(moved - 0.001, MOST_SHARE)
    if abs(moved - share) < 0.002 or made.verdict.stage == "weights_load":
        return made
    again = plan(asked.changed(gpu_memory_utilization=moved))
    return min(again, made, key=lambda one: fit_of(one, need).order)


def _context_ranks(made: Plan, requests: int, context: int) -> int | None:
    """The smallest size of decode context parallelism whose pool would hold ``requests``; the largest where none would."""
    tp, block = made.resolved.tp, made.kv.bytes_per_block
    sizes = [size for size in (2, 4, 8, 16) if tp % size == 0 and size <= tp and tp > 2]
    have = max(made.kv.available.low, 0) // block
    for size in sizes:
        if requests * blocks_per_request(context, size, made.resolved.block_size) + 1 <= have:
            return size
    return sizes[-1] if sizes else None


def fit_of(made: Plan, need: Need) -> Fit:
    """What a budget is worth under the need."""
    r = made.resolved
    each = -(-need.concurrency // r.dp)
    low, likely = (r.dp * requests_held(made, end) for end in ("low", "likely"))
    if need.context > r.max_model_len:
        low = likely = 0
    status = whole_status(made.verdict.status, low, likely, need.concurrency)
    reason, short = made.verdict.reason, None
    if status not in ("fits", "unsupported") and low < need.concurrency and made.verdict.stage not in ("weights_load",):
        blocks = each * blocks_per_request(need.context, r.dcp, r.block_size) + 1
        short = max(blocks * made.kv.bytes_per_block - made.kv.available.low, 0) or None
        reason = made.verdict.reason if not likely else too_few(made.verdict.reason, low, likely, need, short)
    rank, note, where = quality_note(r.checkpoint.recipe.fmt, r.record)
    return Fit(
        r.asked, made, status, reason, low, likely, r.dp, each, rank, note, tuple(where), short,
    )  # fmt: skip
