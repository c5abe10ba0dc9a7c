"""Lines as the engine printed them, out of what a collector made of them: JSON records, parts of a long line, pasted heaps."""

from __future__ import annotations

import re

from glmcalc.logs.lines import LogLine, clean_line, visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable, Iterator

# Where a record holds its text. Docker and Fluent Bit; Python's JSON formatters; journald; structlog; Loki; Google's and
# Datadog's exports. "line" comes late: some engines put a line number there.
_TEXTS = ("log", "message", "msg", "MESSAGE", "event", "textPayload", "line", "body")
_NESTED = ("jsonPayload", "content", "attributes")
_TRACES = ("exc_info", "exception", "stack_info", "traceback")
_LEVELS = ("levelname", "level", "severity", "log.level")
_NAMES = ("processName", "process_name")
_STRINGS = re.compile(r'"([A-Za-z][\w.]{0,60})"\s{0,4}:\s{0,4}"((?:[^"\\]|\\.)*)')
_RECORD = re.compile(r"[^{\"]{0,200}(\{\s*\".*)", re.DOTALL)
_PART = re.compile(
    r"(?P<front>.{0,200}?\d{4}-\d\d-\d\dT[\d:.,]+(?:Z|[+-]\d\d:\d\d) (?P<stream>std(?:out|err)) )(?P<flag>[FP]) "
)
_HEAP = re.compile(
    r"(?<=\S)\s+(?=\((?:APIServer|EngineCore|Worker|VllmWorker)[\w.-]* pid=\d+\) (?:INFO|WARNING|ERROR|DEBUG)\b"
    r"|(?:INFO|WARNING|ERROR) \d\d-\d\d \d\d:\d\d:\d\d |\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?: [TDEP]P\d+)*\] )"
)
_DEEPEST = 3  # a collector's record of a runtime's record of an engine's
_MOST_HELD = 64_000


def unwrapped(lines: Iterable[tuple[int, str]]) -> Iterator[LogLine]:
    """The engine's own lines; several with one number where a record holds a traceback, none for part of a line."""
    held: dict[str, tuple[int, str]] = {}
    for number, raw in lines:
        part = _PART.match(raw) if " P " in raw or held else None
        if part is not None:
            stream = part["stream"]
            if stream in held:
                number, before = held.pop(stream)
                raw = before + raw[part.end() :]
            if part["flag"] == "P" and len(raw) < _MOST_HELD:
                held[stream] = (number, raw)
                continue
        yield from _opened(number, raw)
    for number, raw in held.values():
        yield from _opened(number, raw)


def _opened(number: int, raw: str, depth: int = 0) -> Iterator[LogLine]:
    for text in raw.split("\r") if "\r" in raw else (raw,):
        if '":' in text and depth < _DEEPEST:
            record = _record(text)
            if record is not None:
                yield from _of_record(number, record, depth)
                continue
        for single in _HEAP.split(text) if len(text) > 1000 else (text,):
            yield clean_line(number, single)


def _of_record(number: int, record: dict[str, Any], depth: int) -> Iterator[LogLine]:
    level = next((record[name] for name in _LEVELS if isinstance(record.get(name), str)), None)
    process = next((record[name] for name in _NAMES if isinstance(record.get(name), str)), None)
    traces = [record[name] for name in _TRACES if isinstance(record.get(name), str)]
    for text in (_text(record), *traces):
        for single in (text or "").rstrip("\n").split("\n"):
            for line in _opened(number, single, depth + 1):
                if line.level is None and level is not None:
                    line = LogLine(number, line.process or process, _level(level), line.text)
                yield line


def _level(name: str) -> str | None:
    upper = name.upper()
    upper = {"WARN": "WARNING", "ERR": "ERROR", "FATAL": "CRITICAL", "TRACE": "DEBUG"}.get(upper, upper)
    return upper if upper in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL") else None


def _record(text: str) -> dict[str, Any] | None:
    """The JSON object of a line, if it holds a text of a log; of one that is cut, that text as far as it goes."""
    text = visible(text)
    found = _RECORD.match(text)
    if found is None or clean_line(0, text[: found.start(1)]).text:
        return None
    import json

    try:
        record = json.loads(found[1].rstrip().rstrip(","))
    except (ValueError, RecursionError):
        record = {}
        for name, value in _STRINGS.findall(found[1]):
            record.setdefault(name, _unescaped(value))
    return record if isinstance(record, dict) and _text(record) is not None else None


def _text(record: dict[str, Any]) -> str | None:
    for name in _TEXTS:
        value = record.get(name)
        if isinstance(value, str):
            return value
        codes = value if name == "MESSAGE" and isinstance(value, list) else []
        if codes and all(isinstance(code, int) and 0 <= code < 256 for code in codes):
            return bytes(codes).decode("utf-8", "replace")  # journald writes text with colours as numbers
    for name in _NESTED:
        inner = record.get(name)
        if isinstance(inner, dict) and name not in inner:
            found = _text({key: value for key, value in inner.items() if key not in _NESTED})
            if found is not None:
                return found
    return None


_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)")
_PLAIN = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda m: chr(int(m[1][1:], 16)) if len(m[1]) == 5 else _PLAIN.get(m[1], m[1]), text)
