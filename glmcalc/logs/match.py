"""From the facts of a run to its death: the first failure that means something, not the ones that follow from it."""

from __future__ import annotations

import re
from bisect import bisect_right

from glmcalc.facts.frozen import record
from glmcalc.logs.remarks import (
    is_advice,
    is_of_a_request,
    is_quiet,
    is_secondary,
    may_be_memory,
    message_of,
    proves_death,
)
from glmcalc.logs.signatures import Signature, signatures

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Iterator

    from glmcalc.logs.lines import LogLine
    from glmcalc.logs.read import LogFacts


@record
class Death:
    """What was found in a run.

    Attributes:
        death: class; ``healthy`` and ``unknown`` among them.
        confidence: ``high``, ``medium`` or ``low``.
        signature: the row that matched, or None.
        lines: the evidence, the deciding line first.
        secondary: errors that only follow from another, as ``(line number, text)``.
    """

    death: str
    confidence: str
    signature: Signature | None
    lines: tuple[LogLine, ...]
    secondary: tuple[LogLine, ...] = ()


# Worth a closer look. Wide on purpose: what it lets through is only compared, what it stops is not seen at all.
_SUSPECT = re.compile(
    r"(?i)error|exception|memory|oom|fail|kill|abort|preempt|retract|larger|exceed|workspace|illegal|time[d ]?.?out|not support|un(?:supported|recogni)"
    r"|ambiguous|truncated|kv cache|blocks: 0|sparse_decode|logits|too small|not enough|memcpy|sigbus|/dev/shm|exit|xid|twice|minimum|free|transient"
    r"|gpu_prefill|invisible|client error|undefined symbol|cannot|unable|address already|dead|died|terminat|fault"
)
_ERROR = re.compile(
    r"^\s*(?:E\s+)?(?:[\w.]+\.)?[A-Z]\w*(?:Error|Exception|Interrupt|Exit)\b(?::|\(|$)|terminate called|Fatal Python error|Segmentation fault|SIGSEGV|SIGABRT|GGML_ASSERT|core dumped"
)
_HALF_LOADED = re.compile(r"\b\d{1,2}% Completed|:\s+\d{1,2}%\|")
_TRACE = "Traceback (most recent call last)"
_GPU_PROGRAM = re.compile(r"(?i)\bcuda|by gpu|torch|\bhip\b|nccl|nvidia|rocm|transformers|triton|flashinfer|ggml")
_RIVALRY = 300  # lines within which the more specific signature wins over the earlier
_MEMORY_CLASSES = frozenset(
    {
        "weights_load", "startup_free_memory", "profile_run_activation", "startup_no_kv_blocks", "startup_kv_too_small",
        "cuda_graph_capture", "runtime_workspace", "runtime_activation", "host_ram",
    }
)  # fmt: skip


def find_death(facts: LogFacts) -> Death:
    """The class of a run: the first meaningful failure, or ``healthy``, or ``unknown``."""
    suspects = [index for index, line in enumerate(facts.lines) if _SUSPECT.search(line.text)]
    secondary = tuple(facts.lines[index] for index in suspects if is_secondary(facts.lines[index].text))[:20]
    proofs = tuple(line for line in secondary if proves_death(line.text))
    found = [match for match in _matches(facts, suspects) if not _survived(facts, match, proofs)]
    fatal = [match for match in found if match[1].fatal]
    if fatal:
        first = min(facts.lines[index].number for index, _, _ in fatal)
        return _death(facts, [match for match in fatal if facts.lines[match[0]].number <= first + _RIVALRY], secondary)
    generic = _generic(facts, suspects, bool(proofs))
    if generic is not None:
        if may_be_memory(generic.text):  # neither "memory" nor "not memory" would be more than a guess
            return Death("unknown", "low", None, (generic,), secondary)
        return Death("not_oom_other", "medium", None, (generic,), secondary)
    if proofs and not _serving_after(facts, proofs[-1].number, 1):
        return Death("unknown", "low", None, proofs[:3], secondary)
    return _death(facts, found, secondary) if found else _alive(facts, secondary)


