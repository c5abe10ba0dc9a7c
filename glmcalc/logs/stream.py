"""From a file, a pipe or a paste to the lines that matter: one pass, bounded memory, any size.

The start of each server run is kept whole (its flags and memory lines stand there), and so are the surroundings of what
may be a failure. Everything else is only counted. A server says the same thing millions of times: a line that differs
from an earlier one in digits only has the same *shape*, and each shape is looked at once.
"""

from __future__ import annotations

from collections import deque

from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.logs.encoded import as_utf8
from glmcalc.logs.shapes import Shapes, shape_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO, Iterable, Iterator


BLOCK = 1 << 20
HEAD = 2 << 20  # bytes kept from the start of a run
_WINDOW = 12_000  # bytes kept on each side of a moment
_MOST = 60  # moments of a kind kept from the front, and fewer from the back
_MOST_LAST = 24
_OFTEN = 3  # moments of one shape kept from the front
_REPEATED = 400  # lines of one shape kept of a run, from the front and as many from the back
_TAIL = 48_000  # bytes kept from the end
_HELD = 12 << 20  # bytes held of all runs together
_RUNS = 6
_LONGEST_LINE = 16_000
_LONGEST_END = 4_000


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
    """A whole log: how many lines, and its runs: the first and the last ones where there are many."""

    lines: int
    runs: tuple[Run, ...]


def skim(blocks: Iterable[bytes]) -> Skimmed:
    """Read a log once and keep what matters.

    Args:
        blocks: bytes in any portions. UTF-8 or UTF-16; what is neither is shown with replacement marks.

    Raises:
        InputError: nothing in it, or a packed or binary file.
    """
    skimmer = _Skimmer()
    for block in _whole_lines(as_utf8(blocks)):
        skimmer.take(block)
    return skimmer.done()


def read_blocks(source: BinaryIO) -> Iterator[bytes]:
    """A stream in portions, as they arrive."""
    while block := source.read(BLOCK):
        yield block


class _Skimmer:
    """Cuts the log into runs at the lines that a server prints when it starts."""

    def __init__(self) -> None:
        self.line = 1
        self.shapes = Shapes()
        self.runs: list[_Kept] = [_Kept(1, self.shapes)]
        self.empty = True

    def take(self, block: bytes) -> None:
        """One portion of whole lines."""
        if self.empty:
            self.empty = not block.strip()
        images = shape_of(block).split(b"\n")
        here = self.shapes.learn(images, block)
        if self.shapes.starts.keys().isdisjoint(here):
            self.runs[-1].late |= not self.shapes.late.isdisjoint(here)
            self._feed(block, images, here)
            return
        begin = 0
        lines = block.split(b"\n")
        for index, image in enumerate(images):
            mark = self.shapes.starts.get(image)
            if mark is not None and self.runs[-1].begins_anew(mark):
                self._feed_part(lines, images, begin, index)
                begin = index
                self._open()
                self.runs[-1].begins_anew(mark)
            elif mark is None:
                self.runs[-1].late |= image in self.shapes.late
                self.runs[-1].told |= image in self.shapes.told
        self._feed_part(lines, images, begin, len(lines))

    def _open(self) -> None:
        self.runs.append(_Kept(self.line, self.shapes))
        while len(self.runs) > _RUNS or (len(self.runs) > 2 and sum(kept.held() for kept in self.runs) > _HELD):
            del self.runs[1]

    def _feed_part(self, lines: list[bytes], images: list[bytes], begin: int, end: int) -> None:
        if end > begin:
            part = b"\n".join(lines[begin:end]) + (b"\n" if end < len(lines) else b"")
            shapes = images[begin:end] + ([b""] if end < len(lines) else [])
            self._feed(part, shapes, set(shapes))

    def _feed(self, piece: bytes, images: list[bytes], here: set[bytes]) -> None:
        if piece:
            self.runs[-1].take(piece, images, here, self.line)
            self.line += len(images) - 1

    def done(self) -> Skimmed:
        """What was kept.

        Raises:
            InputError: there was nothing but blanks.
        """
        if self.empty:
            raise InputError("log", "nothing", "a server's log", "log: there is nothing in it.")
        runs = [kept.run() for kept in self.runs if kept.size]
        return Skimmed(runs[-1].last if runs else 0, tuple(runs))


