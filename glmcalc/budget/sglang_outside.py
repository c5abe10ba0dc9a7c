"""What SGLang takes beside its static share: graphs, the activation of a prefill chunk, the indexer's logits, the rest."""

from __future__ import annotations

from glmcalc.budget.other_terms import listed, other_term, times
from glmcalc.budget.result import Component
from glmcalc.facts.quantity import Band
from glmcalc.facts.sglang_rules import sglang_rule
from glmcalc.model.sglang_settings import SglangResolved

LOGITS_SOURCE = "https://github.com/sgl-project/sglang/pull/25859"
_SHORT = 32_768
_BATCH_OF_THE_LOGS = 160


def outside_components(r: SglangResolved, before: Band, context: Band) -> list[Component]:
    """The components beside the static share.

    Args:
        before: free memory before the weights load, which the fraction is of.
        context: what is gone by then.
    """
    chunk = "scratch of one prefill chunk"
    rows = [
        listed("cuda_graphs", "CUDA graphs", "sglang_graphs", False, "captured after the pool is made", _graphs(r)),
        listed("activation_peak", "Activation peak", "sglang_activation_token", False, chunk,
               times("sglang_activation_token", r.chunked_prefill_size)),
    ]  # fmt: skip
    if r.checkpoint.geometry.sparse:
        note = "[chunk x context] in fp32, cut to a share of what is free"
        rows.append(
            Component("indexer_logits", "Indexer logits", _logits(r, before), False, "estimated", LOGITS_SOURCE, note)
        )
    rows.append(
        listed("transients", "Other transients", "sglang_transients", False, "kernels' scratch, allocator growth")
    )
    shared = r.device.architecture == "sm121"
    term = "sglang_context_shared" if shared else "sglang_context_amd" if r.device.vendor == "AMD" else "sglang_context"
    rows.append(listed("context_nccl", "Context, NCCL", term, False, "taken before the engine looks", context))
    return rows


def _graphs(r: SglangResolved) -> Band:
    if r.cuda_graph_max_bs == 0:
        return Band.exact(0)
    band = other_term("sglang_graphs").band
    part = min(max(r.cuda_graph_max_bs / _BATCH_OF_THE_LOGS, 0.25), 1.0)  # few sizes cost little; workspaces stay
    return Band(
        round(band.low * part), round(band.likely * part), band.high if part == 1 else round(band.high * max(part, 0.5))
    )


def _logits(r: SglangResolved, before: Band) -> Band:
    """Bytes of the prefill logits: rows of the chunk times context in fp32, at most the engine's share of what is free.

    Source: ``dsa_indexer.py`` ``_get_mqa_logits_budget_bytes``: a share (0.2) of total x (1 - mem_fraction_static), and at most
    0.3 of the total.
    """
    share = sglang_rule("logits_share_of_free", r.version)
    cut = float(share.other if share.other is not None else share.value)
    cut = max(cut, float(share.value))
    full = r.chunked_prefill_size * r.context_length * 4
    short = r.chunked_prefill_size * min(r.context_length, _SHORT) * 4
    likely, high = (
        min(full, round(min(cut * before.likely * (1 - fraction), 0.3 * before.likely)))
        for fraction in (r.fraction[1], r.fraction[0])
    )
    return Band(min(short, likely), likely, high)
