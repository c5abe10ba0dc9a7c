"""What can be given up: for each knob the values it could take next, from the least change to the most."""

from __future__ import annotations

import math

from glmcalc.advise.ladder_limits import POOL, PREEMPTION, RUNTIME
from glmcalc.advise.ladder_order import EIGHTH, HALF
from glmcalc.budget.result import Plan
from glmcalc.facts.engines import NEWEST, rule
from glmcalc.facts.frozen import record
from glmcalc.model.resolved import Resolved
from glmcalc.solve.ceiling import utilization_ceiling
from glmcalc.solve.steps import smaller_checkpoints

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator, Mapping

    Changes = dict[str, Any]


OUTSIDE = ("startup_free_memory", "cuda_graph_capture", RUNTIME)
FLOOR = 1024  # tokens: the shortest longest request that a ladder proposes
_LEAST_UTILIZATION = 0.30


@record
class Stand:
    """Where a ladder stands: the budget, its margins (bytes per GPU), the limit that fails, and the length it began with."""

    plan: Plan
    margins: Mapping[str, int]
    limit: str
    first_length: int

    @property
    def r(self) -> Resolved:
        """The deployment with every default filled in."""
        return self.plan.resolved


def values(knob: str, stand: Stand) -> Iterator[Changes]:
    """Changes that ``knob`` (an id of ``data/downgrade_steps.jsonl``) offers here, the least first.

    ``max_model_len`` and its lower rungs offer only their end; the caller looks for the longest that does.

    Raises:
        KeyError: no such knob.
    """
    return _KNOBS[knob](stand)


def covered(knob: str, r: Resolved) -> bool:
    """Whether capture sizes that are said to cost nothing still cover every batch that can run after the step."""
    size = r.asked.max_cudagraph_capture_size
    return knob != "max_cudagraph_capture_size" or size is None or size >= _used(r)


def _used(r: Resolved) -> int:
    """The largest batch that can run: ``max_num_seqs`` requests of one token and, with MTP, its drafts."""
    return r.max_num_seqs * (1 + (r.num_speculative_tokens if r.mtp else 0))


def _tokens(*options: int) -> Callable[[Stand], Iterator[Changes]]:
    def make(stand: Stand) -> Iterator[Changes]:
        for tokens in options:
            if stand.r.max_num_batched_tokens > tokens >= stand.r.max_num_seqs:
                yield {"max_num_batched_tokens": tokens}

    return make


def _used_captures(stand: Stand) -> Iterator[Changes]:
    r = stand.r
    used = _used(r)
    now = r.asked.max_cudagraph_capture_size
    if not r.asked.enforce_eager and (now is None or now > used) and used < 512:
        yield {"max_cudagraph_capture_size": used}


def _few_captures(stand: Stand) -> Iterator[Changes]:
    now = stand.r.asked.max_cudagraph_capture_size or 512
    if not stand.r.asked.enforce_eager:
        for size in (256, 128, 64, 32):
            if size < now:
                yield {"max_cudagraph_capture_size": size}


def _sequences(*options: int) -> Callable[[Stand], Iterator[Changes]]:
    def make(stand: Stand) -> Iterator[Changes]:
        if stand.limit == PREEMPTION:
            holds = max(math.floor(stand.plan.kv.low.max_concurrency or 0), 1)
            if holds < stand.r.max_num_seqs:
                yield {"max_num_seqs": holds}
            return
        for seqs in options:
            if stand.r.max_num_seqs > seqs:
                yield {"max_num_seqs": seqs}

    return make


def _scaled_record(stand: Stand) -> Iterator[Changes]:
    if stand.r.record == "bf16" and stand.r.checkpoint.geometry.sparse:
        yield {"kv_cache_dtype": "fp8" if stand.r.device.architecture == "sm90" else "fp8_ds_mla"}


def _plain_record(stand: Stand) -> Iterator[Changes]:
    if stand.r.record in ("bf16", "fp8_ds_mla") and (
        _blackwell(stand.r) or (not stand.r.checkpoint.geometry.sparse and stand.r.record == "bf16")
    ):
        yield {"kv_cache_dtype": "fp8"}


