"""The budget bar standing upright, for phones: the bar at the left, every label at the right of it."""

from __future__ import annotations

from typing import Callable

from glmcalc.present.ledger import POOL, cents, gib_text
from glmcalc.present.segments import Bar
from glmcalc.present.svg import Drawing, hatch, spread

WIDTH, HEIGHT, TOP, FOOT = 340.0, 440.0, 24.0, 422.0
LEFT, WIDE = 2.0, 64.0
ELBOW, WORDS = 94.0, 104.0  # where leaders bend, and where labels begin
_BOLD = {POOL, "weights", "driver", "line", "need", "dead"}


def upright(bar: Bar, label: str) -> str:
    """The bar from bottom to top, for a container of at least 320 px."""
    drawing = Drawing(WIDTH, HEIGHT)
    scale = (FOOT - TOP) / bar.extent
    name = "h-gm-narrow"

    def at(value: float) -> float:
        return FOOT - value * scale

    drawing.rect(LEFT, at(bar.frame), WIDE, bar.frame * scale, "fill:var(--bg)")
    for part in bar.parts:
        if not part.colour:
            continue
        gap = min(1.0, part.size * scale / 4)
        high = part.size * scale - gap
        drawing.rect(LEFT, at(part.end) + gap, WIDE, high, f"fill:var(--{part.colour})")
        if part.doubtful:
            drawing.rect(LEFT, at(part.end) + gap, WIDE, high, f"fill:url(#{name})")
        over = max(part.start, bar.line)
        if part in bar.inside and part.end > over:
            drawing.rect(LEFT, at(part.end), WIDE, (part.end - over) * scale, f"fill:url(#{name}-x);opacity:.55")
    if bar.pool_from:
        pool = next(part for part in bar.inside if part.name == POOL)
        edge = min(bar.pool_from[1], pool.end)
        drawing.rect(LEFT, at(edge), WIDE, (edge - pool.start) * scale, f"fill:url(#{name})")
    drawing.rect(LEFT, at(bar.frame), WIDE, bar.frame * scale, "fill:none;stroke:var(--ink);stroke-width:1.5")
    if bar.dead:
        end, hatched = at(bar.dead.end), at(bar.dead.red)
        drawing.rect(LEFT - 1, end, WIDE + 10, hatched - end, f"fill:url(#{name}-x)")
        drawing.rect(LEFT - 1, end, WIDE + 10, at(bar.dead.start) - end, "fill:none;stroke:var(--bad);stroke-width:2")
    drawing.line(0, at(bar.line), LEFT + WIDE + 20, at(bar.line), "stroke:var(--ink);stroke-width:2.5")
    if bar.need:
        for value in bar.need:
            drawing.line(LEFT + WIDE + 3, at(value), LEFT + WIDE + 10, at(value), "stroke:var(--bad);stroke-width:2")
        drawing.line(
            LEFT + WIDE + 10, at(bar.need[0]), LEFT + WIDE + 10, at(bar.need[1]), "stroke:var(--bad);stroke-width:2"
        )
    _labels(drawing, bar, at)
    return drawing.render(label, "gm-narrow", hatch(name))


def _labels(drawing: Drawing, bar: Bar, at: Callable[[float], float]) -> None:
    rows: list[tuple[float, str, str, str]] = [
        (at((part.start + part.end) / 2), part.name, part.label, part.printed) for part in bar.parts
    ]
    rows.append((at(bar.frame), "driver", bar.frame_words, bar.frame_printed))
    rows.append((at(bar.line), "line", bar.line_words, bar.line_printed))
    if bar.need:
        need = gib_text(cents(bar.need[1] - bar.need[0]))
        rows.append((at(bar.need[1]), "need", "one request needs", need))
    if bar.dead:
        middle = at((bar.dead.red + bar.dead.end) / 2)
        rows += [(middle + 1e-3 * index, "dead", *row) for index, row in enumerate(bar.dead.rows)]
    rows.sort(key=lambda row: row[0])
    places = spread([row[0] for row in rows], [19.0] * len(rows), 0, 2, HEIGHT - 2)
    for (anchor, name, label, printed), place in zip(rows, places):
        middle = place + 9.5
        start = {"line": LEFT + WIDE + 20, "need": LEFT + WIDE + 11, "dead": LEFT + WIDE + 9}.get(name, LEFT + WIDE + 1)
        drawing.line(start, anchor, ELBOW, middle, "stroke:var(--rule2)")
        drawing.line(ELBOW, middle, WORDS - 4, middle, "stroke:var(--rule2)")
        cls = "b" if name in _BOLD else "m"
        css = "font-size:12.5px" + (";fill:var(--bad)" if name in ("need", "dead") else "")
        drawing.text(WORDS, middle + 4, label, cls, css=css)
        drawing.text(305, middle + 4, printed, anchor="end", css="font-size:12.5px")
        drawing.text(309, middle + 4, "GiB" if printed else "", "m", css="font-size:12.5px")
