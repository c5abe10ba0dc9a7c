"""The page *What happened?*: one widget with a box for a log, and the answer beside it."""

from __future__ import annotations

from itertools import count
from typing import Any

import traitlets

from glmcalc.present.bar import SHAPES
from glmcalc.present.display import style
from glmcalc.present.happened_board import MOST, TOO_LARGE, Happened, example, fields_in
from glmcalc.present.happened_form import FIELDS, form
from glmcalc.present.page import choices
from glmcalc.present.pages import page_header
from glmcalc.present.verdict_html import brief_line
from glmcalc.present.widget import PageWidget, asked_of

_numbers = count(1)
_COLUMN = ("verdict", "quotes", "change", "bar", "second", "avoid", "ladder")


class WhatHappened(PageWidget):
    """The page as a widget; what it says is the :class:`Happened` board's.

    A log comes as the message's buffer and is held by the kernel alone: it is no trait, so it is in no saved notebook.
    """

    _esm = style("widget.js", "happened.js")
    _css = style("style.css", "page.css", "happened.css", "ladder.css")
    most = traitlets.Int(MOST).tag(sync=True)
    too_large = traitlets.Unicode(TOO_LARGE.replace("`", "")).tag(sync=True)

    def __init__(self, board: Happened, standalone: bool) -> None:
        self._board = board
        super().__init__(
            frame=frame(form(board.choices, f"gh{next(_numbers)}"), standalone),
            view=self._numbered({**board.view(), "given": board.given}),
            later=self._numbered({"parts": board.later()}),
            standalone=standalone,
        )
        self.on_msg(self._hear)

    def _hear(self, _widget: Any, content: dict[str, Any], buffers: Any) -> None:
        board, kind = self._board, content.get("kind")
        if content.get("shape") in SHAPES:
            board.shapes = (content["shape"],)
        fill = None
        if kind == "log" and buffers:
            board.read(bytes(buffers[0]))
        elif kind == "change":
            board.change(content.get("changes") or {})
        elif kind == "clear":
            board.clear()
        elif kind == "example":
            fill = example()
            board.read(fill.encode())
        elif kind != "shape":
            return
        answer = self._numbered(board.view())
        self.send({"view": {**answer, "fill": fill}})
        self.view = answer
        self._finish()

    def _finish(self) -> None:
        later = self._numbered({"parts": self._board.later()})
        self.send({"later": later})
        self.later = later

    def _still(self) -> str:
        parts = {**self._board.view()["parts"], **self._board.later()}
        inner = "".join(parts.get(name, "") for name in (*_COLUMN, "look", "ticket", "read"))
        for live in (" data-copy", ' data-act="example"'):
            inner = inner.replace(live, " hidden")
        return f'<style>{style("style.css", "happened.css", "ladder.css")}</style><div class="gm">{inner}</div>'

    def _plain(self) -> str:
        data = self._board.data
        return f"{data['title']}: {data['cause']}" if data else "Nothing was given: paste a log, or only the command."


def frame(form: str, standalone: bool) -> str:
    """The page's skeleton: the box at the left, and an empty place for each part of the answer."""
    places = "".join(f'<div data-part="{name}"></div>' for name in ("quotes", "ask", "change", "bar"))
    starting = brief_line("starting", "")
    return (
        f'<a class="gm-skip" href="#gm-verdict">Skip to the answer</a>{page_header("what_happened", "what happened?", standalone)}'
        f'<div class="gm-mini" data-part="mini" aria-hidden="true">{starting}</div>'
        f'<div class="gm-wrap gm-happened"><div class="gm-left">{form}<div data-part="read"></div></div>'
        '<div class="gm-right" role="region" aria-label="Answer">'
        '<div id="gm-verdict" tabindex="-1" data-part="verdict" role="status" aria-live="polite" aria-atomic="true"></div>'
        f'{places}<div class="gm-two"><div data-part="second"></div><div data-part="avoid"></div></div><div data-part="ladder"></div>'
        '<div data-part="look"></div>'
        '<div data-part="ticket"></div><p class="gm-link" hidden><a data-link href="#">Link to these fields</a> '
        '<code data-query></code></p><span class="gm-vh" aria-live="polite" data-said></span></div></div>'
    )


def what_happened(text: str = "", query: str | None = None, embedded: bool = False, **parameters: Any) -> WhatHappened:
    """The page, opened on a log or empty.

    Args:
        text: a log, or only a launch command.
        query: an address's query string; None takes the one that Voila was asked with. It wins over ``parameters``.
        embedded: one part of a chapter, which keeps its own text and address, rather than a page by itself.
        parameters: ``command``, ``gpu``, ``gpus``, ``engine_version``: what the log does not say; None leaves it open.

    Returns:
        The widget, to stand as the last line of a cell.
    """
    asked, served = asked_of(query, embedded)
    stated = {name: str(parameters[name]) for name in FIELDS if parameters.get(name) is not None}
    return WhatHappened(Happened(choices(), {**stated, **fields_in(asked)}, text), served)
