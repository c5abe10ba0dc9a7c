"""What differs between releases of the engine, and which release a version string means."""

from __future__ import annotations

import re
from functools import lru_cache

from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.facts.store import load_json, nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


ENGINES = ("vllm", "sglang", "llama.cpp")
NEWEST = "0.33.0"
_RELEASE = r"(?s)v?(\d{1,3})\.(\d{1,3})(?:\.(\d{1,3}))?(.*)"


@record
class EngineVersion:
    """A version of vLLM as far as its rules are known.

    Attributes:
        text: as given.
        release: the numbers compared, ``(0, 33, 0)``.
        certain: a release between the oldest and the newest whose rules were read; otherwise the nearest rules are
            used, bands are wider and no verdict is better than marginal.
        note: why it is not certain.
        fork: not built from the engine's own sources, whose memory terms do not hold.
    """

    text: str
    release: tuple[int, int, int]
    certain: bool
    note: str | None
    fork: bool = False


@record
class Ruling:
    """The value of a rule for one version; ``other`` is the second possibility where the release of the change is open."""

    value: Any
    other: Any
    source: str
    meaning: str

    def settled(self, value: Any) -> Ruling:
        """The same where a log shows which of the possibilities holds."""
        return Ruling(value, None, self.source, self.meaning)


def parse_version(text: str) -> EngineVersion:
    """Read a version string: ``0.33.0``, ``v0.23.1rc1.dev1201+gd08eebad1``, ``0.26.0-fork``.

    Raises:
        InputError: no release number in it.
    """
    facts = load_json("engine_versions.json")
    if text == facts["newest_known"]:  # what most ask for
        return EngineVersion(text, _numbers(text), True, None)
    match = re.fullmatch(_RELEASE, text.strip()) if len(text) <= 200 else None
    if match is None:
        if len(text) <= 200 and re.search(r"fork|nightly|main|\bdev|vdev|20\d\d-\d\d", text.lower()):
            unnamed = f"{text} names no release; the rules of {NEWEST} are used"
            return EngineVersion(text, _numbers(NEWEST), False, unnamed, "fork" in text.lower())
        raise InputError("engine_version", text, f"a vLLM release such as {NEWEST}")
    release = (int(match[1]), int(match[2]), int(match[3] or 0))
    tail = match[4].strip()
    note: str | None = None
    fork = "fork" in tail.lower() or bool(re.search(r"\+(?!g[0-9a-f]{6,}\b|cu\d+\b)[a-z]", tail.lower()))
    if tail and not re.fullmatch(r"\.?post\d+|\+cu\d+|-cu\d+", tail):
        note = f"{text} is a development build or a fork; the rules of the nearest release are used"
    elif release > _numbers(facts["newest_known"]):
        note = f"{text} is newer than {facts['newest_known']}, the newest release whose rules are known; its rules are used"
    elif release < _numbers(facts["oldest_known"]):
        note = f"{text} is older than {facts['oldest_known']}, the oldest release whose rules are known; its rules are used"
    return EngineVersion(text, release, note is None, note, fork)


def known_engine(name: str) -> str:
    """The engine's name as known here.

    Raises:
        InputError: an unknown engine.
    """
    lowered = name.lower()
    if lowered not in ENGINES:
        close = nearest(lowered, ENGINES)
        hint = f" (did you mean {close}?)" if close else ""
        raise InputError("engine", name, f"{', '.join(ENGINES)}{hint}")
    return lowered


def check_engine(name: str) -> str:
    """The engine's name, where only vLLM is modelled.

    Raises:
        InputError: an unknown engine, or one that only ``glmcalc budget`` knows.
    """
    lowered = known_engine(name)
    if lowered != "vllm":
        raise InputError(
            "engine", name, "vllm",
            f"engine {lowered} is not taken here yet (budget, weights, speed, size and report take it); answering as for vllm would be wrong.",
        )  # fmt: skip
    return lowered


@lru_cache(maxsize=256)
def rule(name: str, version: EngineVersion) -> Ruling:
    """The rule ``name`` of ``data/engine_versions.json`` as it stands in ``version``."""
    row = _rules()[name]
    value, other = row["old"], None
    if version.release >= _numbers(row["since"]):
        value = row["new"]
    elif version.release > _numbers(row["until"]):
        other = row["new"]
    return Ruling(value, other, row["source"], row["meaning"])


def rules_that_differ(one: EngineVersion, other: EngineVersion) -> list[dict[str, Any]]:
    """Rules whose value is another in another version: ``id``, ``meaning``, ``from``, ``to``, ``open``, ``source``."""
    rows = []
    for name in _rules():
        old, new = rule(name, one), rule(name, other)
        if (old.value, old.other) != (new.value, new.other):
            rows.append({
                "id": name, "meaning": new.meaning, "from": old.value, "to": new.value,
                "open": old.other is not None or new.other is not None, "source": new.source,
            })  # fmt: skip
    return rows


@lru_cache(maxsize=1)
def _rules() -> dict[str, dict[str, Any]]:
    rows: list[dict[str, Any]] = load_json("engine_versions.json")["rules"]
    for row in rows:
        for field in ("source", "date", "kind"):
            if not row.get(field):
                raise InputError(
                    field, row.get(field), "present", f"engine_versions.json: rule {row.get('id')} has no {field}."
                )
    return {row["id"]: row for row in rows}


def _numbers(text: str) -> tuple[int, int, int]:
    major, minor, patch = text.split(".")
    return int(major), int(minor), int(patch)
