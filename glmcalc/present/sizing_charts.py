"""The three pictures of sizing: what a machine holds, speed against price, and memory at a glance; inline SVG.

Drawn here, as the calculator's curve is, because they follow controls.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import Iterable, Sequence

from glmcalc.present.svg import Drawing, hatch, spread, text_width

WIDTH = 340.0
SHORTEST, LONGEST = 32_768, 1 << 20
_HALO = "paint-order:stroke;stroke:var(--bg);stroke-width:4px;stroke-linejoin:round"
_DASHES = ("", "7 3", "2 2", "10 3 2 3", "1 4", "5 5", "12 3")
_NUMBERED = 15
_COLOURS = {"weights": "weights", "runtime": "act", "pool": "pool", "beyond": "ctx"}


@dataclass(frozen=True)
class Region:
    """What one deployment holds: requests at once, for sure, at lengths in tokens; empty where it holds none."""

    label: str
    points: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Dot:
    """One machine's price (US$ an hour) and speed (tok/s of one user), each with its range; ``serves`` the need or not."""

    key: str
    label: str
    usd: tuple[float, float]
    speed: tuple[float, float, float]
    serves: bool


@dataclass(frozen=True)
class Glance:
    """One machine's memory in GiB over all its GPUs: ``total``, and parts by name (weights, runtime, pool, beyond)."""

    key: str
    label: str
    total: float
    parts: tuple[tuple[str, float], ...]
    serves: bool


def region(regions: Sequence[Region], context: int, concurrency: int) -> str:
    """Requests at once against their length, log scales; the first is shaded, the need is marked."""
    left, right, top, foot = 34.0, 236.0, 10.0, 232.0
    most = max([value for one in regions for _, value in one.points] + [concurrency, 10.0]) * 1.3
    drawing = Drawing(WIDTH, 272.0)

    def x(length: float) -> float:
        share = math.log(min(max(length, SHORTEST), LONGEST) / SHORTEST) / math.log(LONGEST / SHORTEST)
        return left + (right - left) * share

    def y(value: float) -> float:
        return foot - (foot - top) * min(math.log(max(value, 0.7) / 0.7) / math.log(most / 0.7), 1.0)

    for power in range(0, int(math.log10(most)) + 1):
        drawing.line(left, y(10**power), right, y(10**power), "stroke:var(--rule)")
        drawing.text(left - 6, y(10**power) + 4, _short(10**power), "m", "end")
    drawing.line(left, foot, right, foot, "stroke:var(--rule2)")
    for length in (32768, 131072, 524288, 1048576):
        drawing.text(x(length), foot + 17, "1M" if length >= 1 << 20 else f"{length // 1024}K", "m", "middle")
    drawing.text((left + right) / 2, foot + 34, "tokens per request", "m", "middle")
    inner, ends = [], []
    for index, one in enumerate(regions):
        if not one.points:
            ends.append((foot + 6, one.label, "holds none", index))
            continue
        path = "L".join(f"{x(length) - left:.1f} {y(value) - top:.1f}" for length, value in one.points)
        edge = x(one.points[-1][0]) - left
        if index == 0:
            inner.append(
                f'<path d="M0 {foot - top}L{path}L{edge:.1f} {foot - top}Z" style="fill:var(--pool);opacity:.24"/>'
            )
        dash = f";stroke-dasharray:{_DASHES[index % len(_DASHES)]}" if index else ""
        wide, colour = (2.2, "ink") if index == 0 else (1.4, "ink2")
        inner.append(
            f'<path d="M{path}L{edge:.1f} {foot - top}" vector-effect="non-scaling-stroke" '
            f'style="fill:none;stroke:var(--{colour});stroke-width:{wide}{dash}"/>'
        )
        ends.append((y(one.points[-1][1]), one.label, _reach(one.points), index))
    drawing.marks.append(_stretched(left, top, right - left, foot - top, inner))
    _names(drawing, ends, right, top, foot)
    _cross(drawing, x(context), y(concurrency))
    words = f"need: {concurrency:,} × {context:,}"
    at = min(max(x(context), left + text_width(words) / 2), right - text_width(words) / 2 + 30)
    drawing.text(at, max(y(concurrency) - 10, top + 8), words, "b", "middle", _HALO)
    said = "; ".join(f"{one.label}: {_reach(one.points) if one.points else 'holds none'}" for one in regions)
    return drawing.render(
        f"Requests held at once against their length, log scales. Needed: {words[6:]} tokens. {said}.", "gm-curve"
    )


def _names(drawing: Drawing, ends: list[tuple[float, str, str, int]], right: float, top: float, foot: float) -> None:
    ends = sorted(ends)
    for (y, label, note, index), place in zip(
        ends, spread([end[0] for end in ends], [28.0] * len(ends), 0, top, foot + 6)
    ):
        drawing.line(right + 1, y, right + 9, place + 10, "stroke:var(--rule2)")
        drawing.text(right + 12, place + 12, _clipped(label, 92), "b" if index == 0 else "")
        drawing.text(right + 12, place + 25, note, "m")


