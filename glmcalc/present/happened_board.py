"""The page *What happened?* without its widget: from a log and the fields beside it to what the page shows."""

from __future__ import annotations

import re
import time
from importlib.resources import files
from io import BytesIO
from typing import Any, Mapping, Sequence
from urllib.parse import parse_qsl, quote

from glmcalc.advise.diagnose import Diagnosis, diagnose
from glmcalc.advise.ladder import NOT_MEMORY
from glmcalc.facts.errors import InputError
from glmcalc.logs.secrets import mask
from glmcalc.present import happened_html as html
from glmcalc.present.bar import SHAPES
from glmcalc.present.controls import Choices
from glmcalc.present.deployment_file import number
from glmcalc.present.happened_bar import happened_bar
from glmcalc.present.happened_form import EMPTY, FIELDS, ask_command, ask_gpu
from glmcalc.present.happened_ladder import folded_ladder
from glmcalc.present.happened_quotes import quotes
from glmcalc.present.verdict_html import bad_input, brief_line

MOST = 8_000_000
"""Bytes that the page reads; beyond them it names the command, which reads a file of any size."""

TOO_LARGE = (
    f"This is more than {MOST // 1_000_000} MB. Nothing of it was read. `glmcalc diagnose FILE` reads a log of any size, 1 GB too, "
    "and says the same as this page."
)
_LOADING = re.compile(r"Model loading took .{1,60}? and ([\d.]+) seconds")
_PLACES = ("verdict", "ask", "quotes", "change", "bar", "second", "avoid", "look", "ticket", "read")


