"""A checkpoint module by module: parameters, stored bytes, and the bytes that each GPU loads."""

from __future__ import annotations

from glmcalc.budget.weights import Split, weights_by_stage
from glmcalc.facts.engines import check_engine, parse_version, rule
from glmcalc.facts.errors import InputError
from glmcalc.model.checkpoint import load_checkpoint
from glmcalc.model.deployment import Deployment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def checkpoint_table(deployment: Deployment) -> dict[str, Any]:
    """The object that ``glmcalc weights --json`` prints.

    ``total_bytes`` are the stored tensors, MTP layer included where the format has it; ``per_gpu_bytes`` what the fullest
    rank loads, with the MTP layer only when it is asked for.

    Raises:
        InputError: as :func:`load_checkpoint`, or a parallel size that the engine refuses.
    """
    check_engine(deployment.engine)
    version = parse_version(deployment.engine_version)
    checkpoint = load_checkpoint(deployment.model, deployment.quantization)
    heads = checkpoint.geometry.num_attention_heads
    sizes = (deployment.tensor_parallel_size, deployment.pipeline_parallel_size, deployment.data_parallel_size)
    tp, pp, dp = (size or 1 for size in sizes)
    if deployment.gpus is not None and all(size is None for size in sizes):
        tp = deployment.gpus
    if heads % tp:
        raise InputError("tensor_parallel_size", tp, f"a divisor of the {heads} attention heads")
    every = checkpoint.geometry.sparse and rule("indexer_caches", version).value == "every_layer"
    split = Split(tp, pp, dp, deployment.enable_expert_parallel, deployment.mtp, every)
    stages = weights_by_stage(checkpoint, split)
    fullest = max(stages, key=lambda stage: stage.total)
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
    return {
        "model": checkpoint.name,
        "quantization": checkpoint.recipe.fmt,
        "tensor_parallel_size": tp,
        "pipeline_parallel_size": pp,
        "data_parallel_size": dp,
        "enable_expert_parallel": deployment.enable_expert_parallel,
        "parameters": checkpoint.parameters,
        "total_bytes": checkpoint.total_bytes,
        "bytes_without_mtp": checkpoint.bytes_without_mtp,
        "per_gpu_bytes": fullest.total,
        "per_gpu_bytes_by_stage": [stage.total for stage in stages],
        "mtp_loaded": deployment.mtp,
        "modules": list(rows.values()),
    }
