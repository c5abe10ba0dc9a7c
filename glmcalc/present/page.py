"""The calculator page: one widget that shows the board and follows its controls."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any, Mapping

from glmcalc.present import state as states
from glmcalc.present.bar import SHAPES
from glmcalc.present.board import Board, frame
from glmcalc.present.controls import Choices, form
from glmcalc.present.display import style
from glmcalc.present.widget import PageWidget, asked_of

_numbers = count(1)
# Seconds without a change before the slower half is made, and the longest that it waits while a key is held down.
_PAUSE, _LONGEST = 0.15, 0.6


class Calculator(PageWidget):
    """The page as a widget; all arithmetic is the :class:`Board`'s.

    Answers come in two messages: what must follow a slider at once, then the curve and the search for a mend.
    """

    _esm = style("widget.js", "page.js")
    _css = style("style.css", "page.css")

    def __init__(self, board: Board, standalone: bool) -> None:
        self._board = board
        self._due: asyncio.TimerHandle | None = None
        self._latest = 0.0
        self._sent: dict[str, str] = {}
        super().__init__(
            frame=frame(form(choices(), f"gm{next(_numbers)}"), standalone),
            view=self._numbered(board.view()),
            later=self._numbered({"parts": board.later()}),
            standalone=standalone,
        )
        self.on_msg(self._hear)

    def _hear(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        board, kind = self._board, content.get("kind")
        if content.get("shape") in SHAPES:
            board.shapes = (content["shape"],)
        if kind == "change":
            board.change(content.get("changes") or {})
        elif kind == "paste":
            board.paste(str(content.get("text") or ""))
        elif kind == "preset" and content.get("key") in states.PRESETS:
            board.preset(content["key"])
        elif kind != "shape":
            return
        self._answer("view", board.view())
        if kind != "shape":
            self._finish_soon()

    def _answer(self, name: str, data: dict[str, Any]) -> None:
        """Send an answer with those parts that differ from what was sent before."""
        answer = self._numbered(data)
        fresh = {part: html for part, html in data["parts"].items() if self._sent.get(part) != html}
        self._sent.update(fresh)
        self.send({name: {**answer, "parts": fresh}})
        setattr(self, name, answer)

    def _finish_soon(self) -> None:
        """The slower half of the answer, once the quick half is out of the door (the same thread sends both)."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # no kernel around: a script or a test
            self._finish()
            return
        if self._due is None:
            self._latest = loop.time() + _LONGEST
        else:
            self._due.cancel()
        self._due = loop.call_at(min(loop.time() + _PAUSE, self._latest), self._finish)

    def _finish(self) -> None:
        self._due = None
        self._answer("later", {"parts": self._board.later()})

    def _still(self) -> str:
        parts = {**self._board.view()["parts"], **self._board.later()}
        inner = "".join(parts.get(name, "") for name in ("verdict", "bar", "table", "command", "curve", "after"))
        return f'<style>{style("style.css")}</style><div class="gm">{inner.replace(" data-copy", " hidden")}</div>'

    def _plain(self) -> str:
        made = self._board.made
        return made.verdict.reason if made else "no plan"


def choices() -> Choices:
    """Models, devices and releases that the data know."""
    from glmcalc.facts.engines import NEWEST
    from glmcalc.facts.hardware import devices
    from glmcalc.facts.models import model_names

    listed = tuple((device.vendor, device.id, device.name) for device in devices())
    return Choices(tuple(model_names()), listed, (NEWEST, "0.32.0", "0.26.0", "0.23.0", "0.21.0"))


def calculator(query: str | None = None, embedded: bool = False, **parameters: Any) -> Calculator:
    """The calculator, opened on a deployment.

    Args:
        query: an address's query string; None takes the one that Voila was asked with. It wins over ``parameters``.
        embedded: one part of a chapter, which keeps its own text and address, rather than a page by itself.
        parameters: names and values as in the notebooks' ``parameters`` cell; None is the engine's default.

    Returns:
        The widget, to stand as the last line of a cell.
    """
    asked, served = asked_of(query, embedded)
    state = {**states.from_parameters(parameters), **states.from_query(asked)}
    pasted = states.pasted_in(asked) or parameters.get("command")
    return Calculator(Board(state, pasted), served)


def parameters_of(names: Mapping[str, Any]) -> dict[str, Any]:
    """The deployment's parameters among a notebook's variables."""
    return {name: value for name, value in names.items() if name in (*states.NAMES, "command") and value is not None}
