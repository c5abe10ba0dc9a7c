"""Memory beyond weights and KV: terms with bands, each with the evidence it rests on (``data/memory_terms.json``)."""

from __future__ import annotations

from contextvars import ContextVar
from functools import cache, lru_cache
from types import MappingProxyType

from glmcalc.budget import workspaces
from glmcalc.budget.kv import indexer_record_bytes
from glmcalc.facts.columns import either, larger, rounded, smaller
from glmcalc.facts.engines import rule
from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.facts.quantity import GIB, KIB, MIB, Band
from glmcalc.facts.store import load_json
from glmcalc.model.resolved import Resolved

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping


_UNITS = {"GiB": GIB, "MiB": MIB, "KiB": KIB, "copies": 1, "times": 1}


@record
class Term:
    """One row of ``data/memory_terms.json``: a range in bytes, or a bare factor, and where it comes from."""

    low: float
    likely: float
    high: float
    kind: str
    source: str
    records: int

    @property
    def band(self) -> Band:
        """The range as bytes."""
        return Band(round(self.low), round(self.likely), round(self.high))


_NONE: Mapping[str, Term] = MappingProxyType({})
_substitutes: ContextVar[Mapping[str, Term]] = ContextVar("substitutes", default=_NONE)


class substituted:
    """Within ``with substituted(terms):`` those terms stand in for the data's: to judge a fit on what it has not seen."""

    def __init__(self, terms: Mapping[str, Term]) -> None:
        self._terms = terms

    def __enter__(self) -> None:
        self._token = _substitutes.set({**_substitutes.get(), **self._terms})

    def __exit__(self, *_: object) -> None:
        _substitutes.reset(self._token)


def term(name: str) -> Term:
    """The term ``name`` of ``data/memory_terms.json``, in bytes where it has a unit of bytes."""
    substitutes = _substitutes.get()
    return substitutes[name] if name in substitutes else _term(name)


@cache
def _term(name: str) -> Term:
    row = _terms()[name]
    unit = _UNITS[row["unit"]]
    return Term(row["low"] * unit, row["likely"] * unit, row["high"] * unit, row["kind"], row["source"], row["records"])


@lru_cache(maxsize=1)
def _terms() -> dict[str, dict[str, Any]]:
    rows: list[dict[str, Any]] = load_json("memory_terms.json")["terms"]
    for row in rows:
        for field in ("source", "date", "kind", "unit"):
            if not row.get(field):
                raise InputError(
                    field, row.get(field), "present", f"memory_terms.json: term {row.get('id')} has no {field}."
                )
    return {row["id"]: row for row in rows}


def workspace_factor(resolved: Resolved) -> int:
    """Prefill workspace factor of the release at this length; the larger where the release leaves it open."""
    return either(
        resolved.max_model_len <= workspaces.LONG, 5, int(rule("workspace_factor_long", resolved.version).value)
    )


def workspace_bytes(resolved: Resolved) -> int:
    """Bytes of the shared workspace: the largest of its users' needs, not their sum."""
    g = resolved.checkpoint.geometry
    if not g.sparse:
        return 0
    heads = g.num_attention_heads // resolved.tp
    factor = workspace_factor(resolved)
    tokens = resolved.max_num_batched_tokens
    gather = workspaces.indexer_gather_bytes(resolved.max_model_len, factor, indexer_record_bytes(g.index_head_dim))
    if resolved.record in ("fp8_ds_mla", "nvfp4_ds_mla"):
        kernel = workspaces.flashmla_workspace_bytes(
            tokens, heads, resolved.max_model_len, factor, g.kv_lora_rank, g.qk_rope_head_dim
        )
    elif resolved.device.architecture == "sm90":
        kernel = workspaces.bf16_workspace_bytes(tokens, heads, g.kv_lora_rank, g.qk_rope_head_dim)
    else:
        kernel = 0  # FlashInfer's fixed workspace is part of the load extras
    return larger(gather, kernel)


def workspace_in_printed_weights(resolved: Resolved) -> bool:
    """Whether the kernel reserves the workspace while loading, so that a printed weights figure already holds it."""
    return resolved.record == "fp8_ds_mla" and resolved.device.architecture == "sm90"


