"""How far the budget is from what real servers printed: every published observation, budgeted with its own flags.

What was fitted to these rows (``fit_terms``) is judged leaving the row's own deployment out.
"""

from __future__ import annotations

from statistics import median

from glmcalc.budget import runtime
from glmcalc.budget.plan import plan
from glmcalc.budget.result import Plan
from glmcalc.budget.runtime import Term
from glmcalc.facts.evidence import observations
from glmcalc.facts.hardware import device
from glmcalc.facts.quantity import GIB
from glmcalc.model.deployment import Deployment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable


FIRST_LINE = (
    "No public start-up log of GLM-5.2-FP8 on 8 x H200 or 8 x B200 exists. If you have one, its memory lines are what this "
    "table needs most."
)

# How far forked engines lie below and above their median, as factors: with the weights printed, and without. Chosen
# looking at all rows, unlike the median; predicted weights of third-party checkpoints tend to be too high.
FORK_SPREAD = {True: (3.3, 3.3), False: (5.5, 2.5)}
# Families whose own log is one of the few behind a term: the memory of a captured graph.
SET_A_TERM = frozenset({"gb200x4-nvfp4"})
_HEADS = 64
# Geometry for rows whose checkpoint is not known to the byte: enough where the log prints the weights.
_GEOMETRY = {
    "GLM-5": "zai-org/GLM-5-FP8",
    "GLM-5.1": "zai-org/GLM-5.1-FP8",
    "GLM-5.2": "zai-org/GLM-5.2-FP8",
    "GLM-5.3": "zai-org/GLM-5.3-FP8",
    "DeepSeek-V3.2": "deepseek-ai/DeepSeek-V3.2",
}


def bytes_per_token_rows() -> list[dict[str, Any]]:
    """KV bytes a token and rank: ours at the row's version beside what GiB and tokens of its log give.

    ``rounding_pct`` is how far the two printed figures can be off by rounding: half of 0.01 GiB, and one block. Where the
    release leaves it ``open`` which layers own an indexer cache, ``predicted`` is the larger, ``predicted_low`` the smaller;
    ``nearer`` is the one that ``error_pct`` and ``agrees`` speak of.
    """
    rows = []
    for row in rows_of_vllm(observations()):
        seen = row["observed"].get("bytes_per_token")
        if seen is None:
            continue
        made = plan_of(row, printed=True)
        per_rank = made.kv.bytes_per_token * made.resolved.dcp
        low = made.kv.bytes_per_token_low
        pool, tokens = row["observed"].get("available_kv_gib"), row["observed"].get("kv_tokens")
        rounding = 100 * (0.005 / pool + 64 * made.resolved.dcp / tokens) if pool and tokens else 0.05
        other = low * made.resolved.dcp if low is not None else None
        best = min([per_rank] + ([other] if other is not None else []), key=lambda value: abs(value - seen))
        error = 100 * (best - seen) / seen
        rows.append({
            "id": row["id"], "engine_version": row["engine_version"], "fork": row["is_fork"], "record": made.kv.record,
            "predicted": per_rank, "open": other is not None, "predicted_low": other, "nearer": best, "observed": seen, "error_pct": error, "rounding_pct": rounding,
            "agrees": abs(error) <= rounding, "known_odd": row.get("known_odd"), "source": row["source"],
        })  # fmt: skip
    return rows


def pool_rows(weights: str = "printed") -> list[dict[str, Any]]:
    """The pool, predicted without calibration, beside what was printed, where the log states its utilization.

    A log that prints tokens but no GiB counts with its tokens times what a token takes.

    Args:
        weights: ``printed`` takes the log's own figure for the weights, ``predicted`` ours.
    """
    printed = weights == "printed"
    rows = []
    for row in whole_logs(printed):
        with _without(row["family"], printed):
            made = plan_of(row, printed)
        pool, seen = made.kv.available, printed_pool(row, made)
        low, likely, high = (value / GIB for value in (pool.low, pool.likely, pool.high))
        rows.append({
            "id": row["id"], "family": row["family"], "fork": made.resolved.version.fork, "predicted_gib": likely,
            "low_gib": low, "high_gib": high, "observed_gib": seen, "error_gib": likely - seen, "inside": low <= seen <= high,
            "source": row["source"],
        })  # fmt: skip
    return rows


