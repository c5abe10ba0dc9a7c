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


# Sequences of a terminal, whole or cut at the end of the line; controls; marks that turn the direction of text or hide.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b|\^\[\[|\\x1b\[|\\033\[|\\e\[|\\u001[bB]\[)[0-?]*[ -/]*(?:[@-~]|$)"  # CSI, also as some viewers spell it
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c|$)"  # OSC, DCS and their kind
    r"|\x1b[ -/]*[0-~]?"
    r"|\[(?:\d{1,3}(?:;\d{1,3}){0,6})m"  # a colour whose escape was lost
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
)
_CLOCK = r"\d\d:\d\d:\d\d(?:[.,]\d+)?"
_DATE = r"\d{4}[-/]\d\d[-/]\d\d"
_STAMP = rf"(?:{_DATE}[T ]{_CLOCK}(?:Z|\s?[+-]\d\d:?\d\d)?)"
_MONTH = rf"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\s+\d{{1,2}} {_CLOCK}"
_UNIT = r"[\w.-]{1,80} [\w./@:-]{1,80}\[\d+\]:\s?"  # host unit[pid]:
# Taken off the front, again and again, until none of them stands there.
_FRONT = re.compile(
    r"\s*(?:"
    rf"(?:<\d{{1,3}}>(?:1 )?)?{_STAMP}(?:\s+std(?:out|err)\s+[FP])?(?:\s+{_UNIT}|\s+|$)"  # container runtimes, journald
    rf"|{_MONTH} (?:{_UNIT}|[\w.-]{{1,80}} [\w./@-]{{1,80}}:\s)?"  # journald, syslog
    rf"|\[\s*\d+\.\d{{3,9}}\]\s(?={_UNIT}){_UNIT}"  # journald by the clock of the boot
    rf"|\[?{_CLOCK}\]?\s"
    r"|\[pod/[^\]]{1,300}\]\s?"  # kubectl logs --prefix
    r"|[\w.@-]{1,100}\s{0,30}\|(?:\s|$)"  # compose, swarm
    r"|[a-z0-9][\w.-]{1,80} [a-z0-9][\w.-]{0,80} (?:\u203a )?(?=\((?:APIServer|EngineCore|Worker|VllmWorker)|(?:INFO|WARNING|ERROR)[ :]|\[\d{4}-)"  # stern
    r"|\[(?:rank|default)\d+\]:\s?"  # torchrun
    r"|\[\d+,\d+\]<std(?:out|err)>:\s?"  # mpirun
    r"|\d{1,4}: (?=\(|INFO|WARNING|ERROR|\[\d{4}|Traceback|  File|\w+Error)"  # srun --label
    r")"
)
_PROCESS = re.compile(
    r"\s*\((?:(?P<name>(?:VLLM::)?(?:APIServer|ApiServer|EngineCore|Worker|VllmWorker|RayWorker|AsyncLLM|DPCoordinator|Engine|Rank)[\w.-]*)"
    r"(?: (?:pid|rank|dp_rank|ip)=[^)]{0,200})?|(?P<other>[A-Za-z][\w.:-]{0,80}) pid=\d[^)]{0,200})\)\s?"
)
_VLLM = re.compile(
    rf"\s*(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL)(?:[: ]\s*|$)(?:(?:{_DATE}|\d\d-\d\d) {_CLOCK} )?(?:\[?[\w./-]+\.py:\d+\]? ?)?"
)
_SGLANG = re.compile(rf"\s*\[{_STAMP}(?: (?P<name>(?:DP|TP|EP|PP)[\w ]{{0,40}}))?\]\s?")


def visible(text: str) -> str:
    """``text`` without sequences of a terminal, controls but tab and line end, and marks that hide or turn text.

    >>> visible("a\\x1b[31mred\\x1b[0m \\x1b]52;c;cm0=\\x07b")
    'ared b'
    """
    if text.isprintable():
        return _ESCAPES.sub("", text) if "m" in text and "[" in text else text
    return _ESCAPES.sub("", text)


def clean_line(number: int, raw: str) -> LogLine:
    """A raw line without prefixes; what cannot be told apart from the message stays with it.

    >>> clean_line(7, "vllm-1  | (Worker_TP3 pid=41) ERROR 11-23 01:37:53 [multiproc.py:966] RuntimeError: no")
    LogLine(number=7, process='Worker_TP3', level='ERROR', text='RuntimeError: no')
    """
    text = visible(raw)
    process = level = None
    while text and (found := _FRONT.match(text)):
        text = text[found.end() :]
    if found := _PROCESS.match(text):
        process, text = found["name"] or found["other"], text[found.end() :]
    if found := _SGLANG.match(text):
        process, text = found["name"] or process, text[found.end() :]
    if found := _VLLM.match(text):
        level, text = found["level"], text[found.end() :]
    if process is None and (found := _PROCESS.match(text)):
        process, text = found["name"] or found["other"], text[found.end() :]
    return LogLine(number, process, level, text.rstrip())
