"""The calculator without its widgets: from what the user does to what the page shows."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from glmcalc.budget.plan import plan
from glmcalc.budget.result import Plan
from glmcalc.commands import ParsedCommand
from glmcalc.facts.engines import check_engine
from glmcalc.facts.errors import InputError
from glmcalc.present import state as states
from glmcalc.present.bar import SHAPES, budget_bar
from glmcalc.present.command_html import command_section, engine_message, mend, notes
from glmcalc.present.curve import curve
from glmcalc.present.curves import lines, point_of
from glmcalc.present.helps import helps, placeholders
from glmcalc.present.pages import page_header
from glmcalc.present.table_html import component_table
from glmcalc.present.verdict_html import bad_input, brief, brief_line, verdict
from glmcalc.solve.answer import describe

_GPUS_FROM = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")
_PASTE_LIMIT = 1_000_000
MARK = "Available KV cache memory"  # a start-up log; its reader is imported when one is pasted


class Board:
    """What the page holds: the state as texts, and the last plan that could be made of it.

    Args:
        state: parameters as texts; none at all opens the page's example.
        pasted: a command to start from; ``state`` wins over it.
    """

    def __init__(self, state: Mapping[str, str] | None = None, pasted: str | None = None) -> None:
        given = dict(state or {})
        self.state: dict[str, str] = {**states.DEFAULTS, **given} if given or pasted else dict(states.OPENING)
        if given and "gpus" not in given and any(name in given for name in _GPUS_FROM):
            self._count_gpus()
        self.made: Plan | None = None
        self.parsed: ParsedCommand | None = None
        self.shown: dict[str, str] = {}
        self._lines_of: tuple[Any, ...] | None = None
        self._lines: Any = None
        self.shapes: Sequence[str] = SHAPES  # of the bar; the page narrows them to the one it has room for
        self.read_note = ""
        self.pasted = ""
        self.error: InputError | None = None
        self._doubts: tuple[str, tuple[dict[str, str], ...]] = ("", ())  # of a calibration, while it stands
        if pasted:
            self.paste(pasted)
            if self.error is None:
                self.state.update(given)
        if self.error is None:
            self.recompute()

    def change(self, changes: Mapping[str, str]) -> None:
        """Set some controls; counts that depend on them follow."""
        before = dict(self.state)
        if self.error is not None and self.read_note == self.error.message:
            self.read_note = ""  # the box's own trouble is over once another control is used
        for name, text in changes.items():
            self.state[name] = str(text).strip()
        if any(name in changes for name in _GPUS_FROM):
            self._count_gpus()
        elif "gpus" in changes:
            self._spread_over(before)
        self.state = {name: text for name, text in self.state.items() if text or name in states.DEFAULTS}
        self.recompute()

    def preset(self, key: str) -> None:
        """Take over length, requests and utilization of a preset."""
        self.change(states.PRESETS[key])

    def paste(self, text: str) -> None:
        """Read a command and set every control from it; what it leaves out is the engine's default."""
        from glmcalc.model.pasted import read_pasted, settings_of

        self.pasted = text[:_PASTE_LIMIT]
        if not text.strip():
            self.read_note = ""
            self.parsed = None
            self.recompute()
            return
        try:
            if len(text) > _PASTE_LIMIT:
                raise InputError("command", f"{len(text):,} characters", f"at most {_PASTE_LIMIT:,} characters")
            if MARK in text:
                self._paste_log(text)
                return
            parsed = read_pasted(text)
            check_engine(parsed.engine)
            state = states.from_settings(settings_of(parsed))
            state.setdefault("gpu", self.state.get("gpu") or states.DEFAULTS["gpu"])
            deployment = states.deployment(state)
            made = plan(deployment)
        except InputError as error:
            self.error = error
            self.read_note = error.message
            return
        state["gpus"] = str(made.resolved.gpus)
        self.state, self.parsed = state, parsed
        self.read_note = _read_note(parsed, made)
        self._keep(made)

    def _paste_log(self, text: str) -> None:
        """Take a start-up log: its flags, and its terms as a calibration. The log itself is not kept."""
        from glmcalc.present.pasted_log import state_from_log

        read = state_from_log(text, self.state, self.made)
        made = plan(states.deployment(read.state))
        self.state, self.parsed, self.read_note, self.pasted = read.state, None, read.note, ""
        self._doubts = (read.state.get("calibration", ""), read.doubts)
        self._keep(made)

    def recompute(self) -> None:
        """Plan the present state; where it cannot be, the last plan stays."""
        try:
            self._keep(plan(states.deployment(self.state)))
        except InputError as error:
            self.error = error

    def view(self) -> dict[str, Any]:
        """All that follows a control at once: HTML by part, and the controls' own values, helps and errors."""
        data = self._described(self.made, mend=False) if self.made else None
        if data is not None and self.error is None:
            self.shown = _parts(data, self.shapes)
        parts = dict(self.shown)
        status = "input" if self.error else (data["verdict"]["status"] if data else "input")
        if self.error is not None:
            parts["verdict"] = bad_input(self.error.to_dict(), bool(self.shown))
            parts["mini"] = brief_line("input", self.error.field)
        query = states.link(self.state)
        return {
            "parts": parts,
            "status": status,
            "stale": self.error is not None,
            "values": dict(self.state),
            "placeholders": placeholders(data) if data else {},
            "helps": helps(data) if data else {},
            "errors": self._errors(),
            "read": self.read_note,
            "read_bad": self.error is not None and self.read_note == self.error.message,
            "pasted": self.pasted,
            "preset": self._preset(),
            "query": query,
        }

    def later(self) -> dict[str, str]:
        """What may come a moment after: the curve, and the search for a command that fits."""
        if self.made is None or self.error is not None:
            return {}
        data = self._described(self.made, mend=True)
        after = "".join((engine_message(data), mend(data)))
        parts = {
            "bar": _parts(data, SHAPES)["bar"],  # all shapes now: the window may be resized, the page printed
            "curve": self._curve(),
            "after": (f'<div class="gm-pair">{after}</div>' if after else "") + notes(data),
        }
        if data["verdict"]["mend"]:
            parts["verdict"] = verdict(data)
        return parts

    def _described(self, made: Plan, mend: bool) -> dict[str, Any]:
        """The plan, with what the log behind its calibration leaves unexplained."""
        text, doubts = self._doubts
        stands = bool(text) and self.state.get("calibration") == text
        return {**describe(made, self.parsed, mend=mend), "doubts": list(doubts) if stands else []}

    def _keep(self, made: Plan) -> None:
        self.made, self.error = made, None

    def _curve(self) -> str:
        assert self.made is not None
        if self.made.verdict.status == "unsupported":
            return ""
        asked = self.made.resolved.asked
        if asked.available_kv_bytes is None and self.made.memory is None:
            return ""
        key = asked.changed(max_model_len=None)
        if self._lines_of != (key,):
            self._lines_of, self._lines = (key,), lines(asked, self.made)
        present, others, _ = self._lines
        here = point_of(self.made)
        tokens = self.made.kv.pool.tokens
        paged = f"The pool is paged: {tokens:,} tokens, shared by any mix of lengths." if tokens else ""
        drawing = curve(present, others, here)
        return (
            "<section><h2>Requests at once <small>by context, log scales</small></h2>"
            f'{drawing}<p class="gm-curve-note">Shaded: the range of the present setting. {paged}</p></section>'
        )

    def _errors(self) -> dict[str, str]:
        if self.error is None or self.read_note == self.error.message:
            return {}
        return {self.error.field.lstrip("-").replace("-", "_"): self.error.message}

    def _preset(self) -> str:
        for key, values in states.PRESETS.items():
            if all(_same(self.state.get(name, ""), text) for name, text in values.items()):
                return key
        return ""

    def _count_gpus(self) -> None:
        count = 1
        for name in _GPUS_FROM:
            text = self.state.get(name) or "1"
            if not text.isdigit():
                return
            count *= int(text)
        self.state["gpus"] = str(count)

    def _spread_over(self, before: Mapping[str, str]) -> None:
        """Tensor parallelism follows the number of GPUs, where that comes out whole."""
        texts = [self.state.get(name) or "1" for name in ("gpus", "pipeline_parallel_size", "data_parallel_size")]
        if not all(text.isdigit() and int(text) > 0 for text in texts):
            return
        gpus, others = int(texts[0]), int(texts[1]) * int(texts[2])
        if gpus % others == 0 and before.get("tensor_parallel_size"):
            self.state["tensor_parallel_size"] = str(gpus // others)


def _parts(data: Mapping[str, Any], shapes: Sequence[str]) -> dict[str, str]:
    runs = data["verdict"]["status"] != "unsupported"
    gpus = data["deployment"].get("gpus") or 1
    alike = f"; all {gpus} are alike" if gpus > 1 else ""
    bar = (
        f"<section><h2>Memory of one GPU <small>GiB = 2<sup>30</sup> bytes{alike}; hatched = not certain</small></h2>"
        f"{budget_bar(data, shapes)}</section>"
    )
    return {
        "verdict": verdict(data),
        "mini": brief(data),
        "bar": bar if runs else "",
        "table": component_table(data) if runs else "",
        "command": command_section(data),
    }


def _read_note(parsed: ParsedCommand, made: Plan) -> str:
    count = len(parsed.settings)
    filled = len(made.resolved.filled)
    text = f"Read: {count} setting{'s' if count != 1 else ''}; {filled} default{'s' if filled != 1 else ''} filled in."
    ignored = len(parsed.no_effect_on_memory)
    return text + (f" {ignored} without effect on memory." if ignored else "")


def _same(one: str, other: str) -> bool:
    try:
        return float(one) == float(other)
    except ValueError:
        return one == other


def frame(form: str, standalone: bool) -> str:
    """The page's skeleton: the form, and an empty place for each part of the answer."""
    starting = brief_line("starting", "")
    return (
        f'<a class="gm-skip" href="#gm-verdict">Skip to the verdict</a>{page_header("calculator", "calculator", standalone)}'
        f'<div class="gm-mini" data-part="mini" aria-hidden="true">{starting}</div>'
        f'<div class="gm-wrap"><div class="gm-left">{form}</div><div class="gm-right" role="region" aria-label="Answer">'
        '<div id="gm-verdict" tabindex="-1" data-part="verdict" role="status" aria-live="polite" aria-atomic="true"></div>'
        '<div data-part="bar"></div><div class="gm-two"><div data-part="curve"></div><div data-part="table"></div></div>'
        '<div><div data-part="command"></div><p class="gm-link"><a data-link href="#">Link to this state</a> '
        '<code data-query></code></p></div><div data-part="after"></div>'
        '<span class="gm-vh" aria-live="polite" data-said></span></div></div>'
    )
