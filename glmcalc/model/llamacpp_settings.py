"""A deployment of llama.cpp with its defaults filled in: what goes on the GPUs, how large the context is, and the memory there is."""

from __future__ import annotations

import re

from glmcalc.facts.engines import EngineVersion, Ruling
from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.facts.hardware import Device, Memory
from glmcalc.facts.llamacpp_rules import llamacpp_rule, parse_llamacpp_version
from glmcalc.facts.quantity import GIB, ceil_div
from glmcalc.facts.store import load_json
from glmcalc.model.deployment import Deployment
from glmcalc.model.llamacpp_file import GgufFile, find_file
from glmcalc.model.other_fields import refuse_foreign
from glmcalc.model.other_resolved import Notes, chosen_device, memory_of, same

# Bytes and elements of a block (ggml, GGML_QUANT_SIZES).
CACHE_TYPES: dict[str, tuple[int, int]] = {
    "f32": (4, 1), "f16": (2, 1), "bf16": (2, 1), "q8_0": (34, 32), "q5_1": (24, 32), "q5_0": (22, 32), "q4_1": (20, 32),
    "q4_0": (18, 32), "iq4_nl": (18, 32),
}  # fmt: skip
CELLS = 256
UBATCH = 512
_NESTED = re.compile(r"\)[*+{]|[*+}][*+{]")
_BUFFER = re.compile(r"(.+)=([\w.-]+)")


@record
class LlamacppResolved:
    """What llama.cpp would run with.

    Attributes:
        cells: ``n_ctx``, in whole steps of 256; slots: requests that share it; slot_cells: what one of them has.
        gpu_layers: how many of the model's own layers are on GPUs (the last ones); head_on_gpu: the output too.
        experts_on_cpu: of the layers on GPUs, how many have their experts (in thirds: up, gate, down) on the CPU.
        indexers, indexers_other: layers with an indexer cache, and the other possibility where the build leaves it open.
        unified: GPU and CPU share one memory; ``memory`` is then what the GPU may take, ``ram_bytes`` the whole.
    """

    asked: Deployment
    version: EngineVersion
    file: GgufFile
    device: Device
    memory: Memory | None
    unified: bool
    ram_bytes: int | None
    gpus: int
    cells: int
    slots: int
    slot_cells: int
    cache_type: str
    gpu_layers: int
    head_on_gpu: bool
    experts_on_cpu: float
    kv_on_cpu: bool
    ubatch: int
    flash_attention: bool
    indexers: int
    indexers_other: int | None
    refusals: tuple[str, ...]
    warnings: tuple[str, ...]
    uncertain: tuple[str, ...]
    filled: tuple[str, ...]


def resolve_llamacpp(asked: Deployment) -> LlamacppResolved:
    """Fill in llama.cpp's defaults and check what it checks.

    Raises:
        InputError: a value outside what model and engine take, or a setting that llama.cpp has not.
    """
    refuse_foreign(asked, "llama.cpp")
    version = parse_llamacpp_version(asked.engine_version)
    file = find_file(asked)
    chip = chosen_device(asked)
    notes = Notes(asked, version)
    gpus = asked.gpus or 1
    cells, slots, slot_cells = _context(asked, file.geometry.max_position_embeddings, notes)
    layers, head = _layers(asked, file.geometry.num_hidden_layers + file.geometry.num_nextn_predict_layers, file, notes)
    memory, ram = usable_memory(asked, chip)
    if gpus > 1:
        notes.doubt("llama.cpp places whole layers by the free memory of each GPU: an even split is taken")
    if asked.cache_type_v not in (None, asked.cache_type_k, "f16"):
        notes.warnings.append("--cache-type-v has no effect: this attention stores no V.")
    if asked.flash_attention is False:
        notes.doubt("flash attention is off: the scores of all heads are a buffer of their own")
    most, least = _indexers(file, version)
    return LlamacppResolved(
        asked, version, file, chip, memory, ram is not None, ram, gpus, cells, slots, slot_cells, _cache_type(asked), layers,
        head, _experts_on_cpu(asked, file, layers, notes), bool(asked.kv_on_cpu), asked.ubatch_size or UBATCH,
        asked.flash_attention is not False, most, least if least != most else None, tuple(notes.refusals),
        tuple(notes.warnings), tuple(notes.uncertain), tuple(notes.filled),
    )  # fmt: skip


def usable_memory(asked: Deployment, chip: Device) -> tuple[Memory | None, int | None]:
    """What the GPU may take of its memory, and all memory where GPU and CPU share it.

    A Mac's GPU takes its working set: about 0.75 of the memory as sold in GiB (0.74 to 0.84 by macOS), unless
    ``iogpu.wired_limit_mb`` is set. ``--gpu-memory-gib`` says it as llama.cpp's log prints it.
    """
    term = {"apple": "apple_working_set"}.get(chip.architecture or "") or (
        "strix_halo_share" if "strix" in chip.id else None
    )
    if term is None:
        whole = chip.memory() if chip.architecture == "sm121" else None
        return memory_of(asked, chip), whole.bytes if whole else None
    if chip.memory_gb is None:
        return None, None
    ram = round(chip.memory_gb * GIB)
    if asked.gpu_memory_bytes is not None:
        return memory_of(asked, chip), ram
    row = next(row for row in load_json("other_engine_terms.json")["terms"] if row["id"] == term)
    low, likely, high = (round(ram * row[end]) for end in ("low", "likely", "high"))
    set_by = "sysctl iogpu.wired_limit_mb" if term == "apple_working_set" else "the driver's GTT limit"
    note = f"what the GPU may take: {row['likely']:g} of {chip.memory_gb:g} GiB ({row['low']:g} to {row['high']:g}); {set_by} sets it"
    return Memory(likely, low, high, row["kind"], row["source"], note), ram


