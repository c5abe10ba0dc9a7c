"""What serves a need, as a table for a terminal of 120 columns."""

from __future__ import annotations

from glmcalc.present.speed_text import number_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

    from glmcalc.solve.size_need import Need

WIDTH = 120
_WORDS = {
    "fits": "fits", "marginal": "marginal", "does_not_fit": "no", "unsupported": "not run", "no_evidence": "facts only",
}  # fmt: skip
_HEAD = ("machine", "status", "weights", "spread", "max context", "users", "tok/s user", "TTFT s", "$/h", "$/M tok")
_WIDTHS = (23, 10, 10, 20, 11, 5, 13, 6, 6, 7)
_RIGHT = (4, 5, 6, 7, 8, 9)
_LONGEST = 300  # characters of one reason; --json has all of it


def size_text(
    need: Need,
    rows: Sequence[dict[str, Any]],
    guide: Sequence[dict[str, Any]] | None = None,
    notes: Sequence[str] = (),
) -> str:
    """The whole answer of ``glmcalc size``; ``notes``: on what was asked, sentences without a full stop."""
    able = [row for row in rows if row["serves"]]
    count = f"{need.concurrency:,} requests" if need.concurrency > 1 else "1 request"
    verb = "serves" if len(able) == 1 else "serve"
    head = f"{count} of {need.context:,} tokens at once: {len(able)} of {len(rows)} machines {verb} it for sure."
    shown = [row for row in rows if row["status"] not in ("unsupported", "no_evidence")]
    lines = [*_guide_lines(guide or ()), head, *(f"{note}." for note in notes), ""]
    if shown:
        lines += [_line(_HEAD), _line(["-" * width for width in _WIDTHS]), *(_line(_cells(row)) for row in shown), ""]
    return "\n".join([*lines, *_why_not(rows), *_foot(need, rows)])


def _line(cells: Sequence[str]) -> str:
    made = [
        cell[:width].rjust(width) if index in _RIGHT else cell[:width].ljust(width)
        for index, (cell, width) in enumerate(zip(cells, _WIDTHS))
    ]
    return " ".join(made).rstrip()


def _cells(row: dict[str, Any]) -> list[str]:
    speed, wait, price, million = row["tok_s_user"], row["ttft_s"], row["usd_per_hour"], row["usd_per_million"]
    status = "misses" if row["misses"] else _WORDS[row["status"]]
    spread = row["parallelism"] or ""
    for words, short in (("one device, ", ""), ("experts of ", ""), (" on the CPU", " on CPU")):
        spread = spread.replace(words, short)
    return [
        _name(row), status, row["quantization"] or "", spread, _whole(row["max_context"]), _whole(row["max_concurrency"]),
        f"{number_text(speed['low'])}-{number_text(speed['high'])}" if speed else "", number_text(wait["mid"]) if wait else "",
        f"{price:,.2f}" if price is not None else "", f"{million['mid']:,.2f}" if million else "",
    ]  # fmt: skip


def _name(row: dict[str, Any]) -> str:
    beside = " + host" if row["use"] == "offload" else ""
    return f"{row['gpus']} x {row['gpu']}{beside}"


def _short(row: dict[str, Any]) -> str:
    return f"{row['gpus']} x {row['gpu']}, {row['quantization']}, {row['parallelism']}"


def _whole(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _why_not(rows: Sequence[dict[str, Any]]) -> list[str]:
    """One line for each machine that does not serve, with the nearest that does where it is of the same device."""
    lines = []
    others: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["serves"] or row["status"] == "no_evidence":
            continue
        near, tail = row["nearest"], ""
        if near and near["gpu"] == row["gpu"]:
            tail = f" Nearest that serves: {_short(near)}."
        elif near:
            others[near["id"]] = near
        lines.append(f"  {_name(row)}: {_cut('; '.join(row['misses']) or row['reason'])}{tail}")
    lines += [f"  Nearest that serves, for the others: {_short(near)}." for near in others.values()]
    facts = [_name(row) for row in rows if row["status"] == "no_evidence"]
    if facts:
        lines.append(f"  Facts only, without a verdict (--json has them): {', '.join(facts)}.")
    return ["Why not:", *lines, ""] if lines else []


def _cut(text: str) -> str:
    """Whole sentences up to a length, the first one in any case; with a full stop."""
    text = text if text.endswith(".") else f"{text}."
    if len(text) <= _LONGEST:
        return text
    end = text.rfind(". ", 0, _LONGEST)
    return text[: end + 1] if end > 0 else text[: text.find(". ") + 1] or text


def _foot(need: Need, rows: Sequence[dict[str, Any]]) -> list[str]:
    notes = [f"Quality of {', '.join(forms)}: {text}." for text, forms in _quality(rows).items()]
    notes += [f"{text}." for text in dict.fromkeys(text for row in rows for text in row["instead"])]
    dates = sorted({row["price"]["date"] for row in rows if row["price"]})
    lines = [
        "max context: for the requests asked for; users: of the context asked for; both in the row's own deployment, at the",
        "pessimistic end. tok/s user: the 90 % band, empty where nobody measured it (--json says why). TTFT: all requests at once.",
    ]
    if dates:
        when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
        lines.append(f"$/h: middle of prices of {when} (--prices FILE for yours). $/M tok: output, busy all the time.")
    if need.min_tok_s_user is not None or need.max_ttft is not None:
        lines.append("Wishes are held against the pessimistic end of the band.")
    best = next((row for row in rows if row["serves"]), None)
    if best is not None:
        lines += ["", f"First: {best['name']}. {best['why']}", f"  {best['command']}"]
    return [*notes, *lines]


def _quality(rows: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in rows:
        if row["quality_note"] and row["status"] in ("fits", "marginal"):
            forms = found.setdefault(row["quality_note"], [])
            if row["quantization"] not in forms:
                forms.append(row["quantization"])
    return found


def _guide_lines(guide: Sequence[dict[str, Any]]) -> list[str]:
    lines = []
    for row in guide:
        claimed, ours, near = row["as_claimed"], row["ours"], row["nearest"]
        lines += [
            f"{row['name']}. The guide: {row['claim']}.",
            f"  As claimed: {claimed['status'].replace('_', ' ')}. {_cut(claimed['reason'])}",
            f"  Why: {row['why']}",
        ]
        if ours["status"] in ("fits", "marginal"):
            speed = ours["tok_s_user"]
            rate = (
                f"{number_text(speed['low'])} to {number_text(speed['high'])} tok/s of one user."
                if speed else f"No tok/s: {ours['speed_reason']}."
            )  # fmt: skip
            lines.append(f"  This machine, {ours['status']}: {_short(ours)}. {_cut(ours['reason'])} {rate}")
        if near:
            lines.append(f"  Nearest that serves it for sure: {_short(near)}.")
    return [*lines, ""] if lines else []
