"""A deployment with every default filled in, as the engine would fill them in, and every refusal collected."""

from __future__ import annotations

from functools import lru_cache

from glmcalc.facts.engines import EngineVersion, check_engine, parse_version, rule
from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record, replace
from glmcalc.facts.hardware import Device, Memory, device
from glmcalc.model.batch import check_batch, default_batch, filled_batch
from glmcalc.model.checkpoint import Checkpoint, load_checkpoint, read_as
from glmcalc.model.deployment import AUTO_LENGTHS, Deployment
from glmcalc.model.notes import check_quantization, device_notes, length_trap
from glmcalc.model.records import device_refusals, parallel_refusals, resolve_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from glmcalc.model.calibration import Calibration

DEFAULTS_SOURCE = "https://github.com/vllm-project/vllm (0.33.0: engine/arg_utils.py, config/cache.py)"


@record
class Resolved:
    """What the engine would run with. Sizes as in :class:`Deployment`, none of them None.

    Attributes:
        uncertain: why the verdict can be marginal at best (a fork, an unmodelled flag, AMD), else None.
        refusals: what the engine refuses, or has no kernel for.
        filled: names of settings that were defaults.
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
    dcp: int
    ep: bool
    max_model_len: int
    auto_fit: bool
    max_num_seqs: int
    max_num_batched_tokens: int
    gpu_memory_utilization: float
    record: str
    block_size: int
    mtp: bool
    num_speculative_tokens: int
    refusals: tuple[str, ...]
    warnings: tuple[str, ...]
    uncertain: tuple[str, ...]
    filled: tuple[str, ...]


def resolve(asked: Deployment) -> Resolved:
    """Fill in the engine's defaults and check what it checks.

    Raises:
        InputError: a value outside what the model and the engine take.
    """
    check_engine(asked.engine)
    version = parse_version(asked.engine_version)
    checkpoint = load_checkpoint(asked.model, asked.quantization)
    chip = _device(asked)
    warnings = [note for note in (read_as(asked.model), version.note) if note]
    uncertain = [version.note] if version.note else []
    check_quantization(asked, checkpoint, warnings)
    tp, pp, dp, gpus = _parallel(asked, warnings)
    dcp = asked.decode_context_parallel_size or 1
    geometry = checkpoint.geometry
    _check_parallel(asked, geometry.num_attention_heads, tp, dcp)
    length, auto_fit = _length(asked, geometry.max_position_embeddings)
    seqs, tokens = _batch(asked, chip, length, warnings)
    utilization = _utilization(asked, version, warnings)
    record, refusals = resolve_record(asked.kv_cache_dtype, geometry, chip)
    block_size = asked.block_size or 64
    refusals = device_refusals(geometry, checkpoint.recipe.fmt, chip) + refusals
    refusals += parallel_refusals(geometry, record, chip, tp, dcp, block_size)
    mtp, depth = _speculation(asked, geometry.num_nextn_predict_layers, warnings, uncertain)
    for flag in asked.heavy:
        warnings.append(f"{flag} can move GiB and is not modelled")
        uncertain.append(warnings[-1])
    device_notes(chip, checkpoint, record, version, dcp, warnings, uncertain)
    length_trap(length, auto_fit, block_size, mtp, geometry.sparse, version, warnings)
    return _with_calibration(Resolved(
        asked, version, checkpoint, chip, _memory(asked, chip), gpus, tp, pp, dp, dcp, asked.enable_expert_parallel, length,
        auto_fit, seqs, tokens, utilization, record, block_size, mtp, depth, tuple(refusals), tuple(warnings),
        tuple(uncertain), _filled(asked),
    ))  # fmt: skip


@lru_cache(maxsize=16)
def measured_at(calibration: Calibration) -> Resolved:
    """The deployment whose log a calibration was made from, with the engine's defaults."""
    return resolve(calibration.measured_at)


def mismatch(calibration: Calibration, r: Resolved) -> str | None:
    """Why a calibration says nothing of a deployment, as a phrase; None where it holds."""
    at = measured_at(calibration)
    for name, was, now in (
        ("model", at.checkpoint.name, r.checkpoint.name), ("gpu", at.device.id, r.device.id), ("tensor_parallel_size", at.tp, r.tp),
        ("pipeline_parallel_size", at.pp, r.pp), ("data_parallel_size", at.dp, r.dp), ("enable_expert_parallel", at.ep, r.ep),
    ):  # fmt: skip
        if was != now:
            return f"it was measured with {name} {was}, not {now}"
    return None


def check_calibration(asked: Deployment) -> None:
    """Refuse a calibration of another model or GPU than the deployment that it is given for.

    Raises:
        InputError: it was measured on another model or GPU.
    """
    if asked.calibration is None or asked.gpu is None:
        return
    at = measured_at(asked.calibration)
    checkpoint = load_checkpoint(asked.model, asked.quantization)
    for name, was, now in (("model", at.checkpoint.name, checkpoint.name), ("gpu", at.device.id, asked.gpu)):
        if was != now:
            raise InputError("calibration", was, f"one of this {name} ({now})")