def _death(facts: LogFacts, found: list[tuple[int, Signature, int]], secondary: tuple[LogLine, ...]) -> Death:
    """The most specific signature of those found, at its first line."""
    index, row, _ = min(found, key=lambda match: (match[2], match[0]))
    return Death(row.death, row.confidence, row, _evidence(facts, index, row), secondary)


def _alive(facts: LogFacts, secondary: tuple[LogLine, ...]) -> Death:
    reached = [(at, phase) for at, phase in facts.phases if phase in ("serving", "captured", "pooled")]
    if facts.engine is None or not reached:
        return Death("unknown", "low", None, (), secondary)
    cut = _cut_traceback(facts, reached[-1][0])
    if cut is not None:
        return Death("unknown", "low", None, (cut,), secondary)
    at, phase = next(((at, phase) for at, phase in reached if phase == "serving"), reached[-1])
    shown = tuple(line for line in facts.lines if line.number == at)
    return Death("healthy", "high" if phase == "serving" else "medium", None, shown, secondary)


def _cut_traceback(facts: LogFacts, after: int) -> LogLine | None:
    """The start of a traceback after the last sign of life, whose error is not in the text any more."""
    for index, line in enumerate(facts.lines):
        if line.number > after and _TRACE in line.text and not is_quiet(line):
            following = facts.lines[index + 1 : index + 200]
            if not any(_ERROR.search(message_of(other)) for other in following):
                return line
    return None


def _matches(facts: LogFacts, suspects: list[int]) -> Iterator[tuple[int, Signature, int]]:
    """Index of the line, signature, and the signature's place in the file."""
    structured = bool(facts.phases) or any(line.process or line.level for line in facts.lines[:400])
    gpu = facts.engine is not None or any(_GPU_PROGRAM.search(line.text) for line in facts.lines[:400])
    rows = [
        (place, row)
        for place, row in enumerate(signatures())
        if row.engine in ("any", "program", facts.engine) or facts.engine is None
    ]
    if not structured:
        yield from _told(facts, [(place, row) for place, row in rows if row.prose])
    rows = [(place, row) for place, row in rows if not row.prose]
    counts: dict[str, int] = {}
    for index in suspects:
        line = facts.lines[index]
        quiet, advice = is_quiet(line), is_advice(line.text)
        phase = None
        for place, row in rows:
            if (quiet and not row.any_level) or counts.get(row.id, 0) >= 40:
                continue
            if not row.line.search(line.text) or (advice and row.fatal and not _ERROR.search(message_of(line))):
                continue
            if row.death == "not_oom_other" and row.engine == "any" and not gpu:
                continue  # another program's trouble
            if row.phases:
                phase = _phase(facts, index) if phase is None else phase
                if phase not in row.phases:
                    continue
            context = _context(facts, index, structured)
            if all(near.search(context) for near in row.near) and not any(no.search(context) for no in row.not_near):
                if row.id == "boundary-crash" and not _at_boundary(facts):
                    continue
                counts[row.id] = counts.get(row.id, 0) + 1
                yield index, row, place


def _told(facts: LogFacts, rows: list[tuple[int, Signature]]) -> Iterator[tuple[int, Signature, int]]:
    """Signatures of prose: sentences run over line ends, so the text is searched as a whole."""
    text = " ".join(line.text for line in facts.lines[:200])
    for place, row in rows:
        found = row.line.search(text)
        if found and all(near.search(text) for near in row.near) and not any(no.search(text) for no in row.not_near):
            end = 0
            for index, line in enumerate(facts.lines[:200]):
                end += len(line.text) + 1
                if end > found.start():
                    yield index, row, place
                    break


