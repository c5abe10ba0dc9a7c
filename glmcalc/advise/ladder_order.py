"""In which order things are given up: least harm first, by class of death, with what is to be kept moved to the end.

Order and its reasons: T (``max_num_batched_tokens``), capture sizes and request caps cost nothing but waiting; a KV record
with scales has no reported loss; then context parallelism, up to half of the length (how long requests really are is not
known here), MTP, weights, up to an eighth of the length, and a handful of requests at once. After them the last resorts: tiny
chunks, batches without graphs, pipeline stages, eager mode, any length, and at the very end KV records with a reported loss
or without any evaluation. Utilization creates no memory: it goes down where a death lies beyond the line; up only where the
pool is short, after context parallelism (but where that is itself kept to the last), because its slack has to be measured, and
never above ``tune``'s ceiling.
"""

from __future__ import annotations

from glmcalc.advise.ladder_limits import PREEMPTION, RUNTIME
from glmcalc.facts.errors import InputError
from glmcalc.facts.store import nearest

HALF, EIGHTH = 0.5, 0.125  # of the length asked for: how long requests really are is not known here
# Knobs of one setting, the mildest first, each with the least value that it goes to; lengths as shares of the one asked for.
_REACH: dict[str, tuple[tuple[str, float], ...]] = {
    "max_num_batched_tokens": (("max_num_batched_tokens", 4096), ("max_num_batched_tokens_low", 0)),
    "max_num_seqs": (("max_num_seqs", 64), ("max_num_seqs_low", 16), ("max_num_seqs_least", 0)),
    "max_model_len": (("max_model_len", HALF), ("max_model_len_low", EIGHTH), ("max_model_len_least", 0.0)),
}

KEEPS = ("context", "users", "quality", "speed")

_BASE = (
    "idle_gpus", "enable_chunked_prefill", "kv_cache_memory_bytes", "num_gpu_blocks_override", "max_num_batched_tokens", "max_cudagraph_capture_size",
    "max_num_seqs", "gpu_memory_utilization", "kv_cache_dtype", "engine_version", "decode_context_parallel_size",
    "gpu_memory_utilization_up", "max_model_len", "speculative_method", "max_num_seqs_low", "model_fp8", "model",
    "max_model_len_low", "max_num_seqs_least", "max_num_batched_tokens_low", "max_cudagraph_capture_size_low", "spread",
    "enforce_eager", "max_model_len_least", "kv_cache_dtype_bf16", "kv_cache_dtype_nvfp4", "kv_cache_dtype_plain",
)  # fmt: skip

# What each priority gives up last, in this order.
_LAST = {
    "context": ("max_model_len", "max_model_len_low", "max_model_len_least"),
    "users": ("max_num_seqs", "max_num_seqs_low", "max_num_seqs_least"),
    "quality": ("kv_cache_dtype", "model_fp8", "model", "kv_cache_dtype_nvfp4", "kv_cache_dtype_plain"),
    "speed": (
        "max_num_batched_tokens", "decode_context_parallel_size", "speculative_method", "max_num_batched_tokens_low",
        "max_cudagraph_capture_size_low", "spread", "enforce_eager",
    ),
}  # fmt: skip

# What comes first for a death at this limit; the rest follows in the base order.
_FIRST = {
    RUNTIME: ("max_num_batched_tokens", "engine_version", "max_num_seqs", "gpu_memory_utilization", "kv_cache_dtype_bf16"),
    "cuda_graph_capture": ("max_cudagraph_capture_size", "max_num_seqs", "gpu_memory_utilization"),
    "startup_free_memory": ("gpu_memory_utilization",),
    PREEMPTION: ("max_num_seqs", "kv_cache_dtype", "decode_context_parallel_size", "gpu_memory_utilization_up"),
}  # fmt: skip


def check_keep(keep: str) -> str:
    """``keep`` as it is.

    Raises:
        InputError: none of the four; the nearest is offered.
    """
    if keep not in KEEPS:
        close = nearest(str(keep), KEEPS)
        raise InputError("keep", keep, f"one of {', '.join(KEEPS)}" + (f" (did you mean {close}?)" if close else ""))
    return keep


def order(limit: str | None, keep: str) -> tuple[str, ...]:
    """Knobs (ids of ``data/downgrade_steps.jsonl``), the least harmful first, for a death at ``limit``."""
    first = _FIRST.get(limit or "", ())
    ranked = (*first, *(knob for knob in _BASE if knob not in first))
    last = _LAST[keep]
    return (*(knob for knob in ranked if knob not in last), *last)


def knob_of(setting: str, value: float, first_length: int) -> str:
    """The mildest knob that takes ``setting`` to ``value``; its own name where it has only one."""
    unit = first_length if setting == "max_model_len" else 1
    return next((knob for knob, least in _REACH.get(setting, ()) if value >= int(least * unit)), setting)


def milder_knobs(knob: str) -> tuple[str, ...]:
    """Knobs of the same setting, the mildest first, up to ``knob`` itself."""
    stem = knob.removesuffix("_least").removesuffix("_low")
    family = [name for name, _ in _REACH.get(stem, ())] or list(dict.fromkeys((stem, knob)))
    return tuple(family[: family.index(knob) + 1]) if knob in family else (knob,)
