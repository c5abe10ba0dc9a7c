"""Drawings as pictures of their own, for outputs that others' rules may clean.

JupyterLab takes style sheets and inline SVG out of a notebook that it does not trust, and so do code hosts; the words of
a drawing would stay behind as one heap. A drawing inside ``<img>`` stays whole or goes whole, and leaves its sentence.
"""

from __future__ import annotations

import base64
import re
from functools import lru_cache
from html import unescape
from importlib.resources import files

_BAR = re.compile(r'<div class="gm-bar">(<svg .*?)</div>', re.DOTALL)
_TAG = re.compile(r"<svg\b|</svg>")
_LABEL = re.compile(r'aria-label="([^"]*)"')
_SIZE = re.compile(r'height="([\d.]+)"')
_MIDDLE, _WIDE = 600, 960


def still(html: str) -> str:
    """``html`` of this package with each drawing that holds words as one image; icons stay as they are."""
    html = _BAR.sub(lambda match: f'<div class="gm-bar">{_bar_picture(match[1])}</div>', html)
    parts, last = [], 0
    for start, end in _drawings(html):
        if "<text" in html[start:end]:
            parts += [html[last:start], _picture(html[start:end])]
            last = end
    return "".join(parts) + html[last:]


def _drawings(html: str) -> list[tuple[int, int]]:
    """Where each outermost ``<svg>`` begins and ends."""
    found, depth, start = [], 0, 0
    for tag in _TAG.finditer(html):
        if tag[0] != "</svg>":
            start, depth = (tag.start() if depth == 0 else start), depth + 1
        else:
            depth -= 1
            if depth == 0:
                found.append((start, tag.end()))
    return found


def _bar_picture(shapes: str) -> str:
    """The bar: all its shapes in one image, which shows the one that fits the image's own width."""
    tall = [float(found) for found in re.findall(r'<svg class="gm-\w+" width="100%" height="([\d.]+)"', shapes)]
    wide, narrow = tall[0], tall[-1]
    return _image(_document(shapes), _label(shapes), f"--tall:{wide:.0f}px;--narrow:{narrow:.0f}px", _WIDE, wide)


def _picture(drawing: str) -> str:
    if 'class="gm-' not in drawing:  # another library's: it has its own size and colours
        size = re.search(r'width="([\d.]+)" height="([\d.]+)"', drawing)
        named = (
            drawing if "xmlns=" in drawing else drawing.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
        )
        return _image(named, _label(drawing), "", *((float(size[1]), float(size[2])) if size else (_MIDDLE, 0)))
    found = _SIZE.search(drawing)
    tall = float(found[1]) if found else 150.0
    return _image(_document(drawing), _label(drawing), f"--tall:{tall:.0f}px;--narrow:{tall:.0f}px", _MIDDLE, tall)


def _label(drawing: str) -> str:
    found = _LABEL.search(drawing)
    return found[1] if found else ""


def _image(document: str, label: str, css: str, wide: float, tall: float) -> str:
    data = base64.b64encode(_for_xml(document).encode()).decode()
    size = f' width="{wide:.0f}"' + (f' height="{tall:.0f}"' if tall else "")
    style = f' class="gm-drawn" style="{css}"' if css else ' style="max-width:100%;height:auto"'
    return f'<img{style}{size} alt="{label}" src="data:image/svg+xml;base64,{data}">'


def _for_xml(document: str) -> str:
    """HTML's named entities as letters, for XML knows only five of them."""
    return re.sub(r"&(?!(?:amp|lt|gt|quot|apos|#\w+);)\w+;", lambda match: unescape(match[0]), document)


def _document(drawings: str) -> str:
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="100%" height="100%" class="gm">'
        f'<style>{_colours()}</style><rect width="100%" height="100%" style="fill:var(--bg)"/>{drawings}</svg>'
    )


@lru_cache(maxsize=1)
def _colours() -> str:
    """The colour tokens of the style sheet, light and dark, and what drawings need of the rest."""
    sheet = (files("glmcalc.present") / "style.css").read_text(encoding="utf-8")
    blocks = [re.search(pattern, sheet, re.DOTALL) for pattern in (r"\.gm\{(.*?)\}", r"\.gm\.dark[^{]*\{(.*?)\}")]
    light, dark = (";".join(re.findall(r"--[\w-]+:[^;}]+", block[1])) if block else "" for block in blocks)
    return (
        f".gm{{{light};font:11.5px system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;"
        "font-variant-numeric:tabular-nums lining-nums}"
        f"@media (prefers-color-scheme:dark){{.gm{{{dark}}}}}"
        "text{fill:var(--ink);font-size:11.5px}.m{fill:var(--ink2)}.b{font-weight:650}"
        ".gm-wide,.gm-middle{display:none}"
        f"@media (min-width:{_MIDDLE}px) and (max-width:{_WIDE - 0.02}px){{.gm-middle{{display:block}}.gm-narrow{{display:none}}}}"
        f"@media (min-width:{_WIDE}px){{.gm-wide{{display:block}}.gm-narrow{{display:none}}}}"
    )
