"""One machine under the table: components, command, the breakdown as a file; and two machines side by side."""

from __future__ import annotations

import csv
import io
from functools import lru_cache
from html import escape
from typing import Any, Mapping, Sequence
from urllib.parse import quote

from glmcalc.facts.errors import InputError
from glmcalc.present.command_html import command_block
from glmcalc.present.ledger import cents, gib_text
from glmcalc.present.prose import prose
from glmcalc.present.sizing_rows import Shown, speed_text, usd_text
from glmcalc.present.table_html import component_table
from glmcalc.solve.size_need import Need, configurations_of
from glmcalc.solve.size_search import search

ENGINES = {"vllm": "vLLM", "sglang": "SGLang", "llama.cpp": "llama.cpp"}
COLUMNS = ("component", "bytes", "low_bytes", "high_bytes", "inside_utilization", "basis", "source")


@lru_cache(maxsize=64)
def budget_of(key: str, need: Need) -> dict[str, Any] | None:
    """The budget that stands behind a machine's row, as ``glmcalc budget --json`` has it; None where there is none."""
    config = next(one for one in configurations_of(need.gpus) if one.id == key)
    if config.use == "facts":
        return None
    try:
        return dict(search(config, need).best.plan.to_dict())
    except InputError:  # the machine does not run this form of the weights; its row says why
        return None


def detail(row: Mapping[str, Any], one: Shown, need: Need) -> str:
    """What stands below an opened row."""
    data = budget_of(one.key, need)
    if data is None:
        return _facts(row)
    why = f'<p class="gm-cap">{prose(row["why"])}</p>' if row["why"] else ""
    instead = "".join(f'<p class="gm-cap">{prose(text)}.</p>' for text in row["instead"])
    safe = row["safe"]
    other = (
        f'<p class="gm-cap">Without a reported loss: {escape(str(safe["quantization"]))} weights, {escape(str(safe["kv_record"]))} KV: '
        f"{prose(str(safe['reason']))}</p>"
        if safe
        else ""
    )
    return (
        f'<div class="gm-sides"><section><h2>Memory of one GPU <small>GiB = 2<sup>30</sup> bytes</small></h2>{component_table(data)}'
        f'<p class="gm-tools"><a download="{escape(one.key)}.csv" href="{breakdown_link(data)}">Breakdown as CSV</a></p></section>'
        f"<section><h2>Command</h2>{command_block(row['command'], width=60)}{why}{instead}{other}{_speed(row)}</section></div>"
    )


def _speed(row: Mapping[str, Any]) -> str:
    if row["speed_basis"] is None:
        return ""
    notes = "; ".join(str(note).rstrip(".") for note in row["speed_notes"])
    return f'<p class="gm-cap">Speed, band {escape(str(row["speed_band"]))}: {prose(row["speed_basis"])}. {prose(notes)}</p>'


def _facts(row: Mapping[str, Any]) -> str:
    facts = row.get("facts") or {}
    words = {
        "memory_bytes": ("memory of all", "GiB"), "bandwidth_gb_s": ("bandwidth of one", "GB/s"),
        "bf16_tflops": ("BF16 of one", "TFLOP/s"), "fp8_tflops": ("FP8 of one", "TFLOP/s"),
        "interconnect_gb_s": ("link of one", "GB/s"),
    }  # fmt: skip
    said = []
    for name, (label, unit) in words.items():
        value = facts.get(name)
        text = (
            "not known" if value is None else f"{gib_text(cents(value)) if unit == 'GiB' else f'{value:,.0f}'} {unit}"
        )
        said.append(f'<tr><th scope="row">{label}</th><td class="r">{text}</td></tr>')
    return (
        f'<table class="gm-table" style="max-width:340px" aria-label="Facts">{"".join(said)}</table>'
        f'<p class="gm-cap">No verdict: {prose(str(row["speed_reason"]))}.</p>'
    )


