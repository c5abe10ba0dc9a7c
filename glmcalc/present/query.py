"""A page's inputs from its address: ``01_vram_budget.ipynb?gpu=b200_sxm&max_model_len=128K``.

Every notebook calls :func:`given` right after its ``parameters`` cell. Only Voila has an address to read; in JupyterLab and
under papermill the call does nothing.
"""

from __future__ import annotations

import os
from html import escape
from typing import Any, Mapping
from urllib.parse import parse_qsl

from glmcalc.budget.engines import plan
from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import names_of
from glmcalc.facts.store import nearest
from glmcalc.model.deployment import Deployment
from glmcalc.present import state as states
from glmcalc.present.deployment_file import number
from glmcalc.present.display import Html, style
from glmcalc.present.needs import NEEDS, check_customer, read_needs
from glmcalc.present.report_names import read_names
from glmcalc.present.verdict_html import bad_input
from glmcalc.solve.answer import deployment_from

_FREE = ("customer", "command")  # texts that no flag reads
_OF_THE_SERVER = ("theme", "token")
_IN_GIB = {"available_kv_gib": "available_kv_bytes", "weights_gib": "weights_bytes"}


def given(names: dict[str, Any], note: str = "", query: str | None = None) -> Html | None:
    """Put what the address says into a notebook's parameters.

    Args:
        names: the notebook's variables, ``globals()``; those that the parameters cell defines may be set.
        note: a sentence to show where something was taken over.
        query: an address's query string; None takes the one that Voila was asked with.

    Returns:
        What to show: a note of what was taken over; the message of a value that is refused, in which case the parameters
        keep their values; None where the address says nothing.
    """
    if query is None:
        served = os.environ.get("SERVER_SOFTWARE", "").startswith("voila")
        query = os.environ.get("QUERY_STRING", "") if served else ""
    try:
        values = _read(query, names)
        _check({**names, **values})
    except InputError as error:
        kind = "gm gr" if "customer" in names else "gm"
        return _html(
            kind, bad_input(error.to_dict(), kept=False), error.message, "The page below shows its own example."
        )
    if not values:
        return None
    names.update(values)
    if not note:
        return None
    said = ", ".join(f"{name} {value}" for name, value in values.items())
    words = f"From the address: {said}. {note}"
    return _html("gm", "", words, words)


def _read(query: str, names: Mapping[str, Any]) -> dict[str, Any]:
    """Values of the query's names, each read as the command reads its flag.

    Raises:
        InputError: a name that is none of the page's inputs, or a value that is refused.
    """
    texts: dict[str, str] = {}
    known = {*states.NAMES, *NEEDS, *_FREE}
    own = sorted(name for name in known if name in names)
    for name, text in parse_qsl(query.lstrip("?")):
        if name in own:
            texts[name] = text.strip()
        elif name not in known and name not in _OF_THE_SERVER and not name.startswith("voila-"):
            close = nearest(name, own)
            raise InputError(name, text, f"one of {', '.join(own)}" + (f" (did you mean {close}?)" if close else ""))
        elif name in known and name not in (*NEEDS, "customer", "command"):
            raise InputError(name, text, f"an input of this page: {', '.join(own)}")
    values: dict[str, Any] = {name: texts[name] for name in ("customer", "command") if name in texts}
    values |= {name: _need(name, texts[name]) for name in NEEDS if name in texts}
    asked = {name: text for name, text in texts.items() if name not in values}
    made = states.deployment(asked)
    for name in asked:
        values[name] = getattr(made, _IN_GIB.get(name, name)) if name != "speculative_config" else asked[name]
    return values


def _check(names: Mapping[str, Any]) -> None:
    """As the page's own cells will: the customer's name, the deployment and its budget, the needs.

    Raises:
        InputError: what one of them refuses.
    """
    settings = {name: names[name] for name in names_of(Deployment) if names.get(name) is not None}
    if names.get("command"):
        settings.pop("model", None)
    if "customer" in names:
        check_customer(names["customer"])
        settings, _ = read_names(names)
    made = plan(deployment_from(names.get("command"), settings)[0])
    read_needs({name: names.get(name) for name in NEEDS}, made)


def _need(name: str, text: str) -> int | float:
    if name == "min_tok_s_user":
        return number(name, text)
    if not text.replace(",", "").isascii() or not text.replace(",", "").isdigit() or len(text) > 15:
        raise InputError(name, text, "a whole number of 1 or more")
    return int(text.replace(",", ""))


def _html(kind: str, tile: str, plain: str, note: str) -> Html:
    words = f'<p class="gm-cap">{escape(note)}</p>'
    return Html(f'<style>{style("style.css")}</style><div class="{kind}">{tile}{words}</div>', plain)