class Happened:
    """What the page holds: a log, the fields beside it, and the last diagnosis that could be made.

    Args:
        fields: ``command``, ``gpu``, ``gpus``, ``engine_version`` as texts.
        text: a log, or only a command; empty shows the empty page.
        choices: devices and releases to choose from.
    """

    def __init__(self, choices: Choices, fields: Mapping[str, str] | None = None, text: str = "") -> None:
        self.choices = choices
        self.fields = {name: str((fields or {}).get(name) or "").strip() for name in FIELDS}
        self.source: bytes | None = text.encode("utf-8", "replace") if text.strip() else None
        self.given = text
        self.made: Diagnosis | None = None
        self.data: dict[str, Any] | None = None
        self.error: InputError | None = None
        self.took = 0.0
        self.shown: dict[str, str] = {}
        self.shapes: Sequence[str] = SHAPES
        self.recompute()

    def read(self, log: bytes) -> None:
        """Take a log, as it lay in the box or the file."""
        self.source = log
        self.recompute()

    def change(self, changes: Mapping[str, str]) -> None:
        """Set fields; the log stays."""
        self.fields.update({name: str(text).strip() for name, text in changes.items() if name in FIELDS})
        self.recompute()

    def clear(self) -> None:
        """Nothing read, all fields empty."""
        self.source, self.fields = None, dict.fromkeys(FIELDS, "")
        self.recompute()

    def recompute(self) -> None:
        """Diagnose anew; where that cannot be, the last diagnosis stays."""
        self.error = None
        if self.source is None and not self.fields["command"]:
            self.made, self.data, self.shown = None, None, {}
            try:
                stated(self.fields)
            except InputError as error:
                self.error = error
            return
        began = time.perf_counter()
        try:
            self.made = self._diagnosed()
            self.data = self.made.to_dict()
        except InputError as error:
            self.error = error
        self.took = time.perf_counter() - began

    def _diagnosed(self) -> Diagnosis:
        beside = stated(self.fields)
        command = self.fields["command"] or None
        if self.source is None:
            return diagnose(str(command), None, beside)
        if len(self.source) > MOST:
            raise InputError("log", f"{len(self.source):,} bytes", f"at most {MOST:,} bytes", TOO_LARGE)
        return diagnose(BytesIO(self.source), command, beside)

    def view(self) -> dict[str, Any]:
        """The parts of the page as HTML, the state of the fields, and the address that brings them back."""
        if self.error is None and self.data is not None and self.made is not None:
            self.shown = self._parts(self.data, self.made)
        parts = {name: self.shown.get(name, "") for name in (*_PLACES, "mini")}
        state = "input" if self.error else ("read" if self.data else "empty")
        if self.error is not None:
            parts["verdict"] = bad_input(self.error.to_dict(), bool(self.shown))
            parts["mini"] = brief_line("input", self.error.field)
        elif self.data is None:
            parts["verdict"] = EMPTY
        return {
            "parts": parts,
            "state": state,
            "class": self.data["class"] if self.data and not self.error else "",
            "stale": self.error is not None and bool(self.shown),
            "values": dict(self.fields),
            "errors": {self.error.field.lstrip("-").replace("-", "_"): self.error.message} if self.error else {},
            "note": self._note(),
            "query": self.query(),
        }

    def later(self) -> dict[str, str]:
        """What may come a moment after the answer: the ladder, and the bar in the shapes that are not seen now."""
        if self.error is not None or self.made is None:
            return {} if self.error is not None else {"ladder": ""}
        return {"bar": self._bar(self.made, SHAPES), "ladder": folded_ladder(self.made)}

    def query(self) -> str:
        """The address's query: the fields alone, masked; never a word of the log."""
        said = {name: mask(text)[0] for name, text in self.fields.items() if text}
        return "?" + "&".join(f"{name}={quote(text, safe=':,/')}" for name, text in said.items()) if said else ""

    def _note(self) -> str:
        if self.error is not None and self.error.field == "log":
            return self.error.message
        if self.data is None:
            return "The text stays on this machine."
        if self.source is None:
            return "The command alone was read; it stays on this machine."
        lines, masked = self.data["lines"], self.data["masked"]
        hidden = f"; {masked} secret{'s' if masked != 1 else ''} masked in what is shown" if masked else ""
        return f"{lines:,} line{'s' if lines != 1 else ''} read in {max(self.took, 0.01):.2f} s{hidden}. The text stays on this machine."

    def _parts(self, data: Mapping[str, Any], made: Diagnosis) -> dict[str, str]:
        case = made.case
        tried = case.value("tried_bytes")
        return {
            "verdict": html.death_tile(data),
            "mini": html.death_brief(data),
            "ask": self._ask(made),
            "quotes": quotes(data["evidence"], made.death.signature),
            "change": html.change_part(data, int(tried) if tried else None, _loading_seconds(made)),
            "bar": self._bar(made, self.shapes),
            "second": html.second_part(data),
            "avoid": html.avoid_part(data),
            "look": html.look_part(data),
            "ticket": html.ticket_part(data),
            "read": html.read_part(data),
        }

    def _ask(self, made: Diagnosis) -> str:
        """What is missing, asked for where the answer stands; nothing where no memory flag mends what died."""
        death, case = made.death.death, made.case
        if death in NOT_MEMORY and not html.is_command(self.data or {}):
            return ""
        if case.deployment is not None and case.deployment.gpu is None:
            return ask_gpu(self.choices)
        vllm = case.facts.engine in (None, "vllm")
        if case.deployment is None and vllm:
            return ask_command()
        return ""

    def _bar(self, made: Diagnosis, shapes: Sequence[str]) -> str:
        drawing, died = happened_bar(made.case, shapes)
        if not drawing:
            return ""
        heading = "Memory of one GPU" + (" at the moment of death" if died else "")
        printed = made.case.value("available_kv_bytes") is not None
        whose = "pool and weights as the log prints them" if printed else "by the budget"
        small = f"GiB; {whose}; hatched = not certain" + ("; red = what died" if died else "")
        return f"<section><h2>{heading} <small>{small}</small></h2>{drawing}</section>"


def stated(fields: Mapping[str, str]) -> dict[str, Any]:
    """The settings that the fields state, checked as the command checks them.

    Raises:
        InputError: an unknown device, a number that is none, a command that cannot be read; the command's own messages.
    """
    from glmcalc.commands import read_command
    from glmcalc.facts.engines import parse_version
    from glmcalc.facts.hardware import device

    if fields.get("gpu"):
        device(fields["gpu"])
    if fields.get("command"):
        read_command(fields["command"])
    if fields.get("engine_version"):
        parse_version(fields["engine_version"])
    return {
        "gpu": fields.get("gpu") or None,
        "gpus": int(number("gpus", fields["gpus"], whole=True)) if fields.get("gpus") else None,
        "engine_version": fields.get("engine_version") or None,
    }


def fields_in(query: str) -> dict[str, str]:
    """The page's fields among an address's parameters, later ones winning."""
    return {name: text for name, text in parse_qsl(query.lstrip("?")) if name in FIELDS}


def example() -> str:
    """The example log: a kernel's scratch that did not fit, at 4 % of the KV pool."""
    return (files("glmcalc.present") / "happened_example.log").read_text(encoding="utf-8")


def _loading_seconds(made: Diagnosis) -> float | None:
    for line in made.case.facts.lines:
        found = _LOADING.search(line.text)
        if found:
            return float(found[1])
    return None
