"""Where a start of SGLang dies, in its order: loading, sizing the pool, capturing graphs, serving."""

from __future__ import annotations

import math

from glmcalc.budget.other_result import TokenPool
from glmcalc.budget.other_verdict import apart, decide, spread
from glmcalc.budget.result import Component, Verdict
from glmcalc.budget.verdict import OUT_OF_MEMORY, Check
from glmcalc.facts.frozen import replace
from glmcalc.facts.quantity import Band, at_least, combine, gib
from glmcalc.facts.sglang_rules import sglang_rule
from glmcalc.model.sglang_settings import PAGE, SglangResolved

POOL_LINE = "the line `KV Cache is allocated. #tokens:`"
WEIGHTS_LINE = "the line `Load weight end`"


def judge_sglang(r: SglangResolved, components: list[Component], pool: TokenPool, before: Band, rest: Band) -> Verdict:
    """The verdict on one deployment.

    Args:
        before: free before loading; rest: what the static share leaves for the pools, both with their ranges.
    """
    parts = {component.name: component.band for component in components}
    given = r.asked.available_kv_bytes is not None
    if r.memory is None and not given:
        return Verdict(
            "unsupported", None, f"The memory of {r.device.name} is not known.", "Give --available-kv-gib from its log."
        )
    checks = [] if given else [*_start_checks(r, parts, before, rest), *_late_checks(r, parts, before, pool)]
    served = _served(r, pool)
    verdict = decide(checks, r.refusals, () if given else r.uncertain, served or _capacity(r, pool), POOL_LINE)
    return verdict if served is None else _shortened(verdict, served, pool.tokens[0])


def _start_checks(r: SglangResolved, parts: dict[str, Band], before: Band, rest: Band) -> list[Check]:
    loaded = parts["weights"].plus(parts["mtp_layer"]).plus(parts.get("load_extras", Band.exact(0)))
    least = loaded.likely / before.likely
    fraction = f"{r.fraction[1]:g}"
    viable = math.ceil(1000 * (least + 0.005)) / 1000
    advice = (
        f"Raise --mem-fraction-static above {viable:g}." if viable < 0.97
        else "Take more GPUs or a smaller checkpoint: the weights leave no room."
    )  # fmt: skip
    return [
        Check(
            "weights_load", apart(before, loaded),
            f"The weights take {gib(loaded.likely)} GiB on each GPU ({spread(loaded)}), and {gib(before.likely)} GiB is free "
            "before they load: they do not load. No pool setting helps.",
            "Take more GPUs or a smaller checkpoint.", WEIGHTS_LINE,
            OUT_OF_MEMORY,
        ),
        Check(
            "startup_no_kv_blocks", Band(rest.low - PAGE, rest.likely - PAGE, rest.high - PAGE),
            f"The static share, {fraction} of {gib(before.likely)} GiB, is {gib(round(before.likely * r.fraction[1]))} GiB, and "
            f"the weights take {gib(loaded.likely)} GiB ({spread(loaded)}): "
            + ("nothing is left for the pool." if rest.likely <= 0 else f"{gib(rest.likely)} GiB ({spread(rest)}) is left for the pool."),
            advice, POOL_LINE, _no_memory(r, least),
        ),
    ]  # fmt: skip


def _no_memory(r: SglangResolved, least: float) -> str:
    """The engine's own words, by release."""
    fraction = f"{r.fraction[1]:g}"
    if sglang_rule("no_memory_message", r.version).value == "not_enough":
        return (
            "RuntimeError: Not enough memory. Please try to increase --mem-fraction-static. Current value: "
            f"mem_fraction_static={fraction}"
        )
    return (
        f"ValueError: Loaded weights leave no GPU memory for the KV cache under --mem-fraction-static={fraction}. Raise "
        f"--mem-fraction-static above {math.ceil(least * 1000) / 1000:.3f} (minimum viable = 1 - available/pre = {least:.4f}). "
        "If using speculative decoding, draft weights are now counted."
    )