def activation_peak(resolved: Resolved) -> Band:
    """Transient peak of the profile run: the larger of the forward pass and the sampler pass.

    Forward: the indexer's dummy logits and so many KiB a batched token. Sampler: copies of fp32 logits,
    ``copies * max_num_seqs * vocab_size * 4`` bytes, on every rank.
    """
    g = resolved.checkpoint.geometry
    each, logits = term("activation_per_token"), term("indexer_profile_logits")
    base = logits.likely if g.sparse else 0
    tokens = resolved.max_num_batched_tokens
    sampler = _sampler_copies(resolved)
    one_copy = resolved.max_num_seqs * g.vocab_size * 4
    ends = [
        rounded(larger(base + forward * tokens, copies * one_copy))
        for forward, copies in ((each.low, sampler[0]), (each.likely, sampler[1]), (each.high, sampler[2]))
    ]
    return Band(*ends)


def _sampler_copies(resolved: Resolved) -> tuple[float, float, float]:
    ruling = rule("sampler_copies", resolved.version)
    new, old = term("sampler_copies"), term("sampler_copies_old")
    if ruling.value == "3":
        return new.low, new.likely, new.high
    return (new.low if ruling.other else old.low), old.likely, old.high


def graph_count(max_num_seqs: int, depth: int, largest: int | None, cap: int) -> int:
    """CUDA graphs captured: piecewise sizes plus full ones, of decode steps alone.

    Sizes are 1, 2, 4, then 8 to 248 in eights, then 256 and up in sixteens, to ``min(2 * max_num_seqs * (1 + depth),
    cap)`` or to ``largest`` when given (``config/vllm.py:_set_cudagraph_sizes``, vLLM 0.33.0); full ones to a step of
    ``max_num_seqs`` requests, ``1 + depth`` tokens each. With MTP the engine rounds sizes to whole steps, which merges one or
    two of the smallest. Its bound by the tokens of a chunk is the caller's: in ``largest`` and ``cap``.

    >>> graph_count(1024, 0, None, 512), graph_count(64, 0, None, 512), graph_count(1, 0, None, 512)
    (102, 30, 3)
    >>> graph_count(64, 3, None, 512)
    86
    """
    step = max_num_seqs * (1 + depth)
    top = largest if largest is not None else smaller(2 * step, cap)
    return _capture_sizes(top) + _capture_sizes(smaller(top, step))


