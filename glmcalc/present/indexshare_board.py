"""Chapter 2's form without its widget: context, requests, record, engine and GPU as texts, to a table as HTML."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any, Mapping

from glmcalc.budget.llamacpp import cell_bytes
from glmcalc.facts.engines import NEWEST
from glmcalc.facts.errors import InputError
from glmcalc.facts.quantity import GB, GIB
from glmcalc.facts.store import load_json
from glmcalc.model.llamacpp_settings import CACHE_TYPES
from glmcalc.present import state as states
from glmcalc.present.command_html import command_block
from glmcalc.present.table_html import boxed
from glmcalc.present.verdict_html import bad_input
from glmcalc.speed import flops, kernels, sharing

OPENING = {
    "context": "131072", "requests": "1", "gpu": "h200_sxm", "record": "fp8_ds_mla", "engine": f"vllm {NEWEST}",
}  # fmt: skip
LONGEST, MOST = 1 << 20, 1024
GPUS = ("h100_sxm", "h200_sxm", "b200_sxm", "b300_sxm", "rtx_pro_6000", "mi355x")
_RECORDS = {
    "vllm": ("bf16", "fp8_ds_mla", "fp8_e4m3", "nvfp4_ds_mla"), "sglang": ("bf16", "fp8_ds_mla", "fp8_e4m3"),
    "llama.cpp": ("f16", "q8_0", "q4_0"),
}  # fmt: skip
_WORDS = {"vllm": "vLLM", "sglang": "SGLang", "llama.cpp": "llama.cpp"}
RECORDS = ("bf16", "fp8_ds_mla", "fp8_e4m3", "nvfp4_ds_mla", "f16", "q8_0", "q4_0")


@dataclass(frozen=True)
class Release:
    """An engine's release and for which layers it allocates an indexer cache: ``every_layer`` or ``owning_layers``."""

    engine: str
    version: str
    allocates: str

    @property
    def words(self) -> str:
        """As people write it: ``vLLM 0.33.0``."""
        return f"{_WORDS[self.engine]} {self.version}"

    @property
    def name(self) -> str:
        """As it stands in the form: ``vllm 0.33.0``."""
        return f"{self.engine} {self.version}"


def releases() -> tuple[Release, ...]:
    """The newest release of each engine that the data know, and the last one with a cache in every layer."""
    found = []
    for engine, file in (("vllm", "engine_versions.json"), ("sglang", "engine_rules_sglang.json")):
        data = load_json(file)
        rule = next(row for row in data["rules"] if row["id"] == "indexer_caches")
        found += [Release(engine, data["newest_known"], rule["new"]), Release(engine, rule["until"], rule["old"])]
    rule = next(row for row in load_json("engine_rules_llamacpp.json")["rules"] if row["id"] == "indexer_caches")
    return (*found, Release("llama.cpp", rule["since"], rule["new"]), Release("llama.cpp", rule["until"], rule["old"]))


@dataclass(frozen=True)
class Answer:
    """Figures of one state, on each of eight GPUs (llama.cpp: on all together, for it splits layers, and repeats nothing).

    Seconds are None where they were not measured.

    Attributes:
        token: cache bytes of one token: as the release allocates, were every layer full, GQA-8.
        cache: of all requests. read: bytes that one step reads. flop: of one step. seconds: of one step's attention.
        caches: indexer caches that the release allocates. basis: how the seconds are known.
    """

    token: tuple[int, int, int]
    cache: tuple[int, int, int]
    read: tuple[float, float, float]
    flop: tuple[float, float, float]
    seconds: tuple[float | None, float | None, float | None]
    caches: int
    basis: str
    release: Release


