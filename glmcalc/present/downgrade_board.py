"""The page *Downgrade* without its widget: a deployment and what to keep, to the ladder as HTML."""

from __future__ import annotations

from html import escape
from typing import Any, Mapping
from urllib.parse import parse_qsl, quote

from glmcalc.advise.ladder import Ladder, downgrade
from glmcalc.facts.engines import check_engine
from glmcalc.facts.errors import InputError
from glmcalc.logs.secrets import mask
from glmcalc.model.deployment import Deployment
from glmcalc.present import state as states
from glmcalc.present.controls import Choices
from glmcalc.present.happened_ladder import whole_ladder
from glmcalc.present.prose import prose
from glmcalc.present.verdict_html import bad_input, brief_line, tile

KEEPS = (
    ("context", "context", "the length of requests"),
    ("users", "users", "requests at once"),
    ("quality", "quality", "weights and KV formats"),
    ("speed", "speed", "decode of one request"),
)
"""What is given up last: value, word, and what it means."""

OPENING = {**states.DEFAULTS, "tensor_parallel_size": "8", "max_model_len": "1048576", "max_num_seqs": "1"}
"""The example that the page opens with: one request of 1M tokens on 8 x H200, which does not fit as it stands."""

_OURS = ("keep", "death")


class Descent:
    """What the page holds: a deployment as texts, what to keep, and the last ladder that could be made.

    Args:
        state: parameters as texts, ``command``, ``keep`` and ``death`` among them; none at all opens the example.
    """

    def __init__(self, choices: Choices, state: Mapping[str, str] | None = None) -> None:
        given = {name: text for name, text in (state or {}).items() if text}
        self.choices = choices
        self.keep, self.death = given.pop("keep", "context"), given.pop("death", "")
        self.command = given.pop("command", "")
        self.state: dict[str, str] = given if given or self.command else dict(OPENING)
        self.made: Ladder | None = None
        self.error: InputError | None = None
        self.shown: dict[str, str] = {}
        self.recompute()

    def change(self, changes: Mapping[str, str]) -> None:
        """Set fields; an empty one is the engine's default."""
        for name, text in changes.items():
            text = str(text).strip()
            if name == "keep":
                self.keep = text
            elif name == "command":
                # A new command says all; what stood in the fields was of another deployment.
                self.command = text
                self.state = {"gpu": self.state["gpu"]} if text and self.state.get("gpu") else {}
            else:
                self.state[name] = text
        if "gpus" in changes and not self.command:
            self.state["tensor_parallel_size"] = self.state["gpus"]
        self.state = {name: text for name, text in self.state.items() if text}
        self.recompute()

    def recompute(self) -> None:
        """Climb anew; where that cannot be, the last ladder stays."""
        self.error = None
        try:
            self.made = downgrade(self._deployment(), self.keep, self.death or None)
        except InputError as error:
            self.error = error

    def _deployment(self) -> Deployment:
        return states.deployment(self._settings())

    def _settings(self) -> dict[str, str]:
        """All parameters as texts: the command's, and what stands beside it."""
        from glmcalc.model.pasted import read_pasted, settings_of

        read: dict[str, str] = {}
        if self.command:
            parsed = read_pasted(self.command)
            check_engine(parsed.engine)
            read = states.from_settings(settings_of(parsed))
        base = {**read, **self.state}
        if "gpu" not in base:
            base["gpu"] = states.DEFAULTS["gpu"]
        if not self.command:
            base = {**states.DEFAULTS, **base}
        return base

    def view(self) -> dict[str, Any]:
        """The parts as HTML, the fields, and the address that brings the page back."""
        data = self.made.to_dict() if self.made else None
        if data is not None and self.error is None:
            self.shown = {"verdict": outcome_tile(data), "mini": _brief(data), "ladder": whole_ladder(data)}
        parts = {name: self.shown.get(name, "") for name in ("verdict", "mini", "ladder")}
        if self.error is not None:
            parts["verdict"] = bad_input(self.error.to_dict(), bool(self.shown))
            parts["mini"] = brief_line("input", self.error.field)
        return {
            "parts": parts,
            "state": "input" if self.error else (data or {}).get("outcome", ""),
            "stale": self.error is not None and bool(self.shown),
            "values": {**self.state, "keep": self.keep, "command": self.command},
            "errors": {self.error.field.lstrip("-").replace("-", "_"): self.error.message} if self.error else {},
            "query": self.query(),
        }

    def query(self) -> str:
        """The address's query, secrets of a command masked."""
        said = {**self.state, "command": mask(self.command)[0], "keep": self.keep, "death": self.death}
        return "?" + "&".join(f"{name}={quote(text, safe=':,/')}" for name, text in said.items() if text)


