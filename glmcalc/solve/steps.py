"""What each thing that can be given up costs (``data/downgrade_steps.jsonl``), and how settings are named and compared."""

from __future__ import annotations

from functools import lru_cache

from glmcalc.budget.plan import plan
from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.facts.hardware import Device
from glmcalc.facts.models import base_name, model_entries, model_names
from glmcalc.facts.store import load_jsonl
from glmcalc.model.checkpoint import load_checkpoint
from glmcalc.model.deployment import Deployment
from glmcalc.model.resolved import Resolved

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable, Mapping


@record
class StepFact:
    """One row of ``data/downgrade_steps.jsonl``.

    Attributes:
        setting, flag: of :class:`Deployment`, and as the engine spells it.
        verb: what is done, a phrase.
        cost: what it costs besides memory, one phrase.
        quality_cost, speed_cost: the reported cost with its figures; None where none is known, and then ``*_reason`` says so.
        reported_loss: a loss of quality was reported for it.
        eval_gate: only after an evaluation of one's own.
        restart, reversible, undo: how it is put on and taken back.
    """

    id: str
    setting: str
    flag: str
    verb: str
    cost: str
    quality_cost: str | None
    quality_source: str | None
    quality_reason: str | None
    reported_loss: bool
    eval_gate: bool
    speed_cost: str | None
    speed_source: str | None
    speed_reason: str | None
    restart: bool
    reversible: bool
    undo: str
    source: str
    date: str
    kind: str


@lru_cache(maxsize=1)
def step_facts() -> Mapping[str, StepFact]:
    """All rows by id.

    Raises:
        InputError: a row without source, date or kind.
    """
    rows = {}
    for row in load_jsonl("downgrade_steps.jsonl"):
        for field in ("source", "date", "kind"):
            if not row.get(field):
                raise InputError(
                    field, row.get(field), "present", f"downgrade_steps.jsonl: {row.get('id')} has no {field}."
                )
        rows[row["id"]] = StepFact(**row)
    return rows


def step_fact(name: str) -> StepFact:
    """The row called ``name``.

    Raises:
        KeyError: no such row.
    """
    return step_facts()[name]


def costs() -> dict[str, str]:
    """What a change of each setting costs, one phrase, by the setting's name."""
    return {name: row.cost for name, row in step_facts().items() if name == row.setting}


def changed_settings(before: Resolved, after: Resolved, names: Iterable[str]) -> list[dict[str, Any]]:
    """``name``, ``flag``, ``from`` and ``to`` of those of ``names`` whose resolved value differs."""
    was, now = _values(before), _values(after)
    return [
        {"name": name, "flag": _FLAGS[name], "from": was[name], "to": now[name]}
        for name in names
        if name in was and was[name] != now[name]
    ]


_FLAGS = {
    "kv_cache_dtype": "--kv-cache-dtype", "decode_context_parallel_size": "--decode-context-parallel-size",
    "max_num_seqs": "--max-num-seqs", "max_num_batched_tokens": "--max-num-batched-tokens",
    "enable_chunked_prefill": "--no-enable-chunked-prefill",
    "gpu_memory_utilization": "--gpu-memory-utilization", "speculative_method": "--speculative-config",
    "max_model_len": "--max-model-len", "model": "model", "tensor_parallel_size": "--tensor-parallel-size",
    "pipeline_parallel_size": "--pipeline-parallel-size", "data_parallel_size": "--data-parallel-size",
    "block_size": "--block-size", "enforce_eager": "--enforce-eager", "engine_version": "vLLM",
    "max_cudagraph_capture_size": "--max-cudagraph-capture-size", "kv_cache_memory_bytes": "--kv-cache-memory-bytes",
    "num_gpu_blocks_override": "--num-gpu-blocks-override", "gpu": "GPU", "gpus": "GPUs",
}  # fmt: skip


def _values(r: Resolved) -> dict[str, Any]:
    asked = r.asked
    return {
        "kv_cache_dtype": asked.kv_cache_dtype or "auto",
        "decode_context_parallel_size": r.dcp,
        "max_num_seqs": r.max_num_seqs,
        "max_num_batched_tokens": r.max_num_batched_tokens,
        "enable_chunked_prefill": True if asked.enable_chunked_prefill is False else None,  # as the flag that says it
        "gpu_memory_utilization": r.gpu_memory_utilization,
        "speculative_method": asked.speculative_method,
        "max_model_len": "auto" if r.auto_fit else r.max_model_len,
        "model": r.checkpoint.name,
        "tensor_parallel_size": r.tp,
        "pipeline_parallel_size": r.pp,
        "data_parallel_size": r.dp,
        "block_size": r.block_size,
        "enforce_eager": asked.enforce_eager,
        "engine_version": asked.engine_version,
        "max_cudagraph_capture_size": asked.max_cudagraph_capture_size,
        "kv_cache_memory_bytes": asked.kv_cache_memory_bytes,
        "num_gpu_blocks_override": asked.num_gpu_blocks_override,
        "gpu": r.device.id,
        "gpus": r.gpus,
    }


# What the engine loads without a repack and whose recipe is known, the largest first; others are taken by name only.
_EXACT_FORMATS = ("bf16", "fp8", "nvfp4")


@lru_cache(maxsize=32)
def smaller_checkpoints(name: str) -> tuple[tuple[str, str], ...]:
    """Known checkpoints of the same model in a smaller format, the largest first: id and format.

    The same model: the same name but for the format's suffix. A model that is only known by its ``config.json`` has none.
    """
    if name not in model_names():
        return ()
    own = load_checkpoint(name)
    same = [
        entry for entry in model_entries() if base_name(entry.id) == base_name(name) and entry.format in _EXACT_FORMATS
    ]
    if own.recipe.fmt in _EXACT_FORMATS:  # of one model they rank by format, and nothing has to be read
        rank = _EXACT_FORMATS.index
        ranked = sorted(
            (one for one in same if rank(one.format) > rank(own.recipe.fmt)), key=lambda one: rank(one.format)
        )
        return tuple((one.id, one.format) for one in ranked)
    others = [load_checkpoint(entry.id) for entry in same]
    smaller = (other for other in others if other.total_bytes < own.total_bytes)
    return tuple((other.name, other.recipe.fmt) for other in sorted(smaller, key=lambda other: -other.total_bytes))


_OF_WEIGHTS = (
    "model", "quantization", "tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "gpu",
)  # fmt: skip


def applied(asked: Deployment, changes: Mapping[str, Any], device: Device) -> Deployment:
    """The deployment after ``changes``, without what a log printed of what they replace.

    Printed weights are those of one checkpoint, one split, and on Hopper one KV record, whose workspace they hold; MTP off
    takes the draft layer out of them. A printed pool is that of one split.

    Raises:
        InputError: a value that is refused.
    """
    made = asked.changed(**changes)
    moved = any(name in changes for name in _OF_WEIGHTS)
    if made.available_kv_bytes is not None and moved:
        made = made.changed(available_kv_bytes=None)
    if "gpu" in changes and made.gpu_memory_bytes is not None:
        made = made.changed(gpu_memory_bytes=None)
    if made.weights_bytes is None:
        return made
    if moved or ("kv_cache_dtype" in changes and device.architecture == "sm90"):
        return made.changed(weights_bytes=None)
    if "speculative_method" in changes and changes["speculative_method"] is None and asked.mtp:
        draft = plan(asked.changed(weights_bytes=None, available_kv_bytes=None)).component("mtp_layer").band.likely
        return made.changed(weights_bytes=max(made.weights_bytes - draft, 1))
    return made
