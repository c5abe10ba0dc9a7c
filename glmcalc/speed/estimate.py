"""The speed of a deployment: time to the first token, time per token, tokens per second, each with its band."""

from __future__ import annotations

import math

from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record, replace
from glmcalc.model.deployment import Deployment
from glmcalc.speed import decode, first_token
from glmcalc.speed.acceptance import check_acceptance
from glmcalc.speed.asked import Asked, read_asked
from glmcalc.speed.bands import Range, around, combined, inverse, times
from glmcalc.speed.presets import Choice, band_factor, choose, coefficient, context_ranks_cost, unknown_device
from glmcalc.speed.result import Speed, nothing
from glmcalc.speed.terms import Load, step_terms

MEASURED_CONTEXT = 200_000  # tokens: the longest that kernel tables and sweeps reach
BEYOND_ROWS = 2  # times its longest row's context up to which a preset is trusted as it is
NODE = 8  # GPUs of one box; more are joined by a network, but for those of an NVL72 rack
SATURATED = 512  # running requests from which published throughput is that of a queue
MOST_REQUESTS = 1 << 20


@record
class Need:
    """What is asked of a deployment, checked: tokens, requests, lengths of prompt and answer (None where not stated)."""

    context: int
    concurrency: int
    prompt: int | None
    output: int | None


def speed(
    deployment: Deployment,
    context: int,
    concurrency: int,
    input_length: int | None = None,
    output_length: int | None = None,
    acceptance_length: float | None = None,
    engine_preset: str | None = None,
    extrapolate: bool = False,
) -> Speed:
    """How fast ``deployment`` answers ``concurrency`` requests that hold ``context`` tokens each.

    Args:
        context: tokens in the cache of one request while it decodes.
        input_length, output_length: tokens of prompt and answer. With one of them the other follows from ``context``;
            with neither, other requests' prompts do not interrupt decoding, and the whole context is prefilled.
        acceptance_length: tokens a step with MTP; measured lengths on real text where it is not given.
        engine_preset: id of a preset that is to be taken in place of the nearest.
        extrapolate: also beyond 200,000 tokens, where nothing was measured; labelled so, with the widest band.

    Raises:
        InputError: a value out of range, or one that neither the model nor the engine takes.
    """
    need = _need(context, concurrency, input_length, output_length)
    asked = read_asked(deployment, context)
    accepted = check_acceptance(acceptance_length, asked.drafts)
    reason = _unknown(asked, need, extrapolate)
    g = asked.machine.checkpoint.geometry
    shared = len(g.indexer_layers) < g.num_hidden_layers
    choice = None if reason else choose(asked.device, asked.engine, asked.version, asked.fmt, engine_preset, shared)
    running, notes = _running(asked, need)
    if choice is not None and choice.preset.single_request and need.concurrency > 1:
        reason = f"{choice.preset.label}: every record is of one request at a time"
    if reason is None and running > SATURATED:
        reason = f"more than {SATURATED} requests at once: published figures are those of a queue, and the formula is above them"
    too_large = reason is None and running < 1
    if too_large:
        reason = asked.room.reason or f"the KV pool does not hold one request of {context:,} tokens on this deployment"
    if reason is not None or choice is None:
        return nothing(asked, need.context, need.concurrency, reason or "", notes, too_large)
    return _estimate(asked, need, choice, running, accepted, acceptance_length is not None, notes)


def _need(context: int, concurrency: int, prompt: int | None, output: int | None) -> Need:
    whole = (
        ("context", context, 1 << 31), ("concurrency", concurrency, MOST_REQUESTS),
        ("input_length", prompt, context), ("output_length", output, 1 << 20),
    )  # fmt: skip
    for name, value, most in whole:
        if value is None and name.endswith("_length"):
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise InputError(
                name, value, f"a whole number from 1 to {most:,}" + (", the context" if most == context else "")
            )
    # ``context`` may be the mean over an answer, when half of it stands in the cache.
    if prompt is not None and output is not None and prompt + output // 2 > context:
        most = 2 * (context - prompt) + 1
        raise InputError(
            "output_length", output, f"at most {most:,}: prompt and half the answer lie in a context of {context:,}"
        )
    if prompt is None and output is not None and output < context:
        prompt = context - output
    elif output is None and prompt is not None and prompt < context:
        output = context - prompt
    return Need(context, concurrency, prompt, output)


