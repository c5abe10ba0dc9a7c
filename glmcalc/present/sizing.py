"""The page *Hardware sizing*: a widget with the needs at the left, the machines and what they do beside them."""

from __future__ import annotations

import asyncio
from collections import deque
from html import escape
from itertools import count
from typing import Any, Callable, Mapping

from glmcalc.present.display import style
from glmcalc.present.pages import page_header
from glmcalc.present.sizing_board import LENGTHS, USERS, Sizing
from glmcalc.present.sizing_html import ordered, sizes_table
from glmcalc.present.sizing_rows import shown
from glmcalc.present.sizing_state import NAMES, state_in, vendor_names
from glmcalc.present.verdict_html import brief_line
from glmcalc.present.widget import PageWidget, asked_of

_numbers = count(1)
# Seconds without a change before the slower pictures are made, and between two steps of preparing.
_PAUSE, _BREATH = 0.25, 0.004

WEIGHTS = (
    ("", "as found by search"), ("fp8", "FP8"), ("nvfp4", "NVFP4"), ("w4a16", "W4A16"), ("w4afp8", "W4AFP8"), ("awq", "AWQ"),
    ("mxfp4", "MXFP4"), ("bf16", "BF16"), ("UD-Q4_K_M", "GGUF UD-Q4_K_M"), ("UD-Q2_K_XL", "GGUF UD-Q2_K_XL"),
    ("UD-IQ1_S", "GGUF UD-IQ1_S"),
)  # fmt: skip


