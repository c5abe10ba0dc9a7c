"""From a healthy start-up log to this machine's measured terms: what was printed, what follows from it, what stays open."""

from __future__ import annotations

from glmcalc.advise.case import Case, open_case
from glmcalc.advise.measure import Measured, measure, printed_lines
from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.logs.match import find_death
from glmcalc.logs.read import LogFacts, MemoryLine, read_log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, Mapping

_LINES = "`Available KV cache memory`, and if it has them `Model loading took` and `Actual usage is`"


@record
class Calibrated:
    """A log's calibration.

    Attributes:
        case: the log and its flags.
        lines: the printed line that each quantity was taken from, by name.
        measured: what follows from them.
    """

    case: Case
    lines: dict[str, MemoryLine]
    measured: Measured


def calibrate(
    source: str | BinaryIO, command: str | None = None, stated: Mapping[str, Any] | None = None
) -> Calibrated:
    """Measure this machine from its start-up log.

    Args:
        source: the log as text or as a stream of bytes; a cut one is enough where it has the memory lines.
        command: the launch command, where the log does not hold it.
        stated: ``gpu``, ``gpus``, ``engine_version`` and other settings, which win over the text.

    Raises:
        InputError: no pool in the log, a pool that was set by hand, or a deployment that stays open.
    """
    facts = _run_with_a_pool(read_log(source))
    case = open_case(facts, find_death(facts), command, stated)
    lines = printed_lines(facts)
    if case.deployment is None or case.deployment.gpu is None:
        wanted = "; ".join(case.missing) or "the deployment"
        raise InputError("log", wanted, "its flags and GPU, or --command and --gpu", f"calibrate needs {wanted}.")
    return Calibrated(case, lines, measure(case.deployment, {name: row.value for name, row in lines.items()}))


def _run_with_a_pool(runs: list[LogFacts]) -> LogFacts:
    """The last run that printed its pool."""
    for run in reversed(runs):
        if run.last_value("available_kv_bytes") is not None:
            if run.engine not in (None, "vllm"):
                raise InputError("log", run.engine, "a log of vLLM; other engines are not budgeted yet")
            return run
    raise InputError("log", "no line `Available KV cache memory`", f"a start-up log with {_LINES}")