def _with_calibration(r: Resolved) -> Resolved:
    reason = mismatch(r.asked.calibration, r) if r.asked.calibration is not None else None
    if reason is None:
        return r
    return replace(r, warnings=(*r.warnings, f"The calibration is left out: {reason}."))


def _device(asked: Deployment) -> Device:
    if asked.gpu is None:
        raise InputError(
            "gpu",
            None,
            "an id of data/hardware.csv, such as h200_sxm",
            "gpu is missing: say which, such as --gpu h200_sxm.",
        )
    return device(asked.gpu)


def _memory(asked: Deployment, chip: Device) -> Memory | None:
    size = asked.gpu_memory_bytes
    return Memory(size, size, size, "measured", "as a log printed it") if size is not None else chip.memory()


def _parallel(asked: Deployment, warnings: list[str]) -> tuple[int, int, int, int]:
    if asked.prefill_context_parallel_size not in (None, 1):
        raise InputError(
            "prefill_context_parallel_size", asked.prefill_context_parallel_size, "1: larger sizes are not modelled"
        )
    sizes = (asked.tensor_parallel_size, asked.pipeline_parallel_size, asked.data_parallel_size)
    tp, pp, dp = (size or 1 for size in sizes)
    if asked.gpus is not None and all(size is None for size in sizes):
        tp = asked.gpus
        if tp > 1:
            warnings.append(f"No parallel size is given: tensor_parallel_size is set to the number of GPUs, {tp}.")
    needed = tp * pp * dp
    gpus = asked.gpus or needed
    if gpus < needed:
        raise InputError("gpus", gpus, f"at least {needed}: the parallel sizes need tp {tp} x pp {pp} x dp {dp}")
    if gpus > needed:
        warnings.append(f"{gpus - needed} of {gpus} GPUs stay idle: the parallel sizes use {needed}.")
    return tp, pp, dp, gpus


def _check_parallel(asked: Deployment, heads: int, tp: int, dcp: int) -> None:
    if heads % tp:
        raise InputError("tensor_parallel_size", tp, f"a divisor of the {heads} attention heads")
    if tp % dcp:
        raise InputError("decode_context_parallel_size", dcp, f"a divisor of tensor_parallel_size ({tp})")


def _length(asked: Deployment, longest: int) -> tuple[int, bool]:
    if asked.max_model_len in AUTO_LENGTHS:
        return longest, True
    length = longest if asked.max_model_len is None else int(asked.max_model_len)
    if length > longest:
        raise InputError("max_model_len", length, f"1 to {longest:,} tokens, the model's maximum")
    return length, False


def _batch(asked: Deployment, chip: Device, length: int, warnings: list[str]) -> tuple[int, int]:
    chunked = asked.enable_chunked_prefill is not False
    stated = asked.max_num_batched_tokens
    defaults = default_batch(chip, _memory(asked, chip))
    seqs, tokens = filled_batch(asked.max_num_seqs, stated, length, defaults, chunked)
    check_batch(stated, seqs, tokens, length, chunked)
    if not chunked:
        warnings.append(
            f"Prefill is not chunked, so a step takes a whole prompt: max_num_batched_tokens is {tokens:,}. Without "
            f"--no-enable-chunked-prefill it can be {min(defaults[1], tokens):,}."
        )
    return seqs, tokens


def _utilization(asked: Deployment, version: EngineVersion, warnings: list[str]) -> float:
    if asked.gpu_memory_utilization is not None:
        return float(asked.gpu_memory_utilization)
    default = rule("gpu_memory_utilization", version)
    if default.other is not None:
        warnings.append(
            f"gpu_memory_utilization is not given; the default of {version.text} is {default.value} or {default.other}: "
            f"{default.value} is taken. State it."
        )
    return float(default.value)


def _speculation(asked: Deployment, layers: int, warnings: list[str], uncertain: list[str]) -> tuple[bool, int]:
    method, depth = asked.speculative_method, asked.num_speculative_tokens
    if method is None and depth is None:
        return False, 0
    if method is None or asked.mtp:
        if layers == 0:
            raise InputError("speculative_method", method or "mtp", "another method: this checkpoint has no MTP layer")
        if method is None:
            warnings.append("num_speculative_tokens is given without a method: the model's own MTP layer is assumed.")
        return True, depth or 1
    if method in ("ngram", "suffix"):
        return False, depth or 0
    note = f"speculative_method {method}: the drafter's weights and cache are not modelled and come on top"
    warnings.append(note)
    uncertain.append(note)
    return False, depth or 0


def _filled(asked: Deployment) -> tuple[str, ...]:
    watched = (
        "tensor_parallel_size", "max_model_len", "max_num_seqs", "max_num_batched_tokens", "gpu_memory_utilization",
        "kv_cache_dtype", "block_size",
    )  # fmt: skip
    return tuple(name for name in watched if getattr(asked, name) is None)
