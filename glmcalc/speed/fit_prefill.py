"""The fit of the time to the first token, from prompts timed alone or together and from prefill rates."""

from __future__ import annotations

import numpy as np

from glmcalc.speed import prefill
from glmcalc.speed.least_squares import Prior, Solution, solve
from glmcalc.speed.records import Measured
from glmcalc.speed.terms import prompt_terms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

NOISE = 0.3  # one page's two editions differ by 2.3 times on the same prompt
# The base is held near what prompts of about a thousand tokens took (0.29 s on an H200, less their products), which also
# keeps both editions of that page inside the band; without it one of the two is 2.06 times off.
PRIORS = (
    Prior("prefill_base", 0.19, 0.2),
    Prior("prefill_mfu", 0.3, 0.3),
    Prior("prefill_loss", 0.5, 0.3),
    Prior("prefill_amd", 0.6, 0.5),
    Prior("prefill_growth", 0.4, 0.3),
)


def seconds(rows: Sequence[Measured], c: dict[str, Any]) -> Any:
    """Predicted seconds to the first token of each row; of a prefill rate, seconds of one prompt without the base."""
    return np.array([_one(row, c) for row in rows])


def _one(row: Measured, c: dict[str, Any]) -> float:
    stream = row.row["ttft_ms"] is None
    terms = prompt_terms(row.machine, row.row["input_length"], one_request=not stream)
    assert terms is not None, row.name
    device = c["prefill_amd"] if row.machine.vendor == "AMD" else 1.0
    share = prefill.efficiency(c["prefill_mfu"], c["prefill_loss"], row.machine.attention_ranks, device)
    base = 0.0 if stream else c["prefill_base"]
    alone = prefill.prefill_s(base, terms.products / share, terms.scan / device)
    return float(prefill.together_s(alone, row.load.requests, c["prefill_growth"]))


def observed(rows: Sequence[Measured]) -> Any:
    """Measured seconds of each row."""
    return np.array([_observed(row) for row in rows])


def _observed(row: Measured) -> float:
    if row.row["ttft_ms"] is not None:
        return float(row.row["ttft_ms"] / 1e3)
    return float(row.row["input_length"] / (row.row["prefill_tok_s_gpu"] * row.row["gpus"]))


def fit(rows: Sequence[Measured]) -> Solution:
    """Coefficients from ``rows``: ``prefill_base`` in seconds, the others without a unit."""
    return solve(lambda c: seconds(rows, c), observed(rows), PRIORS, NOISE)


def leave_one_out(rows: Sequence[Measured]) -> dict[str, float]:
    """Seconds of each row as the fit to all others predicts it, by id."""
    out = {}
    for row in rows:
        others = [other for other in rows if other.name != row.name]
        out[row.name] = float(seconds([row], fit(others).values)[0])
    return out
