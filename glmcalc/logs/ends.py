"""How a run ended where no error says why: a stop that somebody asked for, an exit code, a prompt that only tells of one."""

from __future__ import annotations

import re

from glmcalc.logs.phases import NEVER
from glmcalc.logs.remarks import is_advice, is_quiet, proves_death

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable

    from glmcalc.logs.lines import LogLine
    from glmcalc.logs.read import LogFacts

# Somebody stopped it: a signal of the kind that asks, Ctrl-C, a unit or a container that is stopped, a job that is cancelled.
_STOP = re.compile(
    r"^\^C|^(?:INFO:\s+)?Shutting down\b|Shutting down FastAPI|Waiting for application shutdown|Application shutdown complete|Finished server process"
    r"|(?i:\b(?:received|got|caught|by|with) (?:signal )?(?:SIGTERM|SIGINT|signal 15|signal 2)\b|\bSIG(?:TERM|INT) received)|KeyboardInterrupt"
    r"|(?i:\bgraceful(?:ly)? (?:stopping|exiting|shutting|shutdown))|Received interrupt|cleaning up before exit|status=15/TERM"
    r"|\bStopping container\b|Aborting on container exit|: Deactivated successfully|^(?:Stopping|Stopped) \S+\.(?:service|scope)|CANCELLED AT"
)
_INTERRUPTED = re.compile(r"KeyboardInterrupt")
_TRACE_BEGINS = re.compile(r"^Process \S+:$|Traceback \(most recent call last\)")
# Codes of an end that was asked for are left out: 0, 130 (Ctrl-C), 143 (SIGTERM), and the signal 15 itself.
_FAULT = r"(?!\(?(?:0|15|-15|130|143)\b)\(?-?\d+"
_ENDED = re.compile(
    rf"\bexited with (?:exit )?(?:code|status):? {_FAULT}|(?i:\bexit ?code)[\"']?\s{{0,12}}[:=]\s{{0,12}}{_FAULT}|(?i:\bexited) {_FAULT}"
    rf"|\bfailed with an exit code {_FAULT}|crashed with exit code|code=exited, status={_FAULT}|code=(?:dumped|killed), status=(?!15/)"
    r"|Failed with result '(?!success)|Back-off restarting failed|CrashLoopBackOff|\bReason:\s{1,20}Error\b|couldn't get a response from detokenizer"
)
# Of a form that no signature knows: too little to say whose memory it was.
_RAN_OUT = re.compile(r"^(?!.*(?:Killed process|invoked|oom-kill)).{0,400}(?i:\bout of memory\b)")
# Engines write what they were asked into their logs: its words are a user's, not the server's.
_OF_A_PROMPT = re.compile(r"^Received request \S+|^(?:Receive|Finish): obj=(?:Generate|Embedding)ReqInput\(")


def is_a_prompt(line: LogLine) -> bool:
    """Whether a line only repeats what a user asked for."""
    return bool(_OF_A_PROMPT.search(line.text))


def last_sign_of_life(facts: LogFacts) -> int:
    """The last line that a serving engine prints; 0 where it never served."""
    return next((at for at, phase in reversed(facts.phases) if phase == "serving"), 0)


def ended_without_cause(facts: LogFacts, suspects: Iterable[int], before: int) -> LogLine | None:
    """The first line after the last sign of life, and before the line ``before``, that tells of an end and no cause."""
    reached = facts.phases[-1][0] if facts.phases else 0
    for index in suspects:
        line = facts.lines[index]
        if not reached < line.number < before or is_advice(line.text):
            continue
        if _ENDED.search(line.text) or (_RAN_OUT.search(line.text) and not is_quiet(line)):
            return line
    return None


def stopped_at(facts: LogFacts, suspects: Iterable[int], died: Iterable[int]) -> int:
    """The line at which somebody stopped the server, or :data:`NEVER`.

    What a server prints while it is stopped (dead workers, an abort of the runtime, exit code 137 after a grace period) says
    nothing of its health. It is no such stop where a process died before it: an engine whose worker died shuts down too.

    Args:
        died: lines on which a process died, as far as they are known.
    """
    served = last_sign_of_life(facts)
    ends = sorted(died)
    if not served:
        return NEVER  # a start that is broken off is not known to have been sound
    for index in suspects:
        line = facts.lines[index]
        if line.number <= served or not _STOP.search(line.text) or proves_death(line.text):
            continue
        at = _where_it_began(facts, index) if _INTERRUPTED.search(line.text) else line.number
        ended = ended_without_cause(facts, suspects, at)
        first = next((number for number in ends if number > served), NEVER)
        return at if at <= first and ended is None else NEVER
    return NEVER


def _where_it_began(facts: LogFacts, index: int) -> int:
    """The line at which the traceback of an interrupt begins, with the name of the process above it."""
    began = facts.lines[index].number
    for line in reversed(facts.lines[max(index - 120, 0) : index]):
        if _TRACE_BEGINS.search(line.text):
            began = line.number
        elif line.level in ("INFO", "DEBUG"):
            break
    return began
