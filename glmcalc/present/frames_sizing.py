"""Tables and pictures of chapter 3, *Hardware sizing*; every figure is computed when called."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Sequence

import pandas as pd

from glmcalc.facts.hardware import devices
from glmcalc.facts.quantity import GIB
from glmcalc.model.deployment import Deployment
from glmcalc.present.display import Html, style
from glmcalc.present.frame_html import as_table
from glmcalc.present.sizing_detail import ENGINES
from glmcalc.present.sizing_html import WORDS, ordered, sizes_table
from glmcalc.present.sizing_pictures import memory_picture, price_picture, region_picture, short_name
from glmcalc.present.sizing_rows import machine_name, shown
from glmcalc.solve.reverse import TARGETS, solve
from glmcalc.solve.size import configuration_row, size_rows
from glmcalc.solve.size_guide import guide_rows
from glmcalc.solve.size_need import Need, configurations, quality_of
from glmcalc.solve.size_vllm import search_vllm
from glmcalc.speed.price import list_price

_SUMS = {"fp4": ("nvfp4", "mxfp4", "w4a16", "awq", "w4afp8")}


@lru_cache(maxsize=8)
def _rows(need: Need) -> tuple[dict[str, Any], ...]:
    return tuple(size_rows(need))


def in_short(need: Need) -> Html:
    """How many machines serve the need, and the cheapest of them, the smallest, and the fastest at its pessimistic end."""
    able = [shown(row) for row in _rows(need) if row["serves"]]
    picks = {
        "the cheapest": min(able, key=lambda one: one.usd_middle or 1e9),
        "the fewest GPUs": min(able, key=lambda one: (one.gpus, one.usd_middle or 1e9)),
        "the fastest, at its pessimistic end": max(able, key=lambda one: one.speed[0] if one.speed else 0.0),
        "the cheapest with the publisher's own FP8": min(
            (one for one in able if one.weights == "fp8"), key=lambda one: one.usd_middle or 1e9
        ),
    }
    table = pd.DataFrame([{"of those that serve it": words, **_line(one)} for words, one in picks.items()])
    return as_table(table.set_index("of those that serve it"))


def _line(one: Any) -> dict[str, Any]:
    return {
        "machine": one.label, "weights": one.weights, "parallelism": one.parallelism,
        "tok/s of one user": _band(one.speed), "US$ an hour": _usd(one.usd), "price of": one.price_date or "not known",
    }  # fmt: skip


def _band(figures: tuple[float, float, float] | None) -> str:
    return "not known" if figures is None else f"{figures[1]:.3g} [{figures[0]:.3g} to {figures[2]:.3g}]"


def _usd(ends: tuple[float, float] | None) -> str:
    if ends is None:
        return "not known"
    return f"{sum(ends) / 2:,.2f}" + ("" if ends[0] == ends[1] else f" [{ends[0]:,.2f} to {ends[1]:,.2f}]")


def guide() -> Html:
    """The guide's four rows: its claim, what becomes of just that, why, what the machine does serve, and the nearest that works."""
    rows = []
    for row in guide_rows():
        ours, near = row["ours"], row["nearest"]
        own = f"{WORDS[shown(ours | {'nearest': None}).status]}: {ours['quantization']}, {ours['parallelism']}"
        nearest = "this machine, so" if ours["serves"] else "none of this kind"
        if near is not None:
            nearest = f"{machine_name(near['name'])}: {near['quantization']}, {near['parallelism']}"
        rows.append(
            {
                "machine": machine_name(row["name"]),
                "the guide": row["claim"],
                "just that": f"{_said(row['as_claimed']['status'])}. {row['as_claimed']['reason']}",
                "why they differ": row["why"],
                "what it does serve": f"{own}. {ours['reason']}",
                "tok/s of one user": _band(shown(ours | {"nearest": None}).speed),
                "nearest that works": nearest,
            }
        )
    return _roomy(as_table(pd.DataFrame(rows).set_index("machine")))