def _unknown(asked: Asked, need: Need, extrapolate: bool) -> str | None:
    """Why no speed is given at all, as a phrase; None where one is."""
    reason = unknown_device(asked.device)
    if reason is not None:
        return reason
    if asked.device.vendor == "Apple" and asked.engine != "llama.cpp":
        return f"{asked.engine} does not run this model on Apple's GPUs: --engine llama.cpp does"
    if asked.refusals:
        return asked.refusals[0]
    if asked.in_host_memory is not None:
        return f"{asked.in_host_memory} keeps weights or cache in host memory: the link decides, and shares are not published"
    if asked.device.vendor == "Apple" and asked.machine.ranks * asked.stages > 1:
        return "several Macs: the one report of it is a bug's"
    if asked.engine == "llama.cpp" and asked.device.vendor != "Apple":
        return f"no speed of llama.cpp on {asked.device.name} with all weights in its memory is published"
    spread = asked.machine.ranks * asked.stages
    if spread > NODE and not asked.device.id.endswith("nvl72"):
        return f"no speed of this model over {-(-spread // NODE)} nodes of {NODE} GPUs is published"
    if need.context > MEASURED_CONTEXT and not extrapolate:
        return (
            f"nothing was measured beyond {MEASURED_CONTEXT:,} tokens; --extrapolate carries the formulas on to "
            f"{need.context:,}, as arithmetic and not as a prediction"
        )
    return None


def _running(asked: Asked, need: Need) -> tuple[int, list[str]]:
    """Requests that run at once, and what is to be said of it."""
    notes: list[str] = []
    running = need.concurrency
    if asked.max_requests is not None and asked.max_requests * asked.replicas < running:
        running = asked.max_requests * asked.replicas
        notes.append(f"at most {running} requests run at once (max_num_seqs); the others wait")
    room = asked.room
    if room.likely is None:
        notes.append(str(room.reason))
        return running, notes
    if room.likely < 1 <= (room.high or 0.0):
        notes.append("the KV pool may not hold even one such request: it does only at the high end of its band")
        return 1, notes
    held = math.floor(room.likely)
    if held < 1:
        return 0, notes
    if held < running:
        notes.append(f"the KV pool holds {held:,} of the {need.concurrency:,} requests at this length; the others wait")
        running = held
    elif math.floor(room.low or 0.0) < running:
        notes.append(f"at the low end of its band the KV pool holds {math.floor(room.low or 0.0):,} requests")
    return running, notes


