"""The budget of SGLang: weights and pool share a static part of each GPU, and all the rest must do with what is left.

The engine's own accounting (``mem_cache/kv_cache_configurator.py``, ``model_executor/pool_configurator.py``, SGLang 0.5.13 to
0.5.23): ``pool = free after loading - free before loading x (1 - mem_fraction_static)``, tokens by whole pages.
"""

from __future__ import annotations

from glmcalc.budget import kv
from glmcalc.budget.other_result import OtherPlan, TokenPool
from glmcalc.budget.other_terms import listed, other_term
from glmcalc.budget.other_verdict import apart
from glmcalc.budget.result import Component
from glmcalc.budget.sglang_outside import outside_components
from glmcalc.budget.sglang_verdict import judge_sglang
from glmcalc.budget.weights import SOURCE as WEIGHTS_SOURCE
from glmcalc.budget.weights import Split, loaded_bytes, stage_layers
from glmcalc.facts.frozen import record
from glmcalc.facts.quantity import Band, combine
from glmcalc.facts.sglang_rules import sglang_rule
from glmcalc.model.checkpoint import Checkpoint
from glmcalc.model.deployment import Deployment
from glmcalc.model.sglang_settings import PAGE, SglangResolved, resolve_sglang

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

POOL_SOURCE = "https://github.com/sgl-project/sglang/blob/v0.5.18/python/sglang/srt/mem_cache/kv_cache_configurator.py"


@record
class Stage:
    """One pipeline stage of one rank.

    Attributes:
        main: weights without a drafter, in bytes; a range where the release leaves open who owns an indexer, or the recipe is
            not known to the tensor.
        draft: bytes of the MTP layer's weights.
        cell, cell_low: bytes stored a token and rank, of the target model.
        counted: bytes by which the pool is divided, the drafter's included where the release takes it into account.
        draft_cell: bytes that the drafter's pool stores a token.
    """

    main: Band
    draft: int
    cell: int
    cell_low: int
    counted: int
    draft_cell: int


