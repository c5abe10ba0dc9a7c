"""The page *Downgrade*: a widget with a deployment's few fields, and the ladder beside them."""

from __future__ import annotations

from itertools import count
from typing import Any, Mapping

from glmcalc.present import state as states
from glmcalc.present.display import style
from glmcalc.present.downgrade_board import Descent, form, state_in
from glmcalc.present.page import choices
from glmcalc.present.pages import page_header
from glmcalc.present.verdict_html import brief_line
from glmcalc.present.widget import PageWidget, asked_of

_numbers = count(1)


class Downgrade(PageWidget):
    """The page as a widget; what it says is the :class:`Descent` board's."""

    _esm = style("widget.js", "downgrade.js")
    _css = style("style.css", "page.css", "happened.css", "ladder.css")

    def __init__(self, board: Descent, standalone: bool) -> None:
        self._board = board
        super().__init__(
            frame=frame(form(board.choices, f"gd{next(_numbers)}"), standalone),
            view=self._numbered(board.view()),
            standalone=standalone,
        )
        self.on_msg(self._hear)

    def _hear(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        if content.get("kind") != "change":
            return
        self._board.change(content.get("changes") or {})
        answer = self._numbered(self._board.view())
        self.send({"view": answer})
        self.view = answer

    def _still(self) -> str:
        parts = self._board.view()["parts"]
        inner = (parts["verdict"] + parts["ladder"]).replace(" data-copy", " hidden")
        return f'<style>{style("style.css", "happened.css", "ladder.css")}</style><div class="gm">{inner}</div>'

    def _plain(self) -> str:
        made = self._board.made
        return (made.reason or made.end.verdict.reason) if made else "no ladder"


def frame(form: str, standalone: bool) -> str:
    """The page's skeleton: the fields at the left, the ladder's place at the right."""
    return (
        f'<a class="gm-skip" href="#gm-verdict">Skip to the answer</a>{page_header("downgrade", "downgrade", standalone)}'
        f'<div class="gm-mini" data-part="mini" aria-hidden="true">{brief_line("starting", "")}</div>'
        f'<div class="gm-wrap gm-happened"><div class="gm-left">{form}</div>'
        '<div class="gm-right" role="region" aria-label="Answer">'
        '<div id="gm-verdict" tabindex="-1" data-part="verdict" role="status" aria-live="polite" aria-atomic="true"></div>'
        '<div data-part="ladder"></div><p class="gm-link" hidden><a data-link href="#">Link to this state</a> <code data-query></code></p>'
        '<span class="gm-vh" aria-live="polite" data-said></span></div></div>'
    )


def downgrade_page(query: str | None = None, embedded: bool = False, **parameters: Any) -> Downgrade:
    """The page, opened on a deployment, or on its example.

    Args:
        query: an address's query string; None takes the one that Voila was asked with. It wins over ``parameters``.
        embedded: one part of a chapter, which keeps its own text and address, rather than a page by itself.
        parameters: a deployment's, ``command``, ``keep`` and ``death``; None is the engine's default.

    Returns:
        The widget, to stand as the last line of a cell.
    """
    asked, served = asked_of(query, embedded)
    given = {name: str(parameters[name]) for name in ("command", "keep", "death") if parameters.get(name)}
    rest = {name: value for name, value in parameters.items() if name not in given}
    return Downgrade(Descent(choices(), {**states.from_parameters(rest), **given, **state_in(asked)}), served)


def parameters_of(names: Mapping[str, Any]) -> dict[str, Any]:
    """The page's parameters among a notebook's variables."""
    known = (*states.NAMES, "command", "keep", "death")
    return {name: value for name, value in names.items() if name in known and value is not None}
