"""``python -m glmcalc.speed.fit``: the speed model's coefficients from ``data/throughput.jsonl``, printed or written.

Prints each coefficient with its 90 % interval and how far the rows are from it, fitted and left out one at a time. With
``--write`` the figures in ``data/speed_presets.json`` are replaced; what describes a preset there stays. Needs numpy.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from glmcalc.speed import fit_decode, fit_prefill, records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

    from glmcalc.speed.least_squares import Solution
    from glmcalc.speed.records import Measured

FILE = Path(__file__).resolve().parents[2] / "data" / "speed_presets.json"
SOURCE = "derived: glmcalc.speed.fit over data/throughput.jsonl"
DIGITS = 3


def decode_rows() -> tuple[Measured, ...]:
    """Rows that the decode fit rests on."""
    return records.measured("decode")


def prefill_rows() -> tuple[Measured, ...]:
    """Rows that the fit of the time to the first token rests on."""
    return records.measured("ttft") + records.measured("prefill")


def fitted(facts: dict[str, Any]) -> dict[str, Any]:
    """``data/speed_presets.json`` with its figures fitted anew; rows that are no coefficient stay as they are."""
    rows = decode_rows()
    decode, prompt = fit_decode.fit(rows), fit_prefill.fit(prefill_rows())
    return {**facts, "rows": [_row(row, rows, decode, prompt) for row in facts["rows"]]}


def _row(row: dict[str, Any], rows: Sequence[Measured], decode: Solution, prompt: Solution) -> dict[str, Any]:
    if row["what"] == "preset":
        return _preset(row, rows, decode)
    if row["what"] == "coefficient" and row["source"] == SOURCE:
        found = decode if row["id"] in decode.values else prompt
        return {**row, **_figures(found.band(row["id"]))}
    return row


def _preset(row: dict[str, Any], rows: Sequence[Measured], found: Solution) -> dict[str, Any]:
    stack = row["id"]
    slope = f"slope {fit_decode.SLOPE_OF.get(stack, stack)}"
    scan = f"scan {stack}"
    own = [one.name for one in rows if one.preset == stack]
    low, mid, high = found.band(f"floor {stack}")
    return {
        **row,
        "floor_ms": _figures((low * 1e3, mid * 1e3, high * 1e3)),
        "slope": _figures(found.band(slope)),
        "scan_factor": _figures(found.band(scan)) if scan in found.values else row["scan_factor"],
        "floor_slope_correlation": round(found.correlation(f"floor {stack}", slope), 2),
        "rows": own,
        "records": len(own),
        "most_requests": max(one.load.requests for one in rows if one.preset == stack),
        "longest_context": max(round(one.load.context) for one in rows if one.preset == stack),
    }


def _figures(band: tuple[float, float, float]) -> dict[str, float]:
    low, mid, high = (float(f"{value:.{DIGITS}g}") for value in band)
    return {"low": low, "mid": mid, "high": high}


def off_by(predicted: Any, seconds: Any) -> dict[str, float]:
    """How far predictions are from what was measured: median error on speed, and the factor that holds 90 % of rows."""
    ratio = np.asarray(predicted) / np.asarray(seconds)
    return {
        "rows": len(ratio),
        "median_error": float(np.median(np.abs(1 / ratio - 1))),
        "factor_90": float(np.exp(np.quantile(np.abs(np.log(ratio)), 0.9))),
    }


def other_stacks(rows: Sequence[Measured]) -> dict[str, float]:
    """Seconds of each row, by id, where its stack's floor and slope are the geometric mean of the other stacks'."""
    found = fit_decode.fit(rows)
    stacks = list(dict.fromkeys(row.preset for row in rows))
    out: dict[str, float] = {}
    for stack in stacks:
        own = [row for row in rows if row.preset == stack]
        c = dict(found.values)
        for part in ("floor", "slope"):
            names = [f"{part} {other}" for other in stacks if other != stack and f"{part} {other}" in c]
            mean = float(np.exp(np.mean([np.log(c[name]) for name in names])))
            c[f"{part} {stack}" if part == "floor" else f"slope {fit_decode.SLOPE_OF.get(stack, stack)}"] = mean
        out.update(zip((row.name for row in own), (float(s) for s in fit_decode.seconds(own, c))))
    return out


def _report(facts: dict[str, Any]) -> list[str]:
    lines = []
    for row in facts["rows"]:
        if row["what"] == "preset":
            parts = [f"{key} {_shown(row[key])}" for key in ("floor_ms", "slope", "scan_factor")]
            lines.append(f"{row['id']:36s} {row['records']:3d} rows  " + "  ".join(parts))
        elif row["what"] == "coefficient":
            lines.append(f"{row['id']:36s} {_shown(row)}")
    rows, prompts = decode_rows(), prefill_rows()
    seconds, first = fit_decode.observed(rows), fit_prefill.observed(prompts)
    left_out, first_out = fit_decode.leave_one_out(rows), fit_prefill.leave_one_out(prompts)
    stackless = other_stacks(rows)
    for name, off in (
        ("decode, fitted", off_by(fit_decode.seconds(rows, fit_decode.fit(rows).values), seconds)),
        ("decode, each row left out", off_by([left_out[row.name] for row in rows], seconds)),
        ("decode, stack left out", off_by([stackless[row.name] for row in rows], seconds)),
        ("first token, fitted", off_by(fit_prefill.seconds(prompts, fit_prefill.fit(prompts).values), first)),
        ("first token, each row left out", off_by([first_out[row.name] for row in prompts], first)),
    ):
        lines.append(
            f"{name:36s} {off['rows']} rows, median error {off['median_error']:.1%}, 90 % within x{off['factor_90']:.2f}"
        )
    return lines


def _shown(band: dict[str, Any]) -> str:
    return f"{band['mid']:g} [{band['low']:g}, {band['high']:g}]"


def main(argv: Sequence[str]) -> int:
    """Print the fit; with ``--write`` put it into ``data/speed_presets.json``."""
    facts = fitted(json.loads(FILE.read_text(encoding="utf-8")))
    print("\n".join(_report(facts)))
    if "--write" in argv:
        FILE.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
