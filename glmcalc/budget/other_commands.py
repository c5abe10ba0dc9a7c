"""The normalised command of a resolved deployment of SGLang or llama.cpp: what moves memory is written out."""

from __future__ import annotations

from glmcalc.commands.write_others import format_llamacpp, format_sglang
from glmcalc.facts.secrets import mask_words
from glmcalc.model.checkpoint import load_checkpoint, served_name
from glmcalc.model.llamacpp_settings import UBATCH, LlamacppResolved
from glmcalc.model.sglang_settings import SglangResolved

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence

_NGL: dict[int | None, object] = {None: 99, -1: "auto", -2: "all"}


def sglang_command(r: SglangResolved) -> str:
    """``python -m sglang.launch_server …``; the fraction is written out where it was given, or is by the engine's rule."""
    asked = r.asked
    steps = _draft_steps(r)
    settings: dict[str, object] = {
        "tp": r.tp, "pp": r.pp if r.pp > 1 else None, "dp": r.dp if r.dp > 1 else None,
        "enable-dp-attention": r.dp_attention, "ep": r.ep if r.ep > 1 else None, "quantization": _stated_quantization(r),
        "kv-cache-dtype": {"bf16": "bfloat16"}.get(r.record, "fp8_e4m3"), "context-length": r.context_length,
        "max-running-requests": r.max_running_requests, "max-total-tokens": r.max_total_tokens,
        "chunked-prefill-size": r.chunked_prefill_size * (r.dp if r.dp_attention else 1),
        "mem-fraction-static": r.fraction[1],
        "disable-cuda-graph": r.cuda_graph_max_bs == 0, "cuda-graph-max-bs": r.cuda_graph_max_bs or None,
        "speculative-algorithm": "NEXTN" if r.mtp and asked.mtp else asked.speculative_method,
        "speculative-num-steps": steps, "speculative-eagle-topk": 1 if steps else None,
        "speculative-num-draft-tokens": steps + 1 if steps else r.num_speculative_tokens or None,
        "enable-hierarchical-cache": bool(asked.hierarchical_cache),
    }  # fmt: skip
    return format_sglang(served_name(asked.model, r.checkpoint), settings, _kept(asked.kept))


def llamacpp_command(r: LlamacppResolved) -> str:
    """``llama-server -m FILE -c N …``."""
    asked = r.asked
    settings: dict[str, object] = {
        "c": r.cells, "np": r.slots if r.slots > 1 else None, "ngl": _NGL.get(asked.n_gpu_layers, asked.n_gpu_layers),
        "cmoe": False, "cpu-moe": bool(asked.cpu_moe), "n-cpu-moe": asked.n_cpu_moe, "override-tensor": asked.override_tensor,
        "ctk": r.cache_type, "ub": r.ubatch if r.ubatch != UBATCH else None, "flash-attn": None if r.flash_attention else "off",
        "no-kv-offload": r.kv_on_cpu, "kv-unified": bool(asked.kv_unified),
    }  # fmt: skip
    return format_llamacpp(r.file.flag, r.file.name, settings, _kept(asked.kept))


def _draft_steps(r: SglangResolved) -> int | None:
    """``--speculative-num-steps`` where it is not kept as it was pasted: SGLang takes it with depth and top-k, or none of them.

    vLLM's depth is the number of steps; SGLang's number of draft tokens is one more.
    """
    if not r.mtp or any(word.startswith("--speculative-num-steps") for word in r.asked.kept):
        return None
    return r.num_speculative_tokens if r.asked.mtp else max(r.num_speculative_tokens - 1, 1)


def _stated_quantization(r: SglangResolved) -> str | None:
    """``--quantization`` as it was stated, where it names what the checkpoint holds and no other checkpoint stands in."""
    asked = r.asked
    return asked.quantization if asked.quantization and load_checkpoint(asked.model) == r.checkpoint else None


def _kept(words: Sequence[str]) -> Sequence[str]:
    return mask_words(words) if words else ()
