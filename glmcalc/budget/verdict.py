"""From components and pool to a verdict: where it dies, the reason with its numbers, what settles it."""

from __future__ import annotations

import math

from glmcalc.budget.kv import estimated_max_model_len
from glmcalc.budget.margins import (
    STAGES,
    Margin,
    beyond_line,
    free_memory,
    is_pinned,
    loaded_bytes,
    margins,
    running_bytes,
)
from glmcalc.budget.result import Component, KvCache, Verdict
from glmcalc.facts.frozen import record
from glmcalc.facts.quantity import Band, at_least, ceil_div, engine_gib, gib
from glmcalc.model.resolved import Resolved

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

POOL_LINE = "Available KV cache memory"
WEIGHTS_LINE = "Model loading took"
OUT_OF_MEMORY = (
    "torch.OutOfMemoryError: CUDA out of memory."  # how PyTorch begins; the sizes that follow are not foreseen
)


@record
class Check:
    """One point at which the engine may die: how far it is from it, in bytes (negative: it dies), with a band."""

    stage: str
    margin: Band
    reason: str
    advice: str
    settle: str
    engine_message: str | None = None


def judge(r: Resolved, components: list[Component], cache: KvCache, memory: Band | None) -> Verdict:
    """The verdict: the pessimistic end decides "fits", the optimistic end "does not fit"; between them it is marginal."""
    if r.refusals:
        return Verdict("unsupported", None, f"{_sentence(r.refusals[0])}", _instead(r), engine_message=None)
    given = r.asked.available_kv_bytes is not None
    if memory is None and not given:
        return Verdict(
            "unsupported", None, f"The memory of {r.device.name} is not known.", "Give --available-kv-gib from its log."
        )
    found, words = _points(r, components, cache, memory)
    for margin in found:
        if margin.band.high < 0:
            check = words(margin)
            return Verdict("does_not_fit", check.stage, check.reason, check.advice, engine_message=check.engine_message)
    for margin in found:
        if margin.band.low < 0:
            check = words(margin)
            message = check.engine_message if margin.band.likely < 0 else None
            return Verdict("marginal", check.stage, check.reason, check.advice, _watch(r), check.settle, message)
    if r.uncertain:
        settle = f"start once and paste the line `{POOL_LINE}`"
        reason = f"{_capacity(r, cache)} But {_lower(r.uncertain[0])}: no better than marginal."
        return Verdict("marginal", None, reason, f"Start once and paste the line `{POOL_LINE}`.", _watch(r), settle)
    return Verdict("fits", None, _capacity(r, cache), _next_step(r), _watch(r))


def death_checks(r: Resolved, components: list[Component], cache: KvCache, memory: Band | None) -> list[Check]:
    """Every point at which the engine may die, in the order of a start, with its words; the pool alone where a log printed it.

    The pool's margin has only a sign: -1 where the engine's planning refuses it, else 0.
    """
    found, words = _points(r, components, cache, memory)
    return [words(margin) for margin in found]


def _points(
    r: Resolved, components: list[Component], cache: KvCache, memory: Band | None
) -> tuple[list[Margin], Callable[[Margin], Check]]:
    """Every point at which the engine may die, and what puts one into words: a verdict needs one of them at most."""
    parts = {component.name: component.band for component in components}
    found = margins(r, parts, (cache.low.figures, cache.pool.figures, cache.high.figures), memory)

    def words(margin: Margin) -> Check:
        stage = STAGES[margin.stage] or ""
        if stage in _POOL_STAGES or memory is None:
            share = free_memory(parts, memory).low / memory.likely if memory is not None else None
            return _pool_check(r, cache, share, stage, margin.band)
        if stage == "startup_free_memory" and margin is not found[0]:
            return _pinned_check(r, cache, parts, memory, stage, margin.band, found[-1].band)
        if stage in _LATE_STAGES:
            return _late_check(r, cache, parts, memory, stage, margin.band, found[-1].band)
        return _load_check(r, parts, memory, stage, margin.band)

    return found, words


_LATE_STAGES = ("cuda_graph_capture", "runtime_workspace", "runtime_activation")
_POOL_STAGES = ("startup_no_kv_blocks", "startup_kv_too_small")


