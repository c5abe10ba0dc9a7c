"""The budget bar of one GPU, as inline SVG: lying for wide places, merged for middling ones, upright for narrow ones.

All three are written; the style sheet shows the one that the container has room for, so no script is needed.
"""

from __future__ import annotations

from typing import Any, Callable, Mapping, Sequence

from glmcalc.facts.quantity import GIB
from glmcalc.present import captions
from glmcalc.present.bar_upright import upright
from glmcalc.present.ledger import POOL, cents, gib_text
from glmcalc.present.segments import Bar, Dead, Segment, layout
from glmcalc.present.svg import Drawing, hatch, spread, text_width

WIDE, MIDDLE = 960, 600
TOP, TOP_WITH_NEED, DEEP = 50.0, 66.0, 44.0
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
    line = "Utilization line" if bar.engine == "vllm" else bar.line_words
    return (
        f"Memory of one GPU in GiB: {parts}. {line} at {bar.line_printed} "
        f"of {bar.frame_printed} GiB that the driver reports.{need}{dead}"
    )


def lying(bar: Bar, label: str, width: float, cls: str) -> str:
    """The bar from left to right, for a container of at least ``width`` px."""
    top = TOP_WITH_NEED if bar.need else TOP
    drawing = Drawing(width, top + 100)
    scale = (width - 2) / bar.extent
    name = f"h-{cls}"

    def at(value: float) -> float:
        return 1 + value * scale

    drawing.rect(at(0), top, bar.frame * scale, DEEP, "fill:var(--bg)")
    outer: list[tuple[float, Segment]] = []
    for part in bar.parts:
        _paint(drawing, part, at(part.start), part.size * scale, name, bar, top)
        seen = bar.dead.leaves(part) if bar.dead else part.size
        room = (at(part.start), at(part.start) + seen * scale)
        if not _label_inside(drawing, part, room, at(bar.line), top) and (seen or not part.size):
            outer.append((at((part.start + part.end) / 2), part))
    if bar.pool_from:
        pool = next(part for part in bar.inside if part.name == POOL)
        edge = min(bar.pool_from[1], pool.end)
        drawing.rect(at(pool.start), top, (edge - pool.start) * scale, DEEP, f"fill:url(#{name})")
    if bar.dead:
        outer.append(_dead(drawing, bar.dead, at, name, top))
    drawing.rect(at(0), top, bar.frame * scale, DEEP, "fill:none;stroke:var(--ink);stroke-width:1.5")
    blocked = _marks(drawing, bar, at, outer, name, top)
    _axis(drawing, bar, at, blocked, top)
    _fan_out(drawing, outer, top + DEEP)
    return drawing.render(label, cls, hatch(name))


def _dead(drawing: Drawing, dead: Dead, at: At, name: str, top: float) -> tuple[float, Segment]:
    """What died, over the bar and taller than it; returns its label for the row below."""
    start, end = at(dead.start), at(dead.end)
    hatched = at(dead.red)
    drawing.rect(hatched, top - 6, end - hatched, DEEP + 12, f"fill:url(#{name}-x)")
    drawing.rect(start, top - 6, end - start, DEEP + 12, "fill:none;stroke:var(--bad);stroke-width:2")
    return (hatched + end) / 2, Segment("dead", dead.label, dead.start, dead.end, dead.said, "", False)


def _paint(drawing: Drawing, part: Segment, x: float, wide: float, name: str, bar: Bar, top: float) -> None:
    if not part.colour:
        return
    # The gap between parts is paid by the part, and never more than a quarter of a thin one.
    gap = min(1.0, wide / 4)
    drawing.rect(x, top, wide - gap, DEEP, f"fill:var(--{part.colour})")
    if part.doubtful:
        drawing.rect(x, top, wide - gap, DEEP, f"fill:url(#{name})")
    over = max(part.start, bar.line)
    if part in bar.inside and part.end > over:
        scale = wide / part.size
        drawing.rect(
            x + (over - part.start) * scale, top, (part.end - over) * scale, DEEP, f"fill:url(#{name}-x);opacity:.55"
        )


