"""Published incidents as chapter 4 tells them (``data/incidents.jsonl``), diagnosed when they are shown."""

from __future__ import annotations

from glmcalc.advise.diagnose import Diagnosis, diagnose
from glmcalc.facts.errors import InputError
from glmcalc.facts.evidence import with_provenance
from glmcalc.facts.store import load_jsonl, nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def incidents() -> list[dict[str, Any]]:
    """All of them, worked ones first."""
    return with_provenance(load_jsonl("incidents.jsonl"), "incidents.jsonl")


def incident(name: str) -> dict[str, Any]:
    """One of them by its id.

    Raises:
        InputError: no such incident; the nearest is offered.
    """
    rows = {row["id"]: row for row in incidents()}
    if name not in rows:
        close = nearest(name, rows)
        hint = f" (did you mean {close}?)" if close else ""
        raise InputError("incident", name, f"one of {', '.join(rows)}{hint}")
    return rows[name]


def log_of(name: str) -> str:
    """The lines of an incident's log as one text, to be read before the answer is."""
    return "\n".join(incident(name)["log"])


def diagnosed(name: str) -> Diagnosis:
    """What the diagnosis makes of an incident, with what stands beside its log."""
    row = incident(name)
    stated = {"gpu": row["gpu"], "gpus": row["gpus"]}
    holds_flags = any("default args" in line for line in row["log"])
    return diagnose(log_of(name), None if holds_flags else row["command"], stated)
