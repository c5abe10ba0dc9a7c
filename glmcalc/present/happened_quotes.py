"""Lines of a log as they are quoted: the telling words underlined, what lies between them left out, nothing of it markup."""

from __future__ import annotations

import re
from html import escape
from typing import Any, Iterable, Mapping, Sequence

from glmcalc.logs.grammar import line_rules
from glmcalc.logs.signatures import Signature

_AROUND, _WHOLE = 26, 150
"""Characters kept beside an underlined stretch; a line up to the second length is quoted whole."""
_TELLING = re.compile(
    r"Tried to allocate [\d.]+ [KMG]iB|of which [\d.]+ [KMG]iB is free|KV cache usage: [\d.]+ ?%|[\d.]+ [KMG]iB KV cache is needed"
    r"|available KV cache memory \(-?[\d.]+ [KMG]iB\)|estimated maximum model length is \d+|\(\d[\d.]*/[\d.]+ [KMG]iB\) on startup"
)
# Words of the patterns that say only what the tile says already.
_DULL = re.compile(r"(?i)^(?:cuda |hip |gpu )?(?:out of memory|outofmemoryerror|oom|error)$")


def quotes(evidence: Sequence[Mapping[str, Any]], signature: Signature | None) -> str:
    """The deciding lines in the order of the log, each with its number; empty where there are none."""
    if not evidence:
        return ""
    patterns = (signature.line, *signature.near) if signature else ()
    rows = "".join(
        f'<li><span class="gm-line">{row["line"]:,}</span><code>{quoted(row["text"], patterns)}</code></li>'
        for row in sorted(evidence, key=lambda row: int(row["line"]))
    )
    return f'<ol class="gm-quotes" aria-label="Lines of the log that decide">{rows}</ol>'


def quoted(text: str, patterns: Iterable[re.Pattern[str]] = ()) -> str:
    """One line as HTML: escaped, its telling words marked, a long one cut between them.

    >>> quoted("CUDA out of memory. Tried to allocate 8.00 GiB. <b>")
    'CUDA out of memory. <mark>Tried to allocate 8.00 GiB</mark>. &lt;b&gt;'
    """
    spans = _spans(text, patterns)
    parts, at = [], 0
    for start, end in spans:
        parts.append(_between(text[at:start], at == 0, False, len(text)))
        parts.append(f"<mark>{escape(text[start:end])}</mark>")
        at = end
    parts.append(_between(text[at:], at == 0, True, len(text)))
    return "".join(parts)


def _spans(text: str, patterns: Iterable[re.Pattern[str]]) -> list[tuple[int, int]]:
    """Stretches to underline, in order, none touching another."""
    found = [match.span() for match in _TELLING.finditer(text)]
    if not found:
        for pattern in patterns:
            found += [match.span() for match in pattern.finditer(text) if not _DULL.match(match[0])]
    if not found:
        for rule in line_rules("memory"):
            found += [match.span() for match in rule.pattern.finditer(text)]
    joined: list[tuple[int, int]] = []
    for start, end in sorted(span for span in found if span[1] - span[0] <= _WHOLE and span[0] < span[1]):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _between(text: str, first: bool, last: bool, whole: int) -> str:
    """What stands beside underlined words: whole in a short line, its ends in a long one."""
    if whole <= _WHOLE or (first and last) or len(text) <= 2 * _AROUND:
        return escape(text)
    head = "" if first else text[:_AROUND].rsplit(" ", 1)[0]
    tail = "" if last else text[-_AROUND:].split(" ", 1)[-1]
    cut = f"{escape(head)} … {escape(tail)}"
    return cut.lstrip() if first else cut.rstrip() if last else cut
