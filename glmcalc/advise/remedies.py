"""The changes that signatures name (``remedies`` in ``data/oom_signatures.jsonl``), by their name."""

from __future__ import annotations

import math
import re

from glmcalc.advise import flag_changes as flags
from glmcalc.advise import other_engines
from glmcalc.advise import pool_changes as pool
from glmcalc.advise.changes import Change, action, flag, set_flag, variable, version
from glmcalc.advise.relief import default_utilizations, short_bytes, total
from glmcalc.facts.engines import rule
from glmcalc.facts.quantity import GIB, MIB, gib
from glmcalc.solve.nearest import COSTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from glmcalc.advise.case import Case


_MOE_WORKSPACE = re.compile(
    r"(?i)(?:moe|cutlass|flashinfer|trtllm)\w*.{0,80}workspace|workspace.{0,80}moe|prepare_moe|cutlass_fused_moe"
)


def remedy(name: str, case: Case) -> Change | None:
    """The change called ``name`` for this case; None where it cannot help.

    Raises:
        KeyError: no such remedy.
    """
    return REMEDIES[name](case)


_ACTIONS = {
    "isolate": "Start it when no other process starts or ends on these GPUs; then start the same command.",
    "read_above": "No memory flag mends this. Read the first error, quoted here, and the Traceback above it.",
    "port": "Another process holds the port: `ss -ltnp` names it. End it (often the last start of this server), or give another --port.",
    "own_class": "Take a release of the engine that has this model's own class (GlmMoeDsaForCausalLM): it loads a share on each rank. No flag mends this.",
    "other_process": f"End the process that holds the GPU: {flags.NAMED_AND_ENDED}. Or leave that GPU out with CUDA_VISIBLE_DEVICES. "
    "Then start the same command.",
    "fix_flag": "Mend the flag that the message names. Nothing was loaded, so nothing is known of memory yet.",
    "other_engine": "This engine is not budgeted here. Shorten the session length, or raise its share for the cache.",
    "host_ram": "Raise the container's memory limit (RAM, not VRAM), or take less pinned memory for offload.",
    "host_shm": "Give more shared memory: docker run --shm-size 32g, or an emptyDir with medium: Memory at /dev/shm.",
    "llama_context": "Lower -c (context over all slots), or store the cache as -ctk q8_0 -ctv q8_0.",
    "llama_context_up": "Raise -c, or lower -np: slots times context must fit in the cache.",
    "llama_layers": "Lower -ngl, or keep experts on the CPU (--n-cpu-moe), or take a smaller quantization.",
    "no_dcp": "Set --decode-context-parallel-size 1, or choose an attention backend that returns the softmax LSE.",
}


def _lower(case: Case) -> Change | None:
    if case.facts.engine == "sglang":
        return other_engines.lower_fraction(case)
    if case.facts.engine == "llama.cpp":
        return other_engines.smaller_ubatch(case)
    if case.deployment is not None or case.value("gpu_memory_utilization") is not None:
        return flags.lower_utilization(case)
    defaults = " or ".join(f"{value:g}" for value in default_utilizations(case))
    why = f"below what it runs with (vLLM's default is {defaults}): memory goes from the pool to what ran out"
    size, short = total(case), short_bytes(case)
    step = max(0.02, math.ceil(100 * (short + GIB) / size - 1e-6) / 100 if size and short else 0.0)
    told = f", which was short by {gib(short)} GiB" if short else ""
    return _relative("gpu_memory_utilization", f"by {step:g} or more ", why + told, "a smaller pool")


def _tokens(case: Case) -> Change | None:
    if case.facts.engine == "sglang":
        return other_engines.smaller_chunk(case)
    if case.facts.engine == "llama.cpp":
        return None
    if _is_open(case, "max_num_batched_tokens"):
        why = "to half of what it runs with, or less: the step's scratch shrinks in proportion"
        return _relative("max_num_batched_tokens", "", why, "long prompts prefill in more chunks")
    return flags.batched_tokens(case)


def _sequences(case: Case) -> Change | None:
    if _is_open(case, "max_num_seqs"):
        why = "to a quarter of what it runs with, or less: a smaller sampler pass, fewer graphs, fewer decode rows"
        return _relative("max_num_seqs", "", why, COSTS.get("max_num_seqs"))
    return flags.sequences(case)


def _is_open(case: Case, name: str) -> bool:
    """Whether nothing says what a setting was: a number would be one that may change nothing, or the wrong way."""
    return case.plan is None and (case.deployment is None or getattr(case.deployment, name) is None)


