"""A calibration in words and tables: each line of the log explained, each term beside its estimate, what stays unexplained."""

from __future__ import annotations

from glmcalc.advise.calibrate import Calibrated
from glmcalc.advise.measure import tokens_agree
from glmcalc.budget import runtime
from glmcalc.budget.kv import bytes_per_block
from glmcalc.facts.evidence import with_provenance
from glmcalc.facts.quantity import Band, gib
from glmcalc.facts.store import load_jsonl
from glmcalc.logs.secrets import mask
from glmcalc.solve.answer import describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from glmcalc.budget.result import Component, Plan

_TERM_OF = {
    "peak_activation_bytes": "activation_peak",
    "non_torch_bytes": "non_torch",
    "cuda_graph_estimated_bytes": "cuda_graphs",
}
_SAYS = {
    "weights_bytes": "Weights of one GPU with what the kernels reserve while loading; the closed form gives {closed}.",
    "peak_activation_bytes": "The transient peak of the profile run: the larger of the forward and the sampler pass.",
    "non_torch_bytes": "Driver memory that grew between the baseline and the end of profiling.",
    "cuda_graph_estimated_bytes": "What the engine took off the pool for CUDA graphs, from two captured ones.",
    "cuda_graph_actual_bytes": "What the captured graphs hold. Above the estimate it comes out of what is free beyond utilization.",
    "available_kv_bytes": "What utilization leaves: ceil(total x utilization) less all that was in use, less the graphs' estimate.",
    "gpu_total_bytes": "Memory of one GPU as the driver reports it to the engine; nvidia-smi shows 0.4 to 1.1 GiB more.",
    "kv_cache_memory_suggested_bytes": "What this pool would be as --kv-cache-memory-bytes: less than what was free, by 150 MiB.",
}  # fmt: skip


def reconciliation(made: Calibrated) -> dict[str, Any]:
    """What ``glmcalc calibrate --json`` prints."""
    before, after = made.measured.before, made.measured.after
    return {
        "deployment": describe(after, mend=False)["deployment"],
        "components": [_component(part, before, made) for part in after.components],
        "residuals": residuals(made),
        "explained": [line for line in explained(made) if line["says"]],
        "identity": _identity(made),
        "band": {"before_bytes": _width(before), "after_bytes": _width(after)},
        "indexer_caches": made.measured.calibration.indexer_caches,
        "kv": after.kv.to_dict(),
        "inferred": list(made.case.inferred),
        "missing": list(made.case.missing),
        "command": mask(after.command)[0],
    }


def _width(made: Plan) -> int:
    return made.kv.available.high - made.kv.available.low


def _component(part: Component, before: Plan, made: Calibrated) -> dict[str, Any]:
    """A component as measured, with the estimate that it replaces and the line that printed it."""
    estimate = next((one for one in before.components if one.name == part.name), None)
    printed = next((name for name, term in _TERM_OF.items() if term == part.name), None)
    line = made.lines.get(
        "weights_bytes" if part.name == "weights" else "available_kv_bytes" if part.name == "kv_pool" else printed or ""
    )
    return {
        **part.to_dict(),
        "estimate_bytes": estimate.band.likely if estimate else None,
        "estimate_low_bytes": estimate.band.low if estimate else None,
        "estimate_high_bytes": estimate.band.high if estimate else None,
        "line": line.line if line else None,
    }


def residuals(made: Calibrated) -> list[dict[str, Any]]:
    """Measured less estimated, where the log allows a comparison; ``beyond_band`` with the likely reasons."""
    before, rows = made.measured.before, []
    if "weights_bytes" in made.lines:
        rows.append(
            _residual("weights", "Weights as printed less the closed form", _loaded_extra(made), _loaded_range(before))
        )
    parts = {part.name: part.band for part in before.components}
    for name, term in _TERM_OF.items():
        if name in made.lines and term in parts:
            label = f"{before.component(term).label}, printed"
            rows.append(_residual(term, label, int(made.lines[name].value), parts[term]))
    measured = made.measured
    if measured.expected.high > measured.expected.low:
        rows.append(_residual("unprinted", "All that the log does not print", measured.unprinted, measured.expected))
    tokens = made.lines.get("kv_tokens")
    if tokens is not None:
        rows.append(_tokens_residual(made, int(tokens.value)))
    return rows


def _loaded_extra(made: Calibrated) -> int:
    return int(made.lines["weights_bytes"].value) - made.measured.closed_form_bytes