def _capture_sizes(top: int) -> int:
    """How many sizes there are up to ``top``."""
    small = (top > 0) + 0 + (top > 1) + (top > 3) + smaller(top, 255) // 8
    return small + larger((top - 240) // 16, 0)


def cuda_graphs(resolved: Resolved) -> Band:
    """The engine's estimate of CUDA-graph memory where it is taken off the pool; zero where it is not."""
    return graph_memory(resolved) if _graphs_subtracted(resolved) else Band.exact(0)


def _graphs_subtracted(resolved: Resolved) -> bool:
    stated = resolved.asked.estimate_cudagraphs
    return rule("graph_estimate", resolved.version).value == "subtracted" if stated is None else stated


def graph_memory(resolved: Resolved) -> Band:
    """Memory of the captured CUDA graphs, whether or not it is inside the budget: number of graphs times bytes a graph.

    Where the release leaves open how far the sizes run, the range holds both.
    """
    if resolved.asked.enforce_eager or resolved.asked.max_cudagraph_capture_size == 0:
        return Band.exact(0)
    cap, other = _graph_caps(resolved)
    band = _graphs_to(resolved, cap)
    if other is None:
        return band
    wider = _graphs_to(resolved, other)
    return Band(smaller(band.low, wider.low), band.likely, larger(band.high, wider.high))


def _graphs_to(resolved: Resolved, cap: int) -> Band:
    each = _graph_term(resolved, cap)
    depth = resolved.num_speculative_tokens if resolved.mtp else 0
    tokens, largest = resolved.max_num_batched_tokens, resolved.asked.max_cudagraph_capture_size
    if largest is not None:
        largest = smaller(largest, tokens)
    count = graph_count(resolved.max_num_seqs, depth, largest, smaller(cap, tokens))
    factor = term("graph_mtp_factor")
    low, likely, high = (factor.low, factor.likely, factor.high) if resolved.mtp else (1, 1, 1)
    return Band(
        rounded(count * each.low * low), rounded(count * each.likely * likely), rounded(count * each.high * high)
    )


def graph_term(resolved: Resolved) -> Term:
    """Bytes of one captured graph on this architecture."""
    return _graph_term(resolved, _graph_caps(resolved)[0])


def _graph_term(resolved: Resolved, cap: int) -> Term:
    if resolved.device.architecture in ("sm120", "sm121"):
        return term("graph_each_sm12x")
    return term("graph_each_sm10x" if cap > _COMMON_CAP else "graph_each")


_COMMON_CAP = 512


def _graph_caps(resolved: Resolved) -> tuple[int, int | None]:
    """The largest default capture size, and the other one where the release leaves it open."""
    if resolved.device.architecture not in ("sm100", "sm103"):
        return _COMMON_CAP, None
    ruling = rule("cudagraph_cap_sm10x", resolved.version)
    return int(ruling.value), None if ruling.other is None else int(ruling.other)


def late_buffer_size(resolved: Resolved) -> int:
    """Bytes that metadata builders and block tables allocate after the pool is sized: exact by formula."""
    g = resolved.checkpoint.geometry
    return workspaces.late_buffer_bytes(
        resolved.max_num_batched_tokens,
        resolved.max_num_seqs,
        resolved.max_model_len,
        resolved.dcp,
        resolved.block_size,
        g.kv_lora_rank + g.qk_rope_head_dim,
        g.sparse,
        resolved.device.architecture in ("sm100", "sm103"),
    )


def late_buffers(resolved: Resolved) -> Band:
    """What is allocated after the pool is sized: the buffers, plus what the graphs take above their estimate."""
    size = late_buffer_size(resolved)
    graphs = graph_memory(resolved)
    if not _graphs_subtracted(resolved):
        return Band(size + graphs.low // 4, size + graphs.likely // 2, size + graphs.likely)
    return Band(size, size, size + rounded(0.34 * graphs.likely))


def unprofiled_transients(resolved: Resolved, rows: int) -> Band:
    """Run-time allocations that no profile covers: decode logits, old releases' accumulators, and the rest.

    Args:
        resolved: the deployment.
        rows: requests of full length that the pool holds at once; the likely number of decode rows.
    """
    g = resolved.checkpoint.geometry
    other = term("unprofiled_other").band
    if not g.sparse:
        return other
    upcast = resolved.device.architecture in ("sm100", "sm103")
    per_request = 1 + (resolved.num_speculative_tokens if resolved.mtp else 0)
    likely_rows = smaller(larger(rows, 1), resolved.max_num_seqs) * per_request
    likely = workspaces.decode_logits_bytes(likely_rows, resolved.max_model_len, upcast)
    most = workspaces.decode_logits_bytes(resolved.max_num_seqs * per_request, resolved.max_model_len, upcast)
    ruling = rule("split_kv_accumulators", resolved.version)
    scratch = scratch_high = 0
    heads = g.num_attention_heads // resolved.tp
    if resolved.record == "fp8_ds_mla" and heads < 32 and ruling.value == "allocated":
        one = workspaces.split_kv_accumulator_bytes(resolved.max_num_batched_tokens, latent=g.kv_lora_rank)
        scratch, scratch_high = (0 if ruling.other else one), rounded(one * term("accumulator_copies").high)
    # Logits, scratch and the rest are not alive at the same instant: the largest counts, the rest is allocator growth.
    return Band(
        other.low,
        larger(larger(other.likely, likely), scratch),
        larger(most, scratch_high) + other.high,
    )


def context_before_baseline(resolved: Resolved) -> Band:
    """CUDA context, cuBLAS and NCCL: taken before the engine looks, so outside its budget."""
    return context_term(resolved).band


def context_term(resolved: Resolved) -> Term:
    """The evidence behind :func:`context_before_baseline`."""
    if resolved.gpus == 1:
        return term("context_one")
    return term("context_nccl_sm12x" if resolved.device.architecture == "sm120" else "context_nccl")
