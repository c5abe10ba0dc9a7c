"""The flags of ``vllm serve``: which there are, whether they take a value, and whether they move GPU memory."""

from __future__ import annotations

import json
import math
import re
from functools import cache, lru_cache

from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.facts.store import load_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


_SCALES = {
    "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40,
}  # fmt: skip
_HUMAN = r"(-?\d{1,18}(?:\.\d{1,12})?)([kKmMgGtT])"


@record
class Flag:
    """One flag: its names, arity (0 switch, 1 value, -1 one or more), type, and effect on GPU memory.

    ``heavy`` ones can move GiB without being modelled, but for their ``neutral`` values; ``stated`` ones have no effect and are settings all the same.
    """

    names: tuple[str, ...]
    arity: int
    type: str
    effect: str
    why: str | None
    retired: bool
    heavy: bool = False
    stated: bool = False
    neutral: tuple[str, ...] = ()

    @property
    def setting(self) -> str:
        """The name with underscores, as settings have it."""
        return self.names[0].lstrip("-").replace("-", "_")


@lru_cache(maxsize=1)
def _rows() -> dict[str, dict[str, Any]]:
    return {name: row for row in load_json("vllm_flags.json")["flags"] for name in row["names"]}


@cache
def _flag(name: str) -> Flag:
    row = _rows()[name]
    retired, heavy, stated = (bool(row.get(mark)) for mark in ("retired", "heavy", "stated"))
    return Flag(
        tuple(row["names"]), row["arity"], row["type"], row["effect"], row.get("why"), retired, heavy, stated,
        tuple(row.get("neutral", ())),
    )  # fmt: skip


def flag_names() -> list[str]:
    """All names, long and short."""
    return list(_rows())


def find_flag(name: str) -> tuple[Flag | None, list[str]]:
    """The flag that ``name`` means, as the engine's parser would take it, and the candidates where it is ambiguous.

    Dashes and underscores are alike; a prefix that only one flag has stands for it.
    """
    rows = _rows()
    if not name.startswith("--"):
        return (_flag(name) if name in rows else None), []
    wanted = "--" + name[2:].replace("_", "-")
    if wanted in rows:
        return _flag(wanted), []
    if len(wanted) < 5:
        return None, []
    matches = sorted(
        {row["names"][0] for known, row in rows.items() if known.startswith(wanted) and not row.get("retired")}
    )
    if len(matches) == 1:
        return _flag(matches[0]), []
    return None, matches


def flag_arity(name: str) -> int | None:
    """Whether ``name`` is a flag of ``vllm serve``, and how many values it takes: 0, 1, -1 for more; None: none of its flags."""
    bare = name.split(".", 1)[0]
    negated = re.sub(r"^--no[-_]", "--", bare)
    flag, _ = find_flag(bare)
    if flag is None and negated != bare:
        flag, _ = find_flag(negated)
        return 0 if flag is not None and flag.arity == 0 else None
    return flag.arity if flag is not None else None


def convert(flag: Flag, text: str) -> Any:
    """``text`` as the type of ``flag``.

    Raises:
        InputError: not of that type; names the setting, the value and what is allowed.
    """
    name = flag.setting
    if flag.type == "int":
        return _whole(name, text)
    if flag.type in ("human", "len"):
        if flag.type == "len" and text.strip().lower() == "auto":
            return "auto"
        return human_int(name, text)
    if flag.type == "float":
        return number(name, text)
    if flag.type == "json":
        return parse_json(name, text)
    return text


def number(name: str, text: str) -> float:
    """A finite number.

    Raises:
        InputError: none.
    """
    try:
        value = float(text)
    except ValueError:
        raise InputError(name, text, "a number") from None
    if not math.isfinite(value):
        raise InputError(name, text, "a finite number")
    return value


def human_int(name: str, text: str) -> int:
    """A whole number as vLLM reads it: ``128k`` is 128,000, ``128K`` 131,072; also plain digits and -1.

    Raises:
        InputError: neither.
    """
    cleaned = text.strip()
    match = re.fullmatch(_HUMAN, cleaned) if cleaned[-1:] in _SCALES else None
    if match is None:
        return _whole(name, text, "a whole number, or one with k, m, g (decimal) or K, M, G (binary)")
    scale = _SCALES[match[2]]
    if "." in match[1] and match[2].isupper():
        raise InputError(name, text, "a whole number before K, M, G or T")
    return int(float(match[1]) * scale) if "." in match[1] else int(match[1]) * scale


def parse_json(name: str, text: str) -> Any:
    """A JSON value of a flag.

    Raises:
        InputError: not JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        hint = " The shell took its double quotes; put it in single quotes." if re.match(r"\{\w+:", text) else ""
        raise InputError(
            name, text, "JSON", f"{name}: {text[:80]!r} is not valid JSON ({str(error)[:80]}).{hint}"
        ) from None


def _whole(name: str, text: str, allowed: str = "a whole number") -> int:
    cleaned = text.strip()
    digits = cleaned[1:] if cleaned[:1] in ("+", "-") else cleaned
    if not digits.isdecimal() or len(digits) > 30:
        raise InputError(name, text, allowed)
    return int(cleaned)
