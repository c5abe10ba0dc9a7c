"""What sizing is asked for, the machines it looks at, and what is known of the quality of each form of the model."""

from __future__ import annotations

from functools import lru_cache

from glmcalc.facts.errors import InputError
from glmcalc.facts.evidence import with_provenance
from glmcalc.facts.frozen import record
from glmcalc.facts.hardware import Device, device
from glmcalc.facts.store import load_jsonl
from glmcalc.model.checkpoint import load_checkpoint
from glmcalc.model.deployment import DEFAULT_MODEL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from glmcalc.model.calibration import Calibration
    from glmcalc.speed.price import Price

MOST_REQUESTS = 65_536
FASTEST = 100_000.0
LONGEST_WAIT = 86_400.0
ENGINES = ("vllm", "sglang", "llama.cpp")


@record
class Need:
    """What must be served.

    Attributes:
        context: tokens of one request, prompt and answer together. concurrency: requests at once.
        min_tok_s_user: least tokens per second of one user, held against the pessimistic end of the band.
        max_ttft: most seconds to the first token, likewise.
        gpus: ids of ``data/hardware.csv`` to look at; empty for all.
        quantization, engine: to be used, in place of what the search finds.
        num_speculative_tokens: drafts of the model's own MTP layer; 0 serves without it.
        input_length, output_length: tokens of a prompt and of an answer, where they are known.
        extrapolate: speeds beyond the longest context that was measured.
        prices: US$ an hour of one GPU by id, in place of the list's.
        calibration: a machine's measured terms; used where they were measured on the same device, model and split.
    """

    context: int
    concurrency: int
    min_tok_s_user: float | None = None
    max_ttft: float | None = None
    gpus: tuple[str, ...] = ()
    quantization: str | None = None
    engine: str | None = None
    model: str = DEFAULT_MODEL
    num_speculative_tokens: int = 0
    input_length: int | None = None
    output_length: int | None = None
    extrapolate: bool = False
    prices: dict[str, Price] | None = None
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        longest = load_checkpoint(self.model).geometry.max_position_embeddings
        _check_whole("context", self.context, 1, longest, f"1 to {longest:,} tokens, the model's maximum")
        _check_whole("concurrency", self.concurrency, 1, MOST_REQUESTS, f"a whole number from 1 to {MOST_REQUESTS:,}")
        _check_whole("num_speculative_tokens", self.num_speculative_tokens, 0, 64, "a whole number from 0 to 64")
        for name, most, unit in (
            ("min_tok_s_user", FASTEST, "tokens per second"),
            ("max_ttft", LONGEST_WAIT, "seconds"),
        ):
            value = getattr(self, name)
            if value is not None and not _is_number(value, most):
                raise InputError(name, value, f"{unit}, above 0 and at most {most:,.0f}")
        for name in ("input_length", "output_length"):
            value = getattr(self, name)
            if value is not None:
                _check_whole(name, value, 1, self.context, f"1 to {self.context:,}, the context")
        self._check_lengths()
        for name in self.gpus:
            device(name)
        if self.engine is not None and self.engine not in ENGINES:
            raise InputError("engine", self.engine, f"one of {', '.join(ENGINES)}")
        if self.quantization is not None:
            _check_quantization(self.quantization)

    def _check_lengths(self) -> None:
        """Prompt and answer are one request, which the context holds."""
        prompt, answer = self.input_length, self.output_length
        if prompt is None or answer is None or prompt + answer <= self.context:
            return
        room = f"{{:,}} tokens: prompt and answer are one request, and the context is {self.context:,}"
        if prompt < self.context:
            raise InputError("output_length", answer, f"at most {room.format(self.context - prompt)}")
        raise InputError("input_length", prompt, f"less than {room.format(self.context)}")