class SizingPage(PageWidget):
    """The page as a widget; what it says is the :class:`Sizing` board's.

    Answers come in two messages: the table at once, then the pictures that need the ends of every machine.
    """

    _esm = style("widget.js", "sizing.js")
    _css = style("style.css", "page.css", "happened.css", "sizing.css")

    def __init__(self, board: Sizing, standalone: bool) -> None:
        self._board = board
        self._due: asyncio.TimerHandle | None = None
        super().__init__(
            frame=frame(form(f"gz{next(_numbers)}"), standalone),
            view=self._numbered(board.view()),
            later=self._numbered({"parts": {}}),
            standalone=standalone,
        )
        self.on_msg(self._hear)

    def _hear(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        if content.get("kind") == "change":
            self._board.change(content.get("changes") or {})
            self._answer("view", self._board.view())
            self._soon()
        elif content.get("kind") == "ready":  # drawn, and listening
            self._soon()

    def _soon(self) -> None:
        """The pictures once nothing changes for a moment, then what a slider's next stops would ask for."""
        if self._due is not None:
            self._due.cancel()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # no kernel around: a script or a test
            self._finish()
            return
        steps = [*self._board.ahead(), self._finish, *self._board.neighbours()]
        self._due = loop.call_later(_PAUSE, self._next, deque(steps))

    def _next(self, steps: deque[Callable[[], Any]]) -> None:
        """One step, then the next when nothing else is asked: a change never waits for more than one."""
        steps.popleft()()
        self._due = asyncio.get_running_loop().call_later(_BREATH, self._next, steps) if steps else None

    def _finish(self) -> None:
        self._answer("later", {"parts": self._board.later()})

    def _answer(self, name: str, data: dict[str, Any]) -> None:
        answer = self._numbered(data)
        self.send({name: answer})
        setattr(self, name, answer)

    def _still(self) -> str:
        board = self._board
        parts = {**board.view()["parts"], **board.later()}
        every = ordered([shown(row) for row in board.rows], "")
        rows = sizes_table(every, board.need, "", "", (), "", live=False) if board.need else ""
        inner = (
            parts.get("verdict", "") + parts.get("region", "") + parts.get("price", "") + parts.get("glance", "") + rows
        )
        return f'<style>{style("style.css", "sizing.css")}</style><div class="gm">{inner}</div>'

    def _plain(self) -> str:
        return f"{sum(row['serves'] for row in self._board.rows)} machines serve the need"


def frame(form: str, standalone: bool) -> str:
    """The page's skeleton: needs at the left, answers at the right."""
    return (
        f'<a class="gm-skip" href="#gm-verdict">Skip to the answer</a>{page_header("sizing", "hardware sizing", standalone)}'
        f'<div class="gm-mini" data-part="mini" aria-hidden="true">{brief_line("starting", "")}</div>'
        f'<div class="gm-wrap gm-sizing"><div class="gm-left">{form}</div>'
        '<div class="gm-right" role="region" aria-label="Answer">'
        '<div id="gm-verdict" tabindex="-1" data-part="verdict" role="status" aria-live="polite" aria-atomic="true"></div>'
        '<div class="gm-three"><div data-part="region"></div><div data-part="price"></div><div data-part="glance"></div></div>'
        '<div data-part="sides"></div><div data-part="sizes"></div>'
        '<p class="gm-link" hidden><a data-link href="#">Link to this state</a> <code data-query></code></p>'
        '<span class="gm-vh" aria-live="polite" data-said></span></div></div>'
    )


def form(uid: str) -> str:
    """Needs and filters; every field carries ``data-name``."""
    vendors = [("", "all")] + [(name, name) for name in vendor_names()]
    return (
        '<form class="gm-form" aria-label="Needs" autocomplete="off"><div class="gm-group" role="group" aria-label="What must be served"><h2>What must be served</h2>'
        + _slider(uid, "context", "context", "tokens", "Prompt and answer of one request; also 128K or 1M.", LENGTHS)
        + _slider(uid, "concurrency", "users at once", "requests", "Requests of full length at the same time.", USERS)
        + _number(uid, "min_tok_s_user", "least speed", "tok/s", "Of one user, at the pessimistic end.")
        + _number(uid, "max_ttft", "longest wait", "s", "To the first token, at the pessimistic end.")
        + '</div><div class="gm-group" role="group" aria-label="Which machines"><h2>Which machines</h2>'
        + _select(uid, "quantization", "weights", "One format for all; its search runs anew.", WEIGHTS)
        + _select(uid, "vendor", "vendor", "Hides the others.", vendors)
        + f'<label class="gm-check"><input type="checkbox" id="{uid}-only" data-name="only">only those that serve it</label>'
        + '<p class="gm-err" data-error="only" hidden></p></div></form>'
    )


def _row(key: str, name: str, label: str, text: str, inner: str) -> str:
    return (
        f'<div class="gm-c"><label for="{key}">{label}</label><div class="i">{inner}</div><p id="{key}-help">{text}</p>'
        f'<p id="{key}-error" class="gm-err" data-error="{name}" hidden></p></div>'
    )


def _slider(uid: str, name: str, label: str, unit: str, text: str, stops: tuple[str, ...]) -> str:
    key = f"{uid}-{name}"
    return _row(
        key, name, label, text,
        f'<input type="range" min="0" max="{len(stops) - 1}" step="1" value="0" data-slider="{name}" data-stops="{" ".join(stops)}" '
        f'aria-label="{label}, {unit}" aria-describedby="{key}-help">'
        f'<input type="text" inputmode="decimal" class="num" id="{key}" data-name="{name}" aria-label="{label}, {unit}, exact value" '
        f'aria-describedby="{key}-help {key}-error">',
    )  # fmt: skip


def _number(uid: str, name: str, label: str, unit: str, text: str) -> str:
    key = f"{uid}-{name}"
    return _row(
        key, name, label, text,
        f'<input type="text" inputmode="decimal" class="num" id="{key}" data-name="{name}" placeholder="any" aria-label="{label}, {unit}" '
        f'aria-describedby="{key}-help {key}-error"><span class="gm-u">{unit}</span>',
    )  # fmt: skip


def _select(uid: str, name: str, label: str, text: str, options: Any) -> str:
    key = f"{uid}-{name}"
    listed = "".join(f'<option value="{escape(value)}">{escape(words)}</option>' for value, words in options)
    inner = f'<select id="{key}" data-name="{name}" aria-describedby="{key}-help {key}-error">{listed}</select>'
    return _row(key, name, label, text, inner)


def sizing_page(query: str | None = None, embedded: bool = False, **parameters: Any) -> SizingPage:
    """The page, opened on needs, or on its example.

    Args:
        query: an address's query string; None takes the one that Voila was asked with. It wins over ``parameters``.
        embedded: one part of a chapter, which keeps its own text and address, rather than a page by itself.
        parameters: ``context`` (or ``max_model_len``), ``concurrency``, ``min_tok_s_user``, ``max_ttft``, ``quantization``,
            ``vendor``; None leaves one open.

    Returns:
        The widget, to stand as the last line of a cell.
    """
    asked, served = asked_of(query, embedded)
    given = {
        name: f"{value:g}" if isinstance(value, float) else str(value)
        for name, value in parameters.items()
        if value is not None
    }
    return SizingPage(Sizing({**given, **state_in(asked)}), served)


def parameters_of(names: Mapping[str, Any]) -> dict[str, Any]:
    """The page's parameters among a notebook's variables."""
    known = (*NAMES, "max_model_len")
    return {name: value for name, value in names.items() if name in known and value is not None}
