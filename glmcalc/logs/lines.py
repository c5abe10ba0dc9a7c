"""One line of a log without what stands around it: colours, container and pod names, timestamps, the process that spoke."""

from __future__ import annotations

import re

from glmcalc.facts.frozen import record


@record
class LogLine:
    """One line.

    Attributes:
        number: counted from 1.
        process: who printed it (``Worker_TP3``, ``EngineCore``, ``TP0``), or None.
        level: ``INFO``, ``WARNING``, ``ERROR`` … or None.
        text: the message.
    """

    number: int
    process: str | None
    level: str | None
    text: str


_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])|[\x00-\x08\x0b-\x1f\x7f]")
_STAMP = r"(?:\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?)"
# Taken off the front, again and again, until none of them stands there.
_FRONT = re.compile(
    r"\s*(?:"
    rf"{_STAMP}\s+(?:std(?:out|err)\s+[FP]\s+)?"  # container runtimes
    r"|\[pod/[^\]]+\]\s"  # kubectl logs --prefix
    r"|[\w.-]{1,60}\s{1,20}\|\s?"  # compose
    r"|(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\s+\d{1,2} \d\d:\d\d:\d\d [\w.-]+ [\w./@-]+(?:\[\d+\])?:\s"  # journald
    r"|\[rank\d+\]:\s?"  # torchrun
    r")"
)
_PROCESS = re.compile(
    r"\s*\((?P<name>(?:VLLM::)?(?:APIServer|EngineCore|Worker|VllmWorker|RayWorker|AsyncLLM|DPCoordinator|Engine|Rank)[\w.-]*)"
    r"(?: (?:pid|rank|dp_rank|ip)=[^)]*)?\)\s?"
)
_VLLM = re.compile(
    r"\s*(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL)[: ]\s*(?:\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)? )?(?:\[?[\w./-]+\.py:\d+\]? ?)?"
)
_SGLANG = re.compile(r"\s*\[" + _STAMP[3:-1] + r"(?: (?P<name>(?:DP|TP|EP|PP)[\w ]*))?\]\s?")


def clean_line(number: int, raw: str) -> LogLine:
    """A raw line without prefixes; what cannot be told apart from the message stays with it.

    >>> clean_line(7, "vllm-1  | (Worker_TP3 pid=41) ERROR 11-23 01:37:53 [multiproc.py:966] RuntimeError: no")
    LogLine(number=7, process='Worker_TP3', level='ERROR', text='RuntimeError: no')
    """
    text = _ANSI.sub("", raw) if not raw.isprintable() else raw
    process = level = None
    while found := _FRONT.match(text):
        text = text[found.end() :]
    if found := _PROCESS.match(text):
        process, text = found["name"], text[found.end() :]
    if found := _SGLANG.match(text):
        process, text = found["name"] or process, text[found.end() :]
    if found := _VLLM.match(text):
        level, text = found["level"], text[found.end() :]
    if process is None and (found := _PROCESS.match(text)):
        process, text = found["name"], text[found.end() :]
    return LogLine(number, process, level, text.rstrip())
