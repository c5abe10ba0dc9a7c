"""What differs between releases of SGLang (``data/engine_rules_sglang.json``), and which release a version string means."""

from __future__ import annotations

import re
from functools import lru_cache

from glmcalc.facts.engines import NEWEST, EngineVersion, Ruling
from glmcalc.facts.errors import InputError
from glmcalc.facts.evidence import with_provenance
from glmcalc.facts.store import load_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_RELEASE = re.compile(r"v?(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?:[.-]?post(\d+))?(.*)", re.DOTALL)
_FILE = "engine_rules_sglang.json"


def parse_sglang_version(text: str) -> EngineVersion:
    """Read a version of SGLang: ``0.5.18``, ``v0.5.13.post1``, ``main b95a746``; vLLM's default stands for the newest.

    Raises:
        InputError: no release number of SGLang in it.
    """
    facts = load_json(_FILE)
    newest = str(facts["newest_known"])
    if text == NEWEST:
        return EngineVersion(newest, _numbers(newest), True, None)
    match = _RELEASE.fullmatch(text.strip()) if len(text) <= 200 else None
    if match is None:
        if len(text) <= 200 and re.search(r"fork|nightly|main|\bdev|20\d\d-\d\d|latest", text.lower()):
            note = f"{text} names no release of SGLang; the rules of {newest} are used"
            return EngineVersion(text, _numbers(newest), False, note, "fork" in text.lower())
        raise InputError("engine_version", text, f"an SGLang release such as {newest}")
    release = (int(match[1]), int(match[2]), int(match[3]))
    note_: str | None = None
    if release >= (0, 6, 0):
        raise InputError("engine_version", text, f"an SGLang release such as {newest}")
    if match[5].strip() and not re.fullmatch(r"-cu\d+\w*|\+cu\d+", match[5].strip()):
        note_ = f"{text} is a development build or a fork of SGLang; the rules of the nearest release are used"
    elif release > _numbers(newest):
        note_ = f"{text} is newer than {newest}, the newest SGLang whose rules are known; its rules are used"
    elif release < _numbers(str(facts["oldest_known"])):
        note_ = (
            f"{text} is older than {facts['oldest_known']}, the oldest SGLang whose rules are known; its rules are used"
        )
    return EngineVersion(text, release, note_ is None, note_, "fork" in text.lower())


def is_open_build(version: EngineVersion) -> bool:
    """Whether the version is a build between releases, or a fork, of which neither side of a change can be excluded."""
    return not version.certain and ("no release" in str(version.note) or "development build" in str(version.note))


def sglang_rule(name: str, version: EngineVersion) -> Ruling:
    """The rule ``name`` as it stands in ``version``; ``other`` is set where its release is open.

    Of a build between releases both values of what decides bytes a token are possible.
    """
    row = _rules()[name]
    if name.startswith(("indexer_caches", "fp8_record_sm12x")) and is_open_build(version):
        return Ruling(row["old"], row["new"], row["source"], row["meaning"])
    value, other = row["old"], None
    if version.release >= _numbers(row["since"]):
        value = row["new"]
    elif version.release > _numbers(row["until"]):
        other = row["new"]
    return Ruling(value, other, row["source"], row["meaning"])


@lru_cache(maxsize=1)
def _rules() -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in with_provenance(load_json(_FILE)["rules"], _FILE)}


def _numbers(text: str) -> tuple[int, int, int]:
    major, minor, patch = text.split(".")
    return int(major), int(minor), int(patch)
