"""The sizing page's state: names and texts as links and controls hold them, and the need that they say."""

from __future__ import annotations

from functools import lru_cache
from typing import Mapping
from urllib.parse import parse_qsl, quote

from glmcalc.facts.errors import InputError
from glmcalc.facts.store import nearest
from glmcalc.present import state as states
from glmcalc.present.sizing_html import SORTS
from glmcalc.solve.size_need import Need, configurations

OPENING = {"context": "131072", "concurrency": "8"}
"""The example that the page opens with."""

NEEDS = ("context", "concurrency", "min_tok_s_user", "max_ttft", "quantization")
NAMES = (*NEEDS, "vendor", "only", "sort", "row", "compare")
_SERVER = ("theme", "token")
_TOKENS = "tokens, such as 131072, 128K or 1M"


def state_in(query: str) -> dict[str, str]:
    """The page's parameters in an address; names of the server are left out."""
    pairs = parse_qsl(query.lstrip("?"))
    return {name: text for name, text in pairs if name not in _SERVER and not name.startswith("voila-")}


def opened(state: Mapping[str, str]) -> dict[str, str]:
    """A state to start from: what is given over the example; ``max_model_len`` is the context's other name."""
    given = {name: text.strip() for name, text in state.items() if text.strip()}
    if "max_model_len" in given:
        given.setdefault("context", given.pop("max_model_len"))
    return {**OPENING, **given}


def link(state: Mapping[str, str]) -> str:
    """The query that brings ``state`` back."""
    return "?" + "&".join(f"{name}={quote(state[name], safe=',')}" for name in NAMES if state.get(name))


def need_of(state: Mapping[str, str]) -> Need:
    """The need that ``state`` says.

    Raises:
        InputError: an unknown name, or a value that is refused; the same messages as the command's.
    """
    _check(state)
    return _need(tuple(state.get(name, "") for name in NEEDS))


def without_wishes(need: Need) -> Need:
    """What the search depends on; least speed and longest wait are held against its rows."""
    return Need(need.context, need.concurrency, quantization=need.quantization)


def beside(need: Need, lengths: tuple[str, ...], users: tuple[str, ...]) -> list[Need]:
    """The needs one stop of a slider away: the next greater and the next smaller context, then the same of users."""
    found = []
    for name, stops in (("context", lengths), ("concurrency", users)):
        now, values = getattr(need, name), [int(stop) for stop in stops]
        above, below = [stop for stop in values if stop > now][:1], [stop for stop in values if stop < now][-1:]
        for stop in (*above, *below):
            both = {"context": need.context, "concurrency": need.concurrency, name: stop}
            found.append(Need(both["context"], both["concurrency"], quantization=need.quantization))
    return found


def vendor_names() -> list[str]:
    """Vendors of the machines, each once."""
    return list(dict.fromkeys(one.device.vendor for one in configurations()))


def _check(state: Mapping[str, str]) -> None:
    for name, text in state.items():
        if name not in NAMES:
            raise InputError(name, text, f"one of {', '.join(NAMES)}{_close(name, NAMES)}")
    sort = state.get("sort", "").lstrip("-")
    if sort and sort not in SORTS:
        raise InputError("sort", sort, f"one of {', '.join(SORTS)}, with a minus for the other way round")
    if state.get("only", "yes") != "yes":
        raise InputError("only", state["only"], "yes, or left out")
    if state.get("vendor") and state["vendor"] not in vendor_names():
        raise InputError("vendor", state["vendor"], f"one of {', '.join(vendor_names())}")
    known = [one.id for one in configurations()]
    for name in ("row", "compare"):
        for key in filter(None, state.get(name, "").split(",")):
            if key not in known:
                raise InputError(name, key, f"the id of a machine, such as h200_sxm_x8{_close(key, known)}")


def _close(name: str, known: object) -> str:
    close = nearest(name, known)  # type: ignore[arg-type]
    return f" (did you mean {close}?)" if close else ""


@lru_cache(maxsize=128)
def _need(texts: tuple[str, ...]) -> Need:
    context, users, speed, wait, quantization = texts
    return Need(
        _tokens(context), _whole(users), _number("min_tok_s_user", speed), _number("max_ttft", wait),
        quantization=quantization or None,
    )  # fmt: skip


def _tokens(text: str) -> int:
    """Tokens as the engine's flag takes them: ``128K`` is 131,072."""
    try:
        value = states.deployment({"max_model_len": text.replace(",", "")}).max_model_len
    except InputError as error:
        raise InputError("context", text, _TOKENS) from error
    if not isinstance(value, int) or value < 1:
        raise InputError("context", text, _TOKENS)
    return value


def _whole(text: str) -> int:
    try:
        return int(text.replace(",", ""))
    except ValueError:
        raise InputError("concurrency", text, "a whole number of 1 or more") from None


def _number(name: str, text: str) -> float | None:
    if not text:
        return None
    try:
        return float(text.replace(",", ""))
    except ValueError:
        raise InputError(name, text, "a number above 0") from None
