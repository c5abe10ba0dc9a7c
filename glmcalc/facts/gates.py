"""Thresholds of the tuner (``data/tuning_gates.jsonl``), each with what it rests on."""

from __future__ import annotations

from functools import lru_cache

from glmcalc.facts.evidence import with_provenance
from glmcalc.facts.quantity import GIB
from glmcalc.facts.store import load_jsonl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@lru_cache(maxsize=1)
def _rows() -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in with_provenance(load_jsonl("tuning_gates.jsonl"), "tuning_gates.jsonl")}


def gate(name: str) -> float:
    """The threshold ``name``: a number in the row's own unit, bytes where that is GiB.

    Raises:
        KeyError: no such row.
    """
    row = _rows()[name]
    return float(row["value"]) * (GIB if row["unit"] == "GiB" else 1)


def gate_source(name: str) -> str:
    """What the threshold ``name`` rests on.

    Raises:
        KeyError: no such row.
    """
    return str(_rows()[name]["source"])


def rate_bound(trials: float) -> float:
    """Upper bound (95 %) on the rate of what has not happened once in ``trials`` hours or occurrences: 3/t.

    The rule of three: (1 - p)^n = 0.05 gives p = 1 - 0.05^(1/n), below 3/n.

    >>> rate_bound(1), rate_bound(300)
    (3.0, 0.01)
    """
    return 3.0 / trials
