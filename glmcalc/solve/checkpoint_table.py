"""A checkpoint module by module: parameters, stored bytes, and the bytes that each GPU loads."""

from __future__ import annotations

from glmcalc.budget.weights import Split, StageWeights, main_bands, weights_by_stage
from glmcalc.facts.engines import check_engine, parse_version, rule
from glmcalc.facts.errors import InputError
from glmcalc.facts.quantity import Band
from glmcalc.model.checkpoint import Checkpoint, format_name, load_checkpoint
from glmcalc.model.deployment import Deployment
from glmcalc.model.format_support import weight_format

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SGLANG = "loaded bytes by vLLM's rule of what each rank holds; SGLang's own copies come on top"


def checkpoint_table(deployment: Deployment) -> dict[str, Any]:
    """The object that ``glmcalc weights --json`` prints.

    ``total_bytes`` are the stored tensors, MTP layer included where the format has it; ``per_gpu_bytes`` what the fullest
    rank loads, with the MTP layer only when it is asked for. Where the recipe is not known to the tensor both have their
    ends beside them, and ``basis`` is ``estimated``.

    Raises:
        InputError: as :func:`load_checkpoint`, or a parallel size that the engine refuses.
    """
    sglang = deployment.engine == "sglang"
    if not sglang:
        check_engine(deployment.engine)
    checkpoint = load_checkpoint(deployment.model, deployment.quantization)
    split = _split(deployment, checkpoint)
    stages = _stages(checkpoint, split)
    fullest = max(stages, key=lambda stage: stage.total)
    bands = main_bands(checkpoint, split) if checkpoint.low else [Band.exact(stage.main) for stage in stages]
    total = checkpoint.total_band
    return {
        "model": checkpoint.name,
        "quantization": format_name(checkpoint.recipe.fmt),
        "tensor_parallel_size": split.tp,
        "pipeline_parallel_size": split.pp,
        "data_parallel_size": split.dp,
        "enable_expert_parallel": deployment.enable_expert_parallel,
        "engines": list(weight_format(checkpoint.recipe.fmt).engines),
        "parameters": checkpoint.parameters,
        "total_bytes": total.likely,
        "total_low_bytes": total.low,
        "total_high_bytes": total.high,
        "basis": "exact" if checkpoint.low is None else "estimated",
        "bytes_without_mtp": checkpoint.bytes_without_mtp,
        "per_gpu_bytes": fullest.total,
        "per_gpu_low_bytes": max(band.low + stage.mtp for band, stage in zip(bands, stages)),
        "per_gpu_high_bytes": max(band.high + stage.mtp for band, stage in zip(bands, stages)),
        "per_gpu_bytes_by_stage": [stage.total for stage in stages],
        "mtp_loaded": deployment.mtp,
        "notes": _notes(checkpoint) + ([_SGLANG] if sglang else []),
        "modules": _rows(checkpoint, fullest),
    }


def _split(deployment: Deployment, checkpoint: Checkpoint) -> Split:
    """Parallel sizes as asked for, 1 where they are not; the engine's own refusals."""
    heads = checkpoint.geometry.num_attention_heads
    sizes = (deployment.tensor_parallel_size, deployment.pipeline_parallel_size, deployment.data_parallel_size)
    tp, pp, dp = (size or 1 for size in sizes)
    if deployment.gpus is not None and all(size is None for size in sizes):
        tp = deployment.gpus
    if heads % tp:
        raise InputError("tensor_parallel_size", tp, f"a divisor of the {heads} attention heads")
    _check_split(checkpoint, tp * pp * dp)
    every = checkpoint.geometry.sparse and deployment.engine != "sglang"
    if every:
        every = rule("indexer_caches", parse_version(deployment.engine_version)).value == "every_layer"
    return Split(tp, pp, dp, deployment.enable_expert_parallel, deployment.mtp, every)


def _rows(checkpoint: Checkpoint, fullest: StageWeights) -> list[dict[str, Any]]:
    """Parameters and bytes by group of modules, the MTP layer apart."""
    rows: dict[str, dict[str, Any]] = {}
    for module in checkpoint.modules:
        name = "MTP layer" if checkpoint.is_mtp(module) else module.group
        row = rows.setdefault(name, {"module": name, "parameters": 0, "stored_bytes": 0, "formats": set()})
        row["parameters"] += module.parameters
        row["stored_bytes"] += module.stored_bytes
        row["formats"].add(module.fmt)
    for name, row in rows.items():
        row["formats"] = sorted(row["formats"])
        row["per_gpu_bytes"] = fullest.mtp if name == "MTP layer" else fullest.groups.get(name, 0)
    return list(rows.values())


def _stages(checkpoint: Checkpoint, split: Split) -> tuple[StageWeights, ...]:
    """What each stage loads; MLX holds the tensors as they are stored, on one machine."""
    if weight_format(checkpoint.recipe.fmt).engines != ("mlx",):
        return weights_by_stage(checkpoint, split)
    groups: dict[str, int] = {}
    for module in checkpoint.modules:
        groups[module.group] = groups.get(module.group, 0) + module.stored_bytes
    return (StageWeights(groups, 0, 0),)


def _check_split(checkpoint: Checkpoint, ranks: int) -> None:
    known = weight_format(checkpoint.recipe.fmt)
    if ranks > 1 and known.engines == ("mlx",):
        raise InputError(
            "tensor_parallel_size", ranks, f"1: {known.name} is for MLX on Apple devices, which has no such ranks"
        )


def _notes(checkpoint: Checkpoint) -> list[str]:
    known = weight_format(checkpoint.recipe.fmt)
    notes = [checkpoint.note] if checkpoint.note else []
    if checkpoint.low is not None:
        notes.append("the recipe is not known to the tensor: ask for it, or give its config.json (--model PATH)")
    return notes + [f"{known.name}: {text}" for text in (known.note, known.elsewhere) if text]