def _roomy(table: Html) -> Html:
    """A table whose sentences keep a readable width on a narrow screen, where it scrolls."""
    text = table.text.replace('<div class="gm">', f'<style>{style("sizing.css")}</style><div class="gm gm-roomy">', 1)
    return Html(text, table.plain)


def _said(status: str) -> str:
    return {"fits": "Fits", "marginal": "Perhaps", "does_not_fit": "Does not fit", "unsupported": "Unsupported"}[status]


def machines(need: Need) -> Html:
    """Every machine with what it does for the need, and the exact reason where it does not; as the page shows it."""
    html = sizes_table(ordered([shown(row) for row in _rows(need)], ""), need, "", "", (), "", live=False)
    words = "\n".join(f"{row['name']}: {row['status']}. {row['reason']}" for row in _rows(need))
    return Html(f'<style>{style("style.css", "sizing.css")}</style><div class="gm">{html}</div>', words)


def counted(need: Need) -> Html:
    """How many machines there are of each status, by vendor."""
    found = [shown(row) for row in _rows(need)]
    table = pd.DataFrame([{"vendor": one.vendor, "status": WORDS[one.status]} for one in found])
    counts = table.value_counts(["vendor", "status"]).unstack(fill_value=0)
    order = [word for word in WORDS.values() if word in counts.columns]
    counts = counts[order].assign(all=counts.sum(axis=1))
    counts.loc["all"] = counts.sum()
    counts.index.name, counts.columns.name = "vendor", None
    return as_table(counts)


def limits(need: Need) -> Html:
    """Greatest context in tokens at 1 to 16 requests, and most requests at 32K to 1M, each at the pessimistic end; empty where none is."""
    rows = []
    for row in _rows(need):
        if row["status"] in ("unsupported", "no_evidence"):
            continue
        name = short_name(machine_name(row["name"]))
        line: dict[Any, Any] = {("", "machine"): name, ("", "weights"): row["quantization"]}
        for cell in row["contexts"]:
            count = cell["sequences"]
            line["greatest context", f"{count} request{'s' if count > 1 else ''}"] = _cell(cell["max_context"])
        for cell in row["concurrencies"]:
            line["most at once", _length(cell["context"])] = _cell(cell["max_concurrency"])
        rows.append(line)
    frame = pd.DataFrame(rows)
    frame.columns = pd.MultiIndex.from_tuples(frame.columns)
    return as_table(frame)


def _cell(value: int | None) -> float:
    return float("nan") if value is None else float(value)


def _length(tokens: int) -> str:
    return "1M" if tokens >= 1 << 20 else f"{tokens >> 10}K"


def searched(machine: str, need: Need) -> Html:
    """The deployments that vLLM's search budgeted on a machine, and the formats that do not load there."""
    fits, unloaded = search_vllm(_machine(machine), need)
    rows = [
        {
            "weights": fit.plan.resolved.checkpoint.recipe.fmt,
            "split": _split(fit.plan.resolved),
            "KV record": fit.plan.resolved.record,
            "pool, GiB a GPU": f"{fit.plan.kv.available.low / GIB:.2f} to {fit.plan.kv.available.high / GIB:.2f}",
            "requests it holds": f"{fit.held_low:,} to {fit.held:,}",
            "status": fit.status.replace("_", " "),
        }
        for fit in fits
    ]
    rows += [
        {
            "weights": one.fmt, "split": f"tp {one.spread.tp}", "KV record": "", "pool, GiB a GPU": "",
            "requests it holds": "", "status": f"does not load: {one.needed / GIB:.2f} GiB of weights a GPU, {one.memory / GIB:.2f} are there",
        }
        for one in unloaded
    ]  # fmt: skip
    return as_table(pd.DataFrame(rows))


def _split(r: Any) -> str:
    named = [("tp", r.tp), ("pp", r.pp), ("dp", r.dp), ("dcp", r.dcp)]
    return ", ".join(f"{name} {size}" for name, size in named if size > 1) or "tp 1"