def _context(asked: Deployment, most: int, notes: Notes) -> tuple[int, int, int]:
    wanted = same(asked, "ctx_size", "max_model_len")
    slots = same(asked, "parallel", "max_num_seqs")
    if slots is None or slots < 1:
        slots = 1
        notes.filled.append("parallel")
    if not wanted:
        notes.filled.append("ctx_size")
        notes.warnings.append(
            f"--ctx-size is not given: the model's own {most:,} tokens are taken (newer builds may fit it down)."
        )
        wanted = most
    if wanted < 1:
        raise InputError("ctx_size", wanted, f"0 (the model's own) or 1 to {most:,} tokens for each of {slots} slots")
    if asked.max_model_len is not None and asked.ctx_size is None and slots > 1:
        wanted *= slots  # vLLM's name says the length of one request
    if wanted > most * slots:
        raise InputError("ctx_size", wanted, f"at most {most:,} tokens, the model's own, for each of {slots} slots")
    cells = ceil_div(wanted, CELLS) * CELLS
    if asked.kv_unified:
        return cells, slots, cells
    each = ceil_div(ceil_div(cells, slots), CELLS) * CELLS
    return each * slots, slots, each


def _layers(asked: Deployment, every: int, file: GgufFile, notes: Notes) -> tuple[int, bool]:
    """Layers of the model on GPUs, and whether the output is; llama.cpp counts the output as the last layer."""
    stated = asked.n_gpu_layers
    if stated is None or stated < 0:
        notes.filled.append("n_gpu_layers")
        stated = every + 1
    first = max(every + 1 - stated, 0)
    return max(file.geometry.num_hidden_layers - first, 0), stated > 0


def _cache_type(asked: Deployment) -> str:
    name = (asked.cache_type_k or "f16").lower()
    if name not in CACHE_TYPES:
        raise InputError("cache_type_k", asked.cache_type_k, f"one of {', '.join(CACHE_TYPES)}")
    return name


def _experts_on_cpu(asked: Deployment, file: GgufFile, layers: int, notes: Notes) -> float:
    """Of the layers on GPUs, those whose experts stay on the CPU, in thirds of a layer."""
    g = file.geometry
    on_gpu = range(max(g.num_hidden_layers - layers, g.first_k_dense_replace), g.num_hidden_layers)
    if asked.cpu_moe:
        return float(len(on_gpu))
    if asked.n_cpu_moe is not None:
        return float(sum(layer < asked.n_cpu_moe for layer in on_gpu))
    if not asked.override_tensor:
        return 0.0
    rules = [_override(text) for text in asked.override_tensor]
    if any("exps" not in text for text in asked.override_tensor):
        notes.doubt("--override-tensor moves more than experts; only what it does to experts is budgeted")
    names = [f"blk.{layer}.ffn_{part}_exps.weight" for layer in on_gpu for part in ("up", "gate", "down")]
    return sum(_placed(name, rules) for name in names) / 3


def _override(text: str) -> tuple[re.Pattern[str], bool]:
    """One ``PATTERN=BUFFER``: the pattern, and whether the buffer is the CPU's."""
    match = _BUFFER.fullmatch(text)
    if match is None or len(text) > 300 or _NESTED.search(match[1]):
        raise InputError("override_tensor", text, "PATTERN=BUFFER with a plain regular expression, such as exps=CPU")
    try:
        return re.compile(match[1]), match[2].upper().startswith("CPU")
    except re.error as error:
        raise InputError("override_tensor", text, f"a regular expression before the equals sign ({error})") from None


def _placed(name: str, rules: list[tuple[re.Pattern[str], bool]]) -> bool:
    """Whether the first rule that matches puts ``name`` on the CPU."""
    return next((cpu for pattern, cpu in rules if pattern.search(name)), False)


def _indexers(file: GgufFile, version: EngineVersion) -> tuple[int, int]:
    """Layers with an indexer cache: the most and the fewest that the build leaves possible."""
    every, own = file.geometry.num_hidden_layers, len(file.geometry.indexer_layers)
    runs, caches = (llamacpp_rule(name, version) for name in ("indexer_runs", "indexer_caches"))
    counts = {every if value == "every_layer" else own for value in _both(caches)}
    if "no" in _both(runs):
        counts = {0} if runs.other is None else {*counts, 0}
    if version.release == (0, 0, 0):
        counts -= {0}
    return max(counts), min(counts)


def _both(found: Ruling) -> tuple[str, ...]:
    return (str(found.value),) if found.other is None else (str(found.value), str(found.other))
