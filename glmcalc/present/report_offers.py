"""The deployment asked for and its alternatives, each read as a case of its own, with its price."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import replace
from glmcalc.model.deployment import Deployment
from glmcalc.present.needs import NEEDS
from glmcalc.present.report_case import Case, case_of
from glmcalc.present.report_verdict import judge
from glmcalc.solve.answer import deployment_from
from glmcalc.solve.size import size_rows
from glmcalc.solve.size_alternatives import MORE, alternatives
from glmcalc.solve.size_need import Need
from glmcalc.speed.bands import Range
from glmcalc.speed.price import Price, hourly_price, token_price


@dataclass(frozen=True)
class Offer:
    """One way.

    Attributes:
        name: ``As is``, ``Cheaper`` or ``Roomier``.
        case: its budget and speed under the same needs; None where there is no such way, and ``reason`` says why.
        price: US$ an hour of all GPUs; per_million: US$ for a million output tokens; each None with its reason.
        note: what else to know of it, or None.
    """

    name: str
    case: Case | None
    reason: str | None = None
    price: Price | None = None
    price_reason: str | None = None
    per_million: Range | None = None
    per_million_reason: str | None = None
    note: str | None = None

    @property
    def status(self) -> str:
        """The verdict on memory and speed together."""
        assert self.case is not None
        return judge(self.case).status


def offers(case: Case) -> list[Offer]:
    """The three ways, the deployment as it is first; the others are the cheapest known machines that serve the need for sure."""
    own = offer_of("As is", case)
    length = case.needs.length if case.needs else case.longest
    try:
        found = {one["kind"]: one for one in alternatives(_at_the_need(case, length), _need(case, length))}
        if case.engine == "llama.cpp":
            found["roomier"] = _beyond_its_room(case, length)
    except InputError as error:
        return [own, *(Offer(name, None, error.message) for name in ("Cheaper", "Roomier"))]
    return [own, _other(case, length, "Cheaper", found["cheaper"]), _other(case, length, "Roomier", found["roomier"])]


def _beyond_its_room(case: Case, length: int) -> dict[str, Any]:
    """The cheapest machine that holds a quarter more than llama.cpp has room for, which has only as many slots as it is told."""
    need = _need(case, length)
    more = int(max(MORE * case.held(length).times[0], MORE * need.concurrency)) + 1
    rows = [row for row in size_rows(replace(need, concurrency=more), limits=False) if row["serves"]]
    least = min(
        rows, key=lambda row: (row["usd_per_hour"] is None, row["usd_per_hour"] or 0.0, row["gpus"]), default=None
    )
    return {"row": least, "reason": f"no known machine serves {more:,} requests at once for sure"}


def _need(case: Case, length: int) -> Need:
    needs, said = case.needs, case.data["deployment"]
    drafts = said["num_speculative_tokens"] if getattr(case.plan.resolved, "mtp", False) else None
    return Need(
        length,
        needs.concurrency if needs else 1,
        needs.min_tok_s_user if needs else None,
        model=said["model"],
        num_speculative_tokens=drafts or 0,
        input_length=needs.input_length if needs else None,
        output_length=needs.output_length if needs else None,
        prices=case.prices,
    )


def _at_the_need(case: Case, length: int) -> Deployment:
    """The deployment at requests as long as the need's, so that what it holds compares with what the others hold."""
    stated = case.deployment
    if case.engine != "llama.cpp":
        return stated.changed(max_model_len=length, context_length=None)
    slots = case.data["deployment"]["parallel"]
    return stated.changed(max_model_len=None, max_num_seqs=None, ctx_size=length * slots, parallel=slots)


def _other(case: Case, length: int, name: str, way: Mapping[str, Any]) -> Offer:
    """One alternative, read anew from its command under the same needs."""
    row = way["row"]
    if row is None:
        return Offer(name, None, str(way["reason"]))
    deployment, parsed = deployment_from(row["command"], {"gpu": row["gpu"], "gpus": row["gpus"]})
    needs = case.needs
    asked = {one: getattr(needs, one) for one in NEEDS} if needs else {}
    if needs is not None and needs.input_length is None and needs.output_length is None:
        asked["input_length"] = length
    return offer_of(name, case_of(case.customer, deployment, parsed, asked, case.prices), row["quality_note"])


def offer_of(name: str, case: Case, note: str | None = None) -> Offer:
    """A way with its price: the list's, for all GPUs."""
    chip, gpus = case.plan.resolved.device, case.plan.resolved.gpus
    price = hourly_price(chip, gpus, case.prices)
    price_reason = None if price is not None else f"no price an hour of {chip.name} is known"
    total = case.speed.tok_s_total if case.speed is not None else None
    if price is None or total is None:
        reason = price_reason if price is None else "no speed is known"
        return Offer(name, case, None, price, price_reason, None, reason, note)
    return Offer(name, case, None, price, price_reason, token_price(price, total), None, note)
