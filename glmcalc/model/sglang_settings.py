"""A deployment of SGLang with every default filled in as the engine fills them in, and every refusal collected.

Source of the defaults: ``server_args.py`` and ``arg_groups/overrides.py`` of SGLang 0.5.13 to 0.5.23.
"""

from __future__ import annotations

from glmcalc.facts.engines import EngineVersion, Ruling
from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.facts.hardware import Device, Memory
from glmcalc.facts.quantity import GIB
from glmcalc.facts.sglang_rules import parse_sglang_version, sglang_rule
from glmcalc.model.checkpoint import Checkpoint, load_checkpoint, read_as
from glmcalc.model.deployment import MTP_METHODS, Deployment
from glmcalc.model.format_support import format_refusals
from glmcalc.model.other_fields import refuse_foreign
from glmcalc.model.other_resolved import Notes, chosen_device, memory_of, same

SOURCE = "https://github.com/sgl-project/sglang/blob/v0.5.18/python/sglang/srt/server_args.py"
PAGE = 64
_OWN_LAYER = ("eagle", "nextn", *MTP_METHODS)
_NO_DRAFTER = ("ngram", "suffix")
_CAPACITIES = ((20, 2048, 8, 8), (35, 2048, 24, 80), (60, 4096, 32, 160), (160, 8192, 256, 512))


@record
class SglangResolved:
    """What SGLang would run with.

    Attributes:
        tp, pp, dp, ep: sizes; with ``dp_attention`` the ``dp`` groups lie inside ``tp``, else they are replicas.
        fraction: ``--mem-fraction-static``, low, likely and high; one value where it is given.
        record, record_other: what a token takes in a layer, and the second possibility where the release leaves it open.
        indexers: which layers own an indexer cache, by release.
        mtp: the model's own MTP layer drafts.
    """

    asked: Deployment
    version: EngineVersion
    checkpoint: Checkpoint
    device: Device
    memory: Memory | None
    gpus: int
    tp: int
    pp: int
    dp: int
    ep: int
    dp_attention: bool
    context_length: int
    max_running_requests: int | None
    chunked_prefill_size: int
    cuda_graph_max_bs: int
    max_total_tokens: int | None
    fraction: tuple[float, float, float]
    record: str
    record_other: str | None
    indexers: Ruling
    mtp: bool
    num_speculative_tokens: int
    refusals: tuple[str, ...]
    warnings: tuple[str, ...]
    uncertain: tuple[str, ...]
    filled: tuple[str, ...]

    @property
    def attention_tp(self) -> int:
        """GPUs that share one request's attention."""
        return self.tp // self.dp if self.dp_attention else self.tp


def resolve_sglang(asked: Deployment) -> SglangResolved:
    """Fill in SGLang's defaults and check what it checks.

    Raises:
        InputError: a value outside what model and engine take, or a setting that SGLang has not.
    """
    refuse_foreign(asked, "sglang")
    version = parse_sglang_version(asked.engine_version)
    checkpoint = load_checkpoint(asked.model, asked.quantization)
    chip = chosen_device(asked)
    notes = Notes(asked, version)
    notes.warnings += [note for note in (read_as(asked.model),) if note]
    tp, pp, dp, ep, attention, gpus = _parallel(asked, checkpoint, notes)
    memory = memory_of(asked, chip)
    length = _length(asked, checkpoint.geometry.max_position_embeddings, notes)
    chunk, graphs = _steps(asked, tp, dp if attention else 1, _capacity(chip, memory), notes)
    mtp, depth = _speculation(asked, checkpoint.geometry.num_nextn_predict_layers, notes)
    kv, other = _record(asked, chip, checkpoint.geometry.sparse, version, notes)
    fraction = _fraction(
        asked, tp * pp, dp if attention else 0, chunk, graphs, mtp, _capacity(chip, memory), version, notes
    )
    _device_notes(chip, checkpoint, notes)
    name = "indexer_caches_hicache" if asked.hierarchical_cache else "indexer_caches"
    running = same(asked, "max_running_requests", "max_num_seqs")
    notes.uncertain.append(
        "what SGLang takes beside its static share (graphs, activation, indexer logits) rests on few logs, of GLM-5.2 one on "
        "GB300 and one on RTX PRO 6000"
    )
    return SglangResolved(
        asked, version, checkpoint, chip, memory, gpus, tp, pp, dp, ep, attention, length, running,
        chunk // dp if attention else chunk, graphs, asked.max_total_tokens, fraction, kv, other, sglang_rule(name, version), mtp, depth,
        tuple(notes.refusals), tuple(notes.warnings), tuple(notes.uncertain), tuple(notes.filled),
    )  # fmt: skip


