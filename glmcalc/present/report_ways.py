"""Ways to serve the need: as it is, on the same machine, cheaper, roomier; what each holds, how fast, at what price, and what a step costs."""

from __future__ import annotations

from html import escape
from typing import Any, Sequence

from glmcalc.facts.quantity import gib
from glmcalc.present.command_html import command_block
from glmcalc.present.prose import link, prose, short_address
from glmcalc.present.report_case import NAMES, SHOWN_WITHOUT_NEEDS, Case
from glmcalc.present.report_changes import changes_of
from glmcalc.present.report_offers import Offer
from glmcalc.present.report_speed import MET, first_token, not_known
from glmcalc.present.report_verdict import capacity_known, host_words, limit_name, room_word, speed_met
from glmcalc.present.speed_text import number_text
from glmcalc.present.verdict_html import TONES, WORDS
from glmcalc.speed.bands import Range

_WAYS = 3
_COUNTS = {2: "Two", 3: "Three", 4: "Four"}
_NO_SPEED = "not known"
_LINE = 104  # letters of a command's line
_MARKS = {"fits": "✓", "marginal": "△", "does_not_fit": "✕", "unsupported": "⊘"}


def ways_section(case: Case, found: Sequence[Offer]) -> str:
    """Heading, one card a way, each fact of all on one line where there is room."""
    # Three stand beside each other; a fourth only where all four are there, else what is missing is said below.
    shown = [offer for offer in found if offer.case is not None] if len(found) > _WAYS else found
    cards = _labels() + "".join(_card(offer, found[0]) for offer in shown)
    need = (
        f"for {_load(case)}"
        if case.needs
        else f"for one request of {case.longest:,} tokens, as no need is stated; speed at {_shown_at(case)}"
    )
    title = f"<h2>Table 4. {_COUNTS[len(shown)]} ways <small>{need}</small></h2>"
    missing = " ".join(f"{offer.name}: {prose(offer.reason or 'not known')}." for offer in found if offer not in shown)
    below = f'<p class="gm-cap">{missing}</p>' if missing else ""
    return f'{title}<div class="gr-ways gr-{len(shown)}">{cards}</div>{below}{_commands(found)}{_prices(found)}'


def _shown_at(case: Case) -> str:
    return f"{min(case.longest, SHOWN_WITHOUT_NEEDS):,}"


def _load(case: Case) -> str:
    assert case.needs is not None
    many = case.needs.concurrency
    return f"{many:,} request{'s' * (many != 1)} of {case.needs.length:,} tokens at once"


_TERMS = (
    "Machine",
    "Fits",
    "tok/s of one user",
    "First token",
    "$ an hour",
    "$ per million tokens",
    "What changes",
    "Price of the step",
)


def _labels() -> str:
    """The facts' names in a column of their own, where the cards stand side by side; each card has them too."""
    return f'<div class="gr-terms" aria-hidden="true"><i></i>{"".join(f"<b>{term}</b>" for term in _TERMS)}</div>'


def _card(offer: Offer, first: Offer) -> str:
    title = f"<h3>{offer.name}</h3>"
    if offer.case is None:
        return f'<div class="gr-way gr-no">{title}<p>{prose(offer.reason or "not known")}</p></div>'
    rows = "".join(f"<div><dt>{term}</dt><dd>{words}</dd></div>" for term, words in zip(_TERMS, _facts(offer, first)))
    return f'<div class="gr-way">{title}<dl>{rows}</dl></div>'


def _facts(offer: Offer, first: Offer) -> tuple[str, ...]:
    """What stands at each of the terms."""
    case = offer.case
    assert case is not None
    memory = offer.judged.memory
    return (
        f"<b>{case.plan.resolved.gpus} × {_name(case)}</b>{_apart(offer)}<br>{_setting(case)}",
        f'<b class="gr-{TONES[memory]}">{_MARKS[memory]} {WORDS[memory]}</b> {_holds(case)}',
        _speed(case) + _against_the_need(case),
        _wait(case),
        _hourly(offer),
        _range(offer.per_million, "$") if offer.per_million else not_known(offer.per_million_reason),
        "nothing" if offer is first else _changes(case, first.case),
        "none" if offer is first else _step(offer, first),
    )


def _apart(offer: Offer) -> str:
    """What lies in the host's memory, and what else the number of GPUs does not say."""
    assert offer.case is not None
    away = host_words(offer.case)
    return (f" + {escape(away)}" if away else "") + (f"; {escape(offer.apart)}" if offer.apart else "")


def _name(case: Case) -> str:
    return escape(case.plan.resolved.device.name.replace(" (per GPU)", ""))


def _setting(case: Case) -> str:
    said = case.data["deployment"]
    sizes = (
        ("TP", "tensor_parallel_size"),
        ("PP", "pipeline_parallel_size"),
        ("DP", "data_parallel_size"),
        ("DCP", "decode_context_parallel_size"),
    )
    words = [NAMES[case.engine], str(said["quantization"])]
    words += [f"{short} {said[name]}" for short, name in sizes if (said[name] or 1) > 1]
    return escape(", ".join([*words, f"KV {case.plan.kv.record}"]))


