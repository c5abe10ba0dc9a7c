"""What is kept of one run of a server: its start, the surroundings of what may be a failure, its end."""

from __future__ import annotations

from collections import deque

from glmcalc.facts.frozen import record
from glmcalc.logs.shapes import shape_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

    from glmcalc.logs.shapes import Shapes


HEAD = 1 << 20  # bytes kept from the start of a run
_BEFORE = 32_000  # bytes kept before a moment: tracebacks of several ranks, interleaved, end with the error
_AFTER = 12_000
_MOST = {True: 24, False: 16}  # moments of a kind kept from the front
_MOST_LAST = 4  # and from the back, of each of the last portions that have any
_OFTEN = 3  # moments of one shape kept from the front
_REPEATED = 400  # lines of one shape kept of a run, from the front and as many from the back
_TAIL = 96_000  # bytes kept from the end
LONGEST_LINE = 16_000
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


class Kept:
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
        self.ended: dict[bool, deque[list[tuple[int, bytes]]]] = {True: deque(maxlen=3), False: deque(maxlen=2)}
        self.owed = 0  # bytes that belong to a moment at the end of the portion before
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
        if self.owed:
            self.front[True].append(
                (line, piece[: piece.find(b"\n", min(self.owed, len(piece) - 1)) + 1 or len(piece)])
            )
            self.owed = 0
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
        before = [] if skipped else _end(list(self.tail)[-1:], _BEFORE)
        if fresh and len(front) < _MOST[strong]:
            for image in fresh:
                self.times[image] = self.times.get(image, 0) + 1
            windows = _windows(piece.split(b"\n"), images, fresh, skipped, _OFTEN)
            if windows and windows[0][0] == 0:
                front += before
            front += [(line + at, text) for at, text in windows][: _MOST[strong] - len(front)]
            self.owed = _AFTER if windows and piece.endswith(windows[-1][1]) else 0
            if fresh == chosen and len(windows) < _OFTEN:
                return
        self.ended[strong].append([*before, (line, piece)])

    def _pieces(self) -> Iterator[tuple[int, bytes]]:
        yield from self.head
        for strong in (True, False):
            yield from self.front[strong]
            chosen = {image for image, sure in self.shapes.told.items() if sure is strong}
            for *before, (line, piece) in self.ended[strong]:
                yield from before
                lines = piece.split(b"\n")
                windows = _windows(lines, shape_of(piece).split(b"\n"), chosen, 0, len(lines))
                yield from ((line + at, text) for at, text in windows[-_MOST_LAST:])
        yield from _end(list(self.tail), _TAIL)

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
        low, room = index, _BEFORE
        while low > begin and room > 0:
            low -= 1
            room -= len(lines[low]) + 1
        until, room = index + 1, _AFTER
        while until < len(lines) and room > 0:
            room -= len(lines[until]) + 1
            until += 1
        windows.append((low, b"\n".join(lines[low:until])))
    return windows


def _end(pieces: list[tuple[int, bytes]], room: int) -> list[tuple[int, bytes]]:
    """The last ``room`` bytes of the last portions, from the start of a line."""
    out: list[tuple[int, bytes]] = []
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
    if len(raw) > LONGEST_LINE + _LONGEST_END:
        raw = raw[:LONGEST_LINE] + b"\r" + raw[-_LONGEST_END:]
    return raw.rstrip(b"\r").decode("utf-8", "replace")