def _load_check(r: Resolved, parts: dict[str, Band], memory: Band, stage: str, margin: Band) -> Check:
    """What must fit before there is a pool: the requested share, the weights, the profile run."""
    free = free_memory(parts, memory)
    utilization = f"{r.gpu_memory_utilization:g}"
    free_text, total_text = engine_gib(free.likely), engine_gib(memory.likely)
    if stage == "startup_free_memory":
        requested = math.ceil(memory.likely * r.gpu_memory_utilization)
        device = "cuda:0"
        return Check(
            stage, margin,
            f"Utilization {utilization} asks for {gib(requested)} GiB of each GPU, and about {free_text} of {total_text} GiB"
            f"{_ranged(free)} is free once the CUDA context and NCCL are there.",
            f"Lower --gpu-memory-utilization to {max(math.floor(100 * free.low / memory.likely) / 100, 0.01):g}.",
            "the free memory that nvidia-smi shows before the start",
            f"Free memory on device {device} ({free_text}/{total_text} GiB) on startup is less than desired GPU memory "
            f"utilization ({utilization}, {engine_gib(requested)} GiB). Decrease GPU memory utilization or reduce GPU memory "
            "used by other processes.",
        )  # fmt: skip
    if stage == "weights_load":
        loaded = loaded_bytes(parts)
        return Check(
            stage, margin,
            f"The weights take {gib(loaded.likely)} GiB on each GPU ({_band(loaded)}), and {free_text} GiB of "
            f"{total_text} is free: they do not load. No KV flag helps.",
            "Take more GPUs or a smaller checkpoint.",
            f"the line `{WEIGHTS_LINE}`",
            OUT_OF_MEMORY,
        )  # fmt: skip
    running = running_bytes(parts)
    return Check(
        stage, margin,
        f"Weights and the profile run take {gib(running.likely)} GiB on each GPU ({_band(running)}), and {free_text} GiB "
        "is free.",
        "Leave --no-enable-chunked-prefill out." if r.asked.enable_chunked_prefill is False
        else "Lower --max-num-batched-tokens and --max-num-seqs.",
        f"the line `{POOL_LINE}`",
        OUT_OF_MEMORY,
    )  # fmt: skip


def _pool_check(r: Resolved, cache: KvCache, free_share: float | None, stage: str, margin: Band) -> Check:
    block, pool = cache.bytes_per_block, cache.pool
    needs = (pool.blocks_per_request + 1) * block
    blocks = r.asked.num_gpu_blocks_override
    held = cache.available if blocks is None else Band.exact(blocks * block)
    available = f"{gib(max(held.likely, 0))} GiB"
    if r.auto_fit:
        reason = f"Auto-fit finds no length that the pool of {available} per GPU{_ranged(held)} holds."
    elif stage == "startup_no_kv_blocks" and held.likely <= block:
        reason = (
            f"Nothing is left for the KV cache: what remains of utilization {r.gpu_memory_utilization:g} is "
            f"{gib(held.likely)} GiB per GPU{_ranged(held)}."
        )
    else:
        short = needs - held.likely
        tail = f" Short by {gib(short)} GiB." if short > 0 else ""
        reason = (
            f"One request of {pool.max_model_len:,} tokens needs {gib(cache.needed_bytes)} GiB of KV per GPU; the pool is "
            f"{available}{_ranged(held)}.{tail}"
        )
    advice = _pool_advice(r, held, block, needs, free_share)
    return Check(stage, margin, reason, advice, f"the line `{POOL_LINE}`", pool.message)


def _pool_advice(r: Resolved, held: Band, block: int, needs: int, free_share: float | None) -> str:
    """What makes one request fit for sure: a length, a pool stated otherwise, or where neither can, less before the pool.

    Args:
        free_share: what is surely free at the start, over the whole: the engine refuses more; None where it is not known.
    """
    safe = estimated_max_model_len(held.low, block, r.dcp, r.block_size)
    if r.asked.num_gpu_blocks_override is not None:
        first = f"Take --num-gpu-blocks-override off, or set it to {ceil_div(needs, block)} or more"
        return f"{first}; --max-model-len {safe} fits in it as it is." if safe > 0 else f"{first}."
    if safe > 0:
        return f"Set --max-model-len {safe}: the pool holds one request of that length for sure."
    if r.asked.kv_cache_memory_bytes is not None or r.memory is None or free_share is None:
        return "State a larger pool."
    share = r.gpu_memory_utilization + (2 * block - held.low) / r.memory.bytes
    if share > free_share:
        return "Take more GPUs or a smaller checkpoint: no utilization leaves a pool for sure."
    return f"Raise --gpu-memory-utilization to {math.ceil(100 * share) / 100:g}, or shrink the weights."


def _pinned_check(
    r: Resolved, cache: KvCache, parts: dict[str, Band], memory: Band, stage: str, margin: Band, serving: Band
) -> Check:
    """A pool stated by hand that is more than there is: its tensors cannot be allocated."""
    pool = parts["kv_pool"].likely
    return Check(
        stage, margin,
        f"The stated pool takes {gib(pool)} GiB of each GPU, and {gib(beyond_line(r, parts, memory) + pool)} of "
        f"{gib(memory.likely)} is left beside the weights and the profile run, less {gib(parts['context_nccl'].likely)} of "
        "context and NCCL: it cannot be allocated.",
        _smaller_pool(r, cache, pool, serving), f"the line `{WEIGHTS_LINE}`", OUT_OF_MEMORY,
    )  # fmt: skip


