"""Terms of SGLang and llama.cpp beyond weights and KV, each with the evidence it rests on (``data/other_engine_terms.json``)."""

from __future__ import annotations

from functools import lru_cache

from glmcalc.budget.result import Component
from glmcalc.budget.runtime import Term
from glmcalc.facts.evidence import with_provenance
from glmcalc.facts.quantity import GIB, KIB, MIB, Band
from glmcalc.facts.store import load_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FILE = "other_engine_terms.json"
_UNITS = {"GiB": GIB, "MiB": MIB, "KiB": KIB, "bytes": 1, "times": 1}


def other_term(name: str) -> Term:
    """The term ``name``, in bytes where it has a unit of bytes, a bare factor otherwise."""
    row = _terms()[name]
    unit = _UNITS[row["unit"]]
    return Term(row["low"] * unit, row["likely"] * unit, row["high"] * unit, row["kind"], row["source"], row["records"])


def times(name: str, count: float) -> Band:
    """``count`` times a term, as bytes with its range."""
    term = other_term(name)
    return Band(round(count * term.low), round(count * term.likely), round(count * term.high))


def listed(name: str, label: str, term: str, inside: bool, note: str, band: Band | None = None) -> Component:
    """A component that rests on one term; ``band`` in place of the term's own."""
    found = other_term(term)
    return Component(name, label, band or found.band, inside, found.kind, found.source, note)


@lru_cache(maxsize=1)
def _terms() -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in with_provenance(load_json(_FILE)["terms"], _FILE)}
