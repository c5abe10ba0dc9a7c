"""The nearest command that fits: the least harmful change, each candidate budgeted anew."""

from __future__ import annotations

from glmcalc.budget.kv import estimated_max_model_len
from glmcalc.budget.plan import plan
from glmcalc.budget.result import Plan
from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.model.checkpoint import load_checkpoint
from glmcalc.model.deployment import Deployment
from glmcalc.model.resolved import Resolved
from glmcalc.solve.steps import applied, changed_settings, costs, smaller_checkpoints

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator


_SMALL_SEQS = 64
_KEPT = object()
# What the loaded weights of a GPU depend on among the settings that the ladder changes.
_OF_WEIGHTS = ("model", "quantization", "tensor_parallel_size", "pipeline_parallel_size", "speculative_method")
# What a change costs besides memory, by setting.
COSTS = costs()


@record
class Mend:
    """A change that makes a deployment fit.

    Attributes:
        deployment, plan: the mended deployment, and its budget.
        change: ``flag``, ``from`` and ``to`` of each setting that differs.
        cost: what it costs besides memory, one phrase a setting.
    """

    deployment: Deployment
    plan: Plan
    change: tuple[dict[str, Any], ...]
    cost: str

    @property
    def described(self) -> str:
        """The changes as flags with their new values, on one line."""
        return ", ".join(f"{row['flag']} {row['to'] if row['to'] is not None else 'off'}" for row in self.change)

    def to_dict(self) -> dict[str, Any]:
        """As in ``verdict.mend`` of ``budget --json``."""
        return {
            "change": list(self.change),
            "command": self.plan.command,
            "gpus": self.plan.resolved.gpus,
            "status": self.plan.verdict.status,
            "summary": self.plan.verdict.reason,
            "cost": self.cost,
        }


def nearest_fit(start: Plan, limit: int = 40) -> Mend | None:
    """The first change of the ladder that fits at the pessimistic end; None when nothing known does, or it fits already.

    Args:
        start: the budget to mend.
        limit: most candidates to budget; weights that are known not to load count once. Over all devices, three checkpoints
            and four needs no mend stood beyond the thirtieth.
    """
    if (
        start.verdict.status == "fits"
        or start.resolved.uncertain
        or start.resolved.asked.available_kv_bytes is not None
    ):
        return None
    unloaded: set[tuple[object, ...]] = set()  # weights that were tried and do not load: no other flag mends that
    for changes in ladder(start):
        weights = tuple(changes.get(name, _KEPT) for name in _OF_WEIGHTS)
        if weights in unloaded:
            continue
        if limit <= 0:
            return None
        limit -= 1
        found = _try(start, changes)
        if isinstance(found, Mend):
            return found
        if found == "weights_load":
            unloaded.add(weights)
    return None


def ladder(start: Plan) -> Iterator[dict[str, Any]]:
    """Changes in order of harm, for the way in which ``start`` fails. A ``max_model_len`` of None is to be found.

    Order: operations that cost nothing but queueing, then the KV record, decode context parallelism, MTP off, a shorter
    context, a smaller checkpoint; then more GPUs, the fewest first, where checkpoints and splits are searched together.
    """
    r = start.resolved
    stage = start.verdict.stage
    if start.verdict.status == "unsupported":
        yield from _supported(r)
        return
    yield from _unpinned(r)
    yield from _idle(r)
    if r.asked.enable_chunked_prefill is False:
        yield from ({**small, "enable_chunked_prefill": None} for small in _smaller(r))
    if stage in ("startup_free_memory", "cuda_graph_capture", "runtime_activation", "runtime_workspace"):
        yield from _calmer(r)
    elif stage != "weights_load":
        yield from _smaller_chunks(r)
    spreads = _combined(r, r.tp)
    if stage not in ("weights_load", "profile_run_activation", "startup_no_kv_blocks"):
        yield from (changes for changes in spreads if changes)
        if r.mtp:
            off = {"speculative_method": None, "num_speculative_tokens": None}
            yield from ({**changes, **off} for changes in spreads)
        yield from ({**changes, "max_model_len": None} for changes in spreads)
    for more in _bigger(r):
        spreads = _combined(r, more.get("tensor_parallel_size", r.tp))
        yield from ({**more, **changes} for changes in spreads)
        yield {**more, **spreads[-1], "max_model_len": None}


def _combined(r: Resolved, tp: int) -> list[dict[str, Any]]:
    return [{**small, **spread} for spread in _spreads(r, tp) for small in _smaller(r)]


def _smaller(r: Resolved) -> list[dict[str, Any]]:
    options: list[dict[str, Any]] = [{}]
    if r.max_num_seqs > _SMALL_SEQS:
        options.append({"max_num_seqs": _SMALL_SEQS})
    return options


def _spreads(r: Resolved, tp: int) -> list[dict[str, Any]]:
    """KV records and context parallelism, from the least change up."""
    geometry = r.checkpoint.geometry
    record: dict[str, Any] = {}
    if r.record == "bf16" and geometry.sparse:
        record = {"kv_cache_dtype": "fp8" if r.device.architecture == "sm90" else "fp8_ds_mla"}
    options: list[dict[str, Any]] = [{}] + ([record] if record else [])
    few_heads = geometry.num_attention_heads // tp < 32  # which the kernel of fp8_ds_mla asks for
    for size in (2, 4, 8, 16):
        if size > r.dcp and tp % size == 0 and (few_heads or not (record or r.record == "fp8_ds_mla")):
            options.append({**record, "decode_context_parallel_size": size})
    return options


