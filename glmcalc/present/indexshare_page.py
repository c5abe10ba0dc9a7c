"""Chapter 2's form as a widget: it sends what is set and shows what the kernel answers."""

from __future__ import annotations

from html import escape
from itertools import count
from typing import Any, Sequence

from glmcalc.facts.hardware import device
from glmcalc.present.controls import LENGTHS, SEQUENCES
from glmcalc.present.display import style
from glmcalc.present.indexshare_board import GPUS, RECORDS, Sharing, releases
from glmcalc.present.widget import PageWidget

_numbers = count(1)


class SharingForm(PageWidget):
    """The form as a widget; all arithmetic is the board's."""

    _esm = style("widget.js", "indexshare.js")
    _css = style("style.css", "page.css")

    def __init__(self, board: Sharing) -> None:
        self._board = board
        super().__init__(
            frame=frame(f"gi{next(_numbers)}", board.state["gpu"]), view=self._numbered(board.view()), standalone=False
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
        inner = (parts["say"] + parts["table"] + parts["command"]).replace(" data-copy", " hidden")
        return f'<style>{style("style.css")}</style><div class="gm">{inner}</div>'

    def _plain(self) -> str:
        made = self._board.answer
        return f"{made.token[0]:,} B a token" if made else "no answer"


def sharing_form(model: str, **state: Any) -> SharingForm:
    """The form, opened on ``state``: context, requests, gpu, record, engine (``vllm 0.33.0``).

    Returns:
        The widget, to stand as the last line of a cell.
    """
    return SharingForm(Sharing(model, {name: str(value) for name, value in state.items() if value is not None}))


def frame(uid: str, gpu: str) -> str:
    """The skeleton: the fields, and the places of the answer; ``gpu`` is offered whether it is listed or not."""
    engines = [(one.name, one.words) for one in releases()]
    rows = (
        _slider(uid, "context", "context", "tokens", "One request; also 128K or 1M.", LENGTHS),
        _slider(uid, "requests", "requests", "at once", "Each of that length.", SEQUENCES),
        _select(uid, "engine", "engine, release", "It decides which layers get an indexer cache.", engines),
        _select(uid, "record", "KV record", "bf16 to nvfp4_ds_mla: vLLM, SGLang; f16, q8_0, q4_0: llama.cpp.", [(name, name) for name in RECORDS]),
        _select(uid, "gpu", "GPU", "Eight of them, TP 8. Times where kernels were measured.", [(name, device(name).name) for name in dict.fromkeys((*GPUS, gpu))]),
    )  # fmt: skip
    return (
        '<div class="gm-wrap"><div class="gm-left"><form class="gm-form" aria-label="Sharing" autocomplete="off">'
        f'<div class="gm-group">{"".join(rows)}</div></form></div><div class="gm-right" role="region" aria-label="Answer">'
        '<div data-part="say" role="status" aria-live="polite" aria-atomic="true"></div><div data-part="table"></div>'
        '<div data-part="command"></div><span class="gm-vh" aria-live="polite" data-said></span></div></div>'
    )


def _slider(uid: str, name: str, label: str, unit: str, text: str, stops: Sequence[str]) -> str:
    key = f"{uid}-{name}"
    return (
        f'<div class="gm-c"><label for="{key}">{label}</label><div class="i"><input type="range" min="0" max="{len(stops) - 1}" '
        f'step="1" value="0" data-slider="{name}" data-stops="{" ".join(stops)}" aria-label="{label}, {unit}" aria-describedby="{key}-help">'
        f'<input type="text" inputmode="numeric" class="num" id="{key}" data-name="{name}" aria-label="{label}, {unit}, exact value" '
        f'aria-describedby="{key}-help {key}-error"><span class="gm-u">{unit}</span></div>{_notes(key, name, text)}</div>'
    )


def _select(uid: str, name: str, label: str, text: str, options: Sequence[tuple[str, str]]) -> str:
    key = f"{uid}-{name}"
    listed = "".join(f'<option value="{escape(value)}">{escape(words)}</option>' for value, words in options)
    return (
        f'<div class="gm-c"><label for="{key}">{label}</label><div class="i"><select id="{key}" data-name="{name}" '
        f'aria-describedby="{key}-help {key}-error">{listed}</select></div>{_notes(key, name, text)}</div>'
    )


def _notes(key: str, name: str, text: str) -> str:
    return f'<p id="{key}-help">{escape(text)}</p><p id="{key}-error" class="gm-err" data-error="{name}" hidden></p>'
