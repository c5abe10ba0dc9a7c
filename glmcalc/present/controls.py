"""The calculator's controls: what each is called, its unit, how it is set, and the sentence that helps."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Sequence


def _lengths() -> tuple[str, ...]:
    steps = [1024, 2048, 4096, 6144]
    for power in range(13, 20):
        steps += [(1 << power) * quarter // 4 for quarter in (4, 5, 6, 7)]
    return tuple(str(step) for step in [*steps, 1 << 20])


LENGTHS = _lengths()
SEQUENCES = tuple(str(n) for n in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024))
BATCHES = tuple(str(n) for n in (1024, 2048, 3072, 4096, 6144, 8192, 12288, 16384, 24576, 32768, 49152, 65536))
SHARES = tuple(f"{n / 100:.2f}" for n in range(50, 100))
SIZES = ("1", "2", "4", "8", "16", "32", "64")
KV_TYPES = (
    ("", "auto: by GPU"), ("fp8", "fp8"), ("bfloat16", "bfloat16"), ("fp8_ds_mla", "fp8_ds_mla"),
    ("nvfp4_ds_mla", "nvfp4_ds_mla"),
)  # fmt: skip
SPECULATION = (
    ("", "off"),
    *(
        (f'{{"method":"mtp","num_speculative_tokens":{n}}}', f"MTP, {n} token{'s' if n > 1 else ''}")
        for n in range(1, 6)
    ),
)
FORMATS = (("", "as in the checkpoint"), ("fp8", "fp8"), ("nvfp4", "nvfp4"), ("bf16", "bf16"))


@dataclass(frozen=True)
class Control:
    """One setting on the page.

    Attributes:
        name: the parameter, as in links and notebooks.
        label: its words on the page; the flag's own name where there is one.
        unit: said after the field, and to screen readers.
        help: one sentence; the page puts figures in once there is a plan (``helps.py``).
        kind: ``slider``, ``number``, ``text``, ``choice`` or ``switch``.
        stops: values that a slider's steps stand for.
        options: value and words of each choice.
    """

    name: str
    label: str
    unit: str
    help: str
    kind: str
    stops: tuple[str, ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    suggestions: tuple[str, ...] = ()


def _slider(name: str, label: str, unit: str, text: str, stops: tuple[str, ...]) -> Control:
    return Control(name, label, unit, text, "slider", stops=stops)


CONTEXT = (
    _slider(
        "max_model_len", "max_model_len", "tokens", "Longest request accepted; it does not size the pool.", LENGTHS
    ),
    _slider(
        "max_num_seqs", "max_num_seqs", "requests", "Cap on requests at once; moves graphs and sampler.", SEQUENCES
    ),
    _slider("max_num_batched_tokens", "batched tokens", "tokens", "Prefill chunk; scratch grows with it.", BATCHES),
)
MEMORY = (
    _slider(
        "gpu_memory_utilization", "utilization", "of total", "Share of each GPU that the engine may plan with.", SHARES
    ),
    Control("kv_cache_dtype", "KV dtype", "", "Bytes of a token in every layer's cache.", "choice", options=KV_TYPES),
)
ADVANCED = (
    Control("engine_version", "vLLM release", "", "Defaults and rules follow it.", "text"),
    Control("quantization", "quantization", "", "Format of the weights.", "choice", options=FORMATS),
    Control("pipeline_parallel_size", "PP", "stages", "Divides the layers; the tightest stage counts.", "number"),
    Control("data_parallel_size", "DP", "replicas", "Each replica has its own KV cache.", "number"),
    Control("enable_expert_parallel", "EP", "", "Whole experts on each GPU.", "switch"),
    Control("block_size", "block_size", "tokens", "Tokens of one KV block; sparse attention needs 64.", "number"),
    Control("max_cudagraph_capture_size", "largest graph", "requests", "0 captures none.", "number"),
    Control("enforce_eager", "enforce_eager", "", "No CUDA graphs: memory back, slower decode.", "switch"),
    Control(
        "kv_cache_memory_bytes", "KV memory", "bytes", "A pool stated by hand; utilization is then ignored.", "number"
    ),
    Control("num_gpu_blocks_override", "KV blocks", "blocks", "The pool in blocks, stated by hand.", "number"),
    Control(
        "calibration",
        "calibration",
        "",
        "This machine's measured terms: paste a start-up log above, or a calibration file's text.",
        "text",
    ),
    Control("available_kv_gib", "pool in log", "GiB", "From the line Available KV cache memory.", "number"),
    Control("weights_gib", "weights in log", "GiB", "From the line Model loading took.", "number"),
)


@dataclass(frozen=True)
class Choices:
    """What the data know: ids of models, GPUs (vendor, id, words), and releases."""

    models: tuple[str, ...]
    gpus: tuple[tuple[str, str, str], ...]
    releases: tuple[str, ...]


def form(choices: Choices, uid: str) -> str:
    """All controls as one form; every field carries ``data-name``. ``uid`` keeps ids apart on a page with two forms."""
    model = Control(
        "model", "Checkpoint", "", "Known id, or a path to a config.json.", "text", suggestions=choices.models
    )
    depth = Control(
        "speculative_config", "Speculation", "", "One draft layer whatever the depth.", "choice", options=SPECULATION
    )
    advanced = tuple(
        Control(**{**control.__dict__, "suggestions": choices.releases})
        if control.name == "engine_version"
        else control
        for control in ADVANCED
    )
    return (
        '<form class="gm-form" aria-label="Deployment" autocomplete="off">'
        f"<div>{_paste(uid)}{_group('Model', [_control(c, uid) for c in (model, depth)])}"
        f"{_group('Hardware and parallelism', [_hardware(choices, uid), _parallel(uid)])}</div>"
        f"<div>{_group('Context and sequences', [_control(c, uid) for c in CONTEXT])}"
        f"{_group('Memory', [_control(c, uid) for c in MEMORY])}"
        '<details class="gm-group"><summary>Advanced <small>release, PP, DP, EP, block size, graphs, figures of a log</small>'
        f"</summary>{''.join(_control(c, uid) for c in advanced)}</details></div></form>"
    )


def _paste(uid: str) -> str:
    presets = (
        ("conservative", "Conservative", "32,000 × 16", "util 0.85"),
        ("balanced", "Balanced", "65,536 × 8", "util 0.88"),
        ("1m", "1M", "1,048,576 × 1", "util 0.92"),
    )
    buttons = "".join(
        f'<button type="button" class="gm-btn" data-preset="{key}" aria-pressed="false">{word}'
        f"<small>{first}</small><small>{second}</small></button>"
        for key, word, first, second in presets
    )
    return (
        f'<div class="gm-group"><h2><label for="{uid}-paste">Paste a command</label> <small>vllm, docker, Kubernetes, or a start-up log</small></h2>'
        f'<textarea id="{uid}-paste" data-paste rows="3" spellcheck="false" aria-describedby="{uid}-read" '
        'placeholder="vllm serve zai-org/GLM-5.2-FP8 -tp 8 --max-model-len 128K"></textarea>'
        f'<p class="gm-read" id="{uid}-read" data-read aria-live="polite">Reads what is pasted and sets the controls below.</p>'
        f'<div class="gm-presets" role="group" aria-label="Presets: length, requests and utilization">{buttons}</div></div>'
    )


def _group(title: str, rows: Sequence[str]) -> str:
    return f'<div class="gm-group" role="group" aria-label="{title}"><h2>{title}</h2>{"".join(rows)}</div>'


def _control(control: Control, uid: str) -> str:
    key = f"{uid}-{control.name}"
    unit = f'<span class="gm-u">{control.unit}</span>' if control.unit else ""
    return (
        f'<div class="gm-c"><label for="{key}">{control.label}</label><div class="i">{_field(control, key)}{unit}</div>'
        f"{_help(control.name, control.help, key)}</div>"
    )


def _help(name: str, text: str, key: str) -> str:
    return (
        f'<p id="{key}-help" data-help="{name}">{escape(text)}</p>'
        f'<p id="{key}-error" class="gm-err" data-error="{name}" hidden></p>'
    )


def _field(control: Control, key: str) -> str:
    common = f'id="{key}" data-name="{control.name}" aria-describedby="{key}-help {key}-error"'
    said = escape(f"{control.label}, {control.unit}" if control.unit else control.label)
    if control.kind == "slider":
        slider = (
            f'<input type="range" min="0" max="{len(control.stops) - 1}" step="1" value="0" data-slider="{control.name}" '
            f'data-stops="{" ".join(control.stops)}" aria-label="{said}" aria-describedby="{key}-help">'
        )
        return slider + f'<input type="text" inputmode="decimal" class="num" {common} aria-label="{said}, exact value">'
    if control.kind == "number":
        return f'<input type="text" inputmode="decimal" class="num" {common} aria-label="{said}">'
    if control.kind == "switch":
        return f'<input type="checkbox" {common}>'
    if control.kind == "choice":
        return f"<select {common}>{_options(control.options)}</select>"
    listed = "".join(f'<option value="{escape(text)}"></option>' for text in control.suggestions)
    return f'<input type="text" class="wide" list="{key}-list" {common} spellcheck="false"><datalist id="{key}-list">{listed}</datalist>'


def _options(options: Sequence[tuple[str, str]]) -> str:
    return "".join(f'<option value="{escape(value)}">{escape(words)}</option>' for value, words in options)


def _grouped(gpus: Sequence[tuple[str, str, str]]) -> str:
    vendors = dict.fromkeys(vendor for vendor, _, _ in gpus)
    return "".join(
        f'<optgroup label="{escape(vendor)}">{_options([(key, words) for of, key, words in gpus if of == vendor])}</optgroup>'
        for vendor in vendors
    )


def _hardware(choices: Choices, uid: str) -> str:
    key = f"{uid}-gpu"
    return (
        f'<div class="gm-c"><label for="{key}">GPU</label><div class="i">'
        f'<select id="{key}" data-name="gpu" aria-describedby="{key}-help {key}-error">{_grouped(choices.gpus)}</select>'
        '<span aria-hidden="true">×</span>'
        f'<input type="text" inputmode="numeric" class="num s" id="{uid}-gpus" data-name="gpus" aria-label="Number of GPUs" '
        f'aria-describedby="{key}-help {uid}-gpus-error"></div>'
        f"{_help('gpu', 'Memory as the driver reports it; TP follows the count.', key)}"
        f'<p id="{uid}-gpus-error" class="gm-err" data-error="gpus" hidden></p></div>'
    )


def _parallel(uid: str) -> str:
    def size(name: str, label: str, long: str) -> str:
        key = f"{uid}-{name}"
        return (
            f'<label class="gm-u" for="{key}">{label}</label><select id="{key}" data-name="{name}" aria-label="{long}, GPUs" '
            f'aria-describedby="{uid}-tp-help {key}-error">{_options([(n, n) for n in SIZES])}</select>'
        )

    errors = "".join(
        f'<p id="{uid}-{name}-error" class="gm-err" data-error="{name}" hidden></p>'
        for name in ("tensor_parallel_size", "decode_context_parallel_size")
    )
    return (
        '<div class="gm-c"><span class="gm-lab">Parallelism</span><div class="i">'
        f"{size('tensor_parallel_size', 'TP', 'TP, tensor parallel size')}"
        f"{size('decode_context_parallel_size', 'DCP', 'DCP, decode context parallel size')}</div>"
        f'<p id="{uid}-tp-help" data-help="tensor_parallel_size">TP repeats the KV cache; only DCP divides it.</p>{errors}</div>'
    )
