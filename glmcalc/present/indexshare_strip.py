"""The layers of a model as a strip: which run an indexer, which reuse the choice of one before, and the MTP layer."""

from __future__ import annotations

from glmcalc.model.geometry import Geometry
from glmcalc.present.svg import Drawing

COLUMNS = 20
WIDTH, ROW, BOX, GAP = 340.0, 36.0, 24.0, 1.6
_FULL = "fill:var(--weights)"
_SHARED = "fill:none;stroke:var(--rule2);stroke-width:1"
_MTP = "fill:var(--ws)"
_REACH = "stroke:var(--weights);stroke-width:2"


def layer_strip(g: Geometry) -> str:
    """The drawing, :data:`COLUMNS` layers a row: filled with its number where an indexer runs, open where one is shared.

    A line under the boxes reaches from each indexer over the layers that reuse its choice.
    """
    count = g.num_hidden_layers + g.num_nextn_predict_layers
    rows = -(-count // COLUMNS)
    drawing = Drawing(WIDTH, rows * ROW + 66)
    for layer in range(count):
        _box(drawing, g, layer)
    _legend(drawing, g, rows * ROW + 12)
    own, shared = len(g.indexer_layers), g.num_hidden_layers - len(g.indexer_layers)
    listed = ", ".join(str(layer) for layer in g.indexer_layers)
    said = (
        f"{g.num_hidden_layers} layers, {COLUMNS} a row. {own} run an indexer: {listed}. The other {shared} reuse the choice of the "
        f"nearest of them before. "
    )
    mtp = f"The MTP layer, {count - 1}, runs its own." if g.num_nextn_predict_layers else "No MTP layer."
    return drawing.render(said + mtp, "gm-strip")


def _box(drawing: Drawing, g: Geometry, layer: int) -> None:
    wide = WIDTH / COLUMNS
    x, y = (layer % COLUMNS) * wide, (layer // COLUMNS) * ROW + 2
    own, mtp = layer in g.indexer_layers, layer >= g.num_hidden_layers
    drawing.rect(x + GAP / 2, y, wide - GAP, BOX, _MTP if mtp else _FULL if own else _SHARED)
    if own or mtp:
        drawing.text(x + wide / 2, y + BOX / 2 + 4, str(layer), "b", "middle", "fill:var(--onw)")
    if own or not mtp:
        start = x + GAP / 2 if own else x - GAP / 2 if layer % COLUMNS else x
        drawing.line(start, y + BOX + 3.5, x + wide - GAP / 2, y + BOX + 3.5, _REACH)


def _legend(drawing: Drawing, g: Geometry, y: float) -> None:
    own, shared = len(g.indexer_layers), g.num_hidden_layers - len(g.indexer_layers)
    lines = [(_FULL, f"{own} run an indexer: score all, keep {g.index_topk:,}")]
    if shared:
        lines.append((_SHARED, f"{shared} reuse the choice of the one before"))
    if g.num_nextn_predict_layers:
        lines.append((_MTP, "the MTP layer, with an indexer of its own"))
    for number, (css, words) in enumerate(lines):
        drawing.rect(0.8, y + 17 * number, 11, 11, css)
        drawing.text(17, y + 17 * number + 9.5, words)