def pool_summary(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Median error and band and share inside, each deployment family counted once.

    Four lines: all; all but :data:`SET_A_TERM`, whose logs stand behind one of the terms they are judged by; stock; forks.
    """
    rows = list(rows)
    groups = {
        "all": rows,
        "all, unseen": [row for row in rows if row["family"] not in SET_A_TERM],
        "stock": [row for row in rows if not row["fork"]],
        "fork": [row for row in rows if row["fork"]],
    }
    return [{"engines": label, **_of_families(chosen)} for label, chosen in groups.items()]


def _of_families(rows: list[dict[str, Any]]) -> dict[str, Any]:
    families: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        families.setdefault(row["family"], []).append(row)
    groups = families.values()
    counts: dict[str, Any] = {"families": len(families), "rows": len(rows)}
    if not groups:
        return {**counts, "median_error_gib": None, "median_band_gib": None, "inside_pct": None}
    return {
        **counts,
        "median_error_gib": median(median(abs(row["error_gib"]) for row in group) for group in groups),
        "median_band_gib": median(median(row["high_gib"] - row["low_gib"] for row in group) for group in groups),
        "inside_pct": 100 * sum(sum(row["inside"] for row in group) / len(group) for group in groups) / len(groups),
    }


def fit_terms(rows: Iterable[dict[str, Any]], printed: bool = True) -> dict[str, Term]:
    """The fork's overhead as measured over ``rows``: median of deployments, and a factor to each side.

    Everything inside utilization that is neither weights nor KV: total x utilization - weights - available KV.
    """
    families: dict[str, list[float]] = {}
    for row in rows:
        made = plan_of(row, printed)
        if made.memory is None or not made.resolved.version.fork:
            continue
        used = made.component("weights").band.likely + made.component("mtp_layer").band.likely
        budget = (made.utilization_bytes or 0) - used
        families.setdefault(row["family"], []).append(budget / GIB - printed_pool(row, made))
    if not families:
        return {}
    likely = median(median(values) for values in families.values())
    name = "fork_overhead_printed" if printed else "fork_overhead_predicted"
    below, above = FORK_SPREAD[printed]
    ends = (likely / below * GIB, likely * GIB, likely * above * GIB)
    fitted = Term(*ends, "measured", "derived: fit_terms", len(families))
    return {name: fitted}


def _without(family: str, printed: bool) -> runtime.substituted:
    others = [row for row in whole_logs(printed) if row["family"] != family]
    fitted = fit_terms(others, printed)
    return runtime.substituted(fitted)


def printed_pool(row: dict[str, Any], made: Plan) -> float:
    """GiB of the pool on one GPU: as printed, or the printed tokens times what a token takes."""
    seen = row["observed"]
    if seen.get("available_kv_gib") is not None:
        return float(seen["available_kv_gib"])
    low = made.kv.bytes_per_token_low
    return float(seen["kv_tokens"] * (low if low is not None else made.kv.bytes_per_token) / GIB)


def whole_logs(printed: bool) -> list[dict[str, Any]]:
    """Observations that :func:`pool_rows` judges: utilization and length stated, and the weights printed, or known."""
    rows = []
    for row in rows_of_vllm(observations()):
        seen = row["observed"]
        figure = seen.get("available_kv_gib") is not None or seen.get("kv_tokens") is not None
        stated = row["gpu_memory_utilization"] is not None and row["max_model_len"] is not None and figure
        known = row["recipe"] is not None if not printed else seen.get("weights_gib_per_gpu") is not None
        if stated and known:
            rows.append(row)
    return rows


def rows_of_vllm(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of vLLM, of the three families, on a device that is known."""
    kept = []
    for row in rows:
        if row["engine"].lower() != "vllm" or row["model"] not in _GEOMETRY:
            continue
        try:
            device(row["gpu"] or "")
        except ValueError:
            continue
        if _HEADS % (row["tp"] or 1):
            continue  # forks that pad the heads: upstream refuses
        kept.append(row)
    return kept


def plan_of(row: dict[str, Any], printed: bool) -> Plan:
    """An observation's deployment, budgeted; ``printed`` takes its weights from the log."""
    weights, total = row["observed"].get("weights_gib_per_gpu"), row.get("total_gib_printed")
    model = row["recipe"] or _GEOMETRY[row["model"]]
    version = str(row["engine_version"] or "unstated main")
    if row["is_fork"] and "fork" not in version.lower():
        version += " (fork)"
    length = row["max_model_len"]
    return plan(Deployment(
        model=_GEOMETRY[row["model"]] if printed else model,
        gpu=row["gpu"],
        tensor_parallel_size=row["tp"] or 1,
        pipeline_parallel_size=row["pp"] or 1,
        decode_context_parallel_size=row["dcp"] or 1,
        enable_expert_parallel=bool(row["ep"]),
        max_model_len="auto" if length in (-1, "auto") else length,
        max_num_seqs=row["max_num_seqs"],
        max_num_batched_tokens=row["max_num_batched_tokens"],
        gpu_memory_utilization=row["gpu_memory_utilization"] or 0.9,
        kv_cache_dtype=_dtype(row["kv_cache_dtype"]),
        speculative_method="mtp" if row["mtp"] else None,
        engine_version=version,
        estimate_cudagraphs=row.get("estimate_cudagraphs"),
        weights_bytes=round(weights * GIB) if printed and weights else None,
        gpu_memory_bytes=round(total * GIB) if total else None,
    ))  # fmt: skip


def _dtype(text: str | None) -> str | None:
    if text is None or text.startswith("auto"):
        return None
    return text.split(" ")[0]
