"""Settings that only SGLang, or only llama.cpp, has: which they are, their ranges, and the refusal of another engine's."""

from __future__ import annotations

import math

from glmcalc.facts.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from glmcalc.model.deployment import Deployment

_LARGE = 1 << 31
WHOLE: dict[str, tuple[int, int]] = {
    "context_length": (1, _LARGE - 1),
    "chunked_prefill_size": (-1, 1 << 24),
    "max_running_requests": (1, 1 << 20),
    "max_total_tokens": (1, 1 << 40),
    "expert_parallel_size": (1, 4096),
    "cuda_graph_max_bs": (0, 1 << 16),
    "ctx_size": (0, _LARGE - 1),
    "n_gpu_layers": (-2, 1 << 20),
    "ubatch_size": (1, 1 << 20),
    "parallel": (-1, 4096),
    "n_cpu_moe": (0, 1 << 20),
}
SWITCHES = ("enable_dp_attention", "disable_cuda_graph", "hierarchical_cache", "flash_attention", "cpu_moe",
            "kv_on_cpu", "kv_unified")  # fmt: skip
TEXTS = ("cache_type_k", "cache_type_v")
_SHARED = ("quantization", "max_model_len", "max_num_seqs", "max_num_batched_tokens", "kv_cache_dtype",
           "speculative_method", "num_speculative_tokens", "speculative_extra")  # fmt: skip
_PARALLEL = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")

OWN: dict[str, tuple[str, ...]] = {
    "sglang": (
        "mem_fraction_static", "context_length", "chunked_prefill_size", "max_running_requests", "max_total_tokens",
        "expert_parallel_size", "cuda_graph_max_bs", "enable_dp_attention", "disable_cuda_graph", "hierarchical_cache",
    ),
    "llama.cpp": (
        "ctx_size", "n_gpu_layers", "cache_type_k", "cache_type_v", "ubatch_size", "parallel", "flash_attention",
        "n_cpu_moe", "cpu_moe", "override_tensor", "kv_on_cpu", "kv_unified",
    ),
}  # fmt: skip
# vLLM's flags that mean the same there; every other one is refused, with the flag that comes nearest.
_TAKEN: dict[str, tuple[str, ...]] = {
    "sglang": (*_SHARED, *_PARALLEL, "enable_expert_parallel", "enforce_eager", "max_cudagraph_capture_size"),
    "llama.cpp": ("quantization", "max_model_len", "max_num_seqs"),
}
_INSTEAD = {
    ("sglang", "gpu_memory_utilization"): "--mem-fraction-static, which holds weights and pool alone",
    ("sglang", "block_size"): "none: pages are of 64 tokens for this model",
    ("sglang", "num_gpu_blocks_override"): "--max-total-tokens",
    ("llama.cpp", "tensor_parallel_size"): "--gpus N: llama.cpp spreads whole layers over them",
    ("llama.cpp", "kv_cache_dtype"): "--cache-type-k",
    ("llama.cpp", "max_num_batched_tokens"): "--ubatch-size",
    ("llama.cpp", "gpu_memory_utilization"): "none: llama.cpp takes what it needs",
}
_UNMARKED = ("model", "gpu", "gpus", "engine", "engine_version", "available_kv_bytes", "weights_bytes",
             "gpu_memory_bytes", "kept", "heavy", "estimate_cudagraphs", "calibration")  # fmt: skip


def check_other_fields(asked: Deployment) -> None:
    """Check the type and range of the settings that only SGLang or llama.cpp has.

    Raises:
        InputError: a value of the wrong type, or outside what the engine takes.
    """
    for name, (low, high) in WHOLE.items():
        value = getattr(asked, name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high):
            raise InputError(name, value, f"a whole number from {low:,} to {high:,}")
    for name in SWITCHES:
        if getattr(asked, name) not in (None, True, False):
            raise InputError(name, getattr(asked, name), "true or false")
    for name in TEXTS:
        value = getattr(asked, name)
        if value is not None and (not isinstance(value, str) or not 0 < len(value) <= 64):
            raise InputError(name, value, "a type of llama.cpp such as f16 or q8_0")
    share = asked.mem_fraction_static
    if share is not None:
        number = isinstance(share, (int, float)) and not isinstance(share, bool)
        if not number or not math.isfinite(share) or not 0 < share < 1:
            raise InputError("mem_fraction_static", share, "above 0 and below 1")


def refuse_foreign(asked: Deployment, engine: str) -> None:
    """Refuse a setting that ``engine`` has not: a budget without it would not be the one asked for.

    Raises:
        InputError: there is one; the message names the engine's own flag where there is one for it.
    """
    for name, default in _defaults(asked).items():
        value = getattr(asked, name)
        if value == default or name in _UNMARKED or name in OWN.get(engine, ()):
            continue
        owner = next((other for other, names in OWN.items() if name in names), None)
        if owner is None and (engine == "vllm" or name in _TAKEN[engine]):
            continue
        flag = "--" + name.replace("_", "-")
        instead = _INSTEAD.get((engine, name)) or (
            f"it is {owner}'s (--engine {owner})" if owner else "none of its flags"
        )
        raise InputError(name, value, instead, f"{engine} has no {flag}; {instead}.")


def _defaults(asked: Deployment) -> dict[str, Any]:
    return dict(type(asked).__defaults__)  # type: ignore[attr-defined]
