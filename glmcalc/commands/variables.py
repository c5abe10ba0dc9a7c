"""Shell variables and placeholders in the words of a command."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Mapping

LITERAL_DOLLAR = "\ue000"  # a dollar that does not expand, until the end of the reading
LITERAL_PERCENT = "\ue001"
# Compiled at first use: most words hold nothing that expands.
_VARIABLE = (
    r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::?[-=]([^}]*))?\}|\$\(([A-Za-z_][A-Za-z0-9_]*)\)|\$([A-Za-z_][A-Za-z0-9_]*)"
    r"|%([A-Za-z_][A-Za-z0-9_]*)%"
)
_MOST_PUT_IN, _LONGEST_VALUE = 64, 20_000  # values that name each other would grow without end
_LEFT_OPEN = r"\$[\w({@*]|%[A-Za-z_]\w*%|<[^<>]*>|__[A-Z][A-Z0-9_]*__|\{\{|^\.\.\.$"
_MARKS = ("$", "%", "<", "__", "{{", "...", LITERAL_DOLLAR, LITERAL_PERCENT)  # one of them is in whatever these match


def expand(word: str, variables: Mapping[str, str]) -> tuple[str, bool]:
    """``word`` with variables put in, and whether something in it stays open (a variable, a placeholder)."""

    if not any(mark in word for mark in _MARKS):
        return word, False

    def put(match: re.Match[str]) -> str:
        name = match[1] or match[3] or match[4] or match[5]
        if name in variables:
            return variables[name]
        if match[2] is not None:
            return str(match[2])
        return str(match[0])

    for _ in range(4):
        after = re.sub(_VARIABLE, put, word, count=_MOST_PUT_IN)
        if after == word or len(after) > len(word) + _LONGEST_VALUE:
            break
        word = after
    still_open = re.search(_LEFT_OPEN, word) is not None
    return word.replace(LITERAL_DOLLAR, "$").replace(LITERAL_PERCENT, "%"), still_open
