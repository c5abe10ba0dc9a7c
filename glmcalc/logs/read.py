"""What one run of a server said: engine and version, flags, memory lines, phases, and its lines without prefixes."""

from __future__ import annotations

import re

from glmcalc.facts.frozen import fresh, record
from glmcalc.logs.arguments import echoed_arguments, llama_arguments, resolved_arguments, stated_arguments
from glmcalc.logs.grammar import line_rules, value_of
from glmcalc.logs.lines import LogLine
from glmcalc.logs.runs import Run
from glmcalc.logs.stream import Skimmed, read_blocks, skim
from glmcalc.logs.wrapped import unwrapped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, Iterable, Iterator


@record
class MemoryLine:
    """One printed quantity.

    Attributes:
        name: of ``data/log_lines.jsonl``, its unit at the end (``weights_bytes``, ``kv_tokens``).
        value: bytes, tokens or a bare number.
        process: who printed it, or None.
        line: number of the line.
        text: the line's message.
        rule: id of the row that read it.
    """

    name: str
    value: int | float
    process: str | None
    line: int
    text: str
    rule: str


@record
class LogFacts:
    """One run of a server.

    Attributes:
        engine: ``vllm``, ``sglang``, ``llama.cpp`` or None.
        engine_version: as printed, or None.
        arguments: those that were given, under vLLM's names; resolved: those that the engine's own line states.
        argument_lines: their line numbers.
        memory: printed quantities, in order.
        phases: ``(line, phase)``, in order.
        lines: what was kept of the run.
        first, last: line numbers of the run; total: lines of the whole log.
    """

    engine: str | None
    engine_version: str | None
    version_line: int | None
    arguments: dict[str, Any]
    resolved: dict[str, Any]
    argument_lines: tuple[int, ...]
    memory: tuple[MemoryLine, ...]
    phases: tuple[tuple[int, str], ...]
    lines: tuple[LogLine, ...] = fresh(tuple)
    first: int = 1
    last: int = 1
    total: int = 1

    def phase_at(self, line: int) -> str | None:
        """What the engine was doing at ``line``; None before the first sign of it."""
        reached = None
        for at, phase in self.phases:
            if at > line:
                break
            reached = phase
        return reached

    def last_value(self, name: str, before: int | None = None) -> MemoryLine | None:
        """The last printed value of ``name``, at or before the line ``before`` when given."""
        for row in reversed(self.memory):
            if row.name == name and (before is None or row.line <= before):
                return row
        return None


def read_log(source: str | BinaryIO) -> list[LogFacts]:
    """All runs that were kept of a log, in order.

    Args:
        source: a text, or a stream of bytes.

    Raises:
        InputError: an empty or a binary file.
    """
    blocks: Iterable[bytes] = [source.encode("utf-8", "replace")] if isinstance(source, str) else read_blocks(source)
    skimmed = skim(blocks)
    return [read_run(run, skimmed) for run in skimmed.runs]


_WORTH = re.compile(
    r"[GMK]iB|GB|tokens|reqs|blocks|max seq len|model length|n_ctx|emption|KV cache|GPU \d|usage|kv-cache-memory"
)


def read_run(run: Run, whole: Skimmed) -> LogFacts:
    """The facts of one run."""
    lines = list(unwrapped(run.lines))
    memory: list[MemoryLine] = []
    for line in lines:
        if _WORTH.search(line.text):
            memory += _memory(line)
    engine, version, at = _engine(lines)
    arguments, resolved, where = _arguments(lines, engine)
    return LogFacts(
        engine, version, at, arguments, resolved, tuple(where), tuple(memory), tuple(_phases(lines, engine)), tuple(lines), run.first,
        run.last, whole.lines,
    )  # fmt: skip


_LLAMA = re.compile(r"\bn_(?:ctx|u?batch|seq_max)\b|layers to GPU|tensors from|\b[KV] \(\w+\): ")
_EARLY = 200  # lines in which a launch command may be echoed


def _arguments(lines: list[LogLine], engine: str | None) -> tuple[dict[str, Any], dict[str, Any], list[int]]:
    """What was given, what the engine resolved, and the numbers of the lines that say so; the first line wins."""
    arguments: dict[str, Any] = {}
    resolved: dict[str, Any] = {}
    echoed: dict[str, Any] = {}
    where: list[int] = []
    llama = engine == "llama.cpp"
    for index, line in enumerate(lines):
        text = line.text
        for tried, reader, held in (
            ("args" in text, stated_arguments, arguments),
            (not llama and ("config: " in text or "Namespace(" in text), resolved_arguments, resolved),
            (llama and _LLAMA.search(text), llama_arguments, resolved),
            (index < _EARLY and ("serve" in text or "llama-server" in text), echoed_arguments, echoed),
        ):
            stated = reader(text) if tried else None
            if stated:
                held.update({name: value for name, value in stated.items() if name not in held})
                where.append(line.number)
    return arguments or echoed, resolved, where


def _memory(line: LogLine) -> Iterator[MemoryLine]:
    for rule in line_rules("memory"):
        found = rule.pattern.search(line.text)
        value = value_of(rule, found) if found else None
        if value is not None:
            yield MemoryLine(rule.name, value, line.process, line.number, line.text, rule.id)


def _engine(lines: list[LogLine]) -> tuple[str | None, str | None, int | None]:
    """Who wrote the log: the engine named most, and the first version that it gives."""
    votes: dict[str, int] = {}
    version, at = None, None
    rules = line_rules("engine")
    for line in lines[:20_000]:
        if line.process and line.process.startswith(("APIServer", "EngineCore", "Worker_", "VllmWorker")):
            votes["vllm"] = votes.get("vllm", 0) + 1
        for rule in rules:
            found = rule.pattern.search(line.text)
            if not found:
                continue
            votes[rule.engine] = votes.get(rule.engine, 0) + 1
            if "version" in rule.pattern.groupindex and version is None:
                version, at = found["version"], line.number
                votes[rule.engine] += 50
    if not votes:
        return None, None, None
    return max(votes, key=lambda name: votes[name]), version, at


def _phases(lines: list[LogLine], engine: str | None) -> Iterator[tuple[int, str]]:
    rules = [rule for rule in line_rules("phase") if engine in (None, rule.engine)]
    either = re.compile("|".join(f"(?:{rule.pattern.pattern})" for rule in rules)) if rules else None
    for line in lines:
        if either and either.search(line.text):
            for rule in rules:
                if rule.pattern.search(line.text):
                    yield line.number, rule.name
                    break
