"""A diagnosis as the parts of a page: which death, the one change, the second choice, what to leave alone, what was read."""

from __future__ import annotations

import re
from html import escape
from typing import Any, Mapping, Sequence

from glmcalc.advise.classes import death_class
from glmcalc.present.command_html import command_block
from glmcalc.present.ledger import cents, gib_text
from glmcalc.present.prose import link, prose, short_address
from glmcalc.present.verdict_html import brief_line, tile

_TILES = {"healthy": "fits", "unknown": "unsupported", "not_oom_other": "marginal", "preemption_not_oom": "marginal"}
_FORETOLD = {"fits": "Would fit", "marginal": "Marginal", "does_not_fit": "Would not fit", "unsupported": "Unsupported"}
_LINES_KEPT = 3


def death_tile(data: Mapping[str, Any]) -> str:
    """Which death, with its numbers, what it means and how sure that is."""
    status, word = _status(data)
    signature = f", signature <code>{escape(data['signature'])}</code>" if data["signature"] else ""
    sure = f"<b>Confidence: {escape(data['confidence'])}</b>{signature}."
    if is_command(data):
        return tile(status, prose(_own_words(data)), "No log was read.", word=word)
    cause = re.sub(r"(?<=\d) %", "\u00a0%", str(data["cause"]))
    check = "".join(f" <b>Check the command:</b> {prose(text)}" for text in data["unknown"][:_LINES_KEPT])
    return tile(status, prose(cause), f"{prose(data['meaning'])} {sure}{check}", word=word)


def death_brief(data: Mapping[str, Any]) -> str:
    """The same in one line, for a narrow screen."""
    status, word = _status(data)
    change = data["change"]
    words = (
        f"{change['name']} {change['to']}" if change and change["kind"] == "flag" and change["to"] is not None else ""
    )
    return brief_line(status, words or f"confidence {data['confidence']}", word)


def _status(data: Mapping[str, Any]) -> tuple[str, str]:
    if is_command(data):
        status = data["budget"]["verdict"]["status"] if data["budget"] else "unsupported"
        return status, _FORETOLD[status] if data["budget"] else "Not known"
    return _TILES.get(data["class"], "does_not_fit"), str(data["title"])


def is_command(data: Mapping[str, Any]) -> bool:
    """Whether the text was a launch command alone, of which no death is foretold."""
    return bool(data["class"] == "unknown" and str(data["cause"]).startswith("This is a command"))


def _own_words(data: Mapping[str, Any]) -> str:
    """The budget's sentence where a command was budgeted: the number stands first."""
    if not data["budget"]:
        return str(data["cause"]).replace("Give --gpu", "Choose the GPU")
    return str(data["budget"]["verdict"]["reason"])


def change_part(data: Mapping[str, Any], asked: int | None = None, loading: float | None = None) -> str:
    """The one change to make now: from and to, the whole command, what it buys and costs, how to verify it.

    Args:
        asked: bytes that were asked for, where the log says so.
        loading: seconds that loading the weights took in this log.
    """
    change = data["change"]
    if not change:
        return ""
    command = ""
    if data["command"]:
        changed = [str(change["name"])] if change["kind"] == "flag" and change["name"] else []
        command = command_block(data["command"], changed)
    rows = [
        ("What it buys", _buys(data, asked)),
        ("What it costs", _costs(data, loading)),
        ("How to verify", prose(data["verify"]) if data["verify"] else ""),
    ]
    return f'<section><h2>The one change to make now</h2><p class="gm-change">{from_to(change)}</p>{command}{facts(rows)}</section>'


def from_to(change: Mapping[str, Any]) -> str:
    """A flag from its old value to the new one, and why; anything else as its sentence."""
    text = str(change["text"])
    if change["kind"] not in ("flag", "env") or not change["name"] or change["to"] is None:
        return prose(_capital(text))
    before, after = (_shown(change["name"], change[name]) for name in ("from", "to"))
    why = text.split(": ", 1)[1] if ": " in text else ""
    return (
        f'<span class="gm-from"><code>{escape(str(change["name"]))}</code> <del>{escape(before)}</del> → '
        f'<ins>{escape(after)}</ins></span> <span class="gm-cap">{prose(_capital(why))}</span>'
    )


