"""The terms of one decode step and of one prompt for a given machine, before any coefficient is applied.

The fit and the estimate take them from here alike, so that coefficients mean the same in both.
"""

from __future__ import annotations

from glmcalc.budget.kv import mla_record_bytes
from glmcalc.facts.frozen import record
from glmcalc.facts.hardware import Device
from glmcalc.model.checkpoint import Checkpoint
from glmcalc.speed import decode, flops, prefill
from glmcalc.speed.traffic import Traffic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@record
class Machine:
    """A model on ranks, as far as its speed depends on it.

    Attributes:
        traffic: bytes of the weights by how ranks read them.
        bandwidth: bytes/s of one GPU; ``peak``: its dense FP8 FLOP/s, BF16 where it has none, None where neither is
            known; ``link``: bytes/s of one GPU to the others, None where not known.
        ranks: GPUs that share one copy of the experts, of one pipeline stage.
        attention_ranks: GPUs that share one request's attention; ``groups``: how many such sets serve requests apart.
        context_ranks: over how many GPUs one request's cache is spread while decoding; ``prompt_ranks``: while prefilling.
        kv_record: the cache's record, as in :func:`glmcalc.budget.kv.mla_record_bytes`.
    """

    checkpoint: Checkpoint
    traffic: Traffic
    bandwidth: float
    peak: float | None
    link: float | None
    architecture: str | None
    vendor: str
    ranks: int
    attention_ranks: int
    groups: int
    context_ranks: int
    prompt_ranks: int
    kv_record: str


@record
class Load:
    """What runs on it: numbers, or columns of them.

    ``prompt`` and ``output`` (tokens) are None where other requests' prompts are left out.
    """

    requests: Any
    context: Any
    drafts: Any
    prompt: Any = None
    output: Any = None


@record
class StepTerms:
    """Seconds of one step without coefficients: bytes over bandwidth, the scan as tabulated, link and products.

    ``interruption`` is the wait of one output token for other requests' prompts at an MFU and a share of 1.
    """

    roof: Any
    scan: Any
    rest: Any
    interruption: Any


@record
class PromptTerms:
    """Seconds of one prompt at an efficiency of 1 (``products``), and of its indexers as tabulated (``scan``)."""

    products: Any
    scan: Any


def device_peak(chip: Device) -> float | None:
    """Dense FLOP/s that prefill is counted against: FP8, for NVFP4 too; BF16 on devices without FP8; None if unknown."""
    tflops = chip.fp8_tflops or chip.bf16_tflops
    return None if tflops is None else tflops * 1e12


def step_terms(m: Machine, load: Load) -> StepTerms:
    """Terms of one decode step of ``load`` on ``m``, in seconds."""
    g, work = m.checkpoint.geometry, flops.work_of(m.checkpoint)
    tokens = decode.verify_tokens(load.requests, load.drafts)
    here = at_least_one(load.requests / m.groups)
    positions = flops.attended(load.context, work.topk) / m.context_ranks
    cache = mla_record_bytes(m.kv_record, g.kv_lora_rank, g.qk_rope_head_dim)
    kv = decode.attended_kv_bytes(g.num_hidden_layers, here, positions, cache)
    touched = decode.experts_touched(tokens, g.n_routed_experts, g.num_experts_per_tok)
    t = m.traffic
    size = decode.decode_bytes(t.routed, touched, t.sharded, t.replicated, kv, m.ranks, m.attention_ranks)
    each = flops.weight_flops(work.active) + flops.core_flops(work, load.context)
    collective = (
        decode.collective_s(g.num_hidden_layers, tokens, g.hidden_size, m.link) if m.ranks > 1 and m.link else 0.0
    )
    products = decode.product_s(each, tokens, m.ranks, m.peak) if m.peak else 0.0
    return StepTerms(
        roof=size / m.bandwidth,
        scan=decode.indexer_scan_s(work.indexers, load.context / m.context_ranks, here, m.bandwidth),
        rest=collective + products,
        interruption=_interruption(m, load),
    )


def _interruption(m: Machine, load: Load) -> Any:
    if load.prompt is None or load.output is None or m.peak is None:
        return 0.0
    work = flops.work_of(m.checkpoint)
    each = flops.weight_flops(work.active) + flops.core_flops(work, load.prompt)
    rate = decode.prefill_rate(1.0, m.ranks, m.peak, each, work.scan_per_position, work.indexers, load.prompt)
    return decode.interruption_s(1.0, load.requests - 1, load.prompt, load.output, rate)


def at_least_one(requests: Any) -> Any:
    """``max(requests, 1)``, for numbers and for columns of them.

    >>> at_least_one(0.5), at_least_one(3)
    (1.0, 3.0)
    """
    return (requests + 1 + abs(requests - 1)) / 2


def prompt_terms(m: Machine, tokens: Any, one_request: bool = True) -> PromptTerms | None:
    """Terms of a prompt of ``tokens`` with nothing cached; None where the device's FLOP rate is not known.

    Args:
        one_request: one prompt alone, whose attention runs on one set of ``attention_ranks`` while only its experts are
            spread over all ranks; else a stream of prompts that keeps every rank busy.
    """
    if m.peak is None:
        return None
    g, work = m.checkpoint.geometry, flops.work_of(m.checkpoint)
    routed = flops.weight_flops(routed_active(m.checkpoint))
    rest = flops.weight_flops(work.active) - routed + flops.core_flops(work, tokens)
    own = m.attention_ranks if one_request else m.ranks
    products = prefill.products_s(tokens, routed, m.ranks, m.peak, 1.0) + prefill.products_s(
        tokens, rest, own, m.peak, 1.0
    )
    quadratic = prefill.quadratic_s(m.architecture, m.peak)
    each = tokens if g.sparse else 0
    return PromptTerms(products, prefill.scan_s(work.indexers, each, quadratic, m.prompt_ranks, 1.0))


def routed_active(checkpoint: Checkpoint) -> int:
    """Parameters of the routed experts that one token passes through."""
    g = checkpoint.geometry
    sparse_layers = g.num_hidden_layers - g.first_k_dense_replace
    return 3 * g.hidden_size * g.moe_intermediate_size * g.num_experts_per_tok * sparse_layers
