"""The classes of death, each with its runbook entry (``data/death_classes.jsonl``)."""

from __future__ import annotations

from functools import lru_cache

from glmcalc.facts.errors import InputError
from glmcalc.facts.store import load_jsonl
from glmcalc.logs.grammar import PROVENANCE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

QUIET = ("healthy", "unknown")


@lru_cache(maxsize=1)
def _classes() -> dict[str, dict[str, Any]]:
    rows = load_jsonl("death_classes.jsonl")
    for row in rows:
        for field in PROVENANCE:
            if not row.get(field):
                raise InputError(field, None, "present", f"death_classes.jsonl: {row.get('id')} has no {field}.")
    return {row["id"]: row for row in rows}


def death_class(name: str) -> dict[str, Any]:
    """A class of death with its runbook entry (``data/death_classes.jsonl``).

    Raises:
        KeyError: no such class.
    """
    return _classes()[name]


def class_names() -> list[str]:
    """All classes, in the order of a start."""
    return list(_classes())
