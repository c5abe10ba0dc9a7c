"""From the facts of a run to its death: the first failure that means something, not the ones that follow from it."""

from __future__ import annotations

import re

from glmcalc.facts.frozen import record
from glmcalc.logs.ends import ended_without_cause, is_a_prompt, last_sign_of_life, stopped_at
from glmcalc.logs.phases import phase_at, phase_of, serving_after, serving_between
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
    r"|^\^C|assert|sig(?:quit|segv|abrt|term|int)|interrupt|shut|stopp|server process|watchdog|corrupt|process \S+:$|callback|cancelled at|\bstatus=|failed|available node"
)
_ERROR = re.compile(
    r"^\s*(?:E\s+)?(?:[\w.]+\.)?[A-Z]\w*(?:Error|Exception|Interrupt|Exit)\b(?::|\(|$)|terminate called|Fatal Python error|Segmentation fault|SIGSEGV|SIGABRT|GGML_ASSERT|core dumped"
)
_WHAT = re.compile(r"^\s*what\(\):")
_REFUSED = re.compile(r"(?i)out of memory|OutOf(?:Device)?Memory|alloc\w*.{0,80}\bfail|fail\w*.{0,60}\balloc")
_TRACE = "Traceback (most recent call last)"
_GPU_PROGRAM = re.compile(
    r"(?i)\bcuda|by gpu|torch|\bhip\b|nccl|nvidia|rocm|transformers|huggingface|triton|flashinfer|ggml"
)
_RIVALRY = 300  # lines within which the more specific signature wins over the earlier
_MEMORY_CLASSES = frozenset(
    {
        "weights_load", "startup_free_memory", "profile_run_activation", "startup_no_kv_blocks", "startup_kv_too_small",
        "cuda_graph_capture", "runtime_workspace", "runtime_activation", "host_ram",
    }
)  # fmt: skip


def find_death(facts: LogFacts) -> Death:
    """The class of a run: the first meaningful failure, or ``healthy``, or ``unknown``."""
    suspects = [index for index, line in enumerate(facts.lines) if _SUSPECT.search(line.text) and not is_a_prompt(line)]
    secondary = tuple(facts.lines[index] for index in suspects if is_secondary(facts.lines[index].text))
    matches = list(_matches(facts, suspects))
    words = [facts.lines[index].number for index, row, _ in matches if row.last_words]
    stop = stopped_at(facts, suspects, [*words, *(line.number for line in secondary if proves_death(line.text))])
    proofs = tuple(line for line in secondary if proves_death(line.text) and line.number < stop)
    secondary = secondary[:20]
    found = [match for match in matches if not _survived(facts, match, proofs)]
    last_words = [match for match in found if match[1].last_words and facts.lines[match[0]].number < stop]
    ended = min([stop, *(facts.lines[index].number for index, _, _ in last_words)])
    fatal = [match for match in found if match[1].fatal and not _follows(facts, match, ended)]
    if fatal:
        first = min(facts.lines[index].number for index, _, _ in fatal)
        return _death(facts, [match for match in fatal if facts.lines[match[0]].number <= first + _RIVALRY], secondary)
    generic = _generic(facts, suspects, bool(proofs or last_words))
    if last_words:
        return _by_last_words(facts, last_words, generic, secondary)
    if generic is not None:
        if may_be_memory(generic.text):  # neither "memory" nor "not memory" would be more than a guess
            return Death("unknown", "low", None, (generic,), secondary)
        return Death("not_oom_other", "medium", None, (generic,), secondary)
    if proofs and not serving_after(facts, proofs[-1].number, 1):
        return Death("unknown", "low", None, proofs[:3], secondary)
    told = [match for match in found if not match[1].fatal]
    if told:
        return _death(facts, told, secondary)
    return _alive(facts, ended_without_cause(facts, suspects, stop), secondary)


def _follows(facts: LogFacts, match: tuple[int, Signature, int], ended: int) -> bool:
    """Whether a signature only tells of the end of a process that had a reason, or was asked for, before it."""
    index, row, _ = match
    return row.last_words or (row.id == "killed" and facts.lines[index].number > ended)


def _by_last_words(
    facts: LogFacts,
    found: list[tuple[int, Signature, int]],
    generic: LogLine | None,
    secondary: tuple[LogLine, ...],
) -> Death:
    """A crash by the first last words of a process; an error above them that may be of memory leaves it open."""
    index, row, _ = min(found, key=lambda match: (match[0], match[2]))
    said = [facts.lines[index], *(line for line in facts.lines[index + 1 : index + 4] if _WHAT.search(line.text))]
    said += [generic] if generic else []
    doubtful = [line for line in said if may_be_memory(line.text)]
    above = [line for line in facts.lines[max(index - 30, 0) : index] if line.number > last_sign_of_life(facts)]
    doubtful += [line for line in above if _REFUSED.search(line.text)][-1:]
    doubtful = [line for line in doubtful if not is_quiet(line) and not is_advice(line.text)]
    shown = tuple(dict.fromkeys([*([generic] if generic else []), *_evidence(facts, index, row)]))
    if doubtful:
        return Death("unknown", "low", None, tuple(dict.fromkeys([*shown, *doubtful])), secondary)
    return Death(row.death, row.confidence, row, shown, secondary)


def _death(facts: LogFacts, found: list[tuple[int, Signature, int]], secondary: tuple[LogLine, ...]) -> Death:
    """The most specific signature of those found, at its first line."""
    index, row, _ = min(found, key=lambda match: (match[2], match[0]))
    return Death(row.death, row.confidence, row, _evidence(facts, index, row), secondary)


def _alive(facts: LogFacts, ended: LogLine | None, secondary: tuple[LogLine, ...]) -> Death:
    reached = [(at, phase) for at, phase in facts.phases if phase in ("serving", "captured", "pooled")]
    if facts.engine is None or not reached:
        return Death("unknown", "low", None, (), secondary)
    cut = _cut_traceback(facts, reached[-1][0])
    if cut is not None or ended is not None:
        shown = tuple(line for line in (cut, ended) if line is not None)
        return Death("unknown", "low", None, shown, secondary)
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
                phase = phase_of(facts, index) if phase is None else phase
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


def _survived(facts: LogFacts, match: tuple[int, Signature, int], proofs: tuple[LogLine, ...]) -> bool:
    """Whether the server came up in spite of the line, or went on serving long after it."""
    index, row, _ = match
    number = facts.lines[index].number
    if not row.fatal:
        return False
    times = 1
    if phase_at(facts, number) == "serving":
        times = 20 if row.death in _MEMORY_CLASSES else 3
    proof = next((line.number for line in proofs if line.number >= number - _RIVALRY // 6), None)
    if proof is not None and not serving_between(facts, number, proof, times):
        return False
    return serving_after(facts, number, times)


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
            or _is_last_words(line.text)
        ):
            continue
        served = phase_at(facts, line.number) == "serving"
        if (served and not died) or serving_after(facts, line.number, 1):
            continue  # a request failed, the server did not
        return line
    return None


def _is_last_words(text: str) -> bool:
    return any(row.line.search(text) for row in signatures() if row.last_words)


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