def _nvfp4_record(stand: Stand) -> Iterator[Changes]:
    if stand.r.record != "nvfp4_ds_mla" and _blackwell(stand.r) and stand.r.checkpoint.geometry.sparse:
        yield {"kv_cache_dtype": "nvfp4_ds_mla"}


def _bf16_record(stand: Stand) -> Iterator[Changes]:
    allocated = rule("split_kv_accumulators", stand.r.version).value == "allocated"
    if stand.limit == RUNTIME and allocated and stand.r.record == "fp8_ds_mla" and stand.r.dcp == 1:
        yield {"kv_cache_dtype": "bfloat16"}


def _blackwell(r: Resolved) -> bool:
    return r.device.architecture in ("sm100", "sm103")


def _context_parallel(stand: Stand) -> Iterator[Changes]:
    for size in (2, 4, 8, 16):
        if size > stand.r.dcp and stand.r.tp % size == 0:
            yield {"decode_context_parallel_size": size}


def _no_mtp(stand: Stand) -> Iterator[Changes]:
    if stand.r.mtp:
        yield {"speculative_method": None, "num_speculative_tokens": None, "speculative_extra": None}


def _checkpoint(four_bit: bool) -> Callable[[Stand], Iterator[Changes]]:
    def make(stand: Stand) -> Iterator[Changes]:
        if stand.r.asked.available_kv_bytes is not None:
            return
        for name, fmt in smaller_checkpoints(stand.r.checkpoint.name):
            if (fmt == "nvfp4") is four_bit:
                yield {"model": name, "quantization": None}

    return make