def _estimate(
    asked: Asked, need: Need, choice: Choice, running: int, accepted: float, stated: bool, notes: list[str]
) -> Speed:
    each = -(-running // asked.replicas)
    per_token = _time_per_token(asked, need, choice, each, accepted)
    band, why = _band(asked, need, choice, running)
    factor = band_factor(band)
    if asked.drafts and not stated:
        notes.append(
            f"{accepted:g} tokens a step are taken at {asked.drafts} drafts, as measured on coding text; state yours with "
            "--acceptance-length"
        )
        if band != "B":  # which was found on rows whose acceptance is not stated
            factor = combined(factor, coefficient("acceptance_spread").high)
    if asked.other_drafter:
        notes.append(f"{asked.other_drafter}: its acceptance is not known; decoding is without speculation here")
    if need.prompt is None and running > 1:
        notes.append(
            "other requests' prompts are left out, as neither --input-length nor --output-length is given: they interrupt "
            "decoding"
        )
    of_one = around(per_token * 1e3, factor)
    if asked.machine.context_ranks > 1:
        without = band_factor(_band(asked, need, choice, running, dcp=False)[0])
        of_one, note = _with_context_ranks(of_one, asked.machine.context_ranks, without)
        notes.append(note)
    tokens = inverse(of_one, 1e3)
    return Speed(
        asked=asked,
        context=need.context,
        concurrency=need.concurrency,
        running=running,
        choice=choice,
        band=band,
        why=tuple(why),
        acceptance=accepted,
        ttft_s=_first_token(asked, need, choice, running, notes),
        tpot_ms=of_one,
        tok_s_user=tokens,
        tok_s_total=times(tokens, running),
        reason=None,
        notes=tuple(notes),
    )


def _time_per_token(asked: Asked, need: Need, choice: Choice, each: int, accepted: float) -> float:
    preset = choice.preset
    # What decode context parallelism saves in bytes and scan, its own exchange takes: no record of this model is faster with
    # it at one length and batch. So a step counts as long as without it. The fit keeps the saving: its rows with DCP have no
    # twin without, and it is off by more where they are held against the whole length.
    machine = replace(asked.machine, context_ranks=1)
    load = Load(each, need.context, asked.drafts, need.prompt, need.output)
    terms = step_terms(machine, load)
    step = decode.step_s(
        preset.floor_ms.mid / 1e3, coefficient("per_draft").mid, asked.drafts, preset.slope.mid, terms.roof,
        preset.scan_factor.mid, terms.scan, terms.rest,
    )  # fmt: skip
    mfu = coefficient("mfu_amd" if machine.vendor == "AMD" else ("mfu_dp" if machine.groups > 1 else "mfu_tp")).mid
    waiting = coefficient(preset.interruption).mid * terms.interruption / mfu
    return float(decode.time_per_token_s(step, accepted, waiting))


def _with_context_ranks(of_one: Range, size: int, without: float) -> tuple[Range, str]:
    """Milliseconds a token with decode context parallelism of ``size``, and what is to be said of it.

    Args:
        of_one: in the band that it is rated with; ``without``: half-width of the band without it.
    """
    row = context_ranks_cost()
    measured = {int(key): value for key, value in row["tok_s"].items()}
    slowest = min(value for key, value in measured.items() if key <= max(size, 2))
    high = max(of_one.high, of_one.mid * combined(without, measured[1] / slowest))
    steps = ", ".join(f"{value:g} at {key}" for key, value in measured.items() if key > 1)
    note = (
        f"decode context parallelism: the likely figure is the one without it; the low end allows for its cost, {measured[1]:g} "
        f"tok/s of one stream that became {steps} on RTX PRO 6000 over PCIe, the one machine it was measured on ({row['source']})"
    )
    return Range(of_one.low, of_one.mid, high), note


def _band(asked: Asked, need: Need, choice: Choice, running: int, dcp: bool = True) -> tuple[str, list[str]]:
    """The rating and what keeps it from a better one; ``dcp`` False leaves decode context parallelism out."""
    why, band = list(choice.why), choice.band
    if running > choice.preset.most_requests:
        why.append(f"its busiest row is of {choice.preset.most_requests:,} requests at once")
        band = max(band, "B")
    if need.context > BEYOND_ROWS * choice.preset.longest_context:
        why.append(
            f"its longest row has {choice.preset.longest_context:,} tokens: beyond it the scan rests on kernel tables and on "
            "sweeps of GLM-5.1"
        )
        band = max(band, "B")
    if asked.machine.groups > 1:
        why.append("data-parallel attention: its rows are few and alike")
        band = max(band, "B")
    if dcp and asked.machine.context_ranks > 1:
        why.append("decode context parallelism: its cost was measured on one machine only")
        band = max(band, "B")
    if asked.stages > 1:
        why.append("pipeline parallelism: no record of it")
        band = max(band, "C")
    if need.context > MEASURED_CONTEXT:
        why.append(f"extrapolated beyond {MEASURED_CONTEXT:,} tokens: arithmetic, not a prediction")
        band = "C"
    return band, why


def _first_token(asked: Asked, need: Need, choice: Choice, running: int, notes: list[str]) -> Range | None:
    prompt = need.prompt or need.context
    waiting = running < need.concurrency
    found, reason = first_token.first_token(asked.machine, prompt, -(-running // asked.replicas), choice.band, waiting)
    if reason is not None:
        notes.append(f"time to the first token: {reason}")
    return found