def _loaded_range(before: Plan) -> Band:
    extra = runtime.term("load_extras").band
    if not runtime.workspace_in_printed_weights(before.resolved):
        return extra
    size = runtime.workspace_bytes(before.resolved)
    return Band(extra.low, extra.likely + size, extra.high + size)


def _residual(term: str, label: str, value: int, band: Band) -> dict[str, Any]:
    """One comparison in bytes; negative: less than estimated."""
    beyond = "above" if value > band.high else "below" if value < band.low else None
    return {
        "name": term, "label": label, "bytes": value - band.likely, "measured_bytes": value, "estimate_bytes": band.likely,
        "low_bytes": band.low, "high_bytes": band.high, "beyond_band": beyond is not None,
        "reasons": reasons(term, beyond) if beyond else [],
    }  # fmt: skip


def _tokens_residual(made: Calibrated, tokens: int) -> dict[str, Any]:
    """Printed tokens against those that the printed pool gives; in tokens, not bytes."""
    after, pool = made.measured.after, made.measured.calibration.available_bytes
    expected = after.kv.pool.tokens or 0
    rule = made.measured.calibration.indexer_caches or "owning_layers"
    agrees = tokens_agree(after, rule, pool, tokens) or (
        made.measured.calibration.indexer_caches is None and tokens_agree(after, "every_layer", pool, tokens)
    )
    beyond = None if agrees else ("above" if tokens > expected else "below")
    return {
        "name": "kv_tokens", "label": "Tokens as printed", "tokens": tokens - expected, "measured_tokens": tokens,
        "estimate_tokens": expected, "beyond_band": beyond is not None, "reasons": reasons("kv_tokens", beyond) if beyond else [],
    }  # fmt: skip


def reasons(term: str, side: str) -> list[dict[str, str]]:
    """Likely reasons why a term is ``above`` or ``below`` its range, with their sources (``data/residual_reasons.jsonl``)."""
    rows = with_provenance(load_jsonl("residual_reasons.jsonl"), "residual_reasons.jsonl")
    return [
        {"text": row["text"], "source": row["source"]} for row in rows if (row["term"], row["side"]) == (term, side)
    ]


def explained(made: Calibrated) -> list[dict[str, Any]]:
    """Each memory line of the log with what it says."""
    closed = f"{gib(made.measured.closed_form_bytes)} GiB"
    rows = []
    for name, line in sorted(made.lines.items(), key=lambda pair: pair[1].line):
        says = _SAYS.get(name, "").format(closed=closed)
        if name == "kv_tokens":
            says = tokens_in_words(made)
        if name == "max_concurrency":
            says = "Blocks of the pool over blocks of one request of full length; the null block is counted here, and cannot be used."
        rows.append(
            {
                "name": name,
                "line": line.line,
                "text": mask(line.text.strip())[0][:200],
                "value": line.value,
                "says": says,
            }
        )
    return rows


def tokens_in_words(made: Calibrated) -> str:
    """Why the log's token count is not the printed GiB over the bytes of a token."""
    after = made.measured.after
    kv, r = after.kv, after.resolved
    blocks = kv.pool.num_blocks or 0
    each = bytes_per_block(1, 1, 0, 0, r.block_size) * r.dcp
    whole = f"{blocks:,} blocks of {each:,} tokens, the null block among them"
    if kv.pool.tokens == blocks * each:
        counted = f"{whole}: {kv.pool.tokens:,} tokens"
    else:
        counted = (
            f"{whole}, over {kv.pool.blocks_per_request:,} blocks a request, times {kv.pool.max_model_len:,} tokens: "
            f"{kv.pool.tokens or 0:,}, which changes with max_model_len"
        )
    return f"{counted}. GiB over bytes a token misses it: the pool is printed to 0.01 GiB, and only whole blocks count."


def _identity(made: Calibrated) -> dict[str, Any] | None:
    """Total x utilization less the printed terms, against the printed pool, where all of them are printed."""
    names = ("weights_bytes", "peak_activation_bytes", "non_torch_bytes", "cuda_graph_estimated_bytes")
    if any(name not in made.lines for name in names):
        return None
    used = sum(int(made.lines[name].value) for name in names)
    budget = made.measured.before.utilization_bytes or 0
    seen = int(made.lines["available_kv_bytes"].value)
    return {
        "utilization_bytes": budget,
        "printed_terms_bytes": used,
        "pool_bytes": seen,
        "gap_bytes": budget - used - seen,
    }