def _served(r: SglangResolved, pool: TokenPool) -> str | None:
    """What is served, as a sentence, where the pool may hold less than one request of the length; None where it holds one.

    No death: the engine caps requests at its pool (``scheduler.py``: ``max_req_len``), and starts.
    """
    low, likely, high = pool.tokens
    if low >= r.context_length:
        return None
    stated = "--context-length says" if "context_length" not in r.filled else "the model allows"
    group = " of one attention group" if r.dp_attention else ""
    ranged = "" if low == high else f" ({max(low, 0):,} to {max(high, 0):,})"
    return (
        f"SGLang starts, serves requests up to the {max(likely, 0):,} tokens{ranged} of its pool{group}, and refuses longer ones: one "
        f"of the {r.context_length:,} tokens that {stated} needs {gib(pool.needed_bytes)} GiB of KV, and the pool is "
        f"{gib(pool.available.likely)} GiB."
    )


def _shortened(verdict: Verdict, served: str, low: int) -> Verdict:
    """The verdict on a server whose requests are capped by its pool: no better than marginal, and never without that cap."""
    if verdict.status in ("unsupported", "does_not_fit"):
        return verdict
    if verdict.stage == "startup_no_kv_blocks":
        return verdict
    if verdict.stage is not None:
        return replace(verdict, reason=f"{verdict.reason} {served}")
    safe = low // 1000 * 1000
    advice = (
        f"Set --context-length {safe}, which is served for sure." if safe > 0
        else "Raise --mem-fraction-static or shrink the weights."
    )  # fmt: skip
    return replace(verdict, status="marginal", advice=advice, settle=POOL_LINE)


def _late_checks(r: SglangResolved, parts: dict[str, Band], before: Band, pool: TokenPool) -> list[Check]:
    """Graphs, then the peaks of serving, in what the static share leaves."""
    low, likely, high = r.fraction
    slack = Band(round(before.low * (1 - high)), round(before.likely * (1 - likely)), round(before.high * (1 - low)))
    over = Band.exact(0)
    for name in ("pool_overrun", *(("draft_pool", "mtp_layer") if _draft_outside(r) else ())):
        over = over.plus(parts.get(name, Band.exact(0)))
    graphs = parts["cuda_graphs"]
    peak = combine([parts["activation_peak"], parts.get("indexer_logits", Band.exact(0)), parts["transients"]])
    line = f"Beside the static share {gib(slack.likely)} GiB ({spread(slack)}) is left on each GPU"
    taken = f" less {gib(over.likely)} GiB that this release puts there uncounted" if over.likely else ""
    lower = math.floor(100 * (likely - 0.03)) / 100
    advice = f"Lower --mem-fraction-static to {lower:g}, or --chunked-prefill-size by half: what dies here lies outside the pool."
    return [
        Check(
            "cuda_graph_capture", apart(slack, over.plus(graphs)),
            f"{line}{taken}, and CUDA graphs take {gib(graphs.likely)} GiB ({spread(graphs)}).",
            "Lower --cuda-graph-max-bs to the batch that is used, or --mem-fraction-static.",
            "the line `Capture cuda graph end`", OUT_OF_MEMORY,
        ),
        Check(
            "runtime_activation", apart(slack, over.plus(graphs).plus(peak)),
            f"{line}{taken}; graphs take {gib(graphs.likely)} GiB, and a prefill chunk of {r.chunked_prefill_size:,} tokens at "
            f"{min(r.context_length, max(pool.tokens[2], 0)):,} with its indexer logits {gib(peak.likely)} GiB ({spread(peak)}): it starts, and may die under load.",
            advice, "free memory under the longest prompts", OUT_OF_MEMORY,
        ),
    ]  # fmt: skip


def _draft_outside(r: SglangResolved) -> bool:
    return r.mtp and sglang_rule("draft_counted", r.version).value != "inside"


def _capacity(r: SglangResolved, pool: TokenPool) -> str:
    low, likely, high = (count / r.context_length for count in pool.tokens)
    at_once = f"{likely:,.1f}" if pool.tokens[0] != pool.tokens[2] else at_least(likely)
    groups = f" a group, {r.dp} groups" if r.dp > 1 else ""
    ranged = "" if pool.tokens[0] == pool.tokens[2] else f" ({at_least(low)} to {high:,.1f})"
    size = f"{gib(pool.available.likely)} GiB per GPU"
    if pool.available.low != pool.available.high:
        size += f" ({spread(pool.available)})"
    return (
        f"{at_once} requests of {r.context_length:,} tokens at once{groups}{ranged}: the pool holds {pool.tokens[1]:,} tokens in "
        f"{size}."
    )
