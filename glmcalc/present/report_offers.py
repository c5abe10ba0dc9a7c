"""The deployment asked for and its alternatives, each read as a case of its own, with its price."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from typing import Any, Mapping

from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import replace as changed
from glmcalc.model.deployment import Deployment
from glmcalc.present.needs import NEEDS
from glmcalc.present.report_case import Case, case_of
from glmcalc.present.report_verdict import Judged, judge
from glmcalc.solve.answer import deployment_from
from glmcalc.solve.size_alternatives import MORE, alternatives, cheapest, serving_rows
from glmcalc.solve.size_need import Need
from glmcalc.speed.bands import Range
from glmcalc.speed.price import Price, hourly_price, token_price

_MOST_LET_IN = 1024  # vLLM's own default on large GPUs: above it requests are short, and the limit is no longer memory


@dataclass(frozen=True)
class Offer:
    """One way.

    Attributes:
        name: ``As is``, ``Same machine``, ``Cheaper`` or ``Roomier``.
        case: its budget and speed under the same needs; None where there is no such way, and ``reason`` says why.
        price: US$ an hour of all GPUs; per_million: US$ for a million output tokens; each None with its reason.
        note: what is known of its quality, or None. apart: what else there is to know of the machine, or None.
    """

    name: str
    case: Case | None
    reason: str | None = None
    price: Price | None = None
    price_reason: str | None = None
    per_million: Range | None = None
    per_million_reason: str | None = None
    note: str | None = None
    apart: str | None = None

    @property
    def judged(self) -> Judged:
        """The verdict: on memory, on speed, and on both together."""
        assert self.case is not None
        return judge(self.case)


def offers(case: Case) -> list[Offer]:
    """The ways, the deployment as it is first; the others are known machines that serve the need for sure: the same where it
    does as the deployment does not, and the cheapest of those that cost less and of those that hold more."""
    own = offer_of("As is", case)
    length = case.needs.length if case.needs else case.longest
    try:
        found = {one["kind"]: one for one in alternatives(_at_the_need(case, length), _need(case, length))}
        if case.engine == "llama.cpp":
            found["roomier"] = _beyond_its_room(case, length, found["as_is"]["row"])
    except InputError as error:
        return [own, *(Offer(name, None, error.message) for name in ("Cheaper", "Roomier"))]
    same = [_other(case, length, "Same machine", found["same_machine"])] if found["same_machine"]["row"] else []
    return [own, *same, *(_other(case, length, name, found[name.lower()]) for name in ("Cheaper", "Roomier"))]


def _beyond_its_room(case: Case, length: int, own: dict[str, Any]) -> dict[str, Any]:
    """The cheapest machine that holds a quarter more than llama.cpp has room for, which has only as many slots as it is told."""
    need = _need(case, length)
    more = int(max(MORE * case.held(length).times[0], MORE * need.concurrency)) + 1
    least = cheapest(serving_rows(changed(need, concurrency=more)), own)
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
    """One alternative, read anew from its command under the same needs; where sizing knows no speed of it there is none."""
    row = way["row"]
    if row is None:
        return Offer(name, None, str(way["reason"]))
    made = under_the_needs(case, row["command"], row["gpu"], row["gpus"])
    if row["tok_s_user"] is None:
        made = replace(made, speed=None, speed_reason=row["speed_reason"])
    return offer_of(name, _like_for_like(case, made, length), row["quality_note"], _apart(row))


def _apart(row: Mapping[str, Any]) -> str | None:
    """What the number of GPUs does not say of a machine: its host where that holds weights, its nodes."""
    if row["host_ram_gb"] is not None:
        return f"a host of {row['host_ram_gb']:g} GB is taken, and not in the price"
    return f"{row['nodes']} nodes over {row['between_nodes']}" if row["nodes"] > 1 else None


def under_the_needs(case: Case, command: str, gpu: str | None, gpus: int) -> Case:
    """Another deployment under the needs of ``case``, at requests of the same length."""
    deployment, parsed = deployment_from(command, {"gpu": gpu, "gpus": gpus})
    return case_of(case.customer, deployment, parsed, _asked(case), case.prices)


def _like_for_like(case: Case, made: Case, length: int) -> Case:
    """``made`` with requests as long as ``case`` takes, and as many let in as its pool is said to hold, where that still fits.

    Sizing serves the need and no more: it would shorten what is served now, and ``max_num_seqs`` would keep a pool empty that
    counts as room. llama.cpp takes the memory of all its slots at once, so they stay as they are.
    """
    if made.engine != "vllm":
        return made
    most = min(ceil(made.held(length).times[2]), _MOST_LET_IN)
    holds = {"max_num_seqs": max(most, int(made.data["deployment"]["max_num_seqs"]))}
    for changes in ({**holds, "max_model_len": max(case.longest, length)}, holds):
        deployment = made.deployment.changed(**changes)
        wider = case_of(made.customer, deployment, made.parsed, _asked(made), made.prices)
        if judge(wider).memory == "fits":
            return replace(wider, speed=made.speed, speed_reason=made.speed_reason)
    return made


def _asked(case: Case) -> dict[str, Any]:
    """The needs by name, with the length of a request where only the deployment says it."""
    needs = case.needs
    if needs is None:
        return {}
    asked = {one: getattr(needs, one) for one in NEEDS}
    if needs.input_length is None and needs.output_length is None:
        asked["input_length"] = needs.length
    return asked


def _all_let_in(case: Case, length: int) -> Case:
    """With as many requests let in as the pool is said to hold, where that still fits: a pool that ``max_num_seqs`` keeps
    empty is no room. llama.cpp takes the memory of all its slots at once, so they stay as they are."""
    if case.engine != "vllm":
        return case
    holds = ceil(case.held(length).times[2])
    if holds <= int(case.data["deployment"]["max_num_seqs"]):
        return case
    more = case_of(case.customer, case.deployment.changed(max_num_seqs=holds), case.parsed, _asked(case), case.prices)
    wider = replace(more, speed=case.speed, speed_reason=case.speed_reason)
    return wider if judge(wider).memory == "fits" else case


def offer_of(name: str, case: Case, note: str | None = None, apart: str | None = None) -> Offer:
    """A way with its price: the list's, for all GPUs."""
    chip, gpus = case.plan.resolved.device, case.plan.resolved.gpus
    price = hourly_price(chip, gpus, case.prices)
    price_reason = None if price is not None else f"no price an hour of {chip.name} is known"
    total = case.speed.tok_s_total if case.speed is not None else None
    if price is None or total is None:
        reason = price_reason if price is None else "no speed is known"
        return Offer(name, case, None, price, price_reason, None, reason, note, apart)
    return Offer(name, case, None, price, price_reason, token_price(price, total), None, note, apart)
