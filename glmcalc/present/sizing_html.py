"""The table of machines as HTML: one block of rows each, headings that sort, a reason under every row, details under one."""

from __future__ import annotations

from html import escape
from typing import Callable, Mapping, Sequence

from glmcalc.present.prose import prose
from glmcalc.present.sizing_rows import Shown, speed_text, usd_text
from glmcalc.present.verdict_html import ICONS, TONES
from glmcalc.solve.size_need import Need

WORDS = {
    "fits": "serves it", "marginal": "perhaps", "does_not_fit": "does not", "unsupported": "unsupported",
    "no_evidence": "facts only", "too_slow": "too slow",
}  # fmt: skip
_ORDER = ("fits", "marginal", "too_slow", "does_not_fit", "unsupported", "no_evidence")
_TONE = {"too_slow": "does_not_fit", "no_evidence": "unsupported"}


def _none_last(value: float | None, down: bool) -> tuple[bool, float]:
    return (value is None, 0.0 if value is None else (-value if down else value))


SORTS: dict[str, tuple[str, Callable[[Shown, bool], object]]] = {
    "status": ("", lambda one, down: (-1 if down else 1) * _ORDER.index(one.status)),
    "machine": ("machine", lambda one, down: (one.vendor, one.gpu, one.gpus)),
    "weights": ("weights", lambda one, down: (one.weights is None, one.weights or "")),
    "split": ("parallelism", lambda one, down: (one.parallelism is None, one.parallelism or "")),
    "context": ("greatest context", lambda one, down: _none_last(one.max_context, down)),
    "users": ("most at once", lambda one, down: _none_last(one.max_concurrency, down)),
    "speed": ("tok/s of one user", lambda one, down: _none_last(one.speed and one.speed[1], down)),
    "ttft": ("TTFT, s", lambda one, down: _none_last(one.ttft and one.ttft[1], down)),
    "usd": ("US$ an hour", lambda one, down: _none_last(one.usd and sum(one.usd), down)),
    "mtok": ("US$ per 10⁶ tokens", lambda one, down: _none_last(one.usd_mtok and one.usd_mtok[1], down)),
}
"""Orders of the table by name: the heading's words, and the key; a minus before the name turns the order round."""

_CELLS = {0: "", 1: "", 2: " class=gm-split"}
_RIGHT = ("context", "users", "speed", "ttft", "usd", "mtok")
_TEXTS = ("machine", "weights", "split")


def ordered(rows: Sequence[Shown], sort: str) -> list[Shown]:
    """``rows`` by a name of :data:`SORTS`; what a row does not know comes last either way. Without one: what serves, by price."""
    if not sort:
        return sorted(rows, key=lambda one: (_ORDER.index(one.status), _none_last(one.usd and sum(one.usd), False)))
    name, down = sort.lstrip("-"), sort.startswith("-")
    key = SORTS[name][1]
    return sorted(rows, key=lambda one: key(one, down), reverse=down and name in _TEXTS)  # type: ignore[arg-type, return-value]


def mark(status: str, word: str = "") -> str:
    """A status as icon and word."""
    kind = _TONE.get(status, status)
    icon = f'<svg viewBox="0 0 24 24" aria-hidden="true">{ICONS[kind]}</svg>'
    return f'<span class="gm-mark {TONES[kind]}">{icon}{escape(word or WORDS[status])}</span>'


def sizes_table(
    rows: Sequence[Shown], need: Need, sort: str, opened: str, beside: Sequence[str], detail: str, live: bool = True
) -> str:
    """The table.

    Args:
        need: what two of the limits hold at; their headings say so.
        opened: key of the row whose ``detail`` stands below it.
        beside: keys of the rows that are compared.
        live: with buttons and boxes; a still picture has none.
    """
    told = {"context": f", {need.concurrency:,} at once", "users": f" at {need.context:,} tokens"}
    head = "".join(_head(name, words + told.get(name, ""), sort, live) for name, (words, _) in SORTS.items())
    last = '<th scope="col"><span class="gm-vh">compare</span></th>' if live else ""
    body = "".join(_block(one, told, one.key == opened, one.key in beside, detail, live) for one in rows)
    return (
        '<div class="gm-tablewrap"><table class="gm-table gm-sizes" aria-label="Machines and what they do for the need">'
        f"<thead><tr>{head}{last}</tr></thead>{body}</table></div>"
    )


def _head(name: str, words: str, sort: str, live: bool) -> str:
    right = ' class="r"' if name in _RIGHT else ""
    stated = sort.lstrip("-") == name
    order = f' aria-sort="{"descending" if sort.startswith("-") else "ascending"}"' if stated else ""
    shown = escape(words or "status")
    inner = f'<button type="button" class="gm-sort" data-sort="{name}">{shown}</button>' if live else shown
    return f'<th scope="col"{right}{order}>{inner}</th>'


def _block(one: Shown, told: Mapping[str, str], opened: bool, beside: bool, detail: str, live: bool) -> str:
    name = escape(one.label)
    said = (
        f'<button type="button" class="gm-open" aria-expanded="{"true" if opened else "false"}">{name}</button>'
        if live
        else name
    )
    cells = (
        ("status", mark(one.status)),
        ("weights", escape(one.weights or "none")),
        ("parallelism", escape(one.parallelism or "")),
        (f"greatest context{told['context']}", _whole(one.max_context)),
        (f"most at once{told['users']}", _whole(one.max_concurrency)),
        ("tok/s of one user", speed_text(one.speed)),
        ("TTFT, s", speed_text(one.ttft)),
        ("US$ an hour", usd_text(one.usd)),
        ("US$ per 10⁶ tokens", speed_text(one.usd_mtok)),
    )
    status, *rest = (
        f'<td data-head="{head}"{_CELLS.get(index, " class=r")}>{text or _none()}</td>'
        for index, (head, text) in enumerate(cells)
    )
    box = (
        f'<td data-head="compare"><input type="checkbox" data-beside="{escape(one.key)}" aria-label="Compare {name}"'
        f"{' checked' if beside else ''}></td>"
        if live
        else ""
    )
    spanned = len(SORTS) + (1 if live else 0)
    more = f'<tr class="gm-detail"><td colspan="{spanned}">{detail}</td></tr>' if opened and detail else ""
    return (
        f'<tbody data-machine="{escape(one.key)}" data-status="{one.status}"{" data-open" if opened else ""}>'
        f'<tr data-key="{escape(one.key)}">{status}<th scope="row">{said}</th>{"".join(rest)}{box}</tr>'
        f'<tr class="gm-why" data-key="{escape(one.key)}"><td colspan="{spanned}">{_why(one)}</td></tr>{more}</tbody>'
    )


def _why(one: Shown) -> str:
    parts = [prose(one.reason)]
    if one.nearest:
        parts.append(f"<b>Nearest:</b> {prose(one.nearest)}")
    if one.quality:
        parts.append(f"<b>Quality:</b> {prose(one.quality)}.")
    if one.usd and one.price_date:
        parts.append(f"Price of {escape(one.price_date)}.")
    return " ".join(parts)


def _whole(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _none() -> str:
    return '<span class="gm-band2">not known</span>'