def _holds(case: Case) -> str:
    if not capacity_known(case):
        return prose(case.data["verdict"]["reason"])
    low, likely, high = (
        value * case.groups for value in case.held(case.needs.length if case.needs else case.longest).times
    )
    if likely <= 0:
        return f"holds none: the {room_word(case)} is {gib(-case.plan.kv.available.likely)} GiB short"
    words = f"holds {likely:,.1f} ({low:,.1f} to {high:,.1f})"
    if case.admitted is None or case.admitted >= int(likely):
        return words
    return f"{words}; <code>{limit_name(case)}</code> lets {case.admitted:,} in"


def _against_the_need(case: Case) -> str:
    """The speed that is asked for, and whether it is met; empty where none is."""
    told = speed_met(case.needs, case.speed)
    if case.needs is None or told == "not_asked":
        return ""
    status = "fits" if told == "met" else "does_not_fit" if told == "not_met" else "marginal"
    asked = f"{number_text(case.needs.min_tok_s_user or 0)} asked: {MET[told]}"
    return f'<br><b class="gr-{TONES[status]}">{_MARKS[status]}</b> {asked}'


def _speed(case: Case) -> str:
    found = case.speed
    if found is None or found.tok_s_user is None:
        reason = (found.reason if found is not None else case.speed_reason) or ""
        return not_known(reason)
    return f"{_range(found.tok_s_user)}<br><small>{escape(found.basis)}</small>"


def _wait(case: Case) -> str:
    band, reason = first_token(case)
    if band is not None:
        return f"{_range(band)} s"
    said = case.speed.reason if case.speed is not None else case.speed_reason
    return "not known, likewise" if reason == said else not_known(reason)


def _hourly(offer: Offer) -> str:
    price = offer.price
    if price is None:
        return not_known(offer.price_reason)
    ends = f"${price.low:,.2f}" if price.low == price.high else f"${price.low:,.2f} to {price.high:,.2f}"
    host = ", without its host" if offer.case is not None and host_words(offer.case) else ""
    return f"{ends}<br><small>{escape(price.date)}{host}</small>"


def _range(band: Range, sign: str = "") -> str:
    return f"{sign}{number_text(band.mid)} ({number_text(band.low)} to {number_text(band.high)})"


def _changes(case: Case, first: Case | None) -> str:
    """Settings that differ from the deployment as it is."""
    assert first is not None
    return "; ".join(escape(change.text) for change in changes_of(case, first)) or "nothing"


def _step(offer: Offer, first: Offer) -> str:
    """What the step costs and gives: dollars an hour, speed and room at the middle of each band, and quality."""
    case, was = offer.case, first.case
    assert case is not None
    assert was is not None
    words = []
    if offer.price is not None and first.price is not None:
        more = (offer.price.low + offer.price.high - first.price.low - first.price.high) / 2
        share = more / ((first.price.low + first.price.high) / 2)
        words.append(
            f"<b>{'+' if more >= 0 else '−'}${abs(more):,.2f} an hour</b> ({share:+.0%})".replace("-", "−")
            if more
            else "<b>the same price an hour</b>"
        )
    else:
        words.append("$ an hour: not known, since a price is missing")
    now_s, was_s = (_middle(one) for one in (case, was))
    if now_s != _NO_SPEED or was_s != _NO_SPEED:
        words.append(f"tok/s of one user {was_s} → {now_s}")
    length = case.needs.length if case.needs else was.longest
    if capacity_known(was):
        holds = [one.held(min(length, one.longest)).times[1] * one.groups for one in (was, case)]
        words.append(f"holds {max(holds[0], 0):,.1f} → {holds[1]:,.1f}")
    if offer.note and case.data["deployment"]["quantization"] != was.data["deployment"]["quantization"]:
        words.append(f"quality: {prose(offer.note)}")
    return "; ".join(words)


def _middle(case: Case) -> str:
    found = case.speed
    return _NO_SPEED if found is None or found.tok_s_user is None else number_text(found.tok_s_user.mid)


def _commands(found: Sequence[Offer]) -> str:
    """The whole command of each other way; that of the deployment as it is stands on the first page."""
    blocks = [
        f'<p class="gm-cap">{offer.name}:</p>{command_block(str(offer.case.data["command"]), copy=False, width=_LINE)}'
        for offer in found[1:]
        if offer.case is not None
    ]
    return f'<div class="gr-small">{"".join(blocks)}</div>' if blocks else ""


def _prices(found: Sequence[Offer]) -> str:
    """Where the prices are from, each once."""
    addresses: dict[str, Any] = {}
    for offer in found:
        if offer.price is not None:
            addresses.update({url: None for url in offer.price.source.split() if url.startswith("http")})
    links = ", ".join(link(url, short_address(url)) for url in addresses)
    words = f"Prices: {links}; lowest and highest. " if links else ""
    return (
        f'<p class="gm-cap">{words}$ per million output tokens with this load kept up; electricity and staff left out; its range '
        "is that of speed and price together.</p>"
    )
