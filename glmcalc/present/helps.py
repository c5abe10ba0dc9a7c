"""The controls' help sentences with the figures of the present plan."""

from __future__ import annotations

from typing import Any, Mapping

from glmcalc.present.ledger import cents, gib_text, ledger


def helps(plan: Mapping[str, Any]) -> dict[str, str]:
    """Sentence by control, plain text. Controls that are not named keep the sentence they have."""
    per_gpu, kv, asked = plan["per_gpu"], plan["kv"], plan["deployment"]
    book = ledger(plan)  # the figures of the table, as printed there
    parts = {row.name: row.cents for row in book.inside}
    said: dict[str, str] = {}
    if "weights" in parts:
        said["model"] = f"{_said(parts['weights'])} of weights on each GPU. An id, or a path to a config.json."
    if parts.get("mtp_layer"):
        said["speculative_config"] = f"One draft layer whatever the depth: {_said(parts['mtp_layer'])}."
    memory = per_gpu.get("memory_bytes")
    if memory:
        said["gpu"] = f"{_gib(memory)} each, as the driver reports it; TP follows."
        said["gpu_memory_utilization"] = f"0.01 moves {_gib(memory / 100)} between pool and free."
    if kv.get("needed_bytes"):
        said["max_model_len"] = f"One such request holds {_gib(kv['needed_bytes'])}; the pool stays as it is."
    if "cuda_graphs" in parts:
        said["max_num_seqs"] = f"Cap on requests at once; graphs take {_said(parts['cuda_graphs'])}."
    if "workspaces" in parts and "activation_peak" in parts:
        scratch = parts["workspaces"] + parts["activation_peak"]
        said["max_num_batched_tokens"] = f"Prefill chunk; scratch and activation {_said(scratch)}."
    if kv.get("bytes_per_token") is not None:
        said["kv_cache_dtype"] = f"{kv['bytes_per_token']:,.6g} B per token and GPU, as {kv['record']}."
        said["tensor_parallel_size"] = (
            f"TP repeats the KV cache; DCP divides it, now by {asked.get('decode_context_parallel_size') or 1}."
        )
    return said


def placeholders(plan: Mapping[str, Any]) -> dict[str, str]:
    """What the engine fills in where a field is left empty."""
    asked = plan["deployment"]
    names = ("max_model_len", "max_num_seqs", "max_num_batched_tokens", "block_size", "engine_version")
    filled = {name: str(asked[name]) for name in names if asked.get(name) is not None}
    share = asked.get("gpu_memory_utilization")
    if share is not None:
        filled["gpu_memory_utilization"] = f"{share:g}"
    for name in (
        "tensor_parallel_size",
        "decode_context_parallel_size",
        "pipeline_parallel_size",
        "data_parallel_size",
    ):
        filled[name] = str(asked.get(name) or 1)
    filled["gpus"] = str(asked.get("gpus") or "")
    return filled


def _gib(value: float) -> str:
    return _said(cents(value))


def _said(hundredths: int) -> str:
    return f"{gib_text(hundredths)} GiB"
