"""From a file, a pipe or a paste to the lines that matter: one pass, bounded memory, any size.

The start of each server run is kept whole (its flags and memory lines stand there), and so are the surroundings of what
may be a failure. Everything else is only counted.
"""

from __future__ import annotations

import codecs
from collections import deque

from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO, Iterable, Iterator


BLOCK = 2 << 20
HEAD = 2 << 20  # bytes kept from the start of a run
_WINDOW = 12_000  # bytes kept on each side of a moment
# A word here may stand for many: "emory" for out of memory, OutOfMemoryError and No available memory. Each costs a pass.
_STRONG = (b"emory", b"illed")
_WEAK = (b"rror", b"reempt", b"etract", b"failed")
_START = (b"default args:", b"server_args=ServerArgs", b"llama_model_loader: loaded")
_MOST = 96  # moments of a kind kept from the front, and as many from the back
_LONGEST_LINE = 20_000


@record
class Run:
    """One start of a server, as far as it was kept.

    Attributes:
        first, last: line numbers, counted from 1.
        lines: ``(number, text)`` in order; gaps where nothing looked like a failure.
    """

    first: int
    last: int
    lines: tuple[tuple[int, str], ...]


@record
class Skimmed:
    """A whole log: how many lines, and its runs."""

    lines: int
    runs: tuple[Run, ...]


def skim(blocks: Iterable[bytes]) -> Skimmed:
    """Read a log once and keep what matters.

    Args:
        blocks: bytes in any portions. UTF-8 or UTF-16; what is neither is shown with replacement marks.

    Raises:
        InputError: nothing in it, or a binary file.
    """
    skimmer = _Skimmer()
    for block in _whole_lines(_as_utf8(blocks)):
        skimmer.take(block)
    return skimmer.done()


def read_blocks(source: BinaryIO) -> Iterator[bytes]:
    """A stream in portions, as they arrive."""
    while block := source.read(BLOCK):
        yield block


class _Skimmer:
    """Keeps the first run and the last two; runs between them are only counted."""

    def __init__(self) -> None:
        self.line = 1
        self.runs: list[_Kept] = [_Kept(1)]
        self.empty = True

    def take(self, block: bytes) -> None:
        if self.empty:
            self.empty = not block.strip()
        at = 0
        for start in _positions(block, _START, 1):
            begin = block.rfind(b"\n", 0, start) + 1
            if self.runs[-1].started and (begin > at or self.runs[-1].size):
                self._feed(block[at:begin])
                at = begin
                self.runs.append(_Kept(self.line))
                if len(self.runs) > 3:
                    del self.runs[1]
            self.runs[-1].started = True
        self._feed(block[at:] if at else block)

    def _feed(self, piece: bytes) -> None:
        if piece:
            lines = piece.count(b"\n")
            self.runs[-1].take(piece, self.line, lines)
            self.line += lines

    def done(self) -> Skimmed:
        if self.empty:
            raise InputError("log", "nothing", "a server's log", "log: there is nothing in it.")
        runs = [kept.run() for kept in self.runs if kept.size]
        return Skimmed(runs[-1].last if runs else 0, tuple(runs))


