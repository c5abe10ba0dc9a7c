"""The search under llama.cpp: the largest published file that fits beside the cache, experts in the host's memory if need be."""

from __future__ import annotations

from glmcalc.budget.llamacpp import plan_llamacpp
from glmcalc.facts.errors import InputError
from glmcalc.facts.quantity import GB
from glmcalc.model.deployment import Deployment
from glmcalc.model.gguf import is_gguf_label, published_files
from glmcalc.model.llamacpp_settings import usable_memory
from glmcalc.solve.size_fit import Fit, whole_status
from glmcalc.solve.size_need import Configuration, Need, quality_note

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from glmcalc.budget.other_result import OtherPlan

HOST_SHARE = 0.9  # of the host's memory that weights may take
_LAYERS = 78
_CELL = 95_232  # bytes of one token in an f16 cache, whichever build
_MOST_TRIED = 12
MOST_SLOTS = 4_096


def search_llamacpp(config: Configuration, need: Need) -> list[Fit]:
    """Files from the largest that can fit downwards, to the first that fits, or to the one that comes nearest."""
    fits: list[Fit] = []
    for label in _labels(config, need):
        try:
            fit = _offloaded(config, need, label) if config.use == "offload" else _of(config, need, label, {})
        except InputError:
            continue
        fits.append(fit)
        if fit.clear or len(fits) >= _MOST_TRIED or config.use == "offload":
            break  # with the experts in the host's memory a smaller file leaves the GPU no more room
    return fits


def _labels(config: Configuration, need: Need) -> list[str]:
    if need.quantization is not None:
        return [need.quantization] if is_gguf_label(need.quantization) else []
    files = sorted(published_files().items(), key=lambda item: -item[1])
    room = _room(config)
    if config.use != "offload":
        room -= _CELL * need.context * need.concurrency
    loading = [label for label, size in files if size <= room]
    return loading or [files[-1][0]]


def _room(config: Configuration) -> int:
    """Bytes that weights can have, at the likely figures: of all GPUs, or of the host's memory."""
    if config.use == "offload":
        return round((config.host_ram_gb or 0) * GB * HOST_SHARE)
    memory, _ = usable_memory(Deployment(engine="llama.cpp", gpu=config.gpu, quantization="Q8_0"), config.device)
    return 0 if memory is None else memory.high_bytes * config.gpus


def _of(config: Configuration, need: Need, label: str, more: dict[str, Any]) -> Fit:
    asked = Deployment(
        engine="llama.cpp", gpu=config.gpu, gpus=config.gpus, quantization=label, ctx_size=need.context * need.concurrency,
        parallel=need.concurrency, **more,
    )  # fmt: skip
    return llamacpp_fit(plan_llamacpp(asked), need)


def _offloaded(config: Configuration, need: Need, label: str) -> Fit:
    """Experts in the host's memory, of as few layers as the GPU needs."""
    fit = _of(config, need, label, {"cpu_moe": True})
    if fit.status in ("does_not_fit", "unsupported"):
        return fit
    from glmcalc.model.llamacpp_file import parts_of

    r = fit.plan.resolved
    if r.file.size is None:
        return fit
    expert = parts_of(r.file.size, r.file.geometry).expert_layer
    spare = max(fit.plan.kv.available.low - fit.plan.kv.more["needed_bytes_per_gpu"], 0)
    kept = int(spare / expert.high * 0.95) if expert.high else 0
    if not kept:
        return fit
    some = _of(config, need, label, {"n_cpu_moe": max(_LAYERS - kept, 0)})
    return min(some, fit, key=lambda one: (one.order[0], one.rank))


def llamacpp_fit(made: OtherPlan, need: Need) -> Fit:
    """What a budget of llama.cpp is worth under the need: all slots are there from the start."""
    r = made.resolved
    held = need.concurrency if made.verdict.status in ("fits", "marginal") else 0
    status = whole_status(made.verdict.status, held, held, need.concurrency)
    label = (r.file.label or r.file.size.label) if r.file.size is not None else r.file.name  # type: ignore[union-attr]
    rank, note, where = quality_note(label, r.cache_type)  # type: ignore[union-attr]
    return Fit(r.asked, made, status, made.verdict.reason, held, held, 1, need.concurrency, rank, note, tuple(where))