def _reach(points: Sequence[tuple[int, float]]) -> str:
    length = points[-1][0]
    return "to 1M" if length >= LONGEST else f"to {_length(length)}"


def speed_and_price(dots: Sequence[Dot], least: float | None = None) -> str:
    """Tokens per second of one user against US$ an hour, log scales; numbered dots serve the need, hollow ones do not."""
    left, right, top, foot = 32.0, 222.0, 12.0, 232.0
    drawing = Drawing(WIDTH, 272.0)
    if not dots:
        drawing.text(WIDTH / 2, 120, "no machine with both a price and a speed", "m", "middle")
        return drawing.render("No machine shown has both a price and a speed.", "gm-curve")
    x = _LogAxis([value for dot in dots for value in dot.usd], left, right)
    speeds = [value for dot in dots for value in (dot.speed[0], dot.speed[2])]
    y = _LogAxis([*speeds, *([least] if least else [])], foot, top)
    for value in x.ticks:
        drawing.line(x(value), foot, x(value), foot + 4, "stroke:var(--rule2)")
        drawing.text(x(value), foot + 17, f"${_short(value)}", "m", "middle")
    for value in y.ticks:
        drawing.line(left, y(value), right, y(value), "stroke:var(--rule)")
        drawing.text(left - 6, y(value) + 4, _short(value), "m", "end")
    drawing.line(left, foot, right, foot, "stroke:var(--rule2)")
    drawing.text((left + right) / 2, foot + 34, "US$ an hour; up: tok/s of one user", "m", "middle")
    if least is not None:
        drawing.line(left, y(least), right, y(least), "stroke:var(--bad);stroke-width:1.4;stroke-dasharray:6 3")
    able = sorted((dot for dot in dots if dot.serves), key=lambda dot: _middle(dot.usd))
    for dot in [dot for dot in dots if not dot.serves]:
        _dot(drawing, dot, x, y, 0)
    numbered = able[:_NUMBERED]
    marks = _apart([(x(_middle(dot.usd)), y(dot.speed[1])) for dot in numbered], left, right, top, foot)
    for number, dot in reversed(list(enumerate(numbered, start=1))):
        _dot(drawing, dot, x, y, number, marks[number - 1])
        place = top + 15 * number - 6
        drawing.text(right + 26, place, f"{number}", "m", "end")
        drawing.text(right + 31, place, _clipped(dot.label, WIDTH - right - 31))
    if len(able) > _NUMBERED:
        drawing.text(right + 31, top + 15 * (_NUMBERED + 1) - 6, f"and {len(able) - _NUMBERED} more", "m")
    said = "; ".join(f"{dot.label}: {dot.speed[1]:.0f} tok/s at ${_middle(dot.usd):.0f} an hour" for dot in able)
    return drawing.render(
        f"Speed against price of {len(dots)} machines, {len(able)} of which serve the need. {said}.", "gm-curve"
    )


class _LogAxis:
    def __init__(self, values: Iterable[float], start: float, end: float) -> None:
        kept = [value for value in values if value > 0]
        self.low, self.high = min(kept) / 1.25, max(kept) * 1.25
        self.start, self.end = start, end
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        steps = (1, 2, 5) if self.high / self.low < 120 else (1,)
        self.ticks = [s * 10.0**p for p in powers for s in steps if self.low <= s * 10.0**p <= self.high]

    def __call__(self, value: float) -> float:
        share = math.log(min(max(value, self.low), self.high) / self.low) / math.log(self.high / self.low)
        return self.start + (self.end - self.start) * share


_DISC, _SQUEEZED = 15.0, 0.75  # px from number to number; the share of its width that the drawing may have on a page


def _apart(
    places: Sequence[tuple[float, float]], left: float, right: float, top: float, foot: float
) -> list[tuple[float, float]]:
    """Where each number stands: at its place, or the nearest beside it where it covers none that came before."""
    tried = sorted(
        ((9.0 * i, 8.0 * j) for i in range(-6, 7) for j in range(-6, 7)),
        key=lambda off: (math.hypot(*off), off),
    )
    kept: list[tuple[float, float]] = []
    for px, py in places:
        spots = ((px + dx, py + dy) for dx, dy in tried)
        inside = (spot for spot in spots if left + 8 <= spot[0] <= right - 8 and top <= spot[1] <= foot - 8)
        free = (
            spot for spot in inside if all(math.hypot((spot[0] - x) * _SQUEEZED, spot[1] - y) >= _DISC for x, y in kept)
        )
        kept.append(next(free, (px, py)))
    return kept


