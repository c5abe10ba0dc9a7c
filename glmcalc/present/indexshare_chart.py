"""Curves over the context, 1K to 1M on a log scale, as a drawing that widens with its place; made for chapter 2."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, Sequence

from glmcalc.present.svg import Drawing, spread

WIDTH, HEIGHT = 340.0, 262.0
LEFT, RIGHT, TOP, FOOT = 40.0, 224.0, 24.0, 220.0
SHORTEST, LONGEST = 1024, 1 << 20
_TICKS = (1024, 8192, 65536, 1 << 19)
_STEPS = 48


@dataclass(frozen=True)
class Course:
    """A curve: its value at a context, how it is drawn, and from where on it is extrapolated (dotted)."""

    label: str
    value: Callable[[float], float]
    css: str
    measured_to: int | None = None


@dataclass(frozen=True)
class Scale:
    """The upright axis: what it counts, its ends and marks, logarithmic or not, and a mark's words."""

    title: str
    low: float
    high: float
    marks: tuple[float, ...]
    log: bool = False
    words: str = "{:g}"

    def y(self, value: float) -> float:
        """Where ``value`` lies, in px from the top."""
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return FOOT - (FOOT - TOP) * min(max(share, 0.0), 1.0)


def chart(courses: Sequence[Course], scale: Scale, said: str) -> str:
    """The drawing, each curve named at its right end; ``said`` is the sentence for those who do not see it."""
    drawing = Drawing(WIDTH, HEIGHT)
    drawing.text(0, 12, scale.title, "m")
    for mark in scale.marks:
        y = scale.y(mark)
        drawing.line(LEFT, y, RIGHT, y, "stroke:var(--rule)")
        drawing.text(LEFT - 6, y + 4, scale.words.format(mark), "m", "end")
    drawing.line(LEFT, FOOT, RIGHT, FOOT, "stroke:var(--rule2)")
    for length in _TICKS:
        drawing.line(_x(length), FOOT, _x(length), FOOT + 4, "stroke:var(--rule2)")
        drawing.text(_x(length), FOOT + 17, f"{length >> 10}K", "m", "middle")
    drawing.text((LEFT + RIGHT) / 2, FOOT + 34, "context, tokens", "m", "middle")
    drawing.marks.append(_plot(courses, scale))
    ends = sorted((scale.y(course.value(LONGEST)), course.label) for course in courses)
    for (y, label), place in zip(ends, spread([y for y, _ in ends], [15.0] * len(ends), 1, TOP - 8, FOOT)):
        drawing.line(RIGHT + 1, y, RIGHT + 8, place + 7, "stroke:var(--rule2)")
        drawing.text(RIGHT + 11, place + 11, label)
    return drawing.render(said, "gm-curve")


def _x(length: float) -> float:
    return LEFT + (RIGHT - LEFT) * math.log(length / SHORTEST) / math.log(LONGEST / SHORTEST)


def _plot(courses: Sequence[Course], scale: Scale) -> str:
    """The curves in a drawing of their own, stretched to the plot; strokes keep their width."""
    marks = []
    for course in courses:
        for measured in (True, False):
            points = _points(course, measured)
            if len(points) > 1:
                dots = "" if measured else ";stroke-dasharray:2 4"
                path = "M" + "L".join(f"{_x(at) - LEFT:.1f} {scale.y(course.value(at)) - TOP:.1f}" for at in points)
                marks.append(
                    f'<path d="{path}" vector-effect="non-scaling-stroke" style="fill:none;{course.css}{dots}"/>'
                )
    wide, high = RIGHT - LEFT, FOOT - TOP
    return (
        f'<svg x="{100 * LEFT / WIDTH:.3f}%" y="{TOP}" width="{100 * wide / WIDTH:.3f}%" height="{high}" '
        f'viewBox="0 0 {wide} {high}" preserveAspectRatio="none" style="overflow:hidden" aria-hidden="true">{"".join(marks)}</svg>'
    )


def _points(course: Course, measured: bool) -> list[float]:
    """Contexts at which the measured, or the extrapolated, part of a curve is drawn."""
    end = course.measured_to or LONGEST
    start, stop = (SHORTEST, end) if measured else (end, LONGEST)
    if start >= stop:
        return []
    return [start * (stop / start) ** (step / _STEPS) for step in range(_STEPS + 1)]
