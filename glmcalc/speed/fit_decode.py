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


class _Columns:
    """What of ``rows`` no coefficient changes, one array each, and where in a list of ``names`` each row's coefficients stand.

    A factor that a row does not have stands behind the last name, where there is a 1.
    """

    def __init__(self, rows: Sequence[Measured], names: Sequence[str]) -> None:
        place, one = {name: at for at, name in enumerate(names)}, len(names)
        terms = [_terms(row) for row in rows]
        self.floor = np.array([place[f"floor {row.preset}"] for row in rows])
        self.slope = np.array([place[f"slope {SLOPE_OF.get(row.preset, row.preset)}"] for row in rows])
        self.scan = np.array([place.get(f"scan {row.preset}", one) for row in rows])
        self.share = np.array(
            [place["share_steady" if row.row["traffic"] == "steady" else "share_waves"] for row in rows]
        )
        self.mfu = np.array([place[mfu_name(row.machine.vendor, row.machine.groups)] for row in rows])
        self.per_draft = place["per_draft"]
        self.drafts = np.array([row.load.drafts for row in rows])
        self.accepted = np.array([row.row["acceptance_length"] for row in rows])
        self.roof, self.scanned = np.array([term.roof for term in terms]), np.array([term.scan for term in terms])
        self.rest = np.array([term.rest for term in terms])
        self.interruption = np.array([term.interruption for term in terms])

    def seconds(self, coefficients: dict[str, Any]) -> Any:
        """Predicted time per token of each row, seconds; ``coefficients`` in the order of the names."""
        c = np.array([*coefficients.values(), 1.0])
        step = decode.step_s(
            c[self.floor], c[self.per_draft], self.drafts, c[self.slope], self.roof, c[self.scan], self.scanned, self.rest,
        )  # fmt: skip
        waiting = c[self.share] * self.interruption / c[self.mfu]
        return decode.time_per_token_s(step, self.accepted, waiting)


def seconds(rows: Sequence[Measured], coefficients: dict[str, Any]) -> Any:
    """Predicted time per token of each row, seconds."""
    return _Columns(rows, list(coefficients)).seconds(coefficients)


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
    return _solved(rows, priors(rows))


def _solved(rows: Sequence[Measured], held: Sequence[Prior]) -> Solution:
    columns = _Columns(rows, [prior.name for prior in held])
    return solve(columns.seconds, observed(rows), held, NOISE)


def leave_one_out(rows: Sequence[Measured]) -> dict[str, float]:
    """Time per token of each row as the fit to all others predicts it, seconds by id; the row's stack keeps its priors."""
    held = priors(rows)
    out = {}
    for row in rows:
        others = [other for other in rows if other.name != row.name]
        out[row.name] = float(seconds([row], _solved(others, held).values)[0])
    return out
