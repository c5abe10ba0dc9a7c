"""Words above a lying bar: each takes the first of its places where it meets no other word and no thick line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Sequence

from glmcalc.facts.quantity import GIB
from glmcalc.present.ledger import POOL, cents, gib_text
from glmcalc.present.segments import Bar
from glmcalc.present.svg import Drawing, text_width

ROW = 13.0
"""Lines of text this many px apart, baseline to baseline, do not touch."""


@dataclass(frozen=True)
class Caption:
    """One way to write something: parts are (class, words); ``x`` is the left or, with ``end``, the right edge."""

    parts: tuple[tuple[str, str], ...]
    x: float
    y: float
    end: bool = False

    @property
    def width(self) -> float:
        """Room in px."""
        return text_width("".join(words for _, words in self.parts))

    @property
    def left(self) -> float:
        """Left edge in px."""
        return self.x - self.width if self.end else self.x


@dataclass
class Captions:
    """The captions of one drawing.

    Attributes:
        walls: places of thick upright lines, which no caption may cross.
    """

    drawing: Drawing
    walls: tuple[float, ...]
    taken: list[Caption] = field(default_factory=list)

    def put(self, *ways: Caption) -> bool:
        """Write the first of ``ways`` that is free; whether there was one."""
        for way in ways:
            if self._free(way):
                self._write(way)
                return True
        return False

    def put_lines(self, *lines: Caption) -> bool:
        """Write several lines that belong together, or none of them."""
        free = all(self._free(line) for line in lines)
        if free:
            for line in lines:
                self._write(line)
        return free

    def _free(self, way: Caption) -> bool:
        left, right = way.left, way.left + way.width
        if left < 0 or right > self.drawing.width or any(left - 4 < wall < right + 4 for wall in self.walls):
            return False
        return not any(
            abs(way.y - other.y) < ROW and left < other.left + other.width + 6 and other.left < right + 6
            for other in self.taken
        )

    def _write(self, way: Caption) -> None:
        markup = "".join(f'<tspan class="{cls}">{words}</tspan>' if cls else words for cls, words in way.parts)
        self.drawing.raw_text(way.x, way.y, markup, anchor="end" if way.end else "start")
        self.taken.append(way)


def utilization(captions: Captions, bar: Bar, line: float) -> None:
    """What the thick line is: at its left, else at its right."""
    parts = (("b", bar.line_words), ("", f" = {bar.line_printed} GiB"))
    captions.put(Caption(parts, line - 7, ROW, end=True), Caption(parts, line + 7, ROW))


def driver(captions: Captions, bar: Bar, line: float, right: float) -> bool:
    """The frame's own label, beside the line where there is room, on two lines where less; whether it was written."""
    if right <= line:
        return False
    name, figure = ("b", bar.frame_words), ("", f" {bar.frame_printed}")
    if captions.put(Caption((name, figure), right, ROW if bar.need else 30.0, end=True)):
        return True
    above = 16 if bar.dead else 0  # what died is taller than the bar
    lines = (Caption((name,), right, 29.0 - above, end=True), Caption((figure,), right, 44.0 - above, end=True))
    return not bar.need and captions.put_lines(*lines)


def need(captions: Captions, bar: Bar, start: float, end: float) -> None:
    """What one request needs, in the second line of captions: before the bracket, over it, or after it."""
    assert bar.need is not None
    size = gib_text(cents(bar.need[1] - bar.need[0]))
    pool = next(part.printed for part in bar.inside if part.name == POOL)
    first, rest = ("b", f"one request needs {size} GiB"), ("m", f", the pool is {pool}")
    y, last, ways = 29.0, captions.drawing.width, []
    for parts in ((first, rest), (first,)):
        after = min(end, last - Caption(parts, 0, y).width)
        ways += [Caption(parts, start - 7, y, end=True), Caption(parts, start, y), Caption(parts, after, y)]
        ways += [way for wall in captions.walls for way in _beside(parts, wall, y)]
    captions.put(*ways)


def pool_begins(captions: Captions, span: tuple[int, int], first: float, last: float) -> None:
    """Between which GiB the pool may begin, beside the bracket; left out where there is no room (the table has it)."""
    figures = ("", f"{span[0] / GIB:,.1f} to {span[1] / GIB:,.1f} GiB")
    both = (("m", "pool begins here, "), figures)
    ways = [Caption(both, first - 7, 32, end=True), Caption((figures,), first - 7, 32, end=True)]
    captions.put(*ways, Caption(both, last + 7, 32), Caption((figures,), last + 7, 32))


def _beside(parts: tuple[tuple[str, str], ...], wall: float, y: float) -> Sequence[Caption]:
    return Caption(parts, wall - 7, y, end=True), Caption(parts, wall + 7, y)
