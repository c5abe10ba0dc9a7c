"""From text to words: quotes, escapes, comments, operators and line continuations, as a shell reads them.

Differs from ``shlex`` where pastes differ from scripts: a backslash before a letter is kept (Windows paths), a quote
that never closes spoils only its own line, and text in single quotes keeps its dollars apart from those that expand.
"""

from __future__ import annotations

import re

from glmcalc.commands.variables import LITERAL_DOLLAR, LITERAL_PERCENT
from glmcalc.facts.frozen import record

_OPERATORS = ("&&", "||", ">>", "<<", "2>&1", "&>", "|", ";", "&", ">", "<")
_TYPOGRAPHY = {
    "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u2018": "'", "\u2019": "'", "\u201a": "'",
    "\u00a0": " ", "\u2007": " ", "\u202f": " ", "\u3000": " ", "\u200b": "", "\ufeff": "", "\r\n": "\n", "\r": "\n",
}  # fmt: skip
_LONG_DASH = re.compile(r"(?<!\S)[\u2013\u2014\u2212\u2012](?=[A-Za-z])|(?<!\S)[\u2013\u2014\u2212]-(?=[A-Za-z])")
_SHORT_DASH = re.compile(r"(?<!\S)[\u2013\u2212](?=(?:tp|pp|dp|dcp|ep|q|m|c|ngl)\b)")
_COLLAPSED = re.compile(r"(?<=\s)\\[ \t]+(?=--?[A-Za-z])")  # a continuation mark whose line end a web page lost
CONTINUATIONS = ("\\", "^", "`")


@record
class Line:
    """Words of one simple command.

    Attributes:
        words: with :data:`LITERAL_DOLLAR` for dollars that do not expand.
        unclosed: column of a quote that never closes, or None.
        operator: what ended the command (``|``, ``&&``, newline as an empty string).
    """

    words: tuple[str, ...]
    unclosed: str | None
    operator: str


def straighten(text: str) -> str:
    """Typographic quotes, dashes and spaces of web pages as a shell would want them; escaped colours taken out."""
    for wrong, right in _TYPOGRAPHY.items():
        text = text.replace(wrong, right)
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)
    text = _COLLAPSED.sub(" ", _SHORT_DASH.sub("-", text))
    return _LONG_DASH.sub("--", text)


def join_continuations(text: str) -> tuple[list[str], bool]:
    """Logical lines, and whether the text ends in a continuation mark: it was cut off.

    A line that starts with a flag continues the one before it even without a mark, as in pages that lost them.
    """
    joined: list[list[str]] = []
    open_mark = cut = False
    for raw in text.split("\n"):
        trimmed = raw.rstrip(" \t")
        mark = trimmed.endswith(CONTINUATIONS)
        body = trimmed[:-1].rstrip(" \t") if mark else raw
        flag = re.match(r"\s*--?[A-Za-z]", body) is not None
        comment = body.lstrip().startswith("#")
        if joined and open_mark and comment:
            continue
        if joined and joined[-1][0].strip() and (open_mark or flag) and body.strip():
            joined[-1].append(body.lstrip() if flag else body.strip())
        else:
            joined.append([body])
        open_mark = mark
        if raw.strip():
            cut = open_mark
    return [" ".join(pieces) for pieces in joined], cut


def split_line(text: str) -> list[Line]:
    """Simple commands of one logical line (which may hold newlines inside quotes)."""
    lines: list[Line] = []
    words: list[str] = []
    word: str | None = None
    at, size = 0, len(text)
    while at < size:
        char = text[at]
        if char in " \t\n":
            if word is not None:
                words.append(word)
                word = None
            at += 1
        elif char in "'\"":
            start = at
            piece, at, closed = _quoted(text, at)
            if not closed:
                lines.append(Line((*words, (word or "") + piece), f"{char} at {text[start : start + 24]!r}", ""))
                return lines
            word = (word or "") + piece
        elif char == "\\" and at + 1 < size:
            nxt = text[at + 1]
            kept = nxt if not nxt.isalnum() else "\\" + nxt
            word = (word or "") + (LITERAL_DOLLAR if kept == "$" else "" if kept == "\n" else kept)
            at += 2
        elif char == "#" and word is None:
            end = text.find("\n", at)
            at = size if end < 0 else end
        elif char == "$" and text[at : at + 2] in ("$(", "${"):
            piece, at = _expansion(text, at)
            word = (word or "") + piece
        else:
            operator = _operator(text, at, word)
            if operator:
                if word is not None:
                    words.append(word)
                    word = None
                lines.append(Line(tuple(words), None, operator))
                words = []
                at += len(operator)
            else:
                word = (word or "") + char
                at += 1
    if word is not None:
        words.append(word)
    if words:
        lines.append(Line(tuple(words), None, ""))
    return lines


def _operator(text: str, at: int, word: str | None) -> str | None:
    if text[at] not in "&|;<>2":
        return None
    if text[at] == "2" and (word is not None or not text.startswith("2>", at)):
        return None
    if text[at] == "<" and re.match(r"<[A-Za-z_ .-]+>", text[at : at + 40]):
        return None  # a placeholder such as <model>
    if text[at] == ">" and word is not None and word.startswith("<"):
        return None
    for operator in _OPERATORS:
        if text.startswith(operator, at):
            return operator
    return "2>" if text.startswith("2>", at) else None


def _quoted(text: str, at: int) -> tuple[str, int, bool]:
    """Text inside the quote that opens at ``at``; where it ends; whether it does."""
    quote = text[at]
    if quote == "'":
        end = text.find("'", at + 1)
        if end < 0:
            return text[at + 1 :], len(text), False
        inside = text[at + 1 : end].replace("$", LITERAL_DOLLAR).replace("%", LITERAL_PERCENT)
        return inside, end + 1, True
    out: list[str] = []
    at += 1
    while at < len(text):
        char = text[at]
        if char == '"':
            return "".join(out), at + 1, True
        if char == "\\" and at + 1 < len(text) and text[at + 1] in '"\\$`\n':
            nxt = text[at + 1]
            out.append(LITERAL_DOLLAR if nxt == "$" else "" if nxt == "\n" else nxt)
            at += 2
            continue
        if char == "$" and text[at : at + 2] in ("$(", "${"):
            piece, at = _expansion(text, at)
            out.append(piece)
            continue
        out.append(char)
        at += 1
    return "".join(out), at, False


def _expansion(text: str, at: int) -> tuple[str, int]:
    """``$(…)`` or ``${…}`` as one piece, so that blanks inside do not end a word."""
    closing = ")" if text[at + 1] == "(" else "}"
    end = text.find(closing, at)
    if end < 0 or end - at > 400:
        return text[at : at + 2], at + 2
    return text[at : end + 1], end + 1