class _Kept:
    """One run: its head, moments of two kinds (the sure words, the others), and its end."""

    def __init__(self, line: int, shapes: Shapes) -> None:
        self.first = self.last = line
        self.shapes = shapes
        self.size = 0
        self.marks: set[int] = set()
        self.late = self.told = False
        self.head: list[tuple[int, bytes]] = []
        self.head_size = 0
        self.front: dict[bool, list[tuple[int, bytes]]] = {True: [], False: []}
        self.ended: dict[bool, deque[tuple[int, bytes]]] = {True: deque(maxlen=3), False: deque(maxlen=2)}
        self.times: dict[bytes, int] = {}
        self.tail: deque[tuple[int, bytes]] = deque(maxlen=2)

    def begins_anew(self, mark: int) -> bool:
        """Whether a line of a start, of the kind ``mark``, belongs to another run than this one; if not, it is noted.

        One start prints several kinds of such lines, and several nodes of one start print the same kind. It is another
        start where an engine was already running, or where the same line comes again after an error.
        """
        if self.late or (mark in self.marks and self.told):
            return True
        self.marks.add(mark)
        self.told = False
        return False

    def held(self) -> int:
        """Bytes held, about."""
        moments = sum(len(piece) for kind in (True, False) for _, piece in self.front[kind])
        return self.head_size + moments

    def take(self, piece: bytes, images: list[bytes], here: set[bytes], line: int) -> None:
        """Keep what matters of a portion that begins at ``line``."""
        self.size += len(piece)
        self.last = line + len(images) - 1 - (1 if piece.endswith(b"\n") else 0)
        skipped = 0
        if self.head_size < HEAD:
            room = HEAD - self.head_size
            cut = len(piece) if len(piece) <= room else piece.rfind(b"\n", 0, room) + 1 or len(piece)
            self.head.append((line, piece[:cut]))
            self.head_size += cut
            if cut == len(piece):
                return
            skipped = piece.count(b"\n", 0, cut)
        telling = self.shapes.told.keys() & here
        for strong in (True, False):
            chosen = {image for image in telling if self.shapes.told[image] is strong}
            if chosen:
                self._moments(piece, images, chosen, strong, line, skipped)
        self.tail.append((line, piece))

    def _moments(
        self, piece: bytes, images: list[bytes], chosen: set[bytes], strong: bool, line: int, skipped: int
    ) -> None:
        """The first moments of each shape are cut out now, later ones only from the last portions that have any."""
        front = self.front[strong]
        fresh = {image for image in chosen if self.times.get(image, 0) < _OFTEN}
        if fresh and len(front) < _MOST:
            for image in fresh:
                self.times[image] = self.times.get(image, 0) + 1
            windows = _windows(piece.split(b"\n"), images, fresh, skipped, _OFTEN)
            front += [(line + at, text) for at, text in windows][: _MOST - len(front)]
            if fresh == chosen and len(windows) < _OFTEN:
                return
        self.ended[strong].append((line, piece))

    def _pieces(self) -> Iterator[tuple[int, bytes]]:
        yield from self.head
        for strong in (True, False):
            yield from self.front[strong]
            chosen = {image for image, sure in self.shapes.told.items() if sure is strong}
            for line, piece in self.ended[strong]:
                lines = piece.split(b"\n")
                windows = _windows(lines, shape_of(piece).split(b"\n"), chosen, 0, len(lines))
                yield from ((line + at, text) for at, text in windows[-_MOST_LAST:])
        yield from _end(list(self.tail))

    def run(self) -> Run:
        """The lines that were kept, each once; of a shape that comes thousands of times, the first and the last ones."""
        kept: dict[int, bytes] = {}
        for first, text in self._pieces():
            lines = text.split(b"\n")
            if not lines[-1]:
                lines.pop()
            for offset, raw in enumerate(lines):
                if self.first <= first + offset:
                    kept[first + offset] = raw
        rows = _thinned(sorted(kept.items()))
        return Run(self.first, self.last, tuple((number, _text(raw)) for number, raw in rows))


def _windows(
    lines: list[bytes], images: list[bytes], chosen: set[bytes], begin: int, often: int
) -> list[tuple[int, bytes]]:
    """The surroundings of lines of the ``chosen`` shapes, at most ``often`` of each, as ``(index, bytes)``."""
    windows: list[tuple[int, bytes]] = []
    times: dict[bytes, int] = {}
    until = begin
    for index, image in enumerate(images):
        if image not in chosen or index < until or times.get(image, 0) >= often:
            continue
        times[image] = times.get(image, 0) + 1
        low, room = index, _WINDOW
        while low > begin and room > 0:
            low -= 1
            room -= len(lines[low]) + 1
        until, room = index + 1, _WINDOW
        while until < len(lines) and room > 0:
            room -= len(lines[until]) + 1
            until += 1
        windows.append((low, b"\n".join(lines[low:until])))
    return windows


def _end(pieces: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """The last bytes of the last portions, from the start of a line."""
    out: list[tuple[int, bytes]] = []
    room = _TAIL
    for line, piece in reversed(pieces):
        if room > 0:
            begin = piece.rfind(b"\n", 0, len(piece) - room) + 1 if len(piece) > room else 0
            out.append((line + piece.count(b"\n", 0, begin), piece[begin:]))
            room -= len(piece) - begin
    return out


def _thinned(rows: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    if len(rows) <= 2 * _REPEATED:
        return rows
    places: dict[bytes, list[int]] = {}
    for index, (_, raw) in enumerate(rows):
        places.setdefault(shape_of(raw), []).append(index)
    dropped = {index for found in places.values() for index in found[_REPEATED:-_REPEATED]}
    return [row for index, row in enumerate(rows) if index not in dropped]


def _text(raw: bytes) -> str:
    """A line as text; of one that is very long, its beginning and its end, as if a carriage return stood between."""
    if len(raw) > _LONGEST_LINE + _LONGEST_END:
        raw = raw[:_LONGEST_LINE] + b"\r" + raw[-_LONGEST_END:]
    return raw.rstrip(b"\r").decode("utf-8", "replace")


def _whole_lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, cut after line ends, so that no word is split.

    What has no line end in megabytes is cut into pieces that count as lines.
    """
    rest = b""
    for block in blocks:
        cut = block.rfind(b"\n") + 1
        if cut:
            yield b"".join((rest, memoryview(block)[:cut]))
            rest = block[cut:]
        else:
            rest += block
        if len(rest) >= 2 * BLOCK:
            yield from _in_pieces(rest)
            rest = b""
    if rest:
        yield rest


def _in_pieces(text: bytes) -> Iterator[bytes]:
    pieces = []
    at = 0
    while at < len(text):
        end = at + _LONGEST_LINE
        if end < len(text):
            end = max(text.rfind(b"\r", at + 1, end), text.rfind(b" ", at + _LONGEST_LINE // 2, end)) + 1 or end
        pieces.append(text[at:end])
        at = end
    yield b"\n".join(pieces) + b"\n"
