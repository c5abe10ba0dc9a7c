"""What a line of a log cannot be blamed for: advice, warnings, requests that failed alone, errors that follow from others."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from glmcalc.logs.lines import LogLine

QUIET = ("INFO", "WARNING", "DEBUG")

# An error that only says that there was another one.
_SECONDARY = re.compile(
    r"EngineDeadError|EngineCore (?:encountered|died|failed|hit an exception)|Engine core (?:initialization failed|proc)|Engine process failed|MQLLMEngine is already dead"
    r"|WorkerProc (?:initialization|hit an exception)|Worker failed with error|EngineCore_?\w* failed to start|Failed core proc|CancelledError|Scheduler hit an exception|SIGQUIT received"
    r"|Rank \d+ scheduler is dead|background loop has errored|Engine background task failed|got fatal signal from worker|Worker proc \S+ died|Worker VllmWorkerProcess pid \d+ died"
    r"|Error executing method|Received sigquit from a child process|A worker died or was killed while executing|Exception in callback .{0,200}_log_task_completion"
    r"|^Process (?:EngineCore|APIServer|ApiServer|VllmWorker|Worker|SpawnProcess|ForkProcess|DPEngine|Engine|sglang)\S*:$"
)
# Printed by a server that ends, whatever ended it.
_FAREWELL = re.compile(r"leaked (?:shared_memory|semaphore)|destroy_process_group\(\) was not called")
_CANCELLED = re.compile(r"CancelledError")
_OF_A_REQUEST = re.compile(
    r"(?i)HTTPException|VLLMValidationError|VLLMNotFoundError|BadRequestError|ClientDisconnect|RequestValidationError|CancelledError|KeyboardInterrupt|SystemExit|BrokenPipe|ConnectionReset|jinja2|Invalid (?:json|request)"
    r"|(?:prompt|input).{0,80}longer than the maximum|maximum context length is"
)
_WARNED = re.compile(r"\b\w*Warning\b:?|warnings\.warn|\[W\d{3,4}[ \d]")
# "If you are running out of memory, …" is printed by every healthy start.
_ADVICE = re.compile(
    r"(?i)\b(?:if|may|might|could|can|to (?:avoid|prevent|reduce)|in case of|avoids?|prevents?|risk of|instead of)\b[^.]{0,60}\b(?:out[- ]of[- ]memory|OOMs?\b|OOM'ed)"
    r"|\b(?:falling back|fall(?:s)? back|fallback|skipping|retrying|will be (?:ignored|disabled))\b"
)
_COUNTED = re.compile(r"Detected \d+ oom.kill event")  # slurm counts first, then says what may have been
_INNER_LOUD = re.compile(r"\b(?:ERROR|CRITICAL)[: ]\s*\d\d-\d\d \d\d:\d\d")
_FILE = re.compile(r"^[:.\d]*\s*(?:\[?[\w./-]+\.py:\d+\]? ?)?")
_INNER_QUIET = re.compile(r"^.{0,60}\b(?:INFO|WARNING|DEBUG)[: ]\s*\d\d-\d\d \d\d:\d\d")


def message_of(line: LogLine) -> str:
    """The message of a line, without a level behind a collector's own prefix and without the processes before it."""
    found = _INNER_LOUD.search(line.text)
    return _FILE.sub("", line.text[found.end() :]) if found else line.text


def is_quiet(line: LogLine) -> bool:
    """Whether a line only informs or warns; a level behind a collector's own prefix is seen too."""
    text = line.text
    if _INNER_LOUD.search(text):
        return False
    return line.level in QUIET or bool(_WARNED.search(text)) or bool(_INNER_QUIET.match(text))


def is_advice(text: str) -> bool:
    """Whether a line tells of what could be, or of another way that was taken instead."""
    return bool(_ADVICE.search(text)) and not _COUNTED.search(text)


def is_secondary(text: str) -> bool:
    """Whether an error only follows from another."""
    return bool(_SECONDARY.search(text)) or bool(_FAREWELL.search(text))


def proves_death(text: str) -> bool:
    """Whether such an error is printed only when the server ends for a fault."""
    return bool(_SECONDARY.search(text)) and not _CANCELLED.search(text)


def is_of_a_request(text: str) -> bool:
    """Whether one request failed, or somebody stopped the server."""
    return bool(_OF_A_REQUEST.search(text))


_OF_MEMORY = re.compile(r"(?i)alloc|memory|workspace|\boom\b|buffer overflow")


def may_be_memory(text: str) -> bool:
    """Whether an error that no signature knows has a word in it that could mean memory."""
    return bool(_OF_MEMORY.search(text))
