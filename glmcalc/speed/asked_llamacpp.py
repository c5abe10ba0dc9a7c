"""A deployment of llama.cpp as the speed model sees it: one machine's file, by parts, and its slots."""

from __future__ import annotations

from glmcalc.budget.llamacpp import plan_llamacpp
from glmcalc.model.checkpoint import load_checkpoint
from glmcalc.model.deployment import Deployment
from glmcalc.model.llamacpp_file import parts_of
from glmcalc.model.llamacpp_settings import LlamacppResolved
from glmcalc.speed.asked import Asked, machine_of, room_of
from glmcalc.speed.traffic import Traffic, traffic_of


def read_llamacpp(at: Deployment) -> Asked:
    """``at``, whose ``max_model_len`` is the length that is asked for, of one slot.

    llama.cpp places whole layers, so that one token passes through its GPUs one after the other: each is a stage.

    Raises:
        InputError: a value that neither the model nor the engine takes.
    """
    planned = plan_llamacpp(at)
    r = planned.resolved
    assert isinstance(r, LlamacppResolved)
    checkpoint = load_checkpoint(r.file.model)
    return Asked(
        device=r.device,
        machine=machine_of(
            r.device, checkpoint, _traffic(r), "bf16", ranks=1, attention_ranks=1, groups=1, context_ranks=1
        ),
        replicas=1,
        stages=r.gpus,
        engine=at.engine,
        version=None,
        fmt=r.file.label or "gguf",
        drafts=0,
        other_drafter=at.speculative_method,
        max_requests=r.slots,
        room=room_of(planned, 1),
        in_host_memory=_in_host_memory(r),
        refusals=tuple(r.refusals),
        warnings=tuple(r.warnings),
    )


def _traffic(r: LlamacppResolved) -> Traffic:
    """Bytes of the main layers: a file's likely split into experts and all else; BF16's where only a log's size is known."""
    g = r.file.geometry
    if r.file.size is None:
        return traffic_of(load_checkpoint(r.file.model))
    parts = parts_of(r.file.size, g)
    experts = parts.expert_layer.likely * (g.num_hidden_layers - g.first_k_dense_replace)
    return Traffic(experts, parts.other_layer.likely * g.num_hidden_layers + parts.head.likely, 0.0)


def _in_host_memory(r: LlamacppResolved) -> str | None:
    if r.kv_on_cpu:
        return "no_kv_offload"
    if r.experts_on_cpu:
        return "n_cpu_moe, cpu_moe or override_tensor"
    return "n_gpu_layers" if r.gpu_layers < r.file.geometry.num_hidden_layers else None
