"""The time to the first token with its band, or why none is given."""

from __future__ import annotations

from glmcalc.speed import prefill
from glmcalc.speed.bands import Range, around
from glmcalc.speed.presets import band_factor, coefficient, prefill_reports
from glmcalc.speed.terms import Machine, prompt_terms

QUEUE = 64  # requests from which published times are those of a queue
SHORT_BAND = 65_536  # tokens of a prompt up to which the narrower band holds
LEAST_PEAK = 0.9e15  # FLOP/s: devices below it prefill at another share of their peak
MI300X_LEAST = 8_192


def first_token(m: Machine, prompt: int, requests: int, band: str, waiting: bool) -> tuple[Range | None, str | None]:
    """Seconds to the first token of ``requests`` prompts of ``prompt`` tokens that come together, and why there is none.

    Args:
        band: of the deployment's preset; ``C`` widens this one too.
        waiting: some requests wait for others to end.
    """
    reason = _unknown(m, prompt, requests, waiting)
    if reason is not None:
        return None, reason
    reported = _reported(m, prompt) if requests == 1 else None
    if reported is not None:
        return reported, None
    terms = prompt_terms(m, prompt)
    if terms is None:
        return None, "no prefill rate of this device is published"
    device = coefficient("prefill_amd").mid if m.vendor == "AMD" else 1.0
    share = prefill.efficiency(
        coefficient("prefill_mfu").mid, coefficient("prefill_loss").mid, m.attention_ranks, device
    )
    alone = prefill.prefill_s(coefficient("prefill_base").mid, terms.products / share, terms.scan / device)
    mid = float(prefill.together_s(alone, requests, coefficient("prefill_growth").mid))
    return around(mid, _factor(m, prompt, requests, band)), None


def _unknown(m: Machine, prompt: int, requests: int, waiting: bool) -> str | None:
    if waiting:
        return "not given where requests wait for others to end"
    if requests >= QUEUE:
        return f"not given from {QUEUE} requests on: published ones are those of a queue"
    if m.architecture in {report["architecture"] for report in prefill_reports()}:
        return "the one published prefill rate is of one prompt" if requests > 1 else None
    if m.peak is not None and m.peak < LEAST_PEAK:
        return "not given for this device: two records of H20 are 3.5 to 4 times faster than the formula, which larger devices fit"
    if m.architecture == "gfx942" and prompt < MI300X_LEAST:
        return "not given below 8,192 tokens on MI300X: two records contradict each other, 16 requests faster than one"
    return None


def _reported(m: Machine, prompt: int) -> Range | None:
    """A prompt at a published rate, where the machine is as large as the one it was measured on."""
    for report in prefill_reports():
        if report["architecture"] == m.architecture and report["gpus"] == m.ranks:
            return Range(prompt / report["high"], prompt / report["mid"], prompt / report["low"])
    return None


def _factor(m: Machine, prompt: int, requests: int, band: str) -> float:
    one = requests == 1 and prompt <= SHORT_BAND and m.vendor == "NVIDIA" and m.groups == 1
    factor = band_factor("ttft_one" if one else "ttft_other")
    return max(factor, band_factor("C")) if band == "C" else factor
