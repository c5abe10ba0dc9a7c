"""What differs between builds of llama.cpp (``data/engine_rules_llamacpp.json``), and which build a version string means."""

from __future__ import annotations

import re

from glmcalc.facts.engines import NEWEST, EngineVersion, Ruling
from glmcalc.facts.errors import InputError
from glmcalc.facts.evidence import with_provenance
from glmcalc.facts.store import load_json

_FILE = "engine_rules_llamacpp.json"
_NONE = (0, 0, 0)


def parse_llamacpp_version(text: str) -> EngineVersion:
    """Read a build of llama.cpp: the day or month of its commit (``2026-08``), a tag (``b9525``), ``master``.

    vLLM's default stands for a build of after all that is known here.

    Raises:
        InputError: neither.
    """
    if text in (NEWEST, "master", "latest", "main"):
        return EngineVersion("master", (9999, 12, 31), True, None)
    day = re.fullmatch(r"(20\d\d)-(\d\d)(?:-(\d\d))?", text.strip())
    if day:
        return EngineVersion(text, (int(day[1]), int(day[2]), int(day[3] or 28)), True, None)
    if re.fullmatch(r"b?\d{3,6}(-[\w.]+)?|[0-9a-f]{7,40}", text.strip().lower()):
        note = f"{text} does not say the day of the build; both rules of the indexer's cache are looked at"
        return EngineVersion(text, _NONE, False, note)
    raise InputError("engine_version", text, "a day such as 2026-08-31, a build tag such as b9525, or master")


def llamacpp_rule(name: str, version: EngineVersion) -> Ruling:
    """The rule ``name`` as it stands in ``version``; ``other`` is set where it is open."""
    row = next(row for row in with_provenance(load_json(_FILE)["rules"], _FILE) if row["id"] == name)
    day = "{:04d}-{:02d}-{:02d}".format(*version.release)
    if version.release != _NONE and day <= row["until"]:
        return Ruling(row["old"], None, row["source"], row["meaning"])
    if day >= row["since"]:
        return Ruling(row["new"], None, row["source"], row["meaning"])
    return Ruling(row["old"], row["new"], row["source"], row["meaning"])
