"""The fit of decode: floor and slope of each stack, and what all stacks share, from the measured times per token."""

from __future__ import annotations

import numpy as np

from glmcalc.speed import decode
from glmcalc.speed.least_squares import Prior, Solution, solve
from glmcalc.speed.records import Measured
from glmcalc.speed.terms import step_terms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

NOISE = 0.12  # standard deviation of a row's logarithm: what is left of the rows when all is fitted
# Stacks that share a slope with another: the FP4 rows of the summer stack are too few for one of their own.
SLOPE_OF = {"sglang_summer_2026_blackwell_nvfp4": "sglang_summer_2026_blackwell"}
# Stacks whose rows sweep over context, so that the scan's factor can be seen; others keep the kernel tables'.
SWEEPS = ("tilert_b200", "vllm_rtx_pro_6000")

_FLOOR, _SLOPE, _SCAN = (0.012, 1.0), (1.4, 0.35), (1.0, 0.5)
COMMON = (
    Prior("per_draft", 0.1, 0.7),
    Prior("share_steady", 1.0, 0.2),
    Prior("share_waves", 0.5, 0.3),
    Prior("mfu_tp", 0.09, 0.3),
    Prior("mfu_dp", 0.2, 0.35),
    Prior("mfu_amd", 0.035, 0.5),
)


def priors(rows: Sequence[Measured]) -> list[Prior]:
    """What is held of each coefficient before any row: floors loosely, slopes and scans near what is physical."""
    stacks = list(dict.fromkeys(row.preset for row in rows))
    found = [Prior(f"floor {stack}", *_FLOOR) for stack in stacks]
    found += [Prior(f"slope {stack}", *_SLOPE) for stack in dict.fromkeys(SLOPE_OF.get(s, s) for s in stacks)]
    found += [Prior(f"scan {stack}", *_SCAN) for stack in stacks if stack in SWEEPS]
    return [*found, *COMMON]


def seconds(rows: Sequence[Measured], coefficients: dict[str, Any]) -> Any:
    """Predicted time per token of each row, seconds."""
    c = coefficients
    return np.array([_one(row, c) for row in rows])


def _one(row: Measured, c: dict[str, Any]) -> float:
    terms, stack = _terms(row), row.preset
    step = decode.step_s(
        c[f"floor {stack}"], c["per_draft"], row.load.drafts, c[f"slope {SLOPE_OF.get(stack, stack)}"], terms.roof,
        c.get(f"scan {stack}", 1.0), terms.scan, terms.rest,
    )  # fmt: skip
    share = c["share_steady"] if row.row["traffic"] == "steady" else c["share_waves"]
    waiting = share * terms.interruption / c[mfu_name(row.machine.vendor, row.machine.groups)]
    return float(decode.time_per_token_s(step, row.row["acceptance_length"], waiting))


_kept: dict[str, Any] = {}


def _terms(row: Measured) -> Any:
    if row.name not in _kept:
        _kept[row.name] = step_terms(row.machine, row.load)
    return _kept[row.name]


def mfu_name(vendor: str, groups: int) -> str:
    """Which of the prefill shares inside the interruption holds."""
    return "mfu_amd" if vendor == "AMD" else ("mfu_dp" if groups > 1 else "mfu_tp")


def observed(rows: Sequence[Measured]) -> Any:
    """Measured time per token of each row, seconds."""
    return np.array([row.row["tpot_ms"] / 1e3 for row in rows])


def fit(rows: Sequence[Measured]) -> Solution:
    """Coefficients from ``rows``: ``floor <stack>`` in seconds, the others without a unit."""
    return solve(lambda c: seconds(rows, c), observed(rows), priors(rows), NOISE)


def leave_one_out(rows: Sequence[Measured]) -> dict[str, float]:
    """Time per token of each row as the fit to all others predicts it, seconds by id; the row's stack keeps its priors."""
    held = priors(rows)
    out = {}
    for row in rows:
        others = [other for other in rows if other.name != row.name]
        found = solve(lambda c, others=others: seconds(others, c), observed(others), held, NOISE)  # type: ignore[misc]
        out[row.name] = float(seconds([row], found.values)[0])
    return out