def plan_sglang(asked: Deployment) -> OtherPlan:
    """Budget ``asked`` under SGLang's rules.

    Raises:
        InputError: a value that neither the model nor the engine takes.

    >>> made = plan_sglang(Deployment(engine="sglang", gpu="b200_sxm", tensor_parallel_size=8, engine_version="0.5.18"))
    >>> made.kv.bytes_per_token
    47700
    """
    r = resolve_sglang(asked)
    memory = Band(r.memory.low_bytes, r.memory.bytes, r.memory.high_bytes) if r.memory else None
    inside = sglang_rule("draft_counted", r.version).value == "inside"
    stages = _stages(r, inside)
    context = _context(r)
    before = apart(memory, context) if memory else Band.exact(0)
    rests = [_rest(r, stage, before, inside) for stage in stages]
    binding = min(range(len(stages)), key=lambda i: rests[i].likely // stages[i].counted)
    stage, rest = stages[binding], rests[binding]
    pool = _pool(r, stage, rest)
    components = _components(r, stage, pool, inside) + outside_components(r, before, context)
    line = round(before.likely * r.fraction[1]) if memory else None
    verdict = judge_sglang(r, components, pool, before, rest)
    return OtherPlan(r, tuple(components), pool, memory, line, verdict, _deployment(r))


def _stages(r: SglangResolved, inside: bool) -> list[Stage]:
    g = r.checkpoint.geometry
    every = r.indexers.value == "every_layer"
    raw = sglang_rule("fp8_record_counted", r.version).value == "raw"
    stored = kv.mla_record_bytes(r.record, g.kv_lora_rank, g.qk_rope_head_dim)
    least = kv.mla_record_bytes(r.record_other or r.record, g.kv_lora_rank, g.qk_rope_head_dim)
    plain = kv.mla_record_bytes("fp8_e4m3", g.kv_lora_rank, g.qk_rope_head_dim) if r.record != "bf16" else stored
    index = kv.indexer_record_bytes(g.index_head_dim) if g.sparse else 0
    stages = []
    for number, layers in enumerate(stage_layers(g.num_hidden_layers, r.pp)):
        owners = sum(layer in g.indexer_layers for layer in layers)
        most = len(layers) if every else owners
        fewest = owners if r.indexers.other is not None else most
        main, draft = _weights(r, r.checkpoint, number, layers)
        ends = [_weights(r, end, number, layers)[0] for end in (r.checkpoint.low, r.checkpoint.high) if end is not None]
        unused = _unused_indexer(r)
        drafts = index + stored if r.mtp and number == r.pp - 1 else 0
        counted = (plain if raw else stored) * len(layers) + index * most
        if inside and drafts:
            counted += (plain if raw else stored) + index
        stages.append(Stage(
            Band(
                min([main, *ends]) + (fewest - owners) * unused, main + (most - owners) * unused,
                max([main, *ends]) + (most - owners) * unused,
            ),
            draft,
            stored * len(layers) + index * most, least * len(layers) + index * fewest, counted, drafts,
        ))  # fmt: skip
    return stages


def _weights(r: SglangResolved, checkpoint: Checkpoint, number: int, layers: range) -> tuple[int, int]:
    """Bytes of one rank's weights: of the target model, and of the MTP layer.

    With DP attention each group holds attention and embedding for itself; experts, dense MLP and head are spread over all.
    """
    every = Split(r.tp, ep=r.ep > 1)
    group = Split(r.attention_tp)
    main = draft = 0
    for module in checkpoint.modules:
        alone = module.group.startswith("attention") or module.name == "embed_tokens"
        size = loaded_bytes(module, group if r.dp_attention and alone else every)
        if checkpoint.is_mtp(module):
            draft += size * module.repeats if r.mtp and number == r.pp - 1 else 0
        elif module.layers is None:
            main += size if number == (0 if module.name == "embed_tokens" else r.pp - 1) else 0
        else:
            main += size * sum(layer in layers for layer in module.layers)
    return main, draft


def _unused_indexer(r: SglangResolved) -> int:
    """Bytes of one indexer that is built on a layer which does not use it."""
    return sum(
        loaded_bytes(module, Split())
        for module in r.checkpoint.modules
        if module.group == "indexer" and module.layers is not None and module.layers[0] == 0
    )


def _context(r: SglangResolved) -> Band:
    """What is gone before the weights load: context, NCCL, and on shared memory the host."""
    if r.device.architecture == "sm121":
        return other_term("sglang_context_shared").band
    if r.device.vendor == "AMD":
        return other_term("sglang_context_amd").band
    return other_term("sglang_context").band


def _weights_band(r: SglangResolved, stage: Stage) -> Band:
    if r.asked.weights_bytes is not None:
        return Band.exact(r.asked.weights_bytes)
    return stage.main.plus(other_term("sglang_load_extras").band)


def _rest(r: SglangResolved, stage: Stage, before: Band, inside: bool) -> Band:
    """Bytes that the static share leaves for the pools of target and drafter."""
    if r.asked.available_kv_bytes is not None:
        return Band.exact(r.asked.available_kv_bytes)
    low, likely, high = r.fraction
    share = Band(round(before.likely * low), round(before.likely * likely), round(before.likely * high))
    draft = Band.exact(stage.draft if inside else 0)
    known = r.asked.weights_bytes is not None and low == high
    least = round(other_term("sglang_least_half_width" + "_printed" * known).likely)
    parts = [_weights_band(r, stage), draft, other_term("sglang_static_extras").band]
    used = combine([*parts, Band(-share.high, -share.likely, -share.low)], least)
    down, up = round((before.likely - before.low) * likely), round((before.high - before.likely) * likely)
    return Band(-used.high - down, -used.likely, -used.low + up)


def _pool(r: SglangResolved, stage: Stage, rest: Band) -> TokenPool:
    printed = r.asked.available_kv_bytes is not None
    cells = [stage.cell] * 3 if printed else [stage.counted, stage.counted, _counted_low(r, stage)]
    most = r.max_total_tokens
    tokens = []
    for size, cell in zip((rest.low, rest.likely, rest.high), cells):
        count = max(size, 0) // cell // PAGE * PAGE
        tokens.append(min(count, most // PAGE * PAGE) if most is not None else count)
    held = sorted(tokens)
    ends = [
        size if printed or size < 0 else count * stage.cell
        for size, count in zip((rest.low, rest.likely, rest.high), held)
    ]
    available = Band(ends[0], ends[1], ends[2])
    groups = r.dp if r.dp > 1 else 1
    more: dict[str, Any] = {
        "page_size": PAGE if r.checkpoint.geometry.sparse else 1,
        "draft_bytes_per_token": stage.draft_cell or None,
        "counted_bytes_per_token": stage.counted,
        "tokens_all_groups": held[1] * groups,
        "max_concurrency_all_groups": held[1] * groups / r.context_length,
    }
    low = stage.cell_low if stage.cell_low != stage.cell else None
    return TokenPool(r.record, stage.cell, low, available, (held[0], held[1], held[2]), r.context_length, more)


def _counted_low(r: SglangResolved, stage: Stage) -> int:
    return stage.counted - (stage.cell - stage.cell_low)


def _components(r: SglangResolved, stage: Stage, pool: TokenPool, inside: bool) -> list[Component]:
    printed = r.asked.weights_bytes is not None
    main = Band.exact(r.asked.weights_bytes or 0) if printed else stage.main
    basis = "measured" if printed else "exact" if main.low == main.high else "estimated"
    source = "as printed by the log" if printed else WEIGHTS_SOURCE
    rows = [
        Component("weights", "Weights", main, True, basis, source, "by vLLM's rule of what is loaded, which SGLang's logs bear out"),
        Component("mtp_layer", "MTP layer", Band.exact(stage.draft), inside, "exact", WEIGHTS_SOURCE,
                  None if inside else "this release loads it after the pool is sized"),
    ]  # fmt: skip
    if not printed:
        rows.append(
            listed(
                "load_extras",
                "Load extras",
                "sglang_load_extras",
                True,
                "tables, repacks, workspaces made while loading",
            )
        )
    rows.append(
        listed("static_extras", "Beside the pool", "sglang_static_extras", True, "made before the pool is sized")
    )
    tokens = Band(*(max(count, 0) for count in pool.tokens))
    counted = stage.counted - (stage.draft_cell if inside else 0)
    shown = Band(tokens.low * counted, tokens.likely * counted, tokens.high * counted)
    if r.asked.available_kv_bytes is not None:
        shown = Band.exact(r.asked.available_kv_bytes)
    kind = "measured" if r.asked.available_kv_bytes is not None else "estimated"
    rows.append(Component("kv_pool", "KV pool", shown, True, kind, POOL_SOURCE, "what the static share leaves"))
    if stage.draft_cell:
        drafts = Band(*(count * stage.draft_cell for count in (tokens.low, tokens.likely, tokens.high)))
        rows.append(
            Component("draft_pool", "Drafter's pool", drafts, inside, kind, POOL_SOURCE, "one layer, the same tokens")
        )
    over = stage.cell - counted
    if over > 0 and r.asked.available_kv_bytes is None:
        beyond = Band(*(count * over for count in (tokens.low, tokens.likely, tokens.high)))
        rows.append(Component(
            "pool_overrun", "Pool beyond its share", beyond, False, "estimated", sglang_rule("fp8_record_counted", r.version).source,
            f"this release divides by {counted:,} bytes a token and stores {stage.cell:,}",
        ))  # fmt: skip
    return rows


def _deployment(r: SglangResolved) -> dict[str, Any]:
    asked = r.asked
    return {
        "engine": "sglang", "engine_version": r.version.text, "model": r.checkpoint.name,
        "quantization": r.checkpoint.recipe.fmt, "gpu": r.device.id, "gpus": r.gpus, "tensor_parallel_size": r.tp,
        "pipeline_parallel_size": r.pp, "data_parallel_size": r.dp, "decode_context_parallel_size": None,
        "enable_expert_parallel": r.ep > 1, "expert_parallel_size": r.ep, "enable_dp_attention": r.dp_attention,
        "max_model_len": r.context_length, "context_length": r.context_length, "max_num_seqs": r.max_running_requests,
        "max_running_requests": r.max_running_requests, "max_num_batched_tokens": r.chunked_prefill_size,
        "chunked_prefill_size": r.chunked_prefill_size, "gpu_memory_utilization": None,
        "mem_fraction_static": r.fraction[1], "max_total_tokens": r.max_total_tokens,
        "kv_cache_dtype": asked.kv_cache_dtype or "auto", "speculative_method": asked.speculative_method,
        "num_speculative_tokens": r.num_speculative_tokens if asked.speculative_method else None,
        "cuda_graph_max_bs": r.cuda_graph_max_bs, "hierarchical_cache": bool(asked.hierarchical_cache),
        "block_size": None, "defaults_filled": list(r.filled),
    }  # fmt: skip
