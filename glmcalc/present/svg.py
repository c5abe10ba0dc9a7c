"""Inline SVG that widens with its container while its text keeps its size.

Horizontal places are given in units of a design width and written as percentages; heights are pixels. What does not
collide at the design width does not collide in a wider container.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import Sequence

LETTER = 6.7
"""Width in px allowed for one letter of 11.5 px text; DejaVu Sans, the widest of the font stack, needs about that."""


def text_width(text: str) -> float:
    """Room for ``text`` at 11.5 px, in px."""
    return len(text) * LETTER


def spread(anchors: Sequence[float], sizes: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Start of each label so that none overlap, order is kept, and each is as near its anchor as that allows.

    Least squares under an order constraint (pool adjacent violators). Labels that together are longer than the space
    keep their gaps and pass ``high``.

    >>> spread([50, 52], [20, 20], 4, 0, 100)
    [29.0, 53.0]
    """
    offsets, total = [], 0.0
    for size in sizes:
        offsets.append(total)
        total += size + gap
    blocks: list[list[float]] = []  # [mean, count]
    for anchor, size, offset in zip(anchors, sizes, offsets):
        blocks.append([anchor - size / 2 - offset, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, count = blocks.pop()
            blocks[-1][0] = (blocks[-1][0] * blocks[-1][1] + mean * count) / (blocks[-1][1] + count)
            blocks[-1][1] += count
    placed = [mean for mean, count in blocks for _ in range(int(count))]
    top = max(low, high - (total - gap))
    return [min(max(place, low), top) + offset for place, offset in zip(placed, offsets)]


@dataclass
class Drawing:
    """Marks of one SVG; x in units of ``width``, y in px."""

    width: float
    height: float
    marks: list[str] = field(default_factory=list)

    def x(self, value: float) -> str:
        """A horizontal place as a percentage."""
        return f"{100 * value / self.width:.3f}%"

    def rect(self, x: float, y: float, wide: float, high: float, css: str) -> None:
        """A box; ``css`` are its style declarations."""
        self.marks.append(
            f'<rect x="{self.x(x)}" y="{y:.1f}" width="{self.x(max(wide, 0))}" height="{max(high, 0):.1f}" style="{css}"/>'
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, css: str) -> None:
        """A straight line."""
        self.marks.append(f'<line x1="{self.x(x1)}" y1="{y1:.1f}" x2="{self.x(x2)}" y2="{y2:.1f}" style="{css}"/>')

    def text(self, x: float, y: float, content: str, cls: str = "", anchor: str = "start", css: str = "") -> None:
        """Escaped text; ``cls``: ``m`` quiet, ``b`` bold."""
        self.raw_text(x, y, escape(content), cls, anchor, css)

    def raw_text(self, x: float, y: float, markup: str, cls: str = "", anchor: str = "start", css: str = "") -> None:
        """Text whose content is markup made here (``tspan``), already escaped."""
        attributes = (f' class="{cls}"' if cls else "") + (f' style="{css}"' if css else "")
        self.marks.append(f'<text x="{self.x(x)}" y="{y:.1f}" text-anchor="{anchor}"{attributes}>{markup}</text>')

    def render(self, label: str, cls: str, defs: str = "") -> str:
        """The whole element; ``label`` is the sentence a screen reader says."""
        return (
            f'<svg class="{cls}" width="100%" height="{self.height:.0f}" role="img" aria-label="{escape(label)}">'
            f"{defs}{''.join(self.marks)}</svg>"
        )


def hatch(name: str) -> str:
    """The pattern of what is not certain. Each drawing has its own: a pattern inside a hidden drawing is not painted."""
    return (
        f'<defs><pattern id="{name}" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<line x1="0" y1="0" x2="0" y2="5" style="stroke:var(--hatch);stroke-width:1.5;opacity:.62"/></pattern>'
        f'<pattern id="{name}-x" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<rect width="6" height="6" style="fill:var(--bg)"/>'
        '<line x1="0" y1="0" x2="0" y2="6" style="stroke:var(--bad);stroke-width:4"/></pattern></defs>'
    )