class _Kept:
    """One run: its head, moments of two kinds, and its end."""

    def __init__(self, line: int) -> None:
        self.first = line
        self.last = line
        self.size = 0
        self.started = False
        self.head: list[tuple[int, bytes]] = []
        self.head_size = 0
        self.front: dict[bool, list[tuple[int, bytes]]] = {True: [], False: []}
        self.back: dict[bool, deque[tuple[int, bytes]]] = {True: deque(maxlen=_MOST), False: deque(maxlen=_MOST)}
        self.tail: tuple[int, bytes] = (line, b"")

    def take(self, piece: bytes, line: int, lines: int) -> None:
        self.size += len(piece)
        self.last = line + lines - (1 if piece.endswith(b"\n") else 0)
        if self.head_size < HEAD:
            room = HEAD - self.head_size
            cut = len(piece) if len(piece) <= room else piece.rfind(b"\n", 0, room) + 1 or len(piece)
            self.head.append((line, piece[:cut]))
            self.head_size += cut
            line += piece.count(b"\n", 0, cut)
            piece = piece[cut:]
            lines = piece.count(b"\n")
        if piece:
            self._moments(piece, line, True, _STRONG)
            self._moments(piece, line, False, _WEAK)
            begin = piece.rfind(b"\n", 0, max(len(piece) - 4 * _WINDOW, 0)) + 1
            self.tail = (line + lines - piece.count(b"\n", begin), piece[begin:])

    def _moments(self, piece: bytes, line: int, strong: bool, words: tuple[bytes, ...]) -> None:
        until, counted, at = -1, line, 0
        front = self.front[strong]
        hits = _positions(piece, words, _WINDOW // 2 if len(front) < _MOST else BLOCK // 8)
        for hit in hits:
            if hit < until:
                continue
            begin = piece.rfind(b"\n", 0, max(hit - _WINDOW, 0)) + 1
            end = piece.find(b"\n", min(hit + _WINDOW, len(piece)))
            until = len(piece) if end < 0 else end
            counted += piece.count(b"\n", at, begin)
            at = begin
            window = (counted, piece[begin:until])
            if len(front) < _MOST:
                front.append(window)
            else:
                self.back[strong].append(window)

    def run(self) -> Run:
        kept: dict[int, str] = {}
        for first, text in (
            *self.head,
            *self.front[True],
            *self.front[False],
            *self.back[True],
            *self.back[False],
            self.tail,
        ):
            for offset, raw in enumerate(text.rstrip(b"\n").split(b"\n") if text else ()):
                kept[first + offset] = raw[:_LONGEST_LINE].rstrip(b"\r").decode("utf-8", "replace")
        return Run(self.first, self.last, tuple(sorted(kept.items())))


def _positions(block: bytes, words: tuple[bytes, ...], apart: int) -> list[int]:
    """Where ``words`` stand in ``block``, in order; after each hit the search goes on ``apart`` bytes later."""
    found = []
    for word in words:
        at = block.find(word)
        while at >= 0:
            found.append(at)
            at = block.find(word, at + max(apart, len(word)))
    return sorted(found)


def _whole_lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, cut after line ends, so that no word is split; a line without end is cut where it gets too long."""
    rest = b""
    for block in blocks:
        cut = block.rfind(b"\n") + 1
        if cut:
            yield b"".join((rest, memoryview(block)[:cut]))
            rest = block[cut:]
        else:
            rest += block
        if len(rest) > 4 * BLOCK:
            yield rest
            rest = b""
    if rest:
        yield rest


def _as_utf8(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """UTF-8 as it is, UTF-16 turned into it; binary refused at its first block."""
    source = iter(blocks)
    first = b""
    for block in source:  # a pipe may start with a few bytes only
        first += block
        if len(first) >= 4096:
            break
    encoding = _encoding(first)
    if encoding is None:
        yield first.removeprefix(codecs.BOM_UTF8)
        yield from source
        return
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    yield decoder.decode(first).lstrip("\ufeff").encode()
    for block in source:
        yield decoder.decode(block).encode()


def _encoding(first: bytes) -> str | None:
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    sample = first[:4096]
    nulls = sample.count(0)
    if nulls > len(sample) // 4:
        even = sample[::2].count(0)
        if even < len(sample) // 32:
            return "utf-16-le"
        if nulls - even < len(sample) // 32:
            return "utf-16-be"
    control = sum(sample.count(value) for value in range(32) if value not in (7, 8, 9, 10, 12, 13, 27))
    if control > len(sample) // 50 + 2:
        raise InputError("log", "a binary file", "text in UTF-8 or UTF-16", "log: this is a binary file, not a log.")
    return None