def spreads(r: Resolved, gpus: int) -> list[tuple[int, int]]:
    """Tensor and pipeline sizes that use ``gpus`` GPUs, the fewest pipeline stages first; not the present one."""
    heads, layers = r.checkpoint.geometry.num_attention_heads, r.checkpoint.geometry.num_hidden_layers
    sizes = [(gpus // pp, pp) for pp in range(1, min(gpus, layers) + 1) if gpus % pp == 0]
    return [
        (tp, pp) for tp, pp in sizes if heads % tp == 0 and tp <= 64 and ((tp, pp) != (r.tp, r.pp) or r.dp > 1)
    ]  # fmt: skip


def spread_changes(r: Resolved, tp: int, pp: int, gpus: int) -> Changes:
    """The parallel sizes as changes; data parallelism, and context parallelism that no longer divides, go."""
    changes: Changes = {"tensor_parallel_size": tp, "pipeline_parallel_size": pp if pp > 1 or r.pp > 1 else None}
    if r.dp > 1:
        changes["data_parallel_size"] = None
    if r.dcp > 1 and tp % r.dcp:
        changes["decode_context_parallel_size"] = None
    if r.asked.gpus is not None and r.asked.gpus != gpus:
        changes["gpus"] = gpus
    return changes


def _idle(stand: Stand) -> Iterator[Changes]:
    r = stand.r
    if r.gpus > r.tp * r.pp * r.dp and r.asked.available_kv_bytes is None:
        for tp in (2, 4, 8, 16, 32, 64):
            if tp > r.tp and tp * r.pp * r.dp <= r.gpus:
                yield {"tensor_parallel_size": tp}


def _stages(stand: Stand) -> Iterator[Changes]:
    r = stand.r
    if r.asked.available_kv_bytes is None:
        for tp, pp in spreads(r, r.gpus):
            yield spread_changes(r, tp, pp, r.gpus)


def _eager(stand: Stand) -> Iterator[Changes]:
    if not stand.r.asked.enforce_eager:
        yield {"enforce_eager": True}


def _line_down(stand: Stand) -> Iterator[Changes]:
    memory = stand.plan.memory
    if stand.limit not in OUTSIDE or memory is None:
        return
    now = stand.r.gpu_memory_utilization
    least = now + stand.margins[stand.limit] / memory.likely
    first = math.floor(100 * min(least, now - 0.005) + 1e-6)
    for step in range(first, max(first - 4, math.ceil(100 * _LEAST_UTILIZATION)), -1):
        yield {"gpu_memory_utilization": step / 100}


def _line_up(stand: Stand) -> Iterator[Changes]:
    memory, found, ceiling = stand.plan.memory, stand.margins, utilization_ceiling(stand.plan)
    if stand.limit not in (POOL, PREEMPTION) or memory is None or ceiling is None:
        return
    now = stand.r.gpu_memory_utilization
    slack = min(found.get(name, 0) for name in OUTSIDE)
    highest = math.floor(100 * min(now + slack / memory.likely, ceiling) + 1e-6)
    wanted = math.ceil(100 * (now - found[stand.limit] / memory.low) - 1e-6)
    first = max(min(wanted, highest), math.floor(100 * now + 1e-6) + 1)
    for step in range(first, highest + 1):
        yield {"gpu_memory_utilization": step / 100}


def _release(stand: Stand) -> Iterator[Changes]:
    version = stand.r.version
    if version.certain and not version.fork and version.text != NEWEST:
        yield {"engine_version": NEWEST}


def _unpin(name: str) -> Callable[[Stand], Iterator[Changes]]:
    def make(stand: Stand) -> Iterator[Changes]:
        if getattr(stand.r.asked, name) is not None:
            yield {name: None}

    return make


def _shortest(floor: float) -> Callable[[Stand], Iterator[Changes]]:
    def make(stand: Stand) -> Iterator[Changes]:
        least = max(int(stand.first_length * floor), FLOOR)
        if stand.r.max_model_len > least:
            yield {"max_model_len": least}

    return make


def grain(tokens: int) -> int:
    """Tokens by which lengths of about ``tokens`` are rounded."""
    return 1000 if tokens > 8000 else 128


def round_length(tokens: int) -> int:
    """A round length not above ``tokens``: whole thousands above 8,000, and never a multiple of 64."""
    rounded = tokens // grain(tokens) * grain(tokens) or tokens
    return rounded - 8 if rounded % 64 == 0 and rounded > 64 else rounded


def supported(r: Resolved) -> Iterator[tuple[str, Changes]]:
    """What could lift a refusal of a combination: knob and changes."""
    if r.block_size % 64:
        yield "block_size", {"block_size": 64}
    yield "kv_cache_dtype_supported", {"kv_cache_dtype": "fp8"}
    if r.dcp > 1:
        yield "decode_context_parallel_size_off", {"decode_context_parallel_size": None}
    yield "kv_cache_dtype_supported", {"kv_cache_dtype": None}
    if r.block_size % 64:
        yield "block_size", {"block_size": 64, "kv_cache_dtype": "fp8"}
        yield "block_size", {"block_size": 64, "decode_context_parallel_size": None}
        yield "block_size", {"block_size": 64, "kv_cache_dtype": "fp8", "decode_context_parallel_size": None}
    yield "decode_context_parallel_size_off", {"kv_cache_dtype": "fp8", "decode_context_parallel_size": None}


_KNOBS: dict[str, Callable[[Stand], Iterator[Changes]]] = {
    "idle_gpus": _idle,
    "max_num_batched_tokens": _tokens(8192, 4096),
    "max_num_batched_tokens_low": _tokens(2048, 1024, 512),
    "max_cudagraph_capture_size": _used_captures,
    "max_cudagraph_capture_size_low": _few_captures,
    "max_num_seqs": _sequences(256, 64),
    "max_num_seqs_low": _sequences(16),
    "max_num_seqs_least": _sequences(4, 1),
    "kv_cache_dtype": _scaled_record,
    "kv_cache_dtype_plain": _plain_record,
    "kv_cache_dtype_nvfp4": _nvfp4_record,
    "kv_cache_dtype_bf16": _bf16_record,
    "max_model_len": _shortest(HALF),
    "max_model_len_low": _shortest(EIGHTH),
    "max_model_len_least": _shortest(0.0),
    "decode_context_parallel_size": _context_parallel,
    "speculative_method": _no_mtp,
    "model_fp8": _checkpoint(False),
    "model": _checkpoint(True),
    "spread": _stages,
    "enforce_eager": _eager,
    "gpu_memory_utilization": _line_down,
    "gpu_memory_utilization_up": _line_up,
    "engine_version": _release,
    "enable_chunked_prefill": _unpin("enable_chunked_prefill"),
    "kv_cache_memory_bytes": _unpin("kv_cache_memory_bytes"),
    "num_gpu_blocks_override": _unpin("num_gpu_blocks_override"),
}
