"""Tables of chapter 3 on the speed model: how far predictions are from what was measured, stack by stack."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Mapping, Sequence

import pandas as pd

from glmcalc.present.display import Html
from glmcalc.present.frame_html import as_table
from glmcalc.speed import fit, fit_decode, fit_prefill
from glmcalc.speed.presets import band_factor, preset

_SWEEP = "ix-"  # ids of the InferenceX sweep, a third of the rows
_LONGEST_FIRST = 65_536  # tokens of a prompt, up to which the time to the first token is promised


def accuracy() -> Html:
    """Predicted against measured, with each row's own prediction made without it: median error and share inside the band."""
    decode, prompts = fit.decode_rows(), _first_tokens()
    fitted = dict(zip((row.name for row in decode), fit_decode.seconds(decode, fit_decode.fit(decode).values)))
    alone = _left_out()
    outside = [row for row in decode if not row.name.startswith(_SWEEP)]
    first = fit_prefill.seconds(prompts, fit_prefill.fit(fit.prefill_rows()).values)
    first_alone = fit_prefill.leave_one_out(fit.prefill_rows())
    rows = [
        _judged("tok/s of one user, all", decode, fitted, alone, _half_width),
        _judged("tok/s of one user, outside InferenceX", outside, fitted, alone, _half_width),
        _judged("first token, one request up to 64K, NVIDIA", prompts, dict(zip((row.name for row in prompts), first)), first_alone, _first_width),
    ]  # fmt: skip
    return as_table(pd.DataFrame(rows).set_index("what"))


@lru_cache(maxsize=1)
def _left_out() -> dict[str, float]:
    """Each row's time per token by the fit to all others: seconds of work, and two tables show it."""
    return fit_decode.leave_one_out(fit.decode_rows())


def _first_tokens() -> list[Any]:
    rows = [row for row in fit.prefill_rows() if row.machine.vendor == "NVIDIA" and row.load.requests == 1]
    return [row for row in rows if row.row["input_length"] <= _LONGEST_FIRST]


def _half_width(row: Any) -> float:
    """Of the band that a deployment like this row's gets."""
    return band_factor(max(row.band, preset(row.preset).least_band))


def _first_width(_row: Any) -> float:
    return band_factor("ttft_one")


def _measured(row: Any) -> float:
    """Seconds: a step's for decode, the first token's for prompts (where a rate was published, of its prompt)."""
    return float(row.row["tpot_ms"]) / 1e3 if row.row["tpot_ms"] else float(fit_prefill.observed([row])[0])


def _judged(
    what: str, rows: Sequence[Any], fitted: Mapping[str, float], alone: Mapping[str, float], width: Any
) -> dict[str, Any]:
    observe = _measured if "tok/s" in what else lambda row: float(fit_prefill.observed([row])[0])
    ratios = {
        kind: [found[row.name] / observe(row) for row in rows]
        for kind, found in (("fitted", fitted), ("left out", alone))
    }
    widths = sorted(width(row) ** 2 for row in rows)
    line: dict[str, Any] = {"what": what, "rows": len(rows)}
    for kind, found in ratios.items():
        errors = sorted(abs((1 / ratio if "tok/s" in what else ratio) - 1) for ratio in found)
        inside = sum(abs(math.log(ratio)) <= math.log(width(row)) for ratio, row in zip(found, rows)) / len(rows)
        line[f"median error {kind}, %"] = f"{100 * errors[len(errors) // 2]:.1f}"
        line[f"inside band {kind}, %"] = f"{100 * inside:.0f}"
    return {**line, "median width of band": f"{widths[len(widths) // 2]:.1f}", "widest": f"{widths[-1]:.1f}"}


def stacks() -> Html:
    """Each preset: rows behind it, its floor and slope with their ends, and its rows' median of predicted over measured."""
    decode = fit.decode_rows()
    alone = _left_out()
    rows = []
    for name in dict.fromkeys(row.preset for row in decode):
        one = preset(name)
        own = [row for row in decode if row.preset == name]
        ratios = sorted(_measured(row) / alone[row.name] for row in own)
        rows.append(
            {
                "preset": one.label,
                "rows": len(own),
                "floor, ms a step": f"{one.floor_ms.mid:.3g} [{one.floor_ms.low:.3g} to {one.floor_ms.high:.3g}]",
                "slope, times bytes over bandwidth": f"{one.slope.mid:.3g} [{one.slope.low:.3g} to {one.slope.high:.3g}]",
                "tok/s predicted over measured, left out": f"{ratios[len(ratios) // 2]:.2f} [{ratios[0]:.2f} to {ratios[-1]:.2f}]",
                "longest context": f"{one.longest_context:,}",
            }
        )
    return as_table(pd.DataFrame(rows).set_index("preset"))