def _context(facts: LogFacts, index: int, structured: bool) -> str:
    """The traceback around a line: back to where it began, and a little further on. A short text counts as a whole."""
    lines = facts.lines
    if len(lines) <= 40 and not structured:
        return "\n".join(line.text for line in lines)
    process = lines[index].process
    back: list[str] = []
    for at in range(index, max(index - 400, -1), -1):
        line = lines[at]
        if line.process not in (process, None) or lines[index].number - line.number > 2000:
            continue
        if line.level in ("INFO", "DEBUG") and at != index:
            if back[1:]:
                break
            continue
        back.append(line.text)
        if _TRACE in line.text or len(back) > 160:
            break
    ahead = [line.text for line in lines[index + 1 : index + 16] if line.level not in ("INFO", "DEBUG")]
    return "\n".join([*reversed(back), *ahead])


def _at_boundary(facts: LogFacts) -> bool:
    """Whether the run has what the boundary crash takes: a length that is a multiple of 64, and MTP."""
    stated = {**facts.resolved, **facts.arguments}
    length = stated.get("max_model_len")
    return isinstance(length, int) and length % 64 == 0 and bool(stated.get("speculative_config"))


def _phase_at(facts: LogFacts, line: int) -> str | None:
    """The last phase at or before a line; as :meth:`LogFacts.phase_at`, for logs with very many of them."""
    at = bisect_right(facts.phases, (line, "\uffff"))
    return facts.phases[at - 1][1] if at else None


def _phase(facts: LogFacts, index: int) -> str:
    """What the engine was doing at a line; ``""`` where no line says so.

    A progress bar is printed late: where a bar of loading that is not full comes first after the line, it was loading.
    """
    number = facts.lines[index].number
    phase = _phase_at(facts, number)
    if phase is None and facts.phases:
        at, following = facts.phases[0]
        shown = next((line.text for line in facts.lines[index : index + 40] if line.number == at), "")
        if following == "loading" and _HALF_LOADED.search(shown):
            return "loading"
    return phase or ""


def _survived(facts: LogFacts, match: tuple[int, Signature, int], proofs: tuple[LogLine, ...]) -> bool:
    """Whether the server came up in spite of the line, or went on serving long after it."""
    index, row, _ = match
    number = facts.lines[index].number
    if not row.fatal or any(line.number >= number - _RIVALRY // 6 for line in proofs):
        return False
    if _phase_at(facts, number) != "serving":
        return _serving_after(facts, number, 1)
    return _serving_after(facts, number, 20 if row.death in _MEMORY_CLASSES else 3)


def _serving_after(facts: LogFacts, line: int, times: int) -> bool:
    return sum(1 for at, phase in facts.phases if at > line and phase == "serving") >= times


def _generic(facts: LogFacts, suspects: Iterable[int], died: bool) -> LogLine | None:
    """The first error of the engine that no signature knows, if the run ended with it."""
    if facts.engine is None and not any(line.process for line in facts.lines[:400]):
        return None
    for index in suspects:
        line = facts.lines[index]
        if (
            is_quiet(line)
            or not _ERROR.search(message_of(line))
            or is_secondary(line.text)
            or is_of_a_request(line.text)
        ):
            continue
        served = _phase_at(facts, line.number) == "serving"
        if (served and not died) or _serving_after(facts, line.number, 1):
            continue  # a request failed, the server did not
        return line
    return None


def _evidence(facts: LogFacts, index: int, row: Signature) -> tuple[LogLine, ...]:
    """The deciding line, those around it that the signature asked for, and the last word on the pool before it."""
    shown = [facts.lines[index]]
    for near in row.near:
        if near.search(shown[0].text):
            continue
        around = [*range(index - 1, max(index - 400, -1), -1), *range(index + 1, min(index + 16, len(facts.lines)))]
        at = next((at for at in around if near.search(facts.lines[at].text)), None)
        if at is not None:
            shown.append(facts.lines[at])
    usage = facts.last_value("kv_cache_usage_pct", facts.lines[index].number)
    if usage is not None:
        shown += [line for line in facts.lines if line.number == usage.line][:1]
    return tuple(dict.fromkeys(shown))
