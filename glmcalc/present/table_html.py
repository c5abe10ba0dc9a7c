"""The component table: GiB to two places that add up as printed, the range, how it is known, and from where."""

from __future__ import annotations

from html import escape
from typing import Any, Mapping

from glmcalc.present.ledger import POOL, Row, gib_text, ledger
from glmcalc.present.prose import source
from glmcalc.present.segments import COLOURS

_HEAD = (
    '<thead><tr><th scope="col">One GPU</th><th scope="col" class="r">GiB</th><th scope="col" class="r gm-band">'
    'range, GiB</th><th scope="col">basis</th><th scope="col" class="gm-src">source</th></tr></thead>'
)


def component_table(plan: Mapping[str, Any]) -> str:
    """All components of ``Plan.to_dict()`` with two sum rows: the utilization line and the driver's total."""
    per_gpu = plan["per_gpu"]
    if not per_gpu.get("components"):
        return ""
    book = ledger(plan)
    rows = [_row(row) for row in book.inside]
    engine = plan["deployment"].get("engine")
    whole = book.line == book.total and not book.outside  # llama.cpp on a Mac: nothing lies beyond the line
    if book.line is not None:
        if book.unused:
            words = "Past the line" if book.unused < 0 else "Free" if engine == "llama.cpp" else "Not given out"
            rows.append(_plain(words, book.unused))
        if not whole:
            rows.append(_sum(_LINES.get(str(engine), _LINES["vllm"]), book.line, "", "exact", escape(_origin(plan))))
    rows += [_row(row) for row in book.outside]
    if book.free is not None and book.total is not None:
        if not whole:
            words = "Free beyond the line" if book.free >= 0 else "Short beyond the line"
            rows.append(_plain(words, book.free, _free_band(book)))
        band = _band(book.total_low, book.total_high)
        basis = per_gpu.get("memory_basis") or "measured"
        total = "What the GPU may take" if whole else "Driver total"
        rows.append(_sum(total, book.total, band, basis, source(per_gpu.get("memory_source") or "")))
    return (
        '<div class="gm-tablebox"><table class="gm-table" aria-label="Components of the memory of one GPU">'
        f"{_HEAD}<tbody>{''.join(rows)}</tbody></table></div>"
    )


_LINES = {"vllm": "Utilization line", "sglang": "Static share", "llama.cpp": "What the GPU may take"}


def _origin(plan: Mapping[str, Any]) -> str:
    """Where the line is from, in few words."""
    said = plan["deployment"]
    if said.get("gpu_memory_utilization"):
        return f"{said['gpu_memory_utilization']:g} × driver total"
    share = said.get("mem_fraction_static")
    return f"{share:g} × free before the load" if share else "as stated"


def boxed(table: str) -> str:
    """A table in a box of its own, which scrolls, with an edge that shows where it goes on."""
    return f'<div class="gm-scroll" tabindex="0" role="group" aria-label="Table; scrolls sideways">{table}</div>'


def basis_mark(basis: str) -> str:
    """The word with its mark: filled, half filled, disc or dashed."""
    known = basis if basis in ("exact", "measured", "calibrated", "estimated") else "estimated"
    return f'<span class="gm-basis {known}">{escape(basis)}</span>'


def _row(row: Row) -> str:
    doubt = "" if row.basis == "exact" or row.name == POOL else " doubt"
    swatch = f'<i class="gm-sw{doubt}" style="--c:var(--{COLOURS.get(row.name, "ctx")})"></i>'
    title = f' title="{escape(row.note)}"' if row.note else ""
    cls = ' class="pool"' if row.name == POOL else ""
    return (
        f'<tr data-row="{escape(row.name)}"{cls}><th scope="row"{title}>{swatch}{escape(row.label)}</th>'
        f'<td class="r">{gib_text(row.cents)}</td><td class="r gm-band">{_band(row.low, row.high)}</td>'
        f'<td>{basis_mark(row.basis)}</td><td class="gm-src"><div title="{escape(row.source)}">{source(row.source)}</div></td></tr>'
    )


def _plain(words: str, figure: int, band: str = "") -> str:
    return (
        f'<tr><th scope="row">{words}</th><td class="r">{gib_text(figure)}</td>'
        f'<td class="r gm-band">{band}</td><td></td><td class="gm-src"></td></tr>'
    )


def _sum(words: str, figure: int, band: str, basis: str, origin: str) -> str:
    return (
        f'<tr class="sum"><th scope="row">{words}</th><td class="r">{gib_text(figure)}</td>'
        f'<td class="r gm-band">{band}</td><td>{basis_mark(basis)}</td><td class="gm-src"><div>{origin}</div></td></tr>'
    )


def _band(low: int | None, high: int | None) -> str:
    return "" if low is None or high is None else f"{gib_text(low)} to {gib_text(high)}"


def _free_band(book: Any) -> str:
    lows = sum(row.low if row.low is not None else row.cents for row in book.outside)
    highs = sum(row.high if row.high is not None else row.cents for row in book.outside)
    return _band(book.total - book.line - highs, book.total - book.line - lows) if lows != highs else ""
