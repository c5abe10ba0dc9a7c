"""Requests at once against context length, on log scales: an inline SVG that widens with its container.

Drawn here rather than by a chart library because it follows a slider: the library alone takes longer to import than
the whole page takes to start.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Sequence

from glmcalc.present.svg import Drawing, hatch, spread

WIDTH, HEIGHT = 340.0, 268.0
LEFT, RIGHT, TOP, FOOT = 34.0, 250.0, 10.0, 232.0
SHORTEST, LONGEST = 8192, 1 << 20
_HALO = "paint-order:stroke;stroke:var(--bg);stroke-width:4px;stroke-linejoin:round"
_DASHES = ("7 3", "2 2", "1 4", "10 3 2 3")


@dataclass(frozen=True)
class Point:
    """Requests of ``length`` tokens that the pool holds at once, with the range."""

    length: int
    low: float
    likely: float
    high: float


@dataclass(frozen=True)
class Line:
    """One setting's curve; ``note`` says why there is none (the engine refuses it)."""

    label: str
    points: tuple[Point, ...]
    note: str | None = None


def curve(present: Line, others: Sequence[Line], here: Point) -> str:
    """The chart with the present point.

    Args:
        present: the deployment's own curve, drawn strong with its band.
        others: what single changes would make of it.
        here: the present length and what it gives.
    """
    lines = [present, *others]
    top = max([point.likely for line in lines for point in line.points] + [here.likely, 10.0])
    axis = _Axis(0.3, top * 1.35)
    drawing = Drawing(WIDTH, HEIGHT)
    _grid(drawing, axis)
    drawing.marks.append(_lines(present, others, axis))
    _ends(drawing, present, others, here, axis)
    _here(drawing, here, axis)
    said = f"Requests at once against context length, log scales. Present point: {_count(here.likely)} requests of {here.length:,} tokens."
    compared = "; ".join(f"{line.label}: {line.note or _count(_at(line, here.length))}" for line in others)
    return drawing.render(f"{said} At the same length, {compared}.", "gm-curve", hatch("h-gm-curve"))


@dataclass(frozen=True)
class _Axis:
    bottom: float
    top: float

    def y(self, value: float) -> float:
        share = math.log(max(value, self.bottom) / self.bottom) / math.log(self.top / self.bottom)
        return FOOT - (FOOT - TOP) * min(share, 1.0)

    def open_y(self, value: float) -> float:
        """Like :meth:`y`, but what is below the plot lies below it, where the plot's edge cuts it off."""
        return self.y(value) if value >= self.bottom else FOOT + 40 * min(self.bottom / max(value, 0.001) - 1, 2)

    def x(self, length: int) -> float:
        share = math.log(min(max(length, SHORTEST), LONGEST) / SHORTEST) / math.log(LONGEST / SHORTEST)
        return LEFT + (RIGHT - LEFT) * share


def _grid(drawing: Drawing, axis: _Axis) -> None:
    value = 1.0
    while value <= axis.top:
        y = axis.y(value)
        drawing.line(LEFT, y, RIGHT, y, "stroke:var(--rule)")
        drawing.text(LEFT - 6, y + 4, f"{value:,.0f}" if value < 1e4 else f"{value / 1000:,.0f}k", "m", "end")
        value *= 10
    floor = axis.y(1)
    drawing.rect(LEFT, floor, RIGHT - LEFT, FOOT - floor, "fill:url(#h-gm-curve);opacity:.22")
    drawing.text(LEFT + 6, FOOT - 8, "below 1: does not start", "m")
    drawing.line(LEFT, FOOT, RIGHT, FOOT, "stroke:var(--rule2)")
    for length in (8192, 32768, 131072, 524288, 1048576):
        x = axis.x(length)
        drawing.line(x, FOOT, x, FOOT + 4, "stroke:var(--rule2)")
        drawing.text(x, FOOT + 17, "1M" if length >= 1 << 20 else f"{length // 1024}K", "m", "middle")
    drawing.text((LEFT + RIGHT) / 2, FOOT + 34, "tokens per request (max_model_len)", "m", "middle")


