"""The search under SGLang, where vLLM does not serve for sure: its own formats, and the records for which no loss is reported."""

from __future__ import annotations

from glmcalc.budget.sglang import plan_sglang
from glmcalc.budget.weights import Split, weights_by_stage
from glmcalc.facts.errors import InputError
from glmcalc.model.checkpoint import load_checkpoint
from glmcalc.model.deployment import Deployment
from glmcalc.solve.size_fit import Fit, too_few, whole_status
from glmcalc.solve.size_need import Configuration, Need, quality_note
from glmcalc.solve.size_vllm import formats_for, refusals_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

    from glmcalc.budget.other_result import OtherPlan

CHUNK = 8_192
_FEWEST_GRAPHS, _MOST_GRAPHS = 8, 512
_HIGHER = 0.9


def search_sglang(config: Configuration, need: Need) -> list[Fit]:
    """Candidates that were budgeted, the least risk to quality first; it stops at the first that may serve."""
    fits: list[Fit] = []
    for fmt in formats_for(config, need, "sglang"):
        if refusals_of(fmt, config, need, "sglang"):
            continue
        for kv in _records(config):
            for groups in _groups(config, need):
                fits += _tried(config, need, fmt, kv, groups)
                if fits and (fits[-1].clear or fits[-1].status == "unsupported"):
                    return fits
    return fits


def _records(config: Configuration) -> tuple[str, ...]:
    return ("fp8_e4m3",) if config.device.architecture == "sm90" else ("bfloat16", "fp8_e4m3")


def _groups(config: Configuration, need: Need) -> Iterator[int]:
    """Data-parallel attention groups within the tensor-parallel ranks: one, then as many as there are GPUs."""
    yield 1
    if 1 < config.gpus <= need.concurrency:
        yield config.gpus


def _tried(config: Configuration, need: Need, fmt: str, kv: str, groups: int) -> list[Fit]:
    checkpoint = load_checkpoint(need.model, fmt)
    memory = config.device.memory()
    try:
        least = weights_by_stage(checkpoint.low or checkpoint, Split(config.gpus, ep=groups > 1))[0].main
        if memory is None or least > memory.high_bytes:
            return []
        asked = _deployment(config, need, checkpoint.name, kv, groups)
        fit = sglang_fit(plan_sglang(asked), need)
        if fit.status == "does_not_fit" and fit.plan.resolved.fraction[1] < _HIGHER:
            higher = sglang_fit(plan_sglang(asked.changed(mem_fraction_static=_HIGHER)), need)
            fit = min(fit, higher, key=lambda one: one.order)
    except InputError:
        return []
    return [fit]


def _deployment(config: Configuration, need: Need, model: str, kv: str, groups: int) -> Deployment:
    drafts = need.num_speculative_tokens
    each = -(-need.concurrency // groups)
    return Deployment(
        engine="sglang", model=model, gpu=config.gpu, gpus=config.gpus, tensor_parallel_size=config.gpus,
        data_parallel_size=groups if groups > 1 else None, enable_dp_attention=True if groups > 1 else None,
        expert_parallel_size=config.gpus if groups > 1 else None,
        kv_cache_dtype=kv, context_length=need.context, max_running_requests=need.concurrency, chunked_prefill_size=CHUNK,
        cuda_graph_max_bs=min(max(each, _FEWEST_GRAPHS), _MOST_GRAPHS),
        speculative_method="NEXTN" if drafts else None, num_speculative_tokens=drafts or None,
    )  # fmt: skip


def sglang_fit(made: OtherPlan, need: Need) -> Fit:
    """What a budget of SGLang is worth under the need; ``max_running_requests`` counts all groups."""
    r = made.resolved
    groups = r.dp  # type: ignore[union-attr]
    low, likely, _ = (groups * (max(count, 0) // need.context) for count in made.kv.tokens)
    if made.verdict.status in ("does_not_fit", "unsupported"):
        low = likely = 0
    status = whole_status(made.verdict.status, low, likely, need.concurrency)
    reason, short = made.verdict.reason, None
    if status != "unsupported" and low < need.concurrency and made.verdict.stage != "weights_load":
        each = -(-need.concurrency // groups)
        short = max(each * need.context - max(made.kv.tokens[0], 0), 0) * made.kv.bytes_per_token or None
        reason = made.verdict.reason if not likely else too_few(made.verdict.reason, low, likely, need, short)
    record = made.kv.record
    other = getattr(r, "record_other", None)
    rank, note, where = quality_note(r.checkpoint.recipe.fmt, record, *([other] if other else []))  # type: ignore[union-attr]
    return Fit(
        r.asked,
        made,
        status,
        reason,
        low,
        likely,
        groups,
        -(-need.concurrency // groups),
        rank,
        note,
        tuple(where),
        short,
    )