def _smaller_pool(r: Resolved, cache: KvCache, pool: int, serving: Band) -> str:
    """The pool by hand with which nothing beside it dies, at the pessimistic end."""
    safe = pool + min(serving.low, 0)
    blocks = safe // cache.bytes_per_block
    if blocks < 2:
        return "State no pool: what stands beside it leaves none."
    if r.asked.num_gpu_blocks_override is not None:
        return f"Lower --num-gpu-blocks-override to {blocks}, or take it off."
    return f"Lower --kv-cache-memory-bytes to {blocks * cache.bytes_per_block} ({gib(blocks * cache.bytes_per_block)} GiB)."


def _late_check(
    r: Resolved, cache: KvCache, parts: dict[str, Band], memory: Band, stage: str, margin: Band, serving: Band
) -> Check:
    """What comes after the pool is fixed: graphs and builders, then the peaks of serving."""
    context, late, peak = parts["context_nccl"], parts["late_buffers"], parts["unprofiled_transients"]
    lower = math.floor(100 * (r.gpu_memory_utilization + min(serving.low, 0) / memory.likely)) / 100
    advice = f"Lower --gpu-memory-utilization to {max(lower, 0.01):g}: what dies here lies outside the pool."
    if is_pinned(r):
        advice = _smaller_pool(r, cache, parts["kv_pool"].likely, serving)
    line = f"Beyond the utilization line {gib(beyond_line(r, parts, memory))} GiB is left on each GPU"
    if stage == "cuda_graph_capture":
        return Check(
            stage, margin,
            f"{line}; context and NCCL take {gib(context.likely)}, and graphs and late buffers {gib(late.likely)} GiB "
            f"({_band(late)}).",
            advice, "the line `CUDA graph pool memory`", OUT_OF_MEMORY,
        )  # fmt: skip
    return Check(
        stage, margin,
        f"{line}; context, NCCL and late buffers take {gib(context.likely + late.likely)}, and peaks that no profile covers "
        f"{gib(peak.likely)} GiB ({_band(peak)}): it starts, and may die under load.",
        advice, "free memory under the worst load (DCGM_FI_DEV_FB_FREE)", OUT_OF_MEMORY,
    )  # fmt: skip


def _capacity(r: Resolved, cache: KvCache) -> str:
    pool, low, high = cache.pool, cache.low, cache.high
    band = _ranged(cache.available)
    at_once = f"{pool.max_concurrency:,.1f}" if band else at_least(pool.max_concurrency or 0)
    spread = f" ({at_least(low.max_concurrency or 0)} to {high.max_concurrency or 0:,.1f})" if band else ""
    return (
        f"{at_once} requests of {pool.max_model_len:,} tokens at once{spread}: the KV pool is "
        f"{gib(cache.available.likely)} GiB per GPU{band}."
    )


def _next_step(r: Resolved) -> str:
    if r.asked.available_kv_bytes is not None:
        return "The pool is as printed: this is the engine's own planning."
    return f"Run the command; then paste its log line `{POOL_LINE}`: it replaces the band."


def _watch(r: Resolved) -> str | None:
    for warning in r.warnings:
        if "multiple of" in warning or "loss of quality" in warning:
            return warning
    return None


def _instead(r: Resolved) -> str:
    first = r.refusals[0]
    if "; take " in first:  # a format of the weights; the reason ends with what runs
        return f"Take {first.rsplit('; take ', 1)[1]}."
    if "--kv-cache-dtype fp8_ds_mla" in first:
        return "Use --kv-cache-dtype fp8_ds_mla, or --decode-context-parallel-size 1."
    if "--kv-cache-dtype fp8" in first:
        return "Use --kv-cache-dtype fp8, or --decode-context-parallel-size 1. No budget holds for a combination that cannot run."
    if "32 heads" in first:
        return "Use a larger --tensor-parallel-size, or --decode-context-parallel-size 1."
    if "record" in first or "KV has no kernel" in first:
        return "Use --kv-cache-dtype fp8."
    if "block_size" in first:
        return "Use --block-size 64."
    return "Take a Hopper or Blackwell GPU, or another engine."


def _ranged(band: Band) -> str:
    """The range in brackets, with the blank before it; nothing where there is none."""
    return f" ({_band(band)})" if band.low != band.high else ""


def _band(band: Band) -> str:
    return f"{gib(max(band.low, 0) if band.likely >= 0 else band.low)} to {gib(band.high)}"


def _sentence(text: str) -> str:
    begun = text if text.startswith("vLLM") else text[0].upper() + text[1:]
    return begun + ("" if text.endswith(".") else ".")


def _lower(text: str) -> str:
    return text.rstrip(".")
