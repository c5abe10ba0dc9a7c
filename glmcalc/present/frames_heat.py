"""The heat map of chapter 3: where machines can work, context beside requests at once, from one sweep over columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping, Sequence

from glmcalc.model.deployment import Deployment
from glmcalc.present.display import Html
from glmcalc.present.svg_chart import chart_svg
from glmcalc.solve.sweep_frames import heat_map, region_text

if TYPE_CHECKING:
    import pandas as pd

_LENGTHS = (8_192, 16_384, 32_768, 65_536, 131_072, 262_144, 524_288, 1_048_576)
_SEQUENCES = (1, 2, 4, 8, 16, 32, 64, 128)
# Told apart without colour too: the number stands only where the pool holds what is asked.
_COLOURS = {
    "holds": "#2f7f6b", "queues": "#b9ddd2", "marginal": "#eed9a8", "does not fit": "#e7b5ab", "unsupported": "#d3d7dd",
    "refused": "#eceef1",
}  # fmt: skip


def heat(
    machines: Mapping[str, Deployment], lengths: Sequence[int] = _LENGTHS, sequences: Sequence[int] = _SEQUENCES
) -> Html:
    """A field for every context and number of requests: what becomes of it, and how many the pool surely holds at once.

    Args:
        machines: deployments by the name to show; their length and number of requests are the map's.
        lengths: values of ``max_model_len``, tokens; sequences: values of ``max_num_seqs``.

    Raises:
        InputError: as :func:`glmcalc.solve.sweep_frames.heat_map`.
    """
    frame = heat_map(machines, lengths, sequences)
    fields = "".join(chart_svg(chart).text for chart in _charts(frame))
    return Html(f'<div style="display:flex;flex-wrap:wrap;gap:0 16px;max-width:760px">{fields}</div>', heat_text(frame))


def heat_text(frame: pd.DataFrame) -> str:
    """The map in words: for each machine and length the largest number of requests that it surely holds."""
    held = frame[frame["region"] == "holds"]
    lines = []
    for machine, rows in held.groupby("machine", sort=False):
        most = rows.groupby("max_model_len")["sequences"].max()
        lines.append(f"{machine}: " + ", ".join(f"{count} of {length:,}" for length, count in most.items()))
    return "\n".join(lines)


def _charts(frame: pd.DataFrame) -> list[Any]:
    """A field of its own for each machine, so that a narrow page stacks them and keeps them legible."""
    import altair as alt

    shown = frame.assign(
        context=[_short(length) for length in frame["max_model_len"]],
        held=[
            f"{count:,}" if region in ("holds", "queues") else ""
            for count, region in zip(frame["requests held, low"], frame["region"])
        ],
    )
    there = [region for region in region_text() if region in set(shown["region"])]
    order = list(dict.fromkeys(shown["context"]))
    x = alt.X("context:O", sort=order, title="max_model_len, tokens", axis=alt.Axis(labelAngle=0))
    y = alt.Y("sequences:O", sort="descending", title="max_num_seqs")
    colour = alt.Color(
        "region:N", title=None, legend=alt.Legend(orient="top", labelLimit=300),
        scale=alt.Scale(domain=there, range=[_COLOURS[region] for region in there]),
    )  # fmt: skip
    ink = alt.condition("datum.region == 'holds'", alt.value("#ffffff"), alt.value("#1d2733"))
    charts = []
    for machine, rows in shown.groupby("machine", sort=False):
        base = alt.Chart(rows[["context", "sequences", "region", "held"]])
        layers = base.mark_rect(stroke="#ffffff").encode(x=x, y=y, color=colour)
        layers += base.mark_text(fontSize=10).encode(x=x, y=y, text="held:N", color=ink)
        charts.append(layers.properties(width=290, height=200, title=str(machine)))
    return charts


def _short(tokens: int) -> str:
    return f"{tokens // 1_048_576}M" if tokens % 1_048_576 == 0 else f"{tokens / 1024:g}K"
