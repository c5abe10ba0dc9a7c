"""A deployment as the speed model sees it: its machine, its speculation, and how many requests its KV pool holds."""

from __future__ import annotations

from glmcalc.facts.engines import NEWEST, known_engine
from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.facts.hardware import Device
from glmcalc.model.checkpoint import Checkpoint, load_checkpoint
from glmcalc.model.deployment import Deployment
from glmcalc.model.geometry import Geometry
from glmcalc.speed.terms import Machine, device_peak
from glmcalc.speed.traffic import Traffic, traffic_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


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
    stated = deployment.context_length or deployment.max_model_len
    if isinstance(stated, int) and 0 < stated < context:
        raise InputError("context", context, f"1 to {stated:,}, the longest request of this deployment")
    engine = known_engine(deployment.engine)
    at = deployment.changed(engine=engine, max_model_len=context, context_length=None, ctx_size=None)
    if engine == "llama.cpp":
        from glmcalc.speed.asked_llamacpp import read_llamacpp

        return read_llamacpp(at)
    _check_context(load_checkpoint(deployment.model, deployment.quantization).geometry, context)
    return _read_server(at)


def _check_context(g: Geometry, context: int) -> None:
    if context > g.max_position_embeddings:
        raise InputError("context", context, f"1 to {g.max_position_embeddings:,} tokens, the model's maximum")


def _most_at_once(at: Deployment, dp: int, share: bool) -> int | None:
    """Requests that run at once by the flags: vLLM's cap holds for each data-parallel rank, SGLang's for all of them."""
    if at.max_num_seqs is None:
        return at.max_running_requests
    return at.max_num_seqs * dp if share else at.max_num_seqs


def _read_server(at: Deployment) -> Asked:
    """vLLM and SGLang, which divide a model over ranks alike; only SGLang's data-parallel groups may lie within them."""
    planned = _planned(at)
    r = planned.resolved
    inside, dp = bool(getattr(r, "dp_attention", False)), r.dp
    share = at.engine == "vllm"
    other = at.speculative_method if at.speculative_method and not r.mtp else None
    return Asked(
        device=r.device,
        machine=machine_of(
            r.device, r.checkpoint, traffic_of(r.checkpoint), r.record,
            ranks=r.tp * (dp if share else 1),
            attention_ranks=r.tp // dp if inside else r.tp,
            groups=dp if share or inside else 1,
            context_ranks=getattr(r, "dcp", 1),
        ),
        replicas=1 if share or inside else dp,
        stages=r.pp,
        engine=at.engine,
        version=_version(at),
        fmt=r.checkpoint.recipe.fmt,
        drafts=r.num_speculative_tokens if r.mtp else 0,
        other_drafter=other,
        max_requests=_most_at_once(at, dp, share),
        room=room_of(planned, dp),
        in_host_memory=None,
        refusals=tuple(r.refusals),
        warnings=tuple(r.warnings),
    )  # fmt: skip


def _planned(at: Deployment) -> Any:
    if at.engine == "sglang":
        from glmcalc.budget.sglang import plan_sglang

        return plan_sglang(at)
    from glmcalc.budget.plan import plan

    return plan(at)


def machine_of(
    chip: Device, checkpoint: Checkpoint, traffic: Traffic, kv_record: str, ranks: int, attention_ranks: int, groups: int,
    context_ranks: int,
) -> Machine:  # fmt: skip
    """A machine of ``ranks`` devices as its data sheet has them."""
    return Machine(
        checkpoint=checkpoint,
        traffic=traffic,
        bandwidth=(chip.bandwidth_gb_s or 0.0) * 1e9,
        peak=device_peak(chip),
        link=None if chip.interconnect_gb_s is None else chip.interconnect_gb_s * 1e9,
        architecture=chip.architecture,
        vendor=chip.vendor,
        ranks=ranks,
        attention_ranks=attention_ranks,
        groups=groups,
        context_ranks=context_ranks,
        prompt_ranks=1,
        kv_record=kv_record,
    )


def room_of(planned: Any, groups: int) -> Room:
    """Requests that the pools of ``groups`` sets of GPUs hold, by the engine's own budget."""
    if planned.memory is None and planned.resolved.asked.available_kv_bytes is None:
        return Room(None, None, None, f"the memory of {planned.resolved.device.name} is not known")
    kv = planned.kv.to_dict()
    low, likely, high = (
        groups * max(kv[name] or 0.0, 0.0)
        for name in ("max_concurrency_low", "max_concurrency", "max_concurrency_high")
    )
    return Room(low, likely, high)


def _version(deployment: Deployment) -> str | None:
    """The engine's version; vLLM's newest, the default of every deployment, says nothing of another engine."""
    if deployment.engine != "vllm" and deployment.engine_version == NEWEST:
        return None
    return deployment.engine_version
