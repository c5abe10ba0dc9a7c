"""Frames as tables of this package's look: figures to the right, sentences wrapped, in a box that scrolls where it must."""

from __future__ import annotations

from html import escape
from itertools import groupby
from typing import Any, Sequence

import pandas as pd

from glmcalc.present.display import Html, style
from glmcalc.present.prose import prose
from glmcalc.present.table_html import boxed

_UNITS = ("GiB", "GB", "B", "%", "parameters", "rows", "families")


def as_table(frame: pd.DataFrame) -> Html:
    """Every row and word of ``frame``; its index, where it is named, comes first, and headings may stand on two levels.

    Numbers keep the places they were rounded to: a column has as many as its longest figure.
    """
    named = [name for name in frame.index.names if name]
    keys = frame.index.to_frame() if named else None
    columns: list[tuple[Any, list[str], bool]] = []
    if keys is not None:
        columns += [(name, [_text(value) for value in keys[name]], False) for name in named]
    for name in frame.columns:
        right = bool(pd.api.types.is_numeric_dtype(frame[name]) and frame[name].dtype != bool) or str(name).endswith(
            _UNITS
        )
        columns.append((name, _figures(frame[name]), right))
    body = "".join(
        f"<tr>{''.join(_cell(index, column, row, bool(named)) for index, column in enumerate(columns))}</tr>"
        for row in range(len(frame))
    )
    html = f'<table class="gm-table">{_head(columns, frame)}<tbody>{body}</tbody></table>'
    plain = frame.to_string(index=bool(named))
    return Html(f'<style>{style("style.css")}</style><div class="gm">{boxed(html)}</div>', plain)


def _head(columns: Sequence[tuple[Any, list[str], bool]], frame: pd.DataFrame) -> str:
    if frame.columns.nlevels == 1:
        cells = "".join(_heading(str(name), right) for name, _, right in columns)
        return f"<thead><tr>{cells}</tr></thead>"
    keys = len(columns) - len(frame.columns)
    upper = f'<th colspan="{keys}"></th>' * bool(keys) + "".join(
        f'<th colspan="{len(list(group))}" class="r" scope="colgroup">{escape(str(name))}</th>'
        for name, group in groupby(frame.columns, lambda pair: pair[0])
    )
    lower = "".join(
        _heading(str(name if index < keys else name[1]), right) for index, (name, _, right) in enumerate(columns)
    )
    return f"<thead><tr>{upper}</tr><tr>{lower}</tr></thead>"


def _heading(words: str, right: bool) -> str:
    return f'<th scope="col"{" class=r" if right else ""}>{escape(words)}</th>'


def _cell(index: int, column: tuple[Any, list[str], bool], row: int, named: bool) -> str:
    _, texts, right = column
    text = escape(texts[row]) if right else prose(texts[row])
    if named and index == 0:
        long = ' class="gm-id"' if len(texts[row]) > 18 else ""
        return f'<th scope="row"{long}>{text}</th>'
    long = ' class="gm-long"' if not right and len(texts[row]) > 40 else ""
    return f'<td class="r">{text}</td>' if right else f"<td{long}>{text}</td>"


def _figures(values: Any) -> list[str]:
    if not pd.api.types.is_float_dtype(values):
        return [_text(value) for value in values]
    shown = [f"{value:.10g}" for value in values if pd.notna(value)]
    places = max((len(text.partition(".")[2]) for text in shown), default=0)
    return ["" if pd.isna(value) else f"{value:,.{places}f}".replace("-", "−") for value in values]


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return ""
    if isinstance(value, bool) or type(value).__name__ == "bool":
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) or type(value).__name__ == "int64" else str(value)