def _check_whole(name: str, value: object, low: int, high: int, allowed: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(name, value, allowed)


def _is_number(value: object, most: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= most


def _check_quantization(text: str) -> None:
    from glmcalc.model.checkpoint import is_checkpoint_format
    from glmcalc.model.gguf import is_gguf_label, published_files

    if is_checkpoint_format(text) or is_gguf_label(text) or text.upper() in published_files():
        return
    from glmcalc.facts.store import nearest
    from glmcalc.model.checkpoint import FORMATS

    close = nearest(text, [*FORMATS, *published_files()])
    hint = f" (did you mean {close}?)" if close else ""
    raise InputError("quantization", text, f"one of {', '.join(FORMATS)}, or a GGUF type such as UD-Q4_K_M{hint}")


@record
class Configuration:
    """One machine: a row of ``data/configurations.jsonl``.

    Attributes:
        gpus: in all; nodes: how many boxes hold them.
        between_nodes: ``NVLink`` or ``network``; None for one node.
        use: ``serve``, ``offload`` (routed experts in the host's memory) or ``facts`` (no verdict).
        host_ram_gb: GB of 10^9 bytes, where it matters.
    """

    id: str
    gpu: str
    gpus: int
    nodes: int
    between_nodes: str | None
    use: str
    host_ram_gb: float | None
    note: str | None
    source: str
    date: str
    kind: str

    @property
    def device(self) -> Device:
        """The device it is made of."""
        return device(self.gpu)

    @property
    def label(self) -> str:
        """As people write it: ``8 x H200 141GB SXM``."""
        beside = f" + {self.host_ram_gb:g} GB host" if self.host_ram_gb is not None else ""
        return f"{self.gpus} x {self.device.name}{beside}"

    @property
    def apart(self) -> bool:
        """Whether its nodes are joined by a network only, of more than one GPU each."""
        return self.between_nodes == "network" and self.gpus > self.nodes


@lru_cache(maxsize=1)
def configurations() -> tuple[Configuration, ...]:
    """All machines that sizing knows, in the order of the file."""
    rows = with_provenance(load_jsonl("configurations.jsonl"), "configurations.jsonl")
    return tuple(Configuration(**row) for row in rows)


def configurations_of(gpus: tuple[str, ...]) -> tuple[Configuration, ...]:
    """Those of the named devices, all where none is named; a device without one gets 1, 2, 4, 8 and 16 of it."""
    if not gpus:
        return configurations()
    found: list[Configuration] = []
    for name in dict.fromkeys(gpus):
        own = [one for one in configurations() if one.gpu == name]
        found += own or _usual(device(name))
    return tuple(found)


def _usual(chip: Device) -> list[Configuration]:
    counts = (1,) if chip.vendor == "Apple" else (1, 2, 4, 8, 16)
    note = "no known machine: a usual number of devices"
    return [
        Configuration(
            f"{chip.id}_x{count}", chip.id, count, -(-count // 8), "network" if count > 8 else None, "serve", None, note, chip.source.split()[0],
            chip.date, "estimated",
        )
        for count in counts
    ]  # fmt: skip


@record
class Quality:
    """What is known of one form: ``rank`` 0 the publisher's own, 1 to be evaluated first, 2 a loss was reported."""

    rank: int
    text: str | None
    source: str | None


@lru_cache(maxsize=1)
def _notes() -> dict[str, Quality]:
    found = {}
    for row in with_provenance(load_jsonl("quality_notes.jsonl"), "quality_notes.jsonl"):
        for form in row["forms"]:
            found[form] = Quality(row["rank"], row["text"], row["source"])
    return found


def quality_of(form: str) -> Quality:
    """Of a format of weights, a GGUF label or a KV record; a record that no row names has no reported loss."""
    known = _notes()
    for name in (form, f"UD-{form}", form.upper()):
        if name in known:
            return known[name]
    if form in ("fp8_ds_mla", "f16", "q8_0", "bf16"):
        return Quality(0, None, None)
    return Quality(1, f"nothing is known here of the quality of {form}; evaluate it first", None)


def quality_note(*forms: str) -> tuple[int, str | None, list[str]]:
    """The worst rank over some forms, their notes as one text, and where they stand."""
    every = [quality_of(form) for form in forms]
    texts = [one.text for one in every if one.text is not None]
    return (
        max(one.rank for one in every),
        "; ".join(texts) or None,
        [one.source for one in every if one.text and one.source],
    )


def need_dict(need: Need) -> dict[str, Any]:
    """The need as scripts read it."""
    names = ("context", "concurrency", "min_tok_s_user", "max_ttft", "quantization", "engine", "model", "num_speculative_tokens",
             "input_length", "output_length")  # fmt: skip
    return {**{name: getattr(need, name) for name in names}, "gpu": list(need.gpus) or None}
