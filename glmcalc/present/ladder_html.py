"""A ladder as an HTML fragment: each step with what it gains and its price, then how it ends."""

from __future__ import annotations

from html import escape
from typing import Any, Mapping

from glmcalc.facts.quantity import gib
from glmcalc.present.downgrade_text import limit_words, value_text

_STATUS = {"fits": "fits", "marginal": "marginal", "does_not_fit": "does not fit", "unsupported": "unsupported"}
_HEAD = (
    '<thead><tr><th scope="col"></th><th scope="col">change</th><th scope="col" class="r">GiB a GPU</th>'
    '<th scope="col" class="r">tokens</th><th scope="col">price</th><th scope="col">then</th></tr></thead>'
)


def ladder_section(data: Mapping[str, Any]) -> str:
    """The ladder of ``Ladder.to_dict()``; style in ``ladder.css``, inside an element of class ``gm``.

    Every text is escaped; a source is a link only where it is an https address.
    """
    parts = ['<section class="gm-ladderbox" aria-label="What to give up, in order">']
    if data.get("stated"):
        parts.append(f'<p class="gm-ladder-said">{escape(data["stated"]["text"])}</p>')
    start = data["start"]
    if start["missing_bytes"]:
        missing = f"{gib(start['missing_bytes'])} GiB are missing on each GPU, at the pessimistic end, for {limit_words(start['limit'])}."
        parts.append(f'<p class="gm-ladder-said">{escape(missing)}</p>')
    if data["steps"]:
        rows = "".join(_row(number, step) for number, step in enumerate(data["steps"], 1))
        parts.append(f'<table class="gm-ladder">{_HEAD}<tbody>{rows}</tbody></table>')
    parts.append(_end(data))
    parts.append("</section>")
    return "".join(parts)


def _row(number: int, step: Mapping[str, Any]) -> str:
    status = step["status"] if step["status"] in _STATUS else "unsupported"
    was, now = value_text(step["from"]), value_text(step["to"])
    return (
        f'<tr data-knob="{escape(str(step["knob"]))}"><td class="gm-ladder-n">{number}</td>'
        f'<th scope="row"><code>{escape(step["flag"])}</code> <span class="gm-ladder-was">{escape(was)}</span> → '
        f'<span class="gm-ladder-now">{escape(now)}</span></th>'
        f'<td class="r" data-label="GiB a GPU" title="towards {escape(limit_words(step["limit"]))}">+{gib(step["gained_bytes"])}</td>'
        f'<td class="r" data-label="tokens">{step["tokens_gained"]:+,}</td>'
        f'<td class="gm-ladder-price">{_price(step)}</td>'
        f'<td class="gm-ladder-status {status}" title="{escape(step["reason"])}">{_STATUS[status]}</td></tr>'
    )


def _price(step: Mapping[str, Any]) -> str:
    told = (step["quality_cost"], step["speed_cost"])
    lines = [] if step["cost"] in told else [f"<div>{escape(step['cost'])}</div>"]
    for label, kind in (("quality", "quality"), ("speed", "speed")):
        cost, source = step[f"{kind}_cost"], step[f"{kind}_source"]
        if cost is not None and cost.startswith("none"):
            continue
        said = escape(cost) if cost is not None else f"not known: {escape(step[f'{kind}_reason'] or '')}"
        loss = " gm-ladder-loss" if kind == "quality" and step["reported_loss"] else ""
        lines.append(f'<div class="gm-ladder-{kind}{loss}">{label}: {said}{_link(source)}</div>')
    safe = step["safe"]
    if safe:
        status = _STATUS.get(safe["status"], "unsupported")
        lines.append(
            f"<div>safe beside it: <code>{escape(safe['flag'])} {escape(safe['to'])}</code>, {status}{_link(safe['source'])}</div>"
        )
    again = "restart" if step["restart"] else "no restart"
    lines.append(f"<div>{again}; undo: {escape(step['undo'])}</div>")
    return "".join(lines)


def _link(source: object) -> str:
    if not isinstance(source, str) or not source.startswith("https://"):
        return ""
    return f' <a href="{escape(source)}" rel="noopener noreferrer">source</a>'


def _end(data: Mapping[str, Any]) -> str:
    if data["fits_after"]:
        word = "After it" if data["steps"] else "Nothing has to be given up"
        return f'<p class="gm-ladder-said"><span class="gm-ladder-status fits">{word}:</span> {escape(data["after"]["reason"])}</p>'
    parts = [f'<p class="gm-ladder-said">{escape(data["reason"] or "")}</p>']
    if data["nearest"]:
        others = [data["nearest"], *data["nearest_others"]]
        parts.append(f'<ul class="gm-ladder-more">{"".join(_other(other) for other in others)}</ul>')
    if data["searched"]:
        parts.append(
            f'<p class="gm-ladder-said">Searched: {escape(data["searched"])}. Not budgeted here: {escape("; ".join(data["not_searched"]))}.</p>'
        )
    return "".join(parts)


def _other(other: Mapping[str, Any]) -> str:
    changes = ", ".join(f"{row['flag']} {value_text(row['to'])}" for row in other["change"])
    safe = other["safe"]
    plain = (
        f"<br>on plain FP8 KV; with <code>{escape(safe['to'])}</code>: {_STATUS.get(safe['status'], 'unsupported')}"
        if safe
        else ""
    )
    return f"<li><b>{other['gpus']} × {escape(other['gpu'])}</b> ({escape(changes)}): {escape(other['reason'])}<br><code>{escape(other['command'])}</code>{plain}</li>"
