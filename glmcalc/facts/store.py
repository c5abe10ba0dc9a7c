"""Reading ``data/``: the same from a checkout, a wheel and a single-file archive."""

from __future__ import annotations

import json
import os
from functools import cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable


_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def read_text(name: str) -> str:
    """Text of ``data/<name>``.

    Goes through the module's loader, because inside a zip there is no file to open.

    Raises:
        FileNotFoundError: no such file, in the package or beside it.
    """
    parts = name.split("/")
    loader: Any = globals()["__spec__"].loader
    for root in (_PACKAGE, os.path.dirname(_PACKAGE)):
        try:
            return str(loader.get_data(os.path.join(root, "data", *parts)), "utf-8")
        except OSError:
            continue
    raise FileNotFoundError(f"data/{name}")


@cache
def load_json(name: str) -> Any:
    """``data/<name>`` as JSON. Shared between callers: do not change what it returns."""
    return json.loads(read_text(name))


@cache
def load_jsonl(name: str) -> list[dict[str, Any]]:
    """``data/<name>``, one JSON object a line."""
    return [json.loads(line) for line in read_text(name).splitlines() if line.strip()]


@cache
def load_csv(name: str) -> list[dict[str, str]]:
    """``data/<name>`` as rows of text; an empty cell is the empty string and means unknown."""
    from _csv import reader  # the module csv around it imports much that reading a table needs not

    head, *rows = reader(read_text(name).splitlines())
    return [dict(zip(head, row)) for row in rows if row]


def csv_row(name: str, key: str) -> dict[str, str] | None:
    """The row of ``data/<name>`` whose first cell is ``key``, without reading the others; None when there is none.

    The first cell of these tables is an id: a word, never in quotes.
    """
    from _csv import reader

    if not key or "," in key or '"' in key:
        return None
    head, *lines = read_text(name).splitlines()
    for line in lines:
        if line.startswith(f"{key},"):
            names, row = reader([head, line])
            return dict(zip(names, row))
    return None


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The closest of ``names`` to a mistyped ``name``, or None when none is close."""
    import difflib

    options = list(names)
    lowered = {option.lower(): option for option in options}
    found = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.6)
    return lowered[found[0]] if found else None
