"""How well a calibration foretells another start of the same machine: every pair of published starts, both ways."""

from __future__ import annotations

from itertools import permutations

from glmcalc.advise.measure import measure
from glmcalc.budget.plan import plan
from glmcalc.facts.evidence import observations
from glmcalc.facts.quantity import GIB
from glmcalc.solve.accuracy import plan_of, printed_pool, rows_of_vllm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SHARE, LEAST_GIB = 0.02, 0.5
"""What counts as foretold: within 2 % of the pool, or 0.5 GiB."""

_FIGURES = {
    "weights_gib_per_gpu": "weights_bytes", "peak_activation_gib": "peak_activation_bytes", "non_torch_gib": "non_torch_bytes",
    "cuda_graph_estimated_gib": "cuda_graph_estimated_bytes", "cuda_graph_gib": "cuda_graph_actual_bytes",
}  # fmt: skip
_SAME = ("family", "checkpoint", "quantization", "engine_version", "kv_cache_dtype", "tp", "pp", "dp")
_SETTINGS = ("max_model_len", "max_num_seqs", "max_num_batched_tokens", "mtp", "dcp", "gpu_memory_utilization")


def pair_rows() -> list[dict[str, Any]]:
    """One row a pair of starts of one machine, in both directions: the pool foretold from the other's log, and the printed one.

    A pair counts where both logs state their length and utilization, and batch settings that are equal or stated in both.
    What sets the others apart is a flag that is not known, and no test of the arithmetic.
    """
    rows = []
    for before, after in permutations(rows_of_vllm(observations()), 2):
        if any(before[name] != after[name] for name in _SAME) or not (_figure(before) and _figure(after)):
            continue
        if _open(before, after):
            continue
        rows.append(_foretold(before, after))
    return rows


def _figure(row: dict[str, Any]) -> bool:
    return row["observed"].get("available_kv_gib") is not None or row["observed"].get("kv_tokens") is not None


def _open(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Whether a setting of the two is not known to be comparable."""
    for row in (before, after):
        if (
            row["max_model_len"] is None
            or row["gpu_memory_utilization"] is None
            or "gpu_memory_utilization" in row["inferred"]
        ):
            return True
    return any(
        before[name] != after[name] and None in (before[name], after[name])
        for name in ("max_num_seqs", "max_num_batched_tokens")
    )


def _foretold(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    there, here = plan_of(before, printed=False), plan_of(after, printed=False)
    seen = before["observed"]
    figures: dict[str, int | float] = {
        name: round(seen[field] * GIB) for field, name in _FIGURES.items() if seen.get(field) is not None
    }
    figures["available_kv_bytes"] = round(printed_pool(before, there) * GIB)
    if seen.get("kv_tokens") is not None:
        figures["kv_tokens"] = seen["kv_tokens"]
    calibration = measure(there.resolved.asked, figures).calibration
    total = calibration.measured_at.gpu_memory_bytes
    made = plan(here.resolved.asked.changed(calibration=calibration, gpu_memory_bytes=total))
    low, likely, high = (
        value / GIB for value in (made.kv.available.low, made.kv.available.likely, made.kv.available.high)
    )
    printed = printed_pool(after, here)
    error = likely - printed
    moved = [f"{name} {before[name]} to {after[name]}" for name in _SETTINGS if before[name] != after[name]]
    return {
        "measured": before["id"], "foretold": after["id"], "moved": ", ".join(moved) or "nothing", "fork": after["is_fork"],
        "predicted_gib": likely, "low_gib": low, "high_gib": high, "printed_gib": printed, "error_gib": error,
        "within": abs(error) <= max(SHARE * printed, LEAST_GIB), "inside": low <= printed <= high, "source": after["source"],
    }  # fmt: skip