def _shown(name: str, value: object) -> str:
    if value is None:
        return "not set"
    return f"{value:.2f}" if name == "--gpu-memory-utilization" and isinstance(value, float) else str(value)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:] if text[:1].islower() and not text.startswith("sparse_") else text


def facts(rows: Sequence[tuple[str, str]]) -> str:
    """Pairs of a few words and a sentence; those without a sentence are left out."""
    cells = "".join(f"<div><dt>{words}</dt><dd>{text}</dd></div>" for words, text in rows if text)
    return f'<dl class="gm-facts">{cells}</dl>' if cells else ""


def _buys(data: Mapping[str, Any], asked: int | None) -> str:
    """Bytes and tokens that the change moves, by the budget before and after it."""
    parts = []
    change, after, before = data["change"], data["after"], data["budget"]
    grows = change["name"] == "--max-num-batched-tokens" and change["from"] and change["to"]
    if asked and grows and data["class"] == "runtime_workspace":
        smaller = asked * int(change["to"]) // int(change["from"])
        parts.append(f"Scratch {_gib(asked)} → {_gib(smaller)} GiB, in proportion.")
    if after and before and after["kv"].get("available_bytes") is not None and before["kv"].get("available_bytes"):
        old, new = before["kv"], after["kv"]
        more = (new.get("tokens") or 0) - (old.get("tokens") or 0)
        pool = f"{_gib(old['available_bytes'])} → {_gib(new['available_bytes'])} GiB"
        same = old["available_bytes"] == new["available_bytes"]
        tokens = f" ({'+' if more >= 0 else '−'}{abs(more):,} tokens)" if old.get("tokens") and more else ""
        parts.append(f"Pool {'unchanged' if same else pool}{tokens}, by the budget.")
    if after:
        status = {"fits": "fits", "marginal": "is marginal"}.get(after["verdict"]["status"], "does not fit")
        parts.append(f"The command {status}: {prose(_lower(after['verdict']['reason']))}")
    elif data["command"] and change["kind"] in ("flag", "env"):
        missing = str(data["missing"][0]) if data["missing"] else "no figure for this case"
        until = "until the GPU is chosen" if missing.startswith("the GPU") else f"({prose(missing)})"
        parts.append(f"Not budgeted {until}.")
    return " ".join(parts)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def _costs(data: Mapping[str, Any], loading: float | None) -> str:
    said = [_capital(str(data["cost"])).rstrip(".") + "."] if data["cost"] else []
    if data["change"]["kind"] == "flag" or data["command"]:
        took = f"; loading took {loading:,.0f} s in this log" if loading else ""
        said.append(f"A restart{took}.")
    return prose(" ".join(said))


def second_part(data: Mapping[str, Any]) -> str:
    """The other changes in order: the gentler one second, each with its risk and its command folded."""
    if not data["alternatives"]:
        return ""
    items = "".join(_other(other) for other in data["alternatives"])
    return f'<section><h2>If that fails, in this order</h2><ol class="gm-others">{items}</ol></section>'


def _other(other: Mapping[str, Any]) -> str:
    notes = []
    if other["cost"]:
        notes.append(f"Costs: {prose(str(other['cost']).rstrip('.'))}.")
    risk = other["risk"]
    if risk:
        notes.append(f"<b>Risk:</b> {prose(str(risk).rstrip('.'))}.")
    elif other["budget"]:
        notes.append({"fits": "By the budget it fits."}.get(other["budget"], "By the budget it may not fit."))
    else:
        notes.append("Not budgeted.")
    command = ""
    if other["command"] and other["kind"] != "version":
        changed = [str(other["name"])] if other["kind"] == "flag" and other["name"] else []
        command = f"<details><summary>Command</summary>{command_block(other['command'], changed)}</details>"
    return f'<li><p class="gm-change">{from_to(other)}</p><p class="gm-n">{" ".join(notes)}</p>{command}</li>'


