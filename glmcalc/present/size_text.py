"""What serves a need, as a table for a terminal of 120 columns."""

from __future__ import annotations

from glmcalc.present.speed_text import number_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

    from glmcalc.solve.size_need import Need

WIDTH = 120
_WORDS = {
    "fits": "fits", "marginal": "marginal", "does_not_fit": "no", "unsupported": "no kernel", "no_evidence": "facts only",
}  # fmt: skip
_HEAD = (
    "machine",
    "status",
    "weights",
    "spread",
    "KV",
    "max context",
    "users",
    "tok/s user",
    "TTFT s",
    "$/h",
    "$/M tok",
)
_WIDTHS = (30, 10, 11, 19, 10, 11, 6, 14, 6, 8, 8)
_RIGHT = (5, 6, 7, 8, 9, 10)


def size_text(need: Need, rows: Sequence[dict[str, Any]], guide: Sequence[dict[str, Any]] | None = None) -> str:
    """The whole answer of ``glmcalc size``."""
    able = [row for row in rows if row["serves"]]
    head = f"{need.concurrency:,} requests of {need.context:,} tokens at once: {len(able)} of {len(rows)} machines serve it for sure."
    lines = [*_guide_lines(guide or ()), head, "", _line(_HEAD), _line(["-" * width for width in _WIDTHS])]
    lines += [_line(_cells(row)) for row in rows]
    return "\n".join([*lines, "", *_why_not(rows), *_foot(need, rows)])


def _line(cells: Sequence[str]) -> str:
    made = [
        cell[:width].rjust(width) if index in _RIGHT else cell[:width].ljust(width)
        for index, (cell, width) in enumerate(zip(cells, _WIDTHS))
    ]
    return " ".join(made).rstrip()[:WIDTH]


def _cells(row: dict[str, Any]) -> list[str]:
    speed, wait, price, million = row["tok_s_user"], row["ttft_s"], row["usd_per_hour"], row["usd_per_million"]
    status = "misses" if row["status"] in ("fits", "marginal") and row["misses"] else _WORDS[row["status"]]
    return [
        _name(row), status, row["quantization"] or "", (row["parallelism"] or "").replace("experts of ", "").replace(" on the CPU", " CPU"),
        row["kv_record"] or "", _whole(row["max_context"]), _whole(row["max_concurrency"]),
        f"{number_text(speed['low'])} to {number_text(speed['high'])}" if speed else "", number_text(wait["mid"]) if wait else "",
        f"{price:,.2f}" if price is not None else "", f"{million['mid']:,.2f}" if million else "",
    ]  # fmt: skip


def _name(row: dict[str, Any]) -> str:
    beside = " + host" if row["use"] == "offload" else ""
    return f"{row['gpus']} x {row['gpu']}{beside}"


def _whole(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _why_not(rows: Sequence[dict[str, Any]]) -> list[str]:
    """One line for each machine that does not serve: why, and the nearest that does."""
    lines = []
    for row in rows:
        if row["serves"]:
            continue
        why = "; ".join(row["misses"]) or row["reason"]
        near = row["nearest"]
        tail = f" Nearest that serves: {near['name']}, {near['quantization']}, {near['parallelism']}." if near else ""
        lines.append(f"{_name(row)}: {why}{tail}")
    return ["Why not:", *(f"  {line}" for line in lines), ""] if lines else []


def _foot(need: Need, rows: Sequence[dict[str, Any]]) -> list[str]:
    notes = [f"Quality of {form}: {text}." for form, text in _quality(rows).items()]
    dates = sorted({row["price"]["date"] for row in rows if row["price"]})
    lines = [
        "max context: of the requests asked for; users: of the context asked for; both in the deployment of the row, at the "
        "pessimistic end.",
        "tok/s user: the 90 % band; empty where nobody measured it (--json has the reason). TTFT: all requests together, none cached.",
    ]
    if dates:
        lines.append(
            f"$/h: middle of list prices of {dates[0]} to {dates[-1]}; $/M tok: output tokens, busy the whole hour."
        )
    if need.min_tok_s_user is not None or need.max_ttft is not None:
        lines.append("Wishes are held against the pessimistic end of the band.")
    best = next((row for row in rows if row["serves"]), None)
    if best is not None:
        lines += ["", f"First: {best['name']}. {best['why']}", f"  {best['command']}"]
    return [*notes, *lines]


def _quality(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for row in rows:
        if row["quality_note"] and row["status"] in ("fits", "marginal"):
            found.setdefault(row["quantization"], row["quality_note"])
    return found


def _guide_lines(guide: Sequence[dict[str, Any]]) -> list[str]:
    lines = []
    for row in guide:
        ours, near = row["ours"], row["nearest"]
        lines += [
            f"{row['name']}. The guide: {row['claim']}.",
            f"  As claimed: {row['as_claimed']['status'].replace('_', ' ')}. {row['as_claimed']['reason']}",
            f"  Why: {row['why']}",
        ]
        if ours["status"] in ("fits", "marginal"):
            lines.append(
                f"  This machine, {ours['status']}: {ours['quantization']}, {ours['parallelism']}: {ours['reason']}"
            )
        elif near:
            lines.append(f"  Nearest that serves it: {near['name']}, {near['quantization']}, {near['parallelism']}.")
    return [*lines, ""] if lines else []
