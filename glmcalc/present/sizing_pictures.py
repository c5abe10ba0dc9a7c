"""What the sizing page says above its table: the verdict over all machines, and the three pictures with their captions."""

from __future__ import annotations

import re
from html import escape
from typing import Any, Mapping, Sequence

from glmcalc.present.sizing_charts import Dot, Glance, Region, glance, region, speed_and_price
from glmcalc.present.sizing_rows import Shown, machine_name, memory_parts, reach
from glmcalc.present.verdict_html import brief_line, tile
from glmcalc.solve.size_need import Need

_LEGEND = (("weights", "weights"), ("run time", "act"), ("KV pool", "pool"), ("beyond the line", "ctx"))


def short_name(label: str) -> str:
    """A machine's name for a picture: without memory sizes, but where only they tell two machines apart.

    >>> short_name("8 × H200 141GB SXM"), short_name("4 × GB300 NVL72 (per GPU)"), short_name("1 × RTX 4090 + 256 GB host")
    ('8 × H200', '4 × GB300', '1 × RTX 4090 + host')
    """
    name = re.sub(r" SXM| NVL72| \(.*?\)|Instinct |Mac Studio |Mac | Blackwell|(?<=\+ )\d+ GB ", "", label)
    return name if "Ultra" in name else re.sub(r" \d+GB", "", name)


def outcome(rows: Sequence[Shown], need: Need) -> tuple[str, str]:
    """The verdict over some rows, as a tile and as one line."""
    asked = f"{need.concurrency:,} × {need.context:,} tokens"
    able = [one for one in rows if one.status == "fits"]
    unsure = sum(one.status == "marginal" for one in rows)
    judged = sum(one.status != "no_evidence" for one in rows)
    more = f"{unsure} more perhaps: a limit lies in their band, or the engine is not known well enough."
    note = more if unsure else ""
    if not able:
        sentence = f"No machine here serves {asked} at once for sure."
        return tile("does_not_fit", sentence, note, word="None"), brief_line("does_not_fit", f"for {asked}", "None")
    first = min(able, key=lambda one: (one.usd_middle is None, one.usd_middle or 0.0))
    word = f"{len(able)} serve it" if len(able) > 1 else "1 serves it"
    cost = (
        "no price known"
        if first.usd_middle is None
        else f"about ${first.usd_middle:,.2f} an hour (price of {first.price_date})"
    )
    sentence = (
        f"{len(able)} of {judged} machines serve {asked} at once. The cheapest: {escape(first.label)}, "
        f"{escape(str(first.weights))} weights, {escape(cost)}."
    )
    return tile("fits", sentence, note, word=word), brief_line("fits", short_name(first.label), word)


def price_picture(rows: Sequence[Shown], least: float | None) -> str:
    """Speed against price of the rows that have both."""
    dots = [
        Dot(one.key, short_name(one.label), one.usd, one.speed, one.status == "fits")
        for one in rows
        if one.usd is not None and one.speed is not None
    ]
    dates = sorted({one.price_date for one in rows if one.price_date})
    when = (
        f"prices of {dates[0]} to {dates[-1]}" if len(dates) > 1 else f"prices of {dates[0]}" if dates else "no prices"
    )
    missing = len(rows) - len(dots)
    note = f'<p class="gm-curve-note">{missing} without a price or a speed are not drawn.</p>' if missing else ""
    return _section("Speed against price", f"{when}; filled: serves the need", speed_and_price(dots, least) + note)


def region_picture(rows: Sequence[Mapping[str, Any]], need: Need) -> str:
    """What some machines hold, from rows with limits; the first is shaded."""
    regions = [Region(short_name(machine_name(row["name"])), tuple(reach(row))) for row in rows]
    drawn = region(regions, need.context, need.concurrency) if regions else ""
    return _section("What it holds", "requests at once, for sure, by length; log scales", drawn)


def memory_picture(rows: Sequence[Mapping[str, Any]], serving: Sequence[str]) -> str:
    """Memory of machines over all their GPUs, from rows with components; those whose key is in ``serving`` are bold."""
    marks = []
    for row in rows:
        parts = memory_parts(row)
        if parts is not None:
            name = short_name(machine_name(row["name"]))
            marks.append(Glance(row["id"], name, parts[0], tuple(parts[1]), row["id"] in serving))
    if not marks:
        return ""
    legend = "".join(
        f'<span><i class="gm-sw" style="--c:var(--{colour})"></i>{word}</span> ' for word, colour in _LEGEND
    )
    drawn = f'{glance(marks)}<p class="gm-curve-note">{legend}</p>'
    return _section("Memory at a glance", f"all GPUs of a machine; the first {len(marks)} rows", drawn)


def _section(title: str, small: str, body: str) -> str:
    return f"<section><h2>{title} <small>{small}</small></h2>{body}</section>" if body else ""