def _parallel(asked: Deployment, checkpoint: Checkpoint, notes: Notes) -> tuple[int, int, int, int, bool, int]:
    sizes = (asked.tensor_parallel_size, asked.pipeline_parallel_size, asked.data_parallel_size)
    tp, pp, dp = (size or 1 for size in sizes)
    attention = bool(asked.enable_dp_attention) and dp > 1
    if asked.gpus is not None and all(size is None for size in sizes):
        tp = asked.gpus
        if tp > 1:
            notes.warnings.append(f"No parallel size is given: --tp is set to the number of GPUs, {tp}.")
    if attention and tp % dp:
        raise InputError(
            "data_parallel_size", dp, f"a divisor of --tp {tp}: with --enable-dp-attention groups lie in it"
        )
    heads = checkpoint.geometry.num_attention_heads
    if heads % (tp // dp if attention else tp):
        raise InputError("tensor_parallel_size", tp, f"a divisor of {heads}, the number of attention heads")
    ep = asked.expert_parallel_size or (tp if asked.enable_expert_parallel else 1)
    if pp > checkpoint.geometry.num_hidden_layers:
        raise InputError(
            "pipeline_parallel_size", pp, f"1 to {checkpoint.geometry.num_hidden_layers}, the number of layers"
        )
    if tp % ep:
        raise InputError("expert_parallel_size", ep, f"a divisor of --tp {tp}")
    needed = tp * pp * (1 if attention else dp)
    gpus = asked.gpus or needed
    if gpus < needed:
        raise InputError("gpus", gpus, f"at least {needed}: the parallel sizes need tp {tp} x pp {pp} x dp {dp}")
    if gpus > needed:
        notes.warnings.append(f"{gpus - needed} of {gpus} GPUs stay idle: the parallel sizes use {needed}.")
    if pp > 1:
        notes.doubt("pipeline parallelism in SGLang: its split of layers is taken to be vLLM's")
    return tp, pp, dp, ep, attention, gpus


def _length(asked: Deployment, most: int, notes: Notes) -> int:
    length = same(asked, "context_length", "max_model_len")
    if length is None or length == -1:
        notes.filled.append("context_length")
        return most
    if not 1 <= length <= most:
        raise InputError("context_length", length, f"1 to {most:,}, the model's maximum, in tokens")
    return length


def _capacity(chip: Device, memory: Memory | None) -> float | None:
    """Memory in MiB as nvidia-smi shows it, by which the engine picks its defaults."""
    if chip.memory_gib_nvidia_smi is not None:
        return chip.memory_gib_nvidia_smi * 1024
    if memory is None:
        return None
    above = 0.5 if chip.vendor == "NVIDIA" else 0.0
    return memory.bytes / GIB * 1024 + above * 1024


def _steps(asked: Deployment, tp: int, groups: int, capacity: float | None, notes: Notes) -> tuple[int, int]:
    """Tokens of a prefill chunk (over all ``groups``), and the largest batch that is captured as a graph."""
    chunk = same(asked, "chunked_prefill_size", "max_num_batched_tokens")
    graphs = same(asked, "cuda_graph_max_bs", "max_cudagraph_capture_size")
    default_chunk, default_graphs = 16384, 512
    for gib, tokens, few, many in _CAPACITIES:
        if capacity is not None and capacity < gib * 1024:
            default_chunk, default_graphs = tokens, few if tp < 4 else many
            break
    if chunk is None:
        notes.filled.append("chunked_prefill_size")
        chunk = default_chunk
    elif chunk <= 0:
        notes.doubt("--chunked-prefill-size -1: a whole prompt is one step; 16,384 tokens are taken for its activation")
        chunk = 16384
    if graphs is None:
        notes.filled.append("cuda_graph_max_bs")
        graphs = default_graphs
    return max(chunk, groups), 0 if asked.disable_cuda_graph or asked.enforce_eager else graphs


def _speculation(asked: Deployment, layers: int, notes: Notes) -> tuple[bool, int]:
    method, depth = asked.speculative_method, asked.num_speculative_tokens
    if method is None and depth is None:
        return False, 0
    apart = any(word.split("=")[0].startswith("--speculative-draft-model") for word in asked.kept)
    if method is None or (method.lower() in _OWN_LAYER and not apart):
        if layers == 0:
            raise InputError("speculative_method", method, "another method: this checkpoint has no MTP layer")
        return True, depth or 1
    if method.lower() not in _NO_DRAFTER:
        notes.doubt(f"speculative algorithm {method}: the drafter's weights and cache are not modelled and come on top")
    return False, depth or 0


def _record(
    asked: Deployment, chip: Device, sparse: bool, version: EngineVersion, notes: Notes
) -> tuple[str, str | None]:
    """The record of a token in one layer, and the other where the release leaves it open."""
    stated = (asked.kv_cache_dtype or "auto").lower()
    architecture = chip.architecture or ""
    blackwell = architecture in ("sm100", "sm103", "sm120", "sm121")
    if stated == "auto":
        stated = "fp8_e4m3" if sparse and blackwell else "bf16"
        notes.filled.append("kv_cache_dtype")
    if stated in ("bf16", "bfloat16"):
        return "bf16", None
    if stated not in ("fp8", "fp8_e4m3"):
        raise InputError(
            "kv_cache_dtype", asked.kv_cache_dtype, "auto, bfloat16 or fp8_e4m3: SGLang has no other for this attention"
        )
    if not sparse or architecture in ("sm100", "sm103"):
        return "fp8_e4m3", None
    if architecture == "sm90":
        return "fp8_ds_mla", None
    found = sglang_rule("fp8_record_sm12x" if blackwell else "fp8_record_amd", version)
    options = sorted({str(found.value), str(found.other or found.value)})
    larger = "fp8_ds_mla" if "fp8_ds_mla" in options else options[0]
    return larger, next((name for name in options if name != larger), None)


def _fraction(
    asked: Deployment, ranks: int, dp: int, chunk: int, graphs: int, mtp: bool, capacity: float | None,
    version: EngineVersion, notes: Notes,
) -> tuple[float, float, float]:  # fmt: skip
    """``--mem-fraction-static``, or the engine's default: what is left beside its own estimate of all the rest.

    MiB kept: 512 + 1.5 a token of the chunk + 128 a GPU + 2 a captured batch size, with DP attention 3 to 4.5 more of it a
    group, 1,536 for prefill graphs; at least 10 GiB on GPUs above 60 GiB; older releases 4 GiB more for a drafter.
    """
    given = asked.mem_fraction_static
    if given is not None:
        return given, given, given
    notes.filled.append("mem_fraction_static")
    if capacity is None:
        return 0.85, 0.88, 0.9
    kept = 512 + 1.5 * max(chunk, 2048) + ranks / 8 * 1024 + 2 * graphs
    if dp:
        kept += graphs * dp * (4.5 if graphs > 300 else 3)
    prefill, draft = (
        float(sglang_rule(name, version).value) for name in ("prefill_graph_reserve_mib", "draft_reserve_mib")
    )
    most = max(kept + prefill, 10240 if capacity > 60 * 1024 else 0) + (draft if mtp else 0)
    least = max(kept, 10240 if capacity > 60 * 1024 else 0) + (draft if mtp else 0)
    low, high = (round((capacity - size) / capacity, 3) for size in (most, least))
    if low <= 0:
        raise InputError("mem_fraction_static", None, "given: the engine's default has no room on this GPU")
    notes.warnings.append(
        f"mem_fraction_static is not given: the engine's default here is {low:g}" + (f" to {high:g}" if high > low else "")
        + f", by its own rule ({SOURCE}). State it."
    )  # fmt: skip
    return low - 0.002, low, high + 0.002


def _device_notes(chip: Device, checkpoint: Checkpoint, notes: Notes) -> None:
    known = chip.vendor == "NVIDIA" or (chip.vendor == "AMD" and (chip.architecture or "").startswith("gfx9"))
    if not known:
        notes.refusals.append(
            f"SGLang's memory accounting is known here for NVIDIA and AMD Instinct; {chip.name} is neither"
        )
    if checkpoint.geometry.sparse and chip.architecture in ("sm80", "sm86", "sm89"):
        notes.refusals.append(
            f"SGLang has no sparse-MLA kernel for {chip.name} ({chip.architecture}), as far as is known; GLM-5.x needs "
            "Hopper, Blackwell or AMD Instinct"
        )
    if chip.architecture == "sm121":
        notes.doubt(f"{chip.name} shares its memory with the host: what is free at start varies by GiB")
    if known:
        notes.refusals += format_refusals(checkpoint.recipe.fmt, "sglang", chip)
