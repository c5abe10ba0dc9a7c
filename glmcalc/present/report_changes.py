"""What one way of a report changes against another: every setting that differs, by the names that people use."""

from __future__ import annotations

from typing import Any, Mapping

from glmcalc.facts.frozen import record
from glmcalc.present.report_case import Case

_SHORT = {
    "quantization": "weights", "tensor_parallel_size": "TP", "pipeline_parallel_size": "PP", "data_parallel_size": "DP",
    "decode_context_parallel_size": "DCP", "enable_expert_parallel": "EP", "gpu_memory_utilization": "utilization", "max_num_batched_tokens": "batched tokens",
    "num_speculative_tokens": "MTP drafts", "experts_on_cpu_layers": "layers with experts on the CPU",
}  # fmt: skip
_ONE_AT_LEAST = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "decode_context_parallel_size")
_NONE_IS_ZERO = ("num_speculative_tokens", "experts_on_cpu_layers")
_OF_ALL_ENGINES = ("quantization", "max_model_len", "max_num_seqs", "experts_on_cpu_layers")
# Said in other words (the machine, the engine, the record of the cache), or another setting's value under a second name.
_SAID = (
    "gpu", "gpus", "engine", "model", "file", "defaults_filled", "max_model_len_auto", "kv_cache_dtype", "cache_type_k",
    "speculative_method", "context_length", "ctx_size", "parallel", "max_running_requests", "chunked_prefill_size", "gpu_layers",
)  # fmt: skip


@record
class Change:
    """One setting: its ``name`` as the deployment has it, its ``label`` for people, and both values as text."""

    name: str
    label: str
    old: str
    new: str

    @property
    def text(self) -> str:
        """``TP 8 → 4``; the machine and the like have no label."""
        return f"{self.label} {self.old} → {self.new}".strip()


def changes_of(case: Case, first: Case) -> list[Change]:
    """Every setting of ``case`` that differs from ``first``; what belongs to one engine only where both run it."""
    now, was = case.data["deployment"], first.data["deployment"]
    found = []
    if (now["gpu"], now["gpus"]) != (was["gpu"], was["gpus"]):
        found.append(Change("gpu", "", f"{was['gpus']} × {was['gpu']}", f"{now['gpus']} × {now['gpu']}"))
    same = now["engine"] == was["engine"]
    if not same:
        found.append(Change("engine", "engine", was["engine"], now["engine"]))
    names = [name for name in now if name in was and name not in _SAID] if same else _OF_ALL_ENGINES
    for name in names:
        old, new = _value(was, name), _value(now, name)
        if old != new:
            found.append(Change(name, _SHORT.get(name, name), _shown(old), _shown(new)))
    if same and now["quantization"] == was["quantization"] and now["model"] != was["model"]:
        found.append(Change("model", "model", was["model"], now["model"]))
    if same and case.plan.kv.record != first.plan.kv.record:
        found.append(Change("kv_cache_dtype", "KV", str(first.plan.kv.record), str(case.plan.kv.record)))
    return found


def _value(said: Mapping[str, Any], name: str) -> Any:
    value = said.get(name)
    if name in _ONE_AT_LEAST:
        return value or 1
    return (value or 0) if name in _NONE_IS_ZERO else value


def _shown(value: object) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)