def breakdown_csv(data: Mapping[str, Any]) -> str:
    """The components of one GPU as CSV: whole bytes, basis and source, then the driver's total."""
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(COLUMNS)
    for part in data["per_gpu"]["components"]:
        lines.writerow([part["name"], *(part[name] for name in COLUMNS[1:])])
    per_gpu = data["per_gpu"]
    total = [per_gpu[f"memory_{end}"] for end in ("bytes", "low_bytes", "high_bytes")]
    lines.writerow(["driver_total", *total, "", per_gpu["memory_basis"], per_gpu["memory_source"]])
    return out.getvalue()


def breakdown_link(data: Mapping[str, Any]) -> str:
    """The breakdown as an address of its own, so that a download asks nothing of any server."""
    return f"data:text/csv;charset=utf-8,{quote(breakdown_csv(data))}"


def side_by_side(pair: Sequence[Shown], rows: Mapping[str, Mapping[str, Any]], need: Need) -> str:
    """Two machines in two columns; what differs is bold. One alone says what is missing."""
    if not pair:
        return ""
    if len(pair) == 1:
        return (
            f'<p class="gm-cap">{escape(pair[0].label)} is marked; mark a second machine to see both side by side.</p>'
        )
    one, other = pair
    body = "".join(_line(head, a, b) for head, a, b in _facts_of(one, other, rows))
    body += "".join(_line(f"{name}, GiB a GPU", a, b) for name, a, b in _components(one.key, other.key, need))
    return (
        '<section aria-label="Side by side"><h2>Side by side <small>bold: what differs</small> '
        '<button type="button" class="gm-btn" data-clear="compare">Close</button></h2><div class="gm-tablebox">'
        f'<table class="gm-table gm-pairtable" aria-label="Two machines side by side"><thead><tr><th scope="col"></th><th scope="col">{escape(one.label)}</th>'
        f'<th scope="col">{escape(other.label)}</th></tr></thead><tbody>{body}</tbody></table></div></section>'
    )


def _line(head: str, one: str, other: str) -> str:
    differs = ' class="gm-differ"' if one != other else ""
    return f'<tr{differs}><th scope="row">{escape(head)}</th><td>{one or "not known"}</td><td>{other or "not known"}</td></tr>'


def _facts_of(one: Shown, other: Shown, rows: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    from glmcalc.present.sizing_html import mark

    def texts(each: Shown) -> list[tuple[str, str]]:
        row = rows[each.key]
        return [
            ("status", mark(each.status)),
            ("engine", escape(f"{ENGINES.get(each.engine or '', 'none')} {row['engine_version'] or ''}".strip())),
            ("weights", escape(each.weights or "none")),
            ("KV record", escape(str(row["kv_record"] or ""))),
            ("parallelism", escape(each.parallelism or "")),
            ("greatest context", "" if each.max_context is None else f"{each.max_context:,}"),
            ("most at once", "" if each.max_concurrency is None else f"{each.max_concurrency:,}"),
            ("tok/s of one user", speed_text(each.speed)),
            ("TTFT, s", speed_text(each.ttft)),
            ("US$ an hour", usd_text(each.usd)),
            ("US$ per 10⁶ tokens", speed_text(each.usd_mtok)),
            ("quality", prose(each.quality or "no reported loss")),
        ]

    return [(head, a, b) for (head, a), (_, b) in zip(texts(one), texts(other))]


def _components(one: str, other: str, need: Need) -> list[tuple[str, str, str]]:
    tables: list[dict[str, tuple[str, int]]] = []
    for key in (one, other):
        data = budget_of(key, need)
        parts = data["per_gpu"]["components"] if data else []
        tables.append({part["name"]: (part["label"], part["bytes"]) for part in parts})
    names = dict.fromkeys(name for table in tables for name in table)
    found = []
    for name in names:
        cells = [gib_text(cents(table[name][1])) if name in table else "none" for table in tables]
        label = next(table[name][0] for table in tables if name in table)
        found.append((label, cells[0], cells[1]))
    return found
