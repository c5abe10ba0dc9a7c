"""A deployment as the speed model sees it: its machine, its speculation, and how many requests its KV pool holds."""

from __future__ import annotations

from glmcalc.facts.engines import NEWEST
from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.facts.hardware import Device
from glmcalc.facts.quantity import GB
from glmcalc.model.checkpoint import load_checkpoint
from glmcalc.model.deployment import Deployment
from glmcalc.speed.terms import Machine, device_peak
from glmcalc.speed.traffic import traffic_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Settings of llama.cpp by which weights or cache stay in host memory, where the link decides.
_IN_HOST_MEMORY = ("n_cpu_moe", "cpu_moe", "override_tensor", "kv_on_cpu")


@record
class Room:
    """Requests of one length that the KV pool holds at once, over all replicas: at the likely figure and at the band's ends.

    ``reason`` says why it is not known, with None for the numbers, or why it is none.
    """

    low: float | None
    likely: float | None
    high: float | None
    reason: str | None = None


@record
class Asked:
    """What is asked for.

    Attributes:
        machine: of one replica; ``replicas``: how many of them serve requests apart, each with its own experts.
        version: of the engine, None where it was not stated and the engine is not vLLM.
        drafts: tokens that the model's own MTP layer drafts a step; ``other_drafter``: another one does.
        max_requests: most requests at once that the deployment lets in, None where it is not stated.
        refusals: what the engine has no kernel for, or refuses.
        in_host_memory: the setting that keeps weights or cache out of the GPUs, or None.
        warnings: what the budget says of it.
    """

    device: Device
    machine: Machine
    replicas: int
    stages: int
    engine: str
    version: str | None
    fmt: str
    drafts: int
    other_drafter: str | None
    max_requests: int | None
    room: Room
    in_host_memory: str | None
    refusals: tuple[str, ...]
    warnings: tuple[str, ...]


def read_asked(deployment: Deployment, context: int) -> Asked:
    """``deployment`` at requests of ``context`` tokens.

    Raises:
        InputError: a value that neither the model nor the engine takes, or a ``context`` beyond what the deployment serves.
    """
    r, room, warnings = _resolved(deployment, context)
    inside = bool(getattr(r, "dp_attention", deployment.enable_dp_attention))
    dp = (deployment.data_parallel_size or 1) if inside else getattr(r, "dp", 1)
    share = not inside and deployment.engine == "vllm"
    tp = r.tp // dp if inside else r.tp
    chip, checkpoint = r.device, r.checkpoint
    machine = Machine(
        checkpoint=checkpoint,
        traffic=traffic_of(checkpoint),
        bandwidth=(chip.bandwidth_gb_s or 0.0) * 1e9,
        peak=device_peak(chip),
        link=None if chip.interconnect_gb_s is None else chip.interconnect_gb_s * 1e9,
        architecture=chip.architecture,
        vendor=chip.vendor,
        ranks=r.tp * (dp if share else 1),
        attention_ranks=tp,
        groups=dp if share or inside else 1,
        context_ranks=getattr(r, "dcp", 1),
        prompt_ranks=1,
        kv_record=r.record,
    )
    other = deployment.speculative_method if deployment.speculative_method and not r.mtp else None
    return Asked(
        device=chip,
        machine=machine,
        replicas=1 if share or inside else dp,
        stages=r.pp,
        engine=deployment.engine,
        version=_version(deployment),
        fmt=checkpoint.recipe.fmt,
        drafts=r.num_speculative_tokens if r.mtp else 0,
        other_drafter=other,
        max_requests=deployment.max_num_seqs or deployment.max_running_requests,
        room=room,
        in_host_memory=next((name for name in _IN_HOST_MEMORY if getattr(deployment, name, None)), None),
        refusals=tuple(r.refusals) if r.asked.engine == deployment.engine else (),
        warnings=warnings,
    )


def _version(deployment: Deployment) -> str | None:
    """The engine's version; vLLM's newest, the default of every deployment, says nothing of another engine."""
    if deployment.engine != "vllm" and deployment.engine_version == NEWEST:
        return None
    return deployment.engine_version


def _resolved(deployment: Deployment, context: int) -> tuple[Any, Room, tuple[str, ...]]:
    """The resolved deployment and its room, by the engine's own budget where there is one."""
    from glmcalc.budget.plan import plan

    _check_length(deployment, context)
    at = deployment.changed(max_model_len=context, context_length=None, ctx_size=None)
    try:
        planned: Any = plan(at)
    except InputError as error:
        if error.field != "engine":
            raise
        return _without_budget(at)
    room = _room(planned)
    return planned.resolved, room, tuple(planned.resolved.warnings)


def _check_length(deployment: Deployment, context: int) -> None:
    stated = deployment.context_length or deployment.max_model_len
    longest = load_checkpoint(deployment.model, deployment.quantization).geometry.max_position_embeddings
    if context > longest:
        raise InputError("context", context, f"1 to {longest:,} tokens, the model's maximum")
    if isinstance(stated, int) and stated > 0 and context > stated:
        raise InputError("context", context, f"1 to {stated:,}, the longest request of this deployment")


def _room(planned: Any) -> Room:
    if planned.memory is None:
        return Room(None, None, None, f"the memory of {planned.resolved.device.name} is not known")
    kv = planned.kv.to_dict()
    dp = getattr(planned.resolved, "dp", 1)
    low, likely, high = (
        dp * max(kv[name] or 0.0, 0.0) for name in ("max_concurrency_low", "max_concurrency", "max_concurrency_high")
    )
    return Room(low, likely, high)


def _without_budget(at: Deployment) -> tuple[Any, Room, tuple[str, ...]]:
    """An engine whose memory is not budgeted: its machine as vLLM's flags say it, and no word on its pool."""
    from glmcalc.model.resolved import resolve

    own = ("mem_fraction_static", "chunked_prefill_size", "max_total_tokens", "hierarchical_cache", "cuda_graph_max_bs")
    inside = at.engine == "sglang" and at.enable_dp_attention  # its groups lie within tp
    plain = at.changed(
        data_parallel_size=None if inside else at.data_parallel_size,
        engine="vllm", engine_version=NEWEST, max_running_requests=None, expert_parallel_size=None, enable_dp_attention=None,
        disable_cuda_graph=None, n_gpu_layers=None, cache_type_k=None, cache_type_v=None, ubatch_size=None, parallel=None,
        flash_attention=None, n_cpu_moe=None, cpu_moe=None, override_tensor=(), kv_on_cpu=None, kv_unified=None,
        **dict.fromkeys(own),
    )  # fmt: skip
    reason = f"the memory of {at.engine} is not budgeted here: whether its pool holds these requests is not checked"
    r = resolve(plain)
    size, most = r.checkpoint.bytes_without_mtp, r.memory.high_bytes * r.gpus if r.memory else None
    if most is not None and size > most:
        reason = f"the weights are {size / GB:,.0f} GB, and {r.gpus} x {r.device.name} have {most / GB:,.0f}"
        return r, Room(0.0, 0.0, 0.0, reason), ()
    return r, Room(None, None, None, reason), ()
