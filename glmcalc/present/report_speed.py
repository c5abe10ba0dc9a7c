"""The speed part of a report: figures with their band against what is asked, and the records behind them."""

from __future__ import annotations

from html import escape

from glmcalc.present.prose import link, prose, short_address
from glmcalc.present.report_case import Case
from glmcalc.present.report_verdict import speed_met
from glmcalc.present.speed_text import number_text
from glmcalc.present.table_html import boxed
from glmcalc.speed.bands import Range
from glmcalc.speed.result import NO_MEASUREMENT, Speed, sources

_ROWS = (
    ("tok_s_user", "tok/s of one user"), ("tok_s_total", "tok/s of all that run"), ("tpot_ms", "ms per token (TPOT)"),
    ("ttft_s", "s to the first token (TTFT)"),
)  # fmt: skip
MET = {"met": "met", "not_sure": "not met for sure", "not_met": "not met", "not_known": "not known", "not_asked": ""}
_TTFT = "time to the first token: "


def speed_section(case: Case) -> str:
    """Heading, table, and what stands behind it."""
    found = case.speed
    title = f"<h2>Table 1. How fast <small>{_load(case)}</small></h2>"
    if found is None or found.tok_s_user is None:
        reason = (found.reason if found is not None else case.speed_reason) or "no figure"
        asked = _asked(case)
        return f'{title}<p class="gr-none">No figure: {prose(reason.rstrip("."))}.{asked}</p>'
    needed = case.needs is not None and case.needs.min_tok_s_user is not None
    rows = "".join(_row(case, found, name, label, needed) for name, label in _ROWS)
    # Pessimistic is the low end of a speed and the high end of a time.
    head = (
        '<th></th><th class="r">pessimistic</th><th class="r">likely</th><th class="r">optimistic</th>'
        + "<th>your need</th>" * needed
    )
    table = boxed(f'<table class="gm-table"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>')
    return f'{title}{table}<p class="gm-cap">{_behind(found)}</p>'


def not_known(reason: str | None) -> str:
    """Why a figure is missing, as HTML: the reason alone where it says so itself."""
    words = prose((reason or "no reason is known").rstrip("."))
    return words if words.startswith(("not ", "no ")) else f"not known: {words}"


def first_token(case: Case) -> tuple[Range | None, str | None]:
    """Seconds to the first token of the stated prompt, or None and why."""
    found = case.speed
    if found is None:
        return None, case.speed_reason
    if found.ttft_s is not None:
        return found.ttft_s, None
    if found.reason is not None:
        return None, found.reason
    said = next((note.removeprefix(_TTFT) for note in found.notes if note.startswith(_TTFT)), "not known")
    return None, said


def _load(case: Case) -> str:
    if case.needs is None:
        length = case.speed.context if case.speed is not None else None
        return f"no need is stated: one request of {length:,} tokens" if length else "no need is stated"
    prompt = f", prompts of {case.needs.input_length:,}" if case.needs.input_length else ""
    many = case.needs.concurrency
    return f"{many:,} request{'s' * (many != 1)} of {case.needs.length:,} tokens at once{prompt}"


def _asked(case: Case) -> str:
    if case.needs is None or case.needs.min_tok_s_user is None:
        return ""
    return f" Whether {number_text(case.needs.min_tok_s_user)} tok/s of one user is met is not known."


def _row(case: Case, found: Speed, name: str, label: str, needed: bool) -> str:
    band: Range | None = getattr(found, name)
    if band is None:
        reason = first_token(case)[1] or "not known"
        return f'<tr><td>{label}</td><td colspan="{3 + needed}">{not_known(reason)}</td></tr>'
    ends = (band.low, band.mid, band.high) if name.startswith("tok") else (band.high, band.mid, band.low)
    cells = "".join(f'<td class="r">{number_text(end)}</td>' for end in ends)
    need = ""
    if needed and case.needs is not None:
        said = f"{number_text(case.needs.min_tok_s_user or 0)}: {MET[speed_met(case.needs, found)]}"
        need = f"<td>{said if name == 'tok_s_user' else ''}</td>"
    cls = ' class="pool"' if needed and name == "tok_s_user" else ""
    return f"<tr{cls}><td>{label}</td>{cells}{need}</tr>"


def _behind(found: Speed) -> str:
    """Basis, the records and where they are from, why the band is as wide as it is, and what else to know."""
    words = [
        f"Basis: {escape(found.basis)}." if found.basis != NO_MEASUREMENT else f"<b>{NO_MEASUREMENT.capitalize()}.</b>"
    ]
    choice = found.choice
    if choice is not None and choice.preset.rows:
        lent = "Records that stand in" if found.basis == NO_MEASUREMENT or found.stands_in else "Records"
        links = ", ".join(link(url, short_address(url)) for url in sources(choice.preset.rows)[:4])
        more = (
            "" if len(sources(choice.preset.rows)) <= 4 else f" and {len(sources(choice.preset.rows)) - 4} more sources"
        )
        words.append(f"{lent}: {len(choice.preset.rows)} of {escape(choice.preset.label)} ({links}{more}).")
    words += [f"{_sentence(prose(why))}" for why in found.why]
    words += [_sentence(prose(note)) for note in found.notes if not note.startswith(_TTFT)]
    return " ".join(words)


def _sentence(text: str) -> str:
    text = text.strip().rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."