def _relative(name: str, by: str, why: str, cost: str | None) -> Change:
    """A change of a setting whose value is not known."""
    return Change("flag", flag(name), None, None, f"Lower {flag(name)} {by}{why}.", cost)


def _of_vllm(make: Callable[[Case], Change | None]) -> Callable[[Case], Change | None]:
    """None for a log of another engine, which has no such flag."""
    return lambda case: make(case) if case.facts.engine in (None, "vllm") else None


def _moe_backend(case: Case) -> Change | None:
    """Another MoE backend, where the traceback names one's workspace."""
    at = case.death.lines[0].number if case.death.lines else 0
    near = (line.text for line in case.facts.lines if at - 60 <= line.number <= at + 5)
    if not any(_MOE_WORKSPACE.search(text) for text in near):
        return None
    return action("Choose another --moe-backend, or a release in which this one starts.")


def _expandable(case: Case) -> Change | None:
    """Where the allocator holds fragments that would have been enough; None where the log says that they are small."""
    held = case.value("unallocated_bytes")
    if held is not None and held < max(short_bytes(case), 256 * MIB):
        return None
    told = "fragments" if held is None else f"{gib(held)} GiB of fragments"
    why = f"{told} that the allocator holds can be used again"
    return variable(
        case,
        "PYTORCH_CUDA_ALLOC_CONF",
        "expandable_segments:True",
        why,
        None,
        "it helps against fragments, not against growth",
    )


def _without_scratch(case: Case) -> Change | None:
    """None for releases that carry the fix already."""
    if case.plan is not None and rule("split_kv_accumulators", case.plan.resolved.version).value == "avoided":
        return None
    return version("A release that carries PR 53755: the scratch is no longer allocated whole.", None, case)


def _upgrade(case: Case) -> Change | None:
    return version("A release that carries the fix named under known issue.", None, case)


def _no_dcp(case: Case) -> Change | None:
    made = (
        set_flag(case, "decode_context_parallel_size", [None], "this backend cannot merge partial softmaxes")
        if case.deployment
        else None
    )
    return made or action(_ACTIONS["no_dcp"])


def _bf16_kv(case: Case) -> Change | None:
    if case.plan is None or case.plan.resolved.record == "bf16":
        return None
    return set_flag(
        case,
        "kv_cache_dtype",
        ["bfloat16"],
        "another kernel, without this scratch: the one case where more KV bytes help",
        "the pool holds 0.58 times the tokens",
    )


def _spoken(name: str) -> Callable[[Case], Change | None]:
    return lambda case: action(_ACTIONS[name])


REMEDIES: dict[str, Callable[[Case], Change | None]] = {
    **{name: _spoken(name) for name in _ACTIONS},
    "no_dcp": _no_dcp,
    "moe_backend": _moe_backend,
    "expandable": _expandable,
    "sglang_fraction_up": other_engines.raise_fraction,
    "llama_ubatch": other_engines.smaller_ubatch,
    "free_memory": flags.free_memory,
    "lower_to_free": _of_vllm(flags.lower_to_free),
    "lower_utilization": _lower,
    "raise_utilization": _of_vllm(pool.raise_utilization),
    "batched_tokens": _tokens,
    "sequences": _of_vllm(_sequences),
    "sequences_to_pool": lambda case: other_engines.fewer_running(case) if case.facts.engine == "sglang" else pool.sequences_to_pool(case),
    "kv_length": _of_vllm(pool.kv_length),
    "printed_length": _of_vllm(pool.printed_length),
    "keep_length": pool.keep_length,
    "kv_record": pool.kv_record,
    "context_parallel": pool.context_parallel,
    "weights": _of_vllm(flags.weights),
    "more_pool": _of_vllm(pool.more_pool),
    "capture_size": _of_vllm(flags.capture_size),
    "odd_length": flags.odd_length,
    "upgrade": _upgrade,
    "upgrade_53755": _without_scratch,
    "bf16_kv": _bf16_kv,
    "flashinfer_workspace": _of_vllm(lambda case: variable(case, "VLLM_FLASHINFER_WORKSPACE_BUFFER_SIZE", str(800 << 20), "twice the fixed workspace of 394 MiB, taken off the slack", 394 << 20)),
    "indexer_logits": _of_vllm(lambda case: variable(case, "VLLM_SPARSE_INDEXER_MAX_LOGITS_MB", "256", "prefill logits in half-size chunks", 512, "decode logits are not chunked: they grow with rows x max_model_len")),
}  # fmt: skip
