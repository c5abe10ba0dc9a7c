"""The budget bar of one GPU, as inline SVG: lying for wide places, merged for middling ones, upright for narrow ones.

All three are written; the style sheet shows the one that the container has room for, so no script is needed.
"""

from __future__ import annotations

from typing import Any, Callable, Mapping, Sequence

from glmcalc.facts.quantity import GIB
from glmcalc.present.bar_upright import upright
from glmcalc.present.ledger import POOL, cents, gib_text
from glmcalc.present.segments import Bar, Dead, Segment, layout
from glmcalc.present.svg import Drawing, hatch, spread, text_width

WIDE, MIDDLE = 960, 600
TOP, DEEP = 50.0, 44.0
ON_COLOUR = {"weights": "var(--onw)", POOL: "var(--onp)"}


At = Callable[[float], float]  # bytes to a place on the drawing
SHAPES = ("wide", "middle", "narrow")


def budget_bar(plan: Mapping[str, Any], shapes: Sequence[str] = SHAPES) -> str:
    """The bar in its three shapes, or the reason why there is none.

    Args:
        plan: ``Plan.to_dict()``.
        shapes: those to write, where it is known which one will be shown.
    """
    full = layout(plan)
    if full is None:
        return '<p class="gm-cap">No bar: the memory of this device is not known.</p>'
    return drawn_bar(full, layout(plan, merged=True) or full, shapes)


def drawn_bar(full: Bar, merged: Bar, shapes: Sequence[str] = SHAPES) -> str:
    """A bar that is laid out already: all its parts, and with small parts merged for a middling width."""
    said = sentence(full)
    drawn = []
    if "wide" in shapes:
        drawn.append(lying(full, said, WIDE, "gm-wide"))
    if "middle" in shapes:
        drawn.append(lying(merged, said, MIDDLE, "gm-middle"))
    if "narrow" in shapes:
        drawn.append(upright(full, said))
    return f'<div class="gm-bar">{"".join(drawn)}</div>'


def sentence(bar: Bar) -> str:
    """What the bar shows, for who cannot see it; the component table beside it has every figure."""
    parts = ", ".join(f"{part.label} {part.printed}" for part in bar.parts)
    need = f" One request needs {gib_text(cents(bar.need[1] - bar.need[0]))} GiB." if bar.need else ""
    dead = f" What died: {bar.dead.label}, {bar.dead.said}." if bar.dead else ""
    return (
        f"Memory of one GPU in GiB: {parts}. Utilization line at {bar.line_printed} "
        f"of {bar.frame_printed} GiB that the driver reports.{need}{dead}"
    )


def lying(bar: Bar, label: str, width: float, cls: str) -> str:
    """The bar from left to right, for a container of at least ``width`` px."""
    drawing = Drawing(width, 150)
    scale = (width - 2) / bar.extent
    name = f"h-{cls}"

    def at(value: float) -> float:
        return 1 + value * scale

    drawing.rect(at(0), TOP, bar.frame * scale, DEEP, "fill:var(--bg)")
    outer: list[tuple[float, Segment]] = []
    for part in bar.parts:
        _paint(drawing, part, at(part.start), part.size * scale, name, bar)
        seen = bar.dead.leaves(part) if bar.dead else part.size
        if not _label_inside(drawing, part, at(part.start), seen * scale) and (seen or not part.size):
            outer.append((at((part.start + part.end) / 2), part))
    if bar.pool_from:
        pool = next(part for part in bar.inside if part.name == POOL)
        edge = min(bar.pool_from[1], pool.end)
        drawing.rect(at(pool.start), TOP, (edge - pool.start) * scale, DEEP, f"fill:url(#{name})")
    if bar.dead:
        outer.append(_dead(drawing, bar.dead, at, name))
    drawing.rect(at(0), TOP, bar.frame * scale, DEEP, "fill:none;stroke:var(--ink);stroke-width:1.5")
    blocked = _marks(drawing, bar, at, outer, name)
    _axis(drawing, bar, at, blocked)
    _fan_out(drawing, outer)
    return drawing.render(label, cls, hatch(name))