class Sharing:
    """What the form holds, and the last answer that could be given.

    Args:
        model: the chapter's checkpoint; ``state``: texts by field, those of :data:`OPENING` where left out.
    """

    def __init__(self, model: str, state: Mapping[str, str] | None = None) -> None:
        self.model = model
        self.state = {**OPENING, **{name: text for name, text in (state or {}).items() if name in OPENING and text}}
        self.error: InputError | None = None
        self.answer: Answer | None = None
        self.shown: dict[str, str] = {}
        self.recompute()

    def change(self, changes: Mapping[str, Any]) -> None:
        """Set fields. A record that a newly chosen engine does not store gives way to the engine's own FP8 or f16 record."""
        known = {name: str(text).strip() for name, text in changes.items() if name in OPENING}
        self.state.update(known)
        engine = self.state["engine"].split(" ")[0]
        if "engine" in known and "record" not in known and self.state["record"] not in _RECORDS.get(engine, ()):
            self.state["record"] = "f16" if engine == "llama.cpp" else "fp8_ds_mla" if engine == "vllm" else "fp8_e4m3"
        self.recompute()

    def recompute(self) -> None:
        """Answer anew; where that cannot be, the last answer stays."""
        self.error = None
        try:
            self.answer = answer(self.model, self.state)
            for name, most in (("context", LONGEST), ("requests", MOST)):
                self.state[name] = str(whole(name, self.state[name], most))
        except InputError as error:
            self.error = error

    def view(self) -> dict[str, Any]:
        """The parts as HTML, and the fields' texts and errors."""
        if self.answer is not None and self.error is None:
            self.shown = {
                "say": _sentence(self.state, self.answer),
                "table": _table(self.state, self.answer),
                "command": _command(self.model, self.state),
            }
        parts = {name: self.shown.get(name, "") for name in ("say", "table", "command")}
        if self.error is not None:
            parts["say"] = bad_input(self.error.to_dict(), bool(self.shown))
        errors = {self.error.field: self.error.message} if self.error else {}
        return {"parts": parts, "stale": bool(self.error and self.shown), "values": dict(self.state), "errors": errors}


def answer(model: str, state: Mapping[str, str]) -> Answer:
    """Figures of a state.

    Raises:
        InputError: a field that cannot be read, or a record that the engine does not store.
    """
    context, requests = whole("context", state["context"], LONGEST), whole("requests", state["requests"], MOST)
    release = next((one for one in releases() if one.name == state["engine"]), None)
    if release is None:
        raise InputError("engine", state["engine"], f"one of {', '.join(one.name for one in releases())}")
    if state["record"] not in _RECORDS[release.engine]:
        raise InputError(
            "record", state["record"], f"one that {release.engine} stores: {', '.join(_RECORDS[release.engine])}"
        )
    known = release.engine != "llama.cpp"
    c, token = _case(model, state["gpu"], state["record"], 8 if known else 1)
    caches = c.layers if release.allocates == "every_layer" else c.indexers
    work = flops.work_of(c.checkpoint)
    sizes = (token[0] + caches * token[1], token[0] + c.layers * token[1], sharing.dense_bytes(c))
    times = tuple(
        sharing.attention_s(c, count, context, requests) if known else None for count in (c.indexers, c.layers)
    )
    return Answer(
        token=sizes,
        cache=(sizes[0] * context * requests, sizes[1] * context * requests, sizes[2] * context * requests),
        read=(
            _read(c, token, c.indexers, context, requests), _read(c, token, c.layers, context, requests),
            float(sizes[2] * context * requests),
        ),
        flop=(
            requests * float(flops.token_flops(work, context)), requests * float(flops.token_flops(work, context, c.layers)),
            requests * float(sharing.dense_flops(c, context)),
        ),
        seconds=(times[0], times[1], sharing.dense_read_s(c, context, requests) if known else None),
        caches=caches,
        basis=_basis(c, context, requests, times[0]),
        release=release,
    )  # fmt: skip


def whole(name: str, text: str, most: int) -> int:
    """A count as the command reads its flag (``128K`` too).

    Raises:
        InputError: not a whole number from 1 to ``most``.
    """
    try:
        value = states.deployment({**states.DEFAULTS, "max_model_len": text.replace(",", "")}).max_model_len
    except InputError:
        value = None
    if not isinstance(value, int) or not 1 <= value <= most:
        raise InputError(name, text, f"a whole number from 1 to {most:,}")
    return value


