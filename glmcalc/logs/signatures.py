"""Signatures of death (``data/oom_signatures.jsonl``): patterns, what they mean, what to do, where that is known from."""

from __future__ import annotations

import re
from functools import lru_cache

from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.facts.store import load_jsonl
from glmcalc.logs.grammar import PROVENANCE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@record
class Signature:
    """One row; rows that stand earlier are the more specific and win over later ones at the same place.

    Attributes:
        engine: ``vllm``, ``sglang``, ``llama.cpp``, ``program`` (another) or ``any``.
        death: class of death.
        confidence: ``high``, ``medium`` or ``low``.
        line: must match one line; near: each must match in its surroundings (the traceback); not_near: none may.
        phases: what the engine must have been doing; ``""`` stands for not known; empty for whatever.
        fatal: whether the server dies of it. any_level: whether an INFO or WARNING line counts.
        last_words: printed by a process that ends, whatever ended it: an error that another row knows decides before it.
        prose: for reports in words, not for logs.
        cause: sentences with ``{fields}``; the first whose fields are all known is used.
        remedies: names of changes, the best first.
        known_issue: ``text``, ``urls``, ``fixed_in``, or None.
        versions: range of releases in words.
    """

    id: str
    engine: str
    death: str
    confidence: str
    line: re.Pattern[str]
    near: tuple[re.Pattern[str], ...]
    not_near: tuple[re.Pattern[str], ...]
    phases: tuple[str, ...]
    fatal: bool
    any_level: bool
    prose: bool
    cause: tuple[str, ...]
    remedies: tuple[str, ...]
    known_issue: dict[str, Any] | None
    versions: str
    source: str
    last_words: bool = False


@lru_cache(maxsize=1)
def signatures() -> tuple[Signature, ...]:
    """All rows, in order.

    Raises:
        InputError: a row without source, date or kind.
    """
    return tuple(read_signature(row) for row in load_jsonl("oom_signatures.jsonl"))


def read_signature(row: dict[str, Any]) -> Signature:
    """One row of ``data/oom_signatures.jsonl``.

    Raises:
        InputError: no source, date or kind.
    """
    for field in PROVENANCE:
        if not row.get(field):
            raise InputError(field, None, "present", f"oom_signatures.jsonl: {row.get('id')} has no {field}.")
    near, not_near = (tuple(re.compile(text) for text in row[name]) for name in ("near", "not_near"))
    return Signature(
        row["id"], row["engine"], row["class"], row["confidence"], re.compile(row["line"]), near, not_near,
        tuple(row["phases"]), row["fatal"], row["any_level"], row["prose"], tuple(row["cause"]), tuple(row["remedies"]),
        row["known_issue"], row["versions"], row["source"], row.get("last_words", False),
    )  # fmt: skip
