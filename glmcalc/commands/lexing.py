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
_RUN = re.compile(r"[^ \t\n'\"\\#$&|;<>2]+")
_QUOTED_RUN = re.compile(r"[^\"\\$]+")
_ENTITY = re.compile(
    r"&(?:#\d{1,6}|#[xX][0-9a-fA-F]{1,5}|amp|lt|gt|quot|apos|nbsp|dash|ndash|mdash|hyphen|bsol|dollar|equals|num|grave|lcub|rcub"
    r"|lbrace|rbrace|[lr]squo|[lr]dquo|hellip|lowbar|sol|colon|comma);"
)
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
    """Entities, typographic quotes, dashes and spaces of web pages as a shell would want them; escaped colours taken out."""
    if _ENTITY.search(text):
        import html

        text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
    for wrong, right in _TYPOGRAPHY.items():
        text = text.replace(wrong, right)
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)
    text = _COLLAPSED.sub(" ", _SHORT_DASH.sub("-", text))
    return _LONG_DASH.sub("--", text)


def join_continuations(text: str) -> tuple[list[str], bool, dict[int, list[str]]]:
    """Logical lines; whether the text ends in a continuation mark: it was cut off; and what a shell would not have joined.

    A line that starts with a flag continues the one before it even without a mark, as in pages that lost them. A blank or
    comment line after a mark ends a command in a shell; what follows is joined all the same, and its first words are named
    by the place of the logical line.
    """
    joined: list[list[str]] = []
    ended: dict[int, list[str]] = {}
    open_mark = cut = gap = blank = False
    for raw in text.split("\n"):
        trimmed = raw.rstrip(" \t")
        mark = trimmed.endswith(CONTINUATIONS)
        body = trimmed[:-1].rstrip(" \t") if mark else raw
        flag = re.match(r"\s*--?[A-Za-z]", body) is not None
        if joined and open_mark and (not body.strip() or body.lstrip().startswith("#")):
            gap, blank = True, blank or not body.strip()
            continue
        follows = flag or (open_mark and not blank)
        if joined and joined[-1][0].strip() and follows and body.strip():
            joined[-1].append(body.lstrip() if flag else body.strip())
            if gap:
                ended.setdefault(len(joined) - 1, []).append(body.split()[0].partition("=")[0])
        else:
            joined.append([body])
            gap = False
        open_mark, blank = mark, False
        if raw.strip():
            cut = open_mark
    return [" ".join(pieces) for pieces in joined], cut, ended


def split_line(text: str) -> list[Line]:
    """Simple commands of one logical line (which may hold newlines inside quotes)."""
    lines: list[Line] = []
    words: list[str] = []
    word: list[str] | None = None  # its pieces, none of them empty
    at, size = 0, len(text)
    while at < size:
        char = text[at]
        operator = _operator(text, at, word)
        if operator or char in " \t\n":
            if word is not None:
                words.append("".join(word))
                word = None
            if operator:
                lines.append(Line(tuple(words), None, operator))
                words = []
            at += len(operator or char)
        elif char == "#" and word is None:
            end = text.find("\n", at)
            at = size if end < 0 else end
        else:
            piece, after, closed = _piece(text, at)
            word = word or []
            if piece:
                word.append(piece)
            if not closed:
                lines.append(Line((*words, "".join(word)), f"{char} at {text[at : at + 24]!r}", ""))
                return lines
            at = after
    if word is not None:
        words.append("".join(word))
    if words:
        lines.append(Line(tuple(words), None, ""))
    return lines


def _piece(text: str, at: int) -> tuple[str, int, bool]:
    """The part of a word that begins at ``at``: quoted, escaped, an expansion, or plain; where it ends; whether it does."""
    char = text[at]
    if char in "'\"":
        return _quoted(text, at)
    if char == "\\" and at + 1 < len(text):
        after = text[at + 1]
        kept = after if not after.isalnum() else "\\" + after
        return LITERAL_DOLLAR if kept == "$" else "" if kept == "\n" else kept, at + 2, True
    if text[at : at + 2] in ("$(", "${"):
        return *_expansion(text, at), True
    run = _RUN.match(text, at)
    return (run[0], run.end(), True) if run else (char, at + 1, True)


def _operator(text: str, at: int, word: list[str] | None) -> str | None:
    if text[at] not in "&|;<>2":
        return None
    if text[at] == "2" and (word is not None or not text.startswith("2>", at)):
        return None
    if text[at] == "<" and re.match(r"<[A-Za-z_ .-]+>", text[at : at + 40]):
        return None  # a placeholder such as <model>
    if text[at] == ">" and word and word[0].startswith("<"):
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
        run = _QUOTED_RUN.match(text, at)
        out.append(run[0] if run else char)
        at += len(out[-1])
    return "".join(out), at, False


def _expansion(text: str, at: int) -> tuple[str, int]:
    """``$(…)`` or ``${…}`` as one piece, so that blanks inside do not end a word."""
    closing = ")" if text[at + 1] == "(" else "}"
    end = text.find(closing, at, at + 400)
    if end < 0:
        return text[at : at + 2], at + 2
    return text[at : end + 1], end + 1
