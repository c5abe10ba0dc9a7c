"""From a file, a pipe or a paste to the lines that matter: one pass, bounded memory, any size.

The start of each server run is kept whole (its flags and memory lines stand there), and so are the surroundings of what
may be a failure. Everything else is only counted. A server says the same thing millions of times: a line that differs
from an earlier one in digits only has the same *shape*, and each shape is looked at once.
"""

from __future__ import annotations

from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.logs.encoded import as_utf8
from glmcalc.logs.runs import LONGEST_LINE, Kept, Run
from glmcalc.logs.shapes import Shapes, shape_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO, Iterable, Iterator


BLOCK = 1 << 20
_HELD = 12 << 20  # bytes held of all runs together
_RUNS = 6


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
        self.runs: list[Kept] = [Kept(1, self.shapes)]
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
        self.runs.append(Kept(self.line, self.shapes))
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
        end = at + LONGEST_LINE
        if end < len(text):
            end = max(text.rfind(b"\r", at + 1, end), text.rfind(b" ", at + LONGEST_LINE // 2, end)) + 1 or end
        pieces.append(text[at:end])
        at = end
    yield b"\n".join(pieces) + b"\n"