def _lines(present: Line, others: Sequence[Line], axis: _Axis) -> str:
    """The curves, in a drawing of their own that is stretched to the plot; strokes keep their width."""

    def place(length: int, value: float) -> str:
        return f"{axis.x(length) - LEFT:.1f} {axis.open_y(value) - TOP:.1f}"

    def path(points: Sequence[Point]) -> str:
        return "M" + "L".join(place(point.length, point.likely) for point in points)

    marks = []
    if present.points:
        upper = "L".join(place(point.length, point.high) for point in present.points)
        lower = "L".join(place(point.length, point.low) for point in reversed(present.points))
        marks.append(f'<path d="M{upper}L{lower}Z" style="fill:var(--pool);opacity:.24"/>')
    for line, dash in zip(others, _DASHES):
        if line.points:
            marks.append(
                f'<path d="{path(line.points)}" vector-effect="non-scaling-stroke" '
                f'style="fill:none;stroke:var(--ink2);stroke-width:1.4;stroke-dasharray:{dash}"/>'
            )
    if present.points:
        marks.append(
            f'<path d="{path(present.points)}" vector-effect="non-scaling-stroke" '
            'style="fill:none;stroke:var(--ink);stroke-width:2.2"/>'
        )
    wide, high = RIGHT - LEFT, FOOT - TOP
    return (
        f'<svg x="{100 * LEFT / WIDTH:.3f}%" y="{TOP}" width="{100 * wide / WIDTH:.3f}%" height="{high}" '
        f'viewBox="0 0 {wide} {high}" preserveAspectRatio="none" style="overflow:hidden" aria-hidden="true">{"".join(marks)}</svg>'
    )


def _ends(drawing: Drawing, present: Line, others: Sequence[Line], here: Point, axis: _Axis) -> None:
    """A name beside the right end of every curve, and what it gives at the present length."""
    rows = sorted(
        (
            axis.open_y(line.points[-1].likely) if line.points else HEIGHT,
            -_at(line, here.length),
            line.label,
            _end_note(line, here),
        )
        for line in (present, *others)
    )
    places = spread([row[0] for row in rows], [28.0] * len(rows), 0, TOP, FOOT + 6)
    for (y, _, label, note), place in zip(rows, places):
        strong = label == present.label
        if y <= FOOT:
            drawing.line(RIGHT + 1, y, RIGHT + 9, place + 10, "stroke:var(--rule2)")
        drawing.text(RIGHT + 12, place + 12, label, "b" if strong else "")
        drawing.text(RIGHT + 12, place + 25, note, "m")


def _end_note(line: Line, here: Point) -> str:
    if line.note:
        return line.note
    return f"{_count(_at(line, here.length))} at {_length(here.length)}"


def _here(drawing: Drawing, here: Point, axis: _Axis) -> None:
    x, y = axis.x(here.length), axis.y(here.likely)
    drawing.line(x, axis.y(here.low), x, axis.y(here.high), "stroke:var(--ink);stroke-width:1.4")
    drawing.marks.append(
        f'<circle cx="{drawing.x(x)}" cy="{y:.1f}" r="5" style="fill:var(--bg);stroke:var(--ink);stroke-width:2.2">'
        f"<title>{escape(f'{_count(here.likely)} requests of {here.length:,} tokens')}</title></circle>"
    )
    near_end = x > RIGHT - 34
    drawing.text(
        x + (-9 if near_end else 9),
        max(y - 9, TOP + 6),
        _count(here.likely),
        "b",
        "end" if near_end else "start",
        _HALO,
    )


def _at(line: Line, length: int) -> float:
    """The curve at a length between its points (straight on the log scales)."""
    points = line.points
    if not points:
        return 0.0
    for before, after in pairwise(points):
        if before.length <= length <= after.length and before.likely > 0 and after.likely > 0:
            share = math.log(length / before.length) / math.log(after.length / before.length)
            return math.exp((1 - share) * math.log(before.likely) + share * math.log(after.likely))
    return points[0].likely if length < points[0].length else points[-1].likely


def _count(value: float) -> str:
    return f"{value:,.1f}" if value >= 0.95 or value == 0 else f"{value:.2f}"


def _length(length: int) -> str:
    if length % 1024:
        return f"{length:,}"
    return f"{length >> 20}M" if length % (1 << 20) == 0 else f"{length >> 10}K"
