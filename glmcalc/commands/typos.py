"""Mistyped flags, where the list of an engine's flags is not the whole list: only what is a slip away from a known one."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable

_SHORTEST = 8  # letters: shorter names of other flags lie a slip apart (--dp-size, --ep-size)
_LONG = 10  # letters from which two slips still leave no doubt
_LONGEST = 64


def slip_of(name: str, known: Iterable[str]) -> str | None:
    """The flag of ``known`` that ``name`` is a slip or two away from; None where it is one itself, or near none.

    >>> slip_of("--context-lenght", ["--context-length", "--host"])
    '--context-length'
    """
    letters = len(name.lstrip("-"))
    if not name.startswith("--") or not _SHORTEST <= letters <= _LONGEST:
        return None
    most = 2 if letters >= _LONG else 1
    near = [(slips(name, flag), flag) for flag in sorted(known) if abs(len(flag) - len(name)) <= most]
    count, flag = min(near, default=(most + 1, ""))
    return flag if 0 < count <= most else None


def slips(one: str, other: str) -> int:
    """Letters that are wrong, missing, too many, or two that changed places (optimal string alignment).

    >>> slips("lenght", "length"), slips("sise", "size"), slips("moes", "moe")
    (1, 1, 1)
    """
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        earlier, before, row = before, row, [i]
        for j, wanted in enumerate(other, start=1):
            least = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                least = min(least, earlier[j - 2] + 1)
            row.append(least)
    return row[-1]