def state_in(query: str) -> dict[str, str]:
    """The page's parameters in an address: a deployment's, ``command``, ``keep`` and ``death``."""
    own = {name: text for name, text in parse_qsl(query.lstrip("?")) if name in (*_OURS, "command")}
    return {**states.from_query(query), **own}


def outcome_tile(data: Mapping[str, Any]) -> str:
    """How it ends, what was missing, and what the steps leave."""
    start, after, steps = data["start"], data["after"], data["steps"]
    count = f"{len(steps)} step{'s' if len(steps) != 1 else ''}"
    if data["outcome"] == "fits":
        if not steps:
            return tile("fits", prose(after["reason"]), "Nothing has to be given up.")
        return tile("fits", prose(after["reason"]), f"After {count}. {_before(start)}", word=f"Fits, {count}")
    if data["outcome"] == "marginal":
        return tile("marginal", prose(after["reason"]), f"After {count}, no better than marginal. {_before(start)}")
    if data["outcome"] == "not_memory":
        return tile("unsupported", prose(str(data["reason"])), word="Not memory")
    near = data["nearest"]
    nearest = f" Nearest that can: <b>{near['gpus']} × {escape(str(near['gpu']))}</b>." if near else ""
    return tile("does_not_fit", prose(str(start["reason"])), f"No steps on these GPUs mend it.{nearest}", word="Cannot")


def _before(start: Mapping[str, Any]) -> str:
    return f"<b>Before:</b> {prose(str(start['reason']))}" if start["status"] != "fits" else ""


def _brief(data: Mapping[str, Any]) -> str:
    status = {"fits": "fits", "marginal": "marginal", "not_memory": "unsupported"}.get(data["outcome"], "does_not_fit")
    return brief_line(status, ", ".join(f"{step['flag']} {step['to']}" for step in data["steps"][:2]))


def form(choices: Choices, uid: str) -> str:
    """Command, a few fields, and what to keep to the last."""
    vendors = dict.fromkeys(vendor for vendor, _, _ in choices.gpus)
    gpus = "".join(
        f'<optgroup label="{escape(vendor)}">'
        + "".join(
            f'<option value="{escape(key)}">{escape(words)}</option>' for of, key, words in choices.gpus if of == vendor
        )
        + "</optgroup>"
        for vendor in vendors
    )
    models = "".join(f'<option value="{escape(name)}"></option>' for name in choices.models)
    rows = (
        ("command", "Command", "A pasted vllm serve line; the fields below win over it.", '<textarea rows="3" spellcheck="false" {}></textarea>'),
        ("gpu", "GPU", "Memory as the driver reports it.", f"<select {{}}>{gpus}</select>"),
        ("gpus", "GPUs", "How many there are; TP follows.", '<input type="text" inputmode="numeric" class="num s" {}>'),
        ("model", "Checkpoint", "Known id, or a path to a config.json.", f'<input type="text" class="wide" list="{uid}-models" {{}}><datalist id="{uid}-models">{models}</datalist>'),
        ("max_model_len", "max_model_len", "Longest request, in tokens; also 128K or 1M.", '<input type="text" class="num" {}>'),
        ("max_num_seqs", "max_num_seqs", "Most requests at once.", '<input type="text" inputmode="numeric" class="num" {}>'),
    )  # fmt: skip
    return (
        '<form class="gm-form gm-log" aria-label="Deployment" autocomplete="off"><div class="gm-group"><h2>What does not fit</h2>'
        + "".join(_row(uid, *row) for row in rows)
        + f'</div><fieldset class="gm-group gm-keep"><legend>Keep to the last</legend>{_keeps(uid)}</fieldset></form>'
    )


def _row(uid: str, name: str, label: str, text: str, field: str) -> str:
    key = f"{uid}-{name}"
    attributes = f'id="{key}" data-name="{name}" aria-describedby="{key}-help {key}-error"'
    return (
        f'<div class="gm-c"><label for="{key}">{label}</label><div class="i">{field.format(attributes)}</div>'
        f'<p id="{key}-help">{text}</p><p id="{key}-error" class="gm-err" data-error="{name}" hidden></p></div>'
    )


def _keeps(uid: str) -> str:
    rows = "".join(
        f'<label><input type="radio" name="{uid}-keep" value="{value}" data-name="keep" aria-describedby="{uid}-keep-{value}"> '
        f'{word} <small id="{uid}-keep-{value}">{meaning}</small></label>'
        for value, word, meaning in KEEPS
    )
    return f'{rows}<p class="gm-err" data-error="keep" hidden></p>'