def _dead(drawing: Drawing, dead: Dead, at: At, name: str) -> tuple[float, Segment]:
    """What died, over the bar and taller than it; returns its label for the row below."""
    start, end = at(dead.start), at(dead.end)
    hatched = at(dead.red)
    drawing.rect(hatched, TOP - 6, end - hatched, DEEP + 12, f"fill:url(#{name}-x)")
    drawing.rect(start, TOP - 6, end - start, DEEP + 12, "fill:none;stroke:var(--bad);stroke-width:2")
    return (hatched + end) / 2, Segment("dead", dead.label, dead.start, dead.end, dead.said, "", False)


def _paint(drawing: Drawing, part: Segment, x: float, wide: float, name: str, bar: Bar) -> None:
    if not part.colour:
        return
    # The gap between parts is paid by the part, and never more than a quarter of a thin one.
    gap = min(1.0, wide / 4)
    drawing.rect(x, TOP, wide - gap, DEEP, f"fill:var(--{part.colour})")
    if part.doubtful:
        drawing.rect(x, TOP, wide - gap, DEEP, f"fill:url(#{name})")
    over = max(part.start, bar.line)
    if part in bar.inside and part.end > over:
        scale = wide / part.size
        drawing.rect(
            x + (over - part.start) * scale, TOP, (part.end - over) * scale, DEEP, f"fill:url(#{name}-x);opacity:.55"
        )


def _label_inside(drawing: Drawing, part: Segment, x: float, wide: float) -> bool:
    figure = f"{part.printed} GiB"
    if wide < max(text_width(part.label), text_width(figure)) + 16:
        return False
    ink = ON_COLOUR.get(part.name)
    if ink is None and part.colour:
        return False
    # The pool's left part may be hatched, so its label keeps to the right end.
    right = part.name == POOL
    place, anchor = (x + wide - 10, "end") if right else (x + 9, "start")
    css = f"fill:{ink}" if ink else ""
    drawing.text(place, TOP + 19, part.label, "b" if ink else "m", anchor, css)
    drawing.text(place, TOP + 35, figure, "" if ink else "m", anchor, css)
    return True


def _marks(drawing: Drawing, bar: Bar, at: At, outer: list[tuple[float, Segment]], name: str) -> float:
    """The lines, brackets and captions above the bar; returns from where on the axis has no room for figures."""
    line, right = at(bar.line), at(bar.frame)
    drawing.line(line, 3, line, TOP + DEEP + 8, "stroke:var(--ink);stroke-width:2.5")
    said = f"Utilization {bar.utilization:.2f} = {bar.line_printed} GiB"
    markup = f'<tspan class="b">Utilization {bar.utilization:.2f}</tspan> = {bar.line_printed} GiB'
    if line - text_width(said) > 8:
        drawing.raw_text(line - 7, 13, markup, anchor="end")
    else:
        drawing.raw_text(line + 7, 13, markup)
    _driver(drawing, bar, line, right, outer)
    if bar.need:
        return _need(drawing, bar, at, name)
    if bar.pool_from:
        return _pool_begins(drawing, bar.pool_from, at)
    return drawing.width


def _driver(drawing: Drawing, bar: Bar, line: float, right: float, outer: list[tuple[float, Segment]]) -> None:
    """The frame's own label: beside the line where there is room, on two lines where less, else below the bar."""
    room = right - line
    one = f"Driver {bar.frame_printed}"
    y = 13.0 if bar.need else 30.0
    if room > text_width(one) + 6:
        drawing.raw_text(right, y, f'<tspan class="b">Driver</tspan> {bar.frame_printed}', anchor="end")
    elif room > text_width(bar.frame_printed) + 6 and not bar.need:
        above = 16 if bar.dead else 0  # what died is taller than the bar
        drawing.text(right, y - 1 - above, "Driver", "b", "end")
        drawing.text(right, y + 14 - above, bar.frame_printed, anchor="end")
    else:
        outer.append((right, Segment("driver", "Driver", bar.frame, bar.frame, bar.frame_printed, "", False)))