def _case(model: str, gpu: str, kv: str, ranks: int) -> tuple[sharing.Case, tuple[int, int]]:
    """The case, and bytes of one token: in all MLA caches, and in one indexer's."""
    if kv not in CACHE_TYPES or kv == "bf16":
        c = sharing.case(model, gpu, kv, ranks)
        return c, (c.layers * c.latent, c.index)
    c = sharing.case(model, gpu, "bf16", ranks)
    g = c.checkpoint.geometry
    return c, (cell_bytes(g, kv, c.layers, 0), cell_bytes(g, kv, 0, 1))


def _read(c: sharing.Case, token: tuple[int, int], indexers: int, context: int, requests: int) -> float:
    positions = flops.attended(context, c.checkpoint.geometry.index_topk)
    return float(requests * (positions * token[0] + context * indexers * token[1]))


def _basis(c: sharing.Case, context: int, requests: int, seconds: float | None) -> str:
    if seconds is None:
        return "not measured"
    if context > (kernels.measured_to(c.chip.id) or 0):
        return "extrapolated"
    return "measured" if requests == 1 else "estimated"


def _sentence(state: Mapping[str, str], a: Answer) -> str:
    ours, every, _ = a.seconds
    time = (
        f"attention takes {ours * 1e3:.2f} ms of a step, not {every * 1e3:.2f}"
        if ours and every
        else "its time was not measured"
    )
    many = int(a.cache[0] / a.token[0])
    return (
        f'<p class="gm-s">{escape(a.release.words)}, {a.caches} indexer caches: {a.token[0]:,} B a token, {a.cache[0] / GIB:.2f} GiB '
        f"for {many:,} tokens {_where(state)}; {time}.</p>"
    )


def _table(state: Mapping[str, str], a: Answer) -> str:
    rows = (
        ("cache, a token", "B", [f"{size:,}" for size in a.token]),
        ("cache, all requests", "GiB", [f"{size / GIB:,.2f}" for size in a.cache]),
        ("read of it in a step", "GB", [f"{size / GB:,.3f}" for size in a.read]),
        ("work of a step, all GPUs", "GFLOP", [f"{size / 1e9:,.0f}" for size in a.flop]),
        (f"attention of a step, {a.basis}", "ms", [*(_ms(seconds) for seconds in a.seconds[:2]), _ms(a.seconds[2], "≥ ")]),
    )  # fmt: skip
    body = "".join(
        f'<tr><th scope="row">{words}, {unit}</th>{"".join(f"<td class=r>{escape(text)}</td>" for text in texts)}</tr>'
        for words, unit, texts in rows
    )
    heads = "".join(
        f'<th scope="col" class="r">{escape(words)}</th>'
        for words in (a.release.words, "every layer full", "GQA-8, bf16")
    )
    return boxed(
        f'<table class="gm-table"><thead><tr><th scope="col">{_where(state)}</th>{heads}</tr></thead><tbody>{body}</tbody></table>'
    )


def _where(state: Mapping[str, str]) -> str:
    return "on all GPUs together" if state["engine"].startswith("llama") else "on each of 8 GPUs"


def _ms(seconds: float | None, before: str = "") -> str:
    return "unknown" if seconds is None else f"{before}{seconds * 1e3:,.2f}"


def _command(model: str, state: Mapping[str, str]) -> str:
    engine, version = state["engine"].split(" ")
    if engine != "vllm":
        return ""
    dtype = {"bf16": "bfloat16"}.get(state["record"], state["record"])
    line = (
        f"glmcalc budget --model {model} --gpu {state['gpu']} --gpus 8 -tp 8 --kv-cache-dtype {dtype} "
        f"--max-model-len {state['context']} --max-num-seqs {state['requests']} --engine-version {version}"
    )
    return command_block(line.replace(",", ""))
