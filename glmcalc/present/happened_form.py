"""The box of the page *What happened?*, and the few fields for what a log does not say."""

from __future__ import annotations

from html import escape
from typing import Sequence

from glmcalc.present.controls import Choices

FIELDS = ("command", "gpu", "gpus", "engine_version")
"""What may stand beside a log; also the names in the page's address."""

_HELPS = {
    "command": "The launch command, where the log does not hold it; it wins over the log's flags.",
    "gpu": "Inferred from the total that the log prints; choose where it prints none.",
    "gpus": "Number of GPUs, where no parallel size is stated.",
    "engine_version": "Defaults and rules follow it; else as the log prints it.",
}


def form(choices: Choices, uid: str) -> str:
    """Box, buttons and fields; ``uid`` keeps ids apart on a page with two forms."""
    return f'<form class="gm-form gm-log" aria-label="Log and what stands beside it" autocomplete="off">{_box(uid)}{_beside(choices, uid)}</form>'


def _box(uid: str) -> str:
    return (
        f'<div class="gm-group gm-drop" data-drop><h2><label for="{uid}-log">Paste or drop a log</label> <small>or only the command</small></h2>'
        f'<textarea id="{uid}-log" data-log rows="14" spellcheck="false" aria-describedby="{uid}-hint {uid}-note" '
        'placeholder="kubectl logs … , docker logs … , journalctl -u vllm: the whole start, or what you have of it"></textarea>'
        f'<p class="gm-read" id="{uid}-hint">Pasting diagnoses at once; after typing, Ctrl+Enter.</p>'
        '<div class="gm-buttons"><button type="button" class="gm-btn gm-main" data-act="diagnose">Diagnose</button>'
        '<button type="button" class="gm-btn" data-act="open">Open a file</button>'
        '<button type="button" class="gm-btn" data-act="clear">Clear</button>'
        f'<input type="file" data-file tabindex="-1" hidden aria-label="A log file" aria-describedby="{uid}-hint"></div>'
        f'<p class="gm-read" id="{uid}-note" data-note aria-live="polite">The text stays on this machine.</p></div>'
    )


def _beside(choices: Choices, uid: str) -> str:
    gpus = device_options(choices)
    releases = "".join(f'<option value="{escape(text)}"></option>' for text in choices.releases)
    described = {name: f'aria-describedby="{uid}-{name}-help {uid}-{name}-error"' for name in FIELDS}
    return (
        '<details class="gm-group" data-beside><summary>What the log does not say <small>command, GPU</small></summary>'
        + _row(uid, "command", "Command", f'<textarea id="{uid}-command" data-name="command" rows="2" spellcheck="false" {described["command"]}></textarea>')
        + _row(uid, "gpu", "GPU", f'<select id="{uid}-gpu" data-name="gpu" {described["gpu"]}>{gpus}</select>')
        + _row(uid, "gpus", "GPUs", f'<input type="text" inputmode="numeric" class="num s" id="{uid}-gpus" data-name="gpus" {described["gpus"]}>')
        + _row(uid, "engine_version", "vLLM release", f'<input type="text" class="wide" list="{uid}-releases" id="{uid}-engine_version" data-name="engine_version" {described["engine_version"]}><datalist id="{uid}-releases">{releases}</datalist>')
        + "</details>"
    )  # fmt: skip


def _row(uid: str, name: str, label: str, field: str) -> str:
    return (
        f'<div class="gm-c"><label for="{uid}-{name}">{label}</label><div class="i">{field}</div>'
        f'<p id="{uid}-{name}-help">{_HELPS[name]}</p><p id="{uid}-{name}-error" class="gm-err" data-error="{name}" hidden></p></div>'
    )


def device_options(choices: Choices) -> str:
    """All devices by vendor, after an empty choice."""
    vendors = dict.fromkeys(vendor for vendor, _, _ in choices.gpus)
    groups = "".join(
        f'<optgroup label="{escape(vendor)}">{_options([(key, words) for of, key, words in choices.gpus if of == vendor])}</optgroup>'
        for vendor in vendors
    )
    return f'<option value="">as the log says</option>{groups}'


def _options(options: Sequence[tuple[str, str]]) -> str:
    return "".join(f'<option value="{escape(value)}">{escape(words)}</option>' for value, words in options)


def ask_gpu(choices: Choices) -> str:
    """The question for the device, where the answer stands: a log seldom names it."""
    options = device_options(choices).replace("as the log says", "choose one", 1)
    return (
        '<div class="gm-ask"><label>Which GPU? <select data-name="gpu" aria-label="Which GPU, as the log does not say">'
        f'{options}</select></label> <span class="gm-cap">Not in this text. With it each change is budgeted and the bar is drawn.</span></div>'
    )


def ask_command() -> str:
    """The question for model and flags, where the text holds none."""
    return (
        '<div class="gm-ask"><button type="button" class="gm-btn" data-act="command">Give the launch command</button> '
        '<span class="gm-cap">Model and flags are not in the text; with them the change is a whole command, and budgeted.</span></div>'
    )


EMPTY = (
    '<section class="gm-empty"><h2>What happened?</h2><p>Paste a log into the box, or drop a file on it: vLLM, SGLang or llama.cpp, '
    "several ranks, cut at either end, with whatever stands before its lines. A launch command alone is read too.</p>"
    '<p><button type="button" class="gm-as-link" data-act="example">Fill in an example: a death at 4 % of the KV pool</button></p>'
    '<h2>Three lines to look for</h2><ul class="gm-notes"><li><code>Model loading took … GiB</code>: it got past the weights.</li>'
    "<li><code>Available KV cache memory: … GiB</code>: it got past the profile run.</li>"
    "<li>The first line with <code>Error</code>, and the stack above it; <code>EngineDeadError</code> is never the first.</li></ul></section>"
)
"""What the page shows before anything was given."""
