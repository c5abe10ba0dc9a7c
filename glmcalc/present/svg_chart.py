"""An Altair chart as a picture that reads with scripts off, and asks no network."""

from __future__ import annotations

from typing import Any

from glmcalc.present.display import Html


def chart_svg(chart: Any) -> Html:
    """The chart as inline SVG; a narrow page scrolls it."""
    import vl_convert

    return Html(
        f'<div style="max-width:100%;overflow-x:auto">{vl_convert.vegalite_to_svg(chart.to_json())}</div>', "chart"
    )