def avoid_part(data: Mapping[str, Any]) -> str:
    """What not to touch and why, then the known issue with the release that mends it."""
    blocks = []
    if data["do_not_touch"]:
        rows = "".join(f"<li><b>{escape(row['name'])}.</b> {prose(row['why'])}</li>" for row in data["do_not_touch"])
        blocks.append(f'<section><h2>What not to touch</h2><ul class="gm-notes">{rows}</ul></section>')
    issue = data["known_issue"]
    if issue:
        links = ", ".join(link(url, short_address(url)) for url in issue["urls"] if re.match(r"https?://", url))
        fixed = f" <b>Fixed in:</b> {prose(str(issue['fixed_in']).rstrip('.'))}." if issue["fixed_in"] else ""
        here = f" This server: {escape(data['engine_version'])}." if data["engine_version"] else ""
        blocks.append(
            f'<section><h2>Known issue</h2><p class="gm-issue">{links}. {prose(str(issue["text"]).rstrip("."))}.{fixed}{here}</p></section>'
        )
    return "".join(blocks)


def look_part(data: Mapping[str, Any]) -> str:
    """Which lines would settle it, where the answer is not sure; for an unknown cause also what was ruled out; what a
    healthy log is good for."""
    if data["class"] == "healthy":
        return f'<section><h2>What it is good for</h2><p class="gm-n">{prose(death_class("healthy")["verify"])}</p></section>'
    if not data["look_for"] or is_command(data):
        return ""
    rows = "".join(f"<li><code>{escape(text)}</code></li>" for text in data["look_for"][:_LINES_KEPT])
    unknown = data["class"] == "unknown"
    out = (
        '<section><h2>What was ruled out</h2><p class="gm-n">No line of the text has the form of a death that is known: weights, '
        "start, pool, graphs, run time, host memory, preemption; nor of a crash that is known and is no lack of memory. "
        "No change is proposed: a guess would cost a start.</p></section>"
        if unknown
        else ""
    )
    return out + f'<section><h2>Three lines to look for</h2><ul class="gm-notes">{rows}</ul></section>'


def ticket_part(data: Mapping[str, Any]) -> str:
    """One line for the ticket, to copy."""
    return (
        '<section><h2>For the ticket</h2><div class="gm-cmd"><button type="button" class="gm-btn" data-copy>Copy</button>'
        f'<pre tabindex="0" aria-label="Line for the ticket">{escape(data["ticket"])}</pre></div></section>'
    )


def read_part(data: Mapping[str, Any]) -> str:
    """What was read, each with the number of its line; what was inferred, and what is missing."""
    rows = [_read_row(row["name"], row["text"], row["line"]) for row in data["read"]]
    known = {str(row["line"]) for row in data["read"]}
    for text in data["inferred"]:
        if not any(re.search(rf"line {number}\b", text) for number in known):
            rows.append(_read_row("Inferred", text, None))
    rows += [_read_row("Earlier run", text, None) for text in data["earlier"]]
    rows += [_read_row("Later run", text, None) for text in data["later"]]
    if data["masked"]:
        rows.append(
            _read_row("Masked", f"{data['masked']} secret(s); put your own back before you run the command", None)
        )
    missing = "; ".join(data["missing"]) or "nothing that changes the answer"
    rows.append(_read_row("Missing", missing, None))
    return (
        '<section><h2>What was read</h2><table class="gm-table gm-readtable" aria-label="What was read, and in which line">'
        f"<tbody>{''.join(rows)}</tbody></table></section>"
    )


def _read_row(name: str, text: str, line: int | None) -> str:
    number = f"line {line:,}" if line else ""
    return f'<tr><th scope="row">{escape(name)}</th><td>{prose(text)}</td><td class="r">{number}</td></tr>'


def _gib(value: float) -> str:
    return gib_text(cents(value))
