"""Tables and one chart of chapter 4; every figure is computed when called, with its unit in the heading."""

from __future__ import annotations

from typing import Any, Sequence

import pandas as pd

from glmcalc.advise.calibrate import Calibrated
from glmcalc.advise.pairs import pair_rows
from glmcalc.advise.reconcile import explained, residuals
from glmcalc.advise.tuning.room import room_of
from glmcalc.advise.tuning.stress import stress_plan
from glmcalc.advise.upgrade import upgrade
from glmcalc.budget.plan import plan
from glmcalc.facts.gates import gate
from glmcalc.facts.quantity import GIB
from glmcalc.model.deployment import Deployment
from glmcalc.present.display import Html
from glmcalc.present.frame_html import as_table
from glmcalc.present.svg_chart import chart_svg

_PAIR_COLUMNS = {
    "measured": "measured on", "foretold": "foretold", "moved": "what differs", "predicted_gib": "foretold, GiB",
    "printed_gib": "printed, GiB", "error_gib": "error, GiB", "within": "within 2 % or 0.5 GiB", "inside": "in band",
}  # fmt: skip


def pairs() -> Html:
    """Pools foretold by a calibration on one start, beside what another start of the same machine printed; GiB on each GPU."""
    yes = {True: "yes", False: "no"}
    frame = _pairs()
    return as_table(frame.assign(**{name: frame[name].map(yes) for name in frame.select_dtypes("bool").columns}))


def _pairs() -> pd.DataFrame:
    columns = _PAIR_COLUMNS
    frame = pd.DataFrame(pair_rows())[list(columns)].rename(columns=columns)
    numbers = frame.select_dtypes("float").columns
    return frame.assign(**{name: frame[name].round(2) for name in numbers}).set_index("measured on")


def pairs_in_short() -> Html:
    """How many pairs, how many within, how many in band, and the largest error in GiB on each GPU."""
    frame = _pairs()
    error = frame["error, GiB"].abs()
    return as_table(
        pd.DataFrame(
            {
                "pairs": [len(frame)],
                "within": [int(frame["within 2 % or 0.5 GiB"].sum())],
                "in band": [int(frame["in band"].sum())],
                "median error, GiB": [round(error.median(), 2)],
                "largest error, GiB": [round(error.max(), 2)],
            }
        )
    )


def lines_explained(made: Calibrated) -> Html:
    """Each memory line of a start-up log with what it says."""
    return as_table(
        pd.DataFrame([{"line": row["text"], "what it says": row["says"]} for row in explained(made) if row["says"]])
    )


def residual_table(made: Calibrated) -> Html:
    """Measured beside estimated, GiB on each GPU, and whether the range held it."""
    rows = []
    for row in residuals(made):
        if "tokens" in row:
            values = (f"{row['measured_tokens']:,} tokens", f"{row['estimate_tokens']:,} tokens", "")
        else:
            span = f"{row['low_bytes'] / GIB:.2f} to {row['high_bytes'] / GIB:.2f}"
            values = (f"{row['measured_bytes'] / GIB:.2f}", f"{row['estimate_bytes'] / GIB:.2f}", span)
        words = "beyond: " + "; ".join(reason["text"] for reason in row["reasons"]) if row["beyond_band"] else "inside"
        rows.append(
            dict(
                zip(
                    ("what", "measured, GiB", "estimate, GiB", "its range, GiB", "verdict"),
                    (row["label"], *values, words),
                )
            )
        )
    return as_table(pd.DataFrame(rows))


def releases(deployment: Deployment, from_version: str, to_version: str) -> Html:
    """The same flags on two releases: each component on one GPU in GiB, and what it moves by."""
    rows = [
        {
            "component": row["label"],
            f"{from_version}, GiB": round((row["from_bytes"] or 0) / GIB, 2),
            f"{to_version}, GiB": round((row["to_bytes"] or 0) / GIB, 2),
            "moves by, GiB": round(row["moved_bytes"] / GIB, 2),
        }
        for row in upgrade(deployment, from_version, to_version).to_dict()["components"]
    ]
    return as_table(pd.DataFrame(rows).set_index("component"))


