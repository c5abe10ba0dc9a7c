"""The lines worth reading (``data/log_lines.jsonl``): memory lines, phases of a start, what names the engine."""

from __future__ import annotations

import re
from functools import lru_cache

from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.facts.quantity import GIB, KIB, MIB
from glmcalc.facts.store import load_jsonl

UNITS = {"GiB": GIB, "GB": GIB, "MiB": MIB, "MB": MIB, "KiB": KIB}  # engines that print GB divide by 2^30
PROVENANCE = ("source", "date", "kind")


@record
class LineRule:
    """One kind of line.

    Attributes:
        means: ``memory``, ``phase`` or ``engine``.
        name: of the quantity (its unit at the end) or of the phase.
    """

    id: str
    means: str
    engine: str
    name: str
    pattern: re.Pattern[str]
    note: str
    source: str


@lru_cache(maxsize=4)
def line_rules(means: str) -> tuple[LineRule, ...]:
    """The rules of one kind, in the order of the file.

    Raises:
        InputError: a row without source, date or kind.
    """
    rules = []
    for row in load_jsonl("log_lines.jsonl"):
        missing = [field for field in PROVENANCE if not row.get(field)]
        if missing:
            raise InputError(missing[0], None, "present", f"log_lines.jsonl: {row.get('id')} has no {missing[0]}.")
        if row["means"] == means:
            pattern = re.compile(row["pattern"])
            rules.append(LineRule(row["id"], means, row["engine"], row["name"], pattern, row["note"], row["source"]))
    return tuple(rules)


def value_of(rule: LineRule, match: re.Match[str]) -> int | float | None:
    """The figure of a memory line: bytes where it has a unit of bytes, else the bare number; None for a broken one."""
    text = match["value"].replace(",", "")
    try:
        number = float(text)
    except ValueError:
        return None
    if rule.name.endswith("_bytes") and "unit" in match.re.groupindex:
        return round(number * UNITS[match["unit"] or "GiB"])
    return int(number) if "." not in text else number