def _calmer(r: Resolved) -> Iterator[dict[str, Any]]:
    """For deaths outside the pool: fewer rows, fewer tokens, a lower line."""
    for seqs in (64, 16):
        if r.max_num_seqs > seqs:
            yield {"max_num_seqs": seqs}
    for tokens in (8192, 4096, 2048):
        if r.max_num_batched_tokens > tokens >= r.max_num_seqs:
            yield {"max_num_batched_tokens": tokens}
    for fewer in _smaller(r):
        for step in range(1, 13):
            lower = round(r.gpu_memory_utilization - 0.01 * step, 2)
            if lower > 0.5:
                yield {**fewer, "gpu_memory_utilization": lower}


def _smaller_chunks(r: Resolved) -> Iterator[dict[str, Any]]:
    """A step down to the engine's own default, where more tokens a step were asked for: prompts take more steps."""
    for tokens in (32_768, 16_384, 8192):
        if r.max_num_batched_tokens > tokens >= r.max_num_seqs:
            yield {"max_num_batched_tokens": tokens}


def _unpinned(r: Resolved) -> Iterator[dict[str, Any]]:
    """A pool stated by hand, left to the engine."""
    for name in ("kv_cache_memory_bytes", "num_gpu_blocks_override"):
        if getattr(r.asked, name) is not None:
            yield {name: None}


def _idle(r: Resolved) -> Iterator[dict[str, Any]]:
    """All the GPUs that were stated, where the parallel sizes leave some idle."""
    idle = r.gpus // (r.tp * r.pp * r.dp)
    if idle > 1 and r.checkpoint.geometry.num_attention_heads % (r.tp * idle) == 0:
        yield from ({"tensor_parallel_size": r.tp * idle, **spread} for spread in _combined(r, r.tp * idle))


def _supported(r: Resolved) -> Iterator[dict[str, Any]]:
    yield {"kv_cache_dtype": "fp8"}
    yield {"decode_context_parallel_size": None}
    yield {"kv_cache_dtype": "fp8", "decode_context_parallel_size": None}
    yield {"block_size": 64}


def _bigger(r: Resolved) -> Iterator[dict[str, Any]]:
    """Smaller checkpoints of the same model; then the same and they on more GPUs, the fewest first."""
    smaller = [{"model": name, "quantization": None} for name, _ in smaller_checkpoints(r.checkpoint.name)]
    yield from smaller
    heads = r.checkpoint.geometry.num_attention_heads
    for times in (2, 4, 8, 16):
        splits: list[dict[str, Any]] = []
        if heads % (r.tp * times) == 0 and r.tp * times <= 16:
            splits.append({"tensor_parallel_size": r.tp * times, "gpus": None})
        if times <= 8:
            splits.append({"tensor_parallel_size": r.tp, "pipeline_parallel_size": r.pp * times, "gpus": None})
        room = r.memory.high_bytes * r.gpus * times if r.memory else None
        able = [weights for weights in ({}, *smaller) if room is None or _stored(r, weights) < room]
        yield from ({**weights, **split} for weights in able for split in splits)


def _stored(r: Resolved, weights: dict[str, Any]) -> int:
    """Bytes of a checkpoint without its MTP layer: no number of GPUs holds it in less memory."""
    made = load_checkpoint(weights["model"]) if weights else r.checkpoint
    return made.total_band.low - (made.total_bytes - made.bytes_without_mtp)


def _try(start: Plan, changes: dict[str, Any]) -> Mend | str | None:
    """The mend, or the stage at which the changed deployment is sure to die, or None."""
    asked = start.resolved.asked
    length = changes.get("max_model_len", 0)
    given = {name: value for name, value in changes.items() if name != "max_model_len"}
    try:
        mended = plan(applied(asked, given, start.resolved.device))
        if mended.verdict.status == "does_not_fit" and mended.verdict.stage == "weights_load":
            return "weights_load"
        if length is None:
            shorter = _safe_length(mended)
            if shorter is None or shorter >= start.resolved.max_model_len:
                return None
            given["max_model_len"] = shorter
            mended = plan(applied(asked, given, start.resolved.device))
    except InputError:
        return None
    if mended.verdict.status != "fits":
        return None
    named = [name for name in given if name != "gpus"]  # the parallel sizes say it
    shown = changed_settings(start.resolved, mended.resolved, named)
    cost = "; ".join(dict.fromkeys(COSTS[row["name"]] for row in shown if row["name"] in COSTS))
    return Mend(mended.resolved.asked, mended, tuple(shown), cost)


def _safe_length(candidate: Plan) -> int | None:
    """The longest length that the pessimistic pool holds; a multiple of 1,000 below it where there is room, in tokens."""
    kv = candidate.kv
    r = candidate.resolved
    longest = estimated_max_model_len(kv.available.low, kv.bytes_per_block, r.dcp, r.block_size)
    if longest < 1024:
        return None
    rounded = longest // 1000 * 1000
    return rounded - 8 if rounded % r.block_size == 0 and r.mtp else rounded