def _dot(
    drawing: Drawing, dot: Dot, x: _LogAxis, y: _LogAxis, number: int, mark: tuple[float, float] | None = None
) -> None:
    low, likely, high = dot.speed
    px, py = x(_middle(dot.usd)), y(likely)
    strong = "var(--ink2)" if number else "var(--rule2)"
    drawing.line(px, y(low), px, y(high), f"stroke:{strong};stroke-width:1.1;opacity:.6")
    if dot.usd[0] < dot.usd[1]:
        drawing.line(x(dot.usd[0]), py, x(dot.usd[1]), py, f"stroke:{strong};stroke-width:1.1;opacity:.6")
    title = f"{dot.label}: {low:.0f} to {high:.0f} tok/s, ${dot.usd[0]:.2f} to ${dot.usd[1]:.2f} an hour"
    fill, size = ("var(--ok)", 7.5) if number else ("var(--bg)", 4)
    at_x, at_y = mark or (px, py)
    if (at_x, at_y) != (px, py):  # moved off another number: a line leads to its place
        drawing.line(px, py, at_x, at_y, "stroke:var(--ok);stroke-width:1.4")
        drawing.marks.append(f'<circle cx="{drawing.x(px)}" cy="{py:.1f}" r="2.5" style="fill:var(--ok)"/>')
    drawing.marks.append(
        f'<circle cx="{drawing.x(at_x)}" cy="{at_y:.1f}" r="{size}" style="fill:{fill};stroke:{"var(--bg)" if number else strong};'
        f'stroke-width:1.5"><title>{escape(title)}</title></circle>'
    )
    if number:
        drawing.text(
            at_x,
            at_y + 3.5,
            str(number),
            "",
            "middle",
            "font-size:10px;font-weight:650;fill:var(--on);pointer-events:none",
        )


def glance(rows: Sequence[Glance], mark: tuple[str, float] | None = None) -> str:
    """Memory of each machine over all its GPUs: weights, run time, KV pool and what lies beyond the line, against the outline.

    Args:
        mark: words and GiB of a line across all, such as the size of the FP8 weights.
    """
    left, right, step, top = 128.0, 334.0, 18.0, 24.0
    drawing = Drawing(WIDTH, top + step * len(rows) + 26)
    most = max([row.total for row in rows] + [mark[1] if mark else 1.0, 1.0])

    def x(value: float) -> float:
        return left + (right - left) * min(value / most, 1.0)

    foot = top + step * len(rows)
    for index, row in enumerate(rows):
        place = top + step * index
        drawing.text(left - 6, place + 12, _clipped(row.label, left - 8), "b" if row.serves else "m", "end")
        drawing.rect(left, place + 2, x(row.total) - left, step - 5, "fill:none;stroke:var(--rule2)")
        at = 0.0
        for name, size in row.parts:
            end = min(at + size, most)
            css = f"fill:var(--{_COLOURS[name]})" if at + size <= row.total * 1.001 else "fill:url(#h-gm-glance-x)"
            drawing.rect(x(at), place + 3, x(end) - x(at), step - 7, css)
            at = end
    if mark:
        drawing.line(x(mark[1]), top - 4, x(mark[1]), foot, "stroke:var(--ink);stroke-dasharray:3 3")
        drawing.text(min(x(mark[1]), right - text_width(mark[0]) / 2), top - 9, mark[0], "m", "middle")
    for value in _even(most):
        drawing.text(x(value), foot + 15, f"{value:,.0f}", "m", "middle")
    drawing.text(left - 6, foot + 15, "GiB, all GPUs", "m", "end")
    said = "; ".join(f"{row.label}: {row.total:,.0f} GiB" for row in rows)
    return drawing.render(f"Memory of each machine over all its GPUs. {said}.", "gm-curve", hatch("h-gm-glance"))


def _even(most: float) -> list[float]:
    step = 10 ** math.floor(math.log10(most))
    step = step if most / step >= 2 else step / 2
    return [step * count for count in range(0, int(most / step) + 1) if step * count <= most]


def _cross(drawing: Drawing, x: float, y: float) -> None:
    drawing.marks.append(
        f'<circle cx="{drawing.x(x)}" cy="{y:.1f}" r="5" style="fill:var(--bg);stroke:var(--bad);stroke-width:2.2"/>'
    )


def _stretched(x: float, y: float, wide: float, high: float, marks: Sequence[str]) -> str:
    return (
        f'<svg x="{100 * x / WIDTH:.3f}%" y="{y}" width="{100 * wide / WIDTH:.3f}%" height="{high}" '
        f'viewBox="0 0 {wide} {high}" preserveAspectRatio="none" style="overflow:hidden" aria-hidden="true">{"".join(marks)}</svg>'
    )


def _middle(ends: tuple[float, float]) -> float:
    return (ends[0] + ends[1]) / 2


def _clipped(words: str, room: float) -> str:
    most = int(room / 6.2)
    return words if len(words) <= most else words[: most - 1] + "…"


def _short(value: float) -> str:
    return f"{value / 1000:g}k" if value >= 10_000 else f"{value:,g}"


def _length(tokens: int) -> str:
    return f"{tokens // 1024:,}K" if tokens >= 1024 else f"{tokens:,}"