def step_buys(deployments: Sequence[Deployment]) -> Html:
    """What the guide's step of utilization is on each machine, and how high utilization may go there by the budget."""
    rows: list[dict[str, Any]] = []
    for deployment in deployments:
        made = plan(deployment)
        room = room_of(made)
        if room is None:
            continue
        bought = room.buys(gate("guide_step"))
        rows.append({
            "machine": f"{made.resolved.gpus} x {made.resolved.device.name}",
            "a GPU, GiB": round(bought["gpu_bytes"] / GIB, 2),
            "the node, GiB": round(bought["all_gpus_bytes"] / GIB, 1),
            "KV of a replica, tokens": bought["tokens_per_replica"],
            "ceiling by the budget": room.ceiling,
            "outside the line, at worst, GiB": round(sum(size for _, size in room.outside) / GIB, 2),
        })  # fmt: skip
    return as_table(pd.DataFrame(rows).set_index("machine"))


def tuning_table(log: Sequence[dict[str, Any]]) -> Html:
    """The steps of a tuning log: utilization, what was seen, what was decided."""
    rows = [
        {
            "step": row["step"],
            "utilization": f"{row['gpu_memory_utilization']:g}",
            "requests": f"{row['finished'] or 0:,.0f}",
            "least free, GiB": "" if row["free_low_bytes"] is None else f"{row['free_low_bytes'] / GIB:.2f}",
            "decision": row["decision"] or "running",
            "reason": row["reason"] or "",
        }
        for row in log
    ]
    return as_table(pd.DataFrame(rows))


def tuning_chart(log: Sequence[dict[str, Any]], deployment: Deployment, guide: Sequence[dict[str, Any]] = ()) -> Html:
    """Utilization by step, the budget's ceiling, and the guide's schedule beside it, as a still picture.

    Args:
        log, guide: rows of ``tuning_log``; the second is drawn lighter.
        deployment: what is tuned; its budget gives the ceiling.
    """
    import altair as alt

    room = room_of(plan(deployment))
    ceiling = room.ceiling if room else 1.0
    frame = pd.concat(
        [_course(rows, name) for name, rows in (("by the budget", log), ("the guide's schedule", guide)) if rows]
    )
    line = alt.Chart(frame).mark_line(interpolate="step-after", point=True)
    line = line.encode(
        x=alt.X("hours", title="hours since the start (simulated)"),
        y=alt.Y("utilization", title="gpu_memory_utilization", scale=alt.Scale(zero=False)),
        color=alt.Color(
            "mode", title=None, legend=alt.Legend(orient="top"), scale=alt.Scale(range=["#0b57a4", "#a35a00"])
        ),
    )
    rule = alt.Chart(pd.DataFrame({"utilization": [ceiling]})).mark_rule(strokeDash=[5, 4]).encode(y="utilization")
    text = rule.mark_text(align="left", dy=-6, x=4).encode(text=alt.value(f"ceiling by the budget, {ceiling:.3f}"))
    return chart_svg(alt.layer(line, rule, text).properties(width=620, height=230))


def stress_table(deployment: Deployment) -> Html:
    """The worst shapes of a deployment, forced on purpose: sizes, how often, how long, what each checks."""
    shapes = stress_plan(plan(deployment))["shapes"]
    rows = [
        {
            "shape": row["what"],
            "prompt, tokens": f"{row['prompt_tokens']:,}",
            "output, tokens": f"{row['output_tokens']:,}",
            "at once": row["concurrency"],
            "requests": f"{row['requests']:,}",
            "minutes": "" if row["minutes"] is None else f"{row['minutes']:.0f}",
            "checks": row["checks"],
        }
        for row in shapes
    ]
    return as_table(pd.DataFrame(rows))


def _course(rows: Sequence[dict[str, Any]], name: str) -> pd.DataFrame:
    """Utilization over the hours of a log, its last step drawn to its end."""
    first = rows[0]["began"] or 0.0
    hours = [((row["began"] or first) - first) / 3600 for row in rows]
    hours.append(hours[-1] + (rows[-1]["hours"] or 0.0))
    shares = [row["gpu_memory_utilization"] for row in rows]
    return pd.DataFrame({"hours": hours, "utilization": [*shares, shares[-1]], "mode": name}).round(3)