def _need(drawing: Drawing, bar: Bar, at: At, name: str) -> float:
    assert bar.need is not None
    start, end = at(bar.need[0]), at(bar.need[1])
    for x in (start, end):
        drawing.line(x, 24, x, 46, "stroke:var(--bad);stroke-width:1.6")
    drawing.line(start, 29, end, 29, "stroke:var(--bad);stroke-width:1.6")
    past = at(bar.line)
    drawing.rect(past, 35, end - past, 9, f"fill:url(#{name}-x);stroke:var(--bad)")
    need = gib_text(cents(bar.need[1] - bar.need[0]))
    pool = next(part.printed for part in bar.inside if part.name == POOL)
    first, rest = f"one request needs {need} GiB", f", the pool is {pool}"
    markup = f'<tspan class="b">{first}</tspan><tspan class="m">{rest}</tspan>'
    if start > text_width(first + rest) + 10:
        drawing.raw_text(start - 7, 33, markup, anchor="end")
    else:
        drawing.raw_text(min(end + 7, drawing.width - text_width(first + rest)), 22, markup)
    return past - 20


def _pool_begins(drawing: Drawing, pool_from: tuple[int, int], at: At) -> float:
    first, last = (at(value) for value in pool_from)
    for x in (first, last):
        drawing.line(x, 24, x, 33, "stroke:var(--ink);stroke-width:1.2")
    drawing.line(first, 28.5, last, 28.5, "stroke:var(--ink);stroke-width:1.2")
    band = f"{pool_from[0] / GIB:,.1f} to {pool_from[1] / GIB:,.1f} GiB"
    said = "pool begins here, "
    if first > text_width(said + band) + 10:
        drawing.raw_text(first - 7, 32, f'<tspan class="m">{said}</tspan>{band}', anchor="end")
    elif first > text_width(band) + 10:
        drawing.raw_text(first - 7, 32, band, anchor="end")
    return drawing.width


def _axis(drawing: Drawing, bar: Bar, at: At, blocked: float) -> None:
    step = next(size for size in (5, 10, 20, 50, 100, 200, 500, 1000, 10_000) if bar.extent / GIB / size <= 9)
    line = at(bar.line)
    for tick in range(0, int(bar.extent / GIB) + 1, step):
        x = at(tick * GIB)
        drawing.line(x, TOP - 4, x, TOP, "stroke:var(--ink2);stroke-width:1")
        half = text_width(str(tick)) / 2
        if x + half > blocked or abs(x - line) < half + 5 or x > line:
            continue
        anchor = "start" if tick == 0 else "middle"
        drawing.text(x, TOP - 6, f"{tick} GiB" if tick == 0 else str(tick), "m", anchor, "font-size:11px")


def _fan_out(drawing: Drawing, outer: list[tuple[float, Segment]]) -> None:
    """Name and GiB of every part too thin to hold them, below the bar, each with its leader."""
    outer = sorted(outer, key=lambda item: item[0])
    texts = [(part.label, part.printed if part.name == "dead" else f"{part.printed} GiB") for _, part in outer]
    sizes, gap = _sizes(texts), 9.0
    if sum(sizes) + gap * len(sizes) > drawing.width:
        # The heading names the unit, so a crowded row can do without it.
        texts = [(part.label, part.printed) for _, part in outer]
        sizes, gap = _sizes(texts), 6.0
    places = spread([anchor for anchor, _ in outer], sizes, gap, 0, drawing.width)
    foot = TOP + DEEP
    for (anchor, part), (name, figure), size, place in zip(outer, texts, sizes, places):
        knee = min(place + 10, place + size / 2)
        dead = part.name == "dead"
        red = "fill:var(--bad)" if dead else ""
        drawing.line(anchor, foot + (7 if dead else 1), anchor, foot + 9, "stroke:var(--rule2)")
        drawing.line(anchor, foot + 9, knee, foot + 22, "stroke:var(--rule2)")
        bold = part.name in (POOL, "weights", "driver", "dead")
        drawing.text(place, foot + 35, name, "b" if bold else "m", css=red)
        drawing.text(place, foot + 50, figure, css=red)


def _sizes(texts: list[tuple[str, str]]) -> list[float]:
    return [max(text_width(name), text_width(figure)) for name, figure in texts]