def _machine(key: str) -> Any:
    return next(one for one in configurations() if one.id == key)


def forms(machine: str, need: Need, names: Sequence[str] = ("fp8", *_SUMS["fp4"])) -> Html:
    """Each form of the weights on one machine: what serves, or why it does not, and what is known of its quality."""
    rows = []
    for name in names:
        asked = Need(need.context, need.concurrency, quantization=name)
        row = configuration_row(_machine(machine), asked, False)
        rows.append(
            {
                "weights": name,
                "status": row["status"].replace("_", " "),
                "engine": ENGINES.get(row["engine"] or "", ""),
                "parallelism": row["parallelism"] or "",
                "reason": row["reason"],
                "quality": quality_of(name).text or "the publisher's own",
            }
        )
    return _roomy(as_table(pd.DataFrame(rows).set_index("weights")))


def facts_only() -> Html:
    """Devices that nothing is known about for this model: what their makers publish, and no verdict."""
    keys = {one.gpu for one in configurations() if one.use == "facts"}
    rows = [
        {
            "device": chip.name,
            "memory, GB": chip.memory_gb,
            "bandwidth, GB/s": chip.bandwidth_gb_s,
            "BF16, TFLOP/s": chip.bf16_tflops,
            "FP8, TFLOP/s": chip.fp8_tflops,
            "source": chip.source.split()[0],
        }
        for chip in devices()
        if chip.id in keys
    ]
    frame = pd.DataFrame(rows)
    figures = [name for name in frame.columns if name not in ("device", "source")]
    frame[figures] = frame[figures].map(lambda value: "not known" if pd.isna(value) else f"{value:,.0f}")
    return as_table(frame.set_index("device"))


def prices(need: Need) -> Html:
    """US$ an hour of one GPU of each kind among the machines: the range over marketplaces, its month, and where it stands."""
    rows = []
    for chip in {row["gpu"]: _machine(row["id"]).device for row in _rows(need)}.values():
        price = list_price(chip)
        if price is not None:
            rows.append({
                "GPU": chip.name, "low, US$ an hour": f"{price.low:.2f}", "high": f"{price.high:.2f}", "price of": price.date,
                "source": price.source.split()[0],
            })  # fmt: skip
    return as_table(pd.DataFrame(sorted(rows, key=lambda row: str(row["GPU"]))).set_index("GPU"))


def reverse(deployment: Deployment) -> Html:
    """``glmcalc solve`` for each question: the value, what it would be at the likely figures, and what stops the next step."""
    rows = []
    for target in TARGETS:
        found = solve(deployment, target)
        rows.append(
            {
                "for": target,
                "value": "none" if found.value is None else f"{found.value:,}",
                "at the likely figures": "none" if found.value_likely is None else f"{found.value_likely:,}",
                "what stops the next step": found.reason or found.binding.text,
            }
        )
    return as_table(pd.DataFrame(rows).set_index("for"))


def region(need: Need, *keys: str) -> Html:
    """What some machines hold: requests at once against their length."""
    return _picture(region_picture([configuration_row(_machine(key), need) for key in keys], need))


def speed_price(need: Need) -> Html:
    """Speed against price of all machines that have both."""
    return _picture(price_picture([shown(row) for row in _rows(need)], need.min_tok_s_user))


def memory(need: Need, first: int = 24) -> Html:
    """Memory of the first machines over all their GPUs, in the table's order."""
    order = [one.key for one in ordered([shown(row) for row in _rows(need)], "")]
    rows = {row["id"]: row for row in _rows(need)}
    serving = [key for key, row in rows.items() if row["serves"]]
    judged = [rows[key] for key in order if rows[key]["status"] != "no_evidence"]
    return _picture(memory_picture(judged[:first], serving))


def _picture(html: str) -> Html:
    return Html(f'<style>{style("style.css")}</style><div class="gm" style="max-width:640px">{html}</div>')