def _label_inside(drawing: Drawing, part: Segment, room: tuple[float, float], line: float, top: float) -> bool:
    """A part's label in the bar itself, where it has room there and the thick line does not cut it."""
    figure = f"{part.printed} GiB"
    size = max(text_width(part.label), text_width(figure))
    ink = ON_COLOUR.get(part.name)
    if room[1] - room[0] < size + 16 or (ink is None and part.colour):
        return False
    # The pool's left part may be hatched, so its label keeps to the right end.
    right = part.name == POOL
    place, anchor = (room[1] - 10, "end") if right else (room[0] + 9, "start")
    left = place - size if right else place
    if left - 3 < line < left + size + 3:
        return False
    css = f"fill:{ink}" if ink else ""
    drawing.text(place, top + 19, part.label, "b" if ink else "m", anchor, css)
    drawing.text(place, top + 35, figure, "" if ink else "m", anchor, css)
    return True


def _marks(drawing: Drawing, bar: Bar, at: At, outer: list[tuple[float, Segment]], name: str, top: float) -> float:
    """The lines, brackets and captions above the bar; returns from where on the axis has no room for figures."""
    line, right = at(bar.line), at(bar.frame)
    drawing.line(line, 3, line, top + DEEP + 8, "stroke:var(--ink);stroke-width:2.5")
    written = captions.Captions(drawing, (line,))
    captions.utilization(written, bar, line)
    if not captions.driver(written, bar, line, right):
        outer.append((right, Segment("driver", bar.frame_words, bar.frame, bar.frame, bar.frame_printed, "", False)))
    if bar.need:
        start, end = at(bar.need[0]), at(bar.need[1])
        captions.need(written, bar, start, end)
        _bracket(drawing, start, end, top - 26, top - 4, "stroke:var(--bad);stroke-width:1.6")
        drawing.rect(line, top - 15, end - line, 9, f"fill:url(#{name}-x);stroke:var(--bad)")
        return line - 20
    if bar.pool_from:
        first, last = (at(value) for value in bar.pool_from)
        captions.pool_begins(written, bar.pool_from, first, last)
        _bracket(drawing, first, last, top - 26, top - 17, "stroke:var(--ink);stroke-width:1.2")
    return drawing.width


def _bracket(drawing: Drawing, start: float, end: float, top: float, foot: float, css: str) -> None:
    for x in (start, end):
        drawing.line(x, top, x, foot, css)
    drawing.line(start, top + 4.5, end, top + 4.5, css)


def _axis(drawing: Drawing, bar: Bar, at: At, blocked: float, top: float) -> None:
    step = next(size for size in (5, 10, 20, 50, 100, 200, 500, 1000, 10_000) if bar.extent / GIB / size <= 9)
    line = at(bar.line)
    for tick in range(0, int(bar.extent / GIB) + 1, step):
        x = at(tick * GIB)
        drawing.line(x, top - 4, x, top, "stroke:var(--ink2);stroke-width:1")
        words = f"{tick} GiB" if tick == 0 else str(tick)
        left = x if tick == 0 else x - text_width(words) / 2
        right = left + text_width(words)
        if right > blocked or left - 5 < line < right + 5 or x > line:
            continue
        drawing.text(x, top - 6, words, "m", "start" if tick == 0 else "middle", "font-size:11px")


def _fan_out(drawing: Drawing, outer: list[tuple[float, Segment]], foot: float) -> None:
    """Name and GiB of every part too thin to hold them, below the bar, each with its leader."""
    outer = sorted(outer, key=lambda item: item[0])
    texts = [(part.label, part.printed if part.name == "dead" else f"{part.printed} GiB") for _, part in outer]
    sizes, gap = _sizes(texts), 9.0
    if sum(sizes) + gap * len(sizes) > drawing.width:
        # The heading names the unit, so a crowded row can do without it.
        texts = [(part.label, part.printed) for _, part in outer]
        sizes, gap = _sizes(texts), 6.0
    places = spread([anchor for anchor, _ in outer], sizes, gap, 0, drawing.width)
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
