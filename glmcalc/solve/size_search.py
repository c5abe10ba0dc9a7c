"""The search over engines for one machine: vLLM, then SGLang where vLLM leaves it open, then llama.cpp where neither serves."""

from __future__ import annotations

import math

from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.solve.size_fit import Fit
from glmcalc.solve.size_need import Configuration, Need

TYPE_CHECKING = False
if TYPE_CHECKING:
    from glmcalc.solve.size_vllm import Unloaded
    from glmcalc.speed.result import Speed


@record
class Found:
    """What the search of one machine came to.

    Attributes:
        best: the deployment that is taken; speed: of it, None where it does not run.
        safe: the same with the safe KV record, where ``best`` has one with a reported loss; else None.
        unloaded: formats whose weights do not load. refused: why other formats do not run.
        tried: deployments that were budgeted.
    """

    best: Fit
    speed: Speed | None
    speed_reason: str | None
    safe: Fit | None
    unloaded: tuple[Unloaded, ...]
    refused: tuple[str, ...]
    tried: int


def search(config: Configuration, need: Need) -> Found:
    """The best deployment of a machine: by status, then quality, then speed at its pessimistic end, then headroom.

    Raises:
        InputError: a quantization that the machine cannot run.
    """
    fits: list[Fit] = []
    unloaded: list[Unloaded] = []
    engines = _engines(config, need)
    if "vllm" in engines:
        from glmcalc.solve.size_vllm import search_vllm

        fits, unloaded = search_vllm(config, need)
    if "sglang" in engines and not _settled(fits) and not _pool_too_small(fits):
        from glmcalc.solve.size_sglang import search_sglang

        fits += search_sglang(config, need)
    if "llama.cpp" in engines and not any(fit.clear for fit in fits):
        from glmcalc.solve.size_llamacpp import MOST_SLOTS, search_llamacpp

        if need.concurrency <= MOST_SLOTS:
            fits += search_llamacpp(config, need)
        elif not fits and not unloaded:
            why = f"llama.cpp, the one engine that runs on {config.device.name}, takes at most {MOST_SLOTS:,} requests at once."
            raise InputError("concurrency", need.concurrency, f"1 to {MOST_SLOTS:,} there", why)
    if not fits and unloaded:
        from glmcalc.solve.size_vllm import unloaded_fit

        fits = [unloaded_fit(config, need, min(unloaded, key=lambda one: one.needed))]
    if not fits:
        _refuse(config, need)
    best, speed, reason = _fastest(fits, need)
    safe = min((fit for fit in fits if fit.rank < 2 and fit is not best), key=lambda fit: fit.order, default=None)
    return Found(
        best, speed, reason, safe if best.rank == 2 else None, tuple(unloaded), _refused(config, need), len(fits)
    )


def _engines(config: Configuration, need: Need) -> tuple[str, ...]:
    from glmcalc.model.checkpoint import is_checkpoint_format

    if config.use == "offload" or config.device.vendor == "Apple" or "strix" in config.gpu:
        every: tuple[str, ...] = ("llama.cpp",)
    else:
        every = ("vllm", "sglang", "llama.cpp") if config.device.vendor == "NVIDIA" else ("vllm", "sglang")
    if need.quantization is not None:
        ours = is_checkpoint_format(need.quantization)
        every = tuple(name for name in every if (name != "llama.cpp") == ours)
    return tuple(name for name in every if need.engine in (None, name))


def _settled(fits: list[Fit]) -> bool:
    return any(fit.status == "fits" for fit in fits)


def _pool_too_small(fits: list[Fit]) -> bool:
    """Whether vLLM's pool falls short with context parallelism, which SGLang does not have."""
    return bool(fits) and all(fit.short_bytes for fit in fits)


def _fastest(fits: list[Fit], need: Need) -> tuple[Fit, Speed | None, str | None]:
    """Of the fits that share the best status and quality, one that meets the wishes, then the fastest at its pessimistic end,
    then the roomiest."""
    first = min(fits, key=lambda fit: fit.order)
    if first.status in ("does_not_fit", "unsupported"):
        return first, None, "it does not run"
    alike = [fit for fit in fits if fit.order[:3] == first.order[:3]]
    timed = [(fit, *speed_of(fit, need)) for fit in alike[:3]]

    def rate(one: tuple[Fit, Speed | None, str | None]) -> tuple[bool, float, int]:
        low = one[1].tok_s_user.low if one[1] is not None and one[1].tok_s_user is not None else 0.0
        wait = one[1].ttft_s.high if one[1] is not None and one[1].ttft_s is not None else math.inf
        meets = low >= (need.min_tok_s_user or 0.0) and (need.max_ttft is None or wait <= need.max_ttft)
        return meets, low, one[0].held_low

    return max(timed, key=rate)


def speed_of(fit: Fit, need: Need) -> tuple[Speed | None, str | None]:
    """Speed of a deployment under the need, and why there is none."""
    from glmcalc.speed.estimate import speed

    asked = fit.deployment
    try:
        found = speed(
            asked, need.context, need.concurrency, need.input_length, need.output_length, extrapolate=need.extrapolate,
        )  # fmt: skip
    except InputError as error:
        return None, error.message
    return found, found.reason


def _refused(config: Configuration, need: Need) -> tuple[str, ...]:
    """What to take in place of a format that the machine has no cores or kernels for."""
    from glmcalc.model.format_support import nearest_four_bit

    chip = config.device
    if chip.architecture == "sm90":
        return (f"In place of NVFP4 take {nearest_four_bit('vllm', chip)}",)
    return ()


def _refuse(config: Configuration, need: Need) -> None:
    """Say that nothing of what is asked for runs on the machine, and the nearest that does."""
    from glmcalc.model.format_support import nearest_four_bit

    chip = config.device
    engine = need.engine or ("llama.cpp" if config.use == "offload" or chip.vendor == "Apple" else "vllm")
    if need.quantization is None:
        from glmcalc.solve.size_vllm import refusals_of

        known = refusals_of("fp8", config, need, engine) if engine != "llama.cpp" else []
        why = known[0] if known else f"nothing of this model loads with it on {chip.name}"
        raise InputError("engine", need.engine, "another engine", f"engine {engine}: {why}.")
    where = nearest_four_bit(engine, chip)
    raise InputError(
        "quantization", need.quantization, where,
        f"quantization {need.quantization}: {chip.name} does not run it under any engine that is budgeted here; nearest: {where}.",
    )  # fmt: skip
