"""What a step's window shows, and which conditions of the gate it meets."""

from __future__ import annotations

from glmcalc.advise.tuning.room import Room
from glmcalc.advise.tuning.state import SAME_UTILIZATION, Step
from glmcalc.facts.frozen import record
from glmcalc.facts.gates import gate, gate_source, rate_bound
from glmcalc.facts.quantity import gib
from glmcalc.logs.metrics import longest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Collection, Mapping

    from glmcalc.logs.metrics import Reading


@record
class Condition:
    """One condition of the gate.

    Attributes:
        have, need: in ``unit``; ``have`` is None where the scrapes do not say, and the condition is then not met.
        met: None where nothing says it and a step does not wait for it (free memory, the server's own setting).
    """

    name: str
    have: float | None
    need: float
    unit: str
    met: bool | None
    text: str
    source: str

    def to_dict(self) -> dict[str, Any]:
        """As in ``gate`` of ``tune --json``."""
        return {name: getattr(self, name) for name in ("name", "have", "need", "unit", "met", "text", "source")}


# Counters without which no step goes up, as the engine exports them.
NEEDED = {
    "preemptions": "vllm:num_preemptions_total",
    "finished": "vllm:request_success_total",
    "errors": 'vllm:request_success_total{finished_reason="error"}',
}


def lacking(reading: Reading) -> tuple[str, ...]:
    """Counters of :data:`NEEDED` that a scrape does not hold: a cut one, or a query that leaves them out."""
    return tuple(name for name in NEEDED if name not in reading.counters)


def conditions(
    step: Step, room: Room | None, max_num_seqs: int, max_model_len: int, absent: Collection[str] = ()
) -> list[Condition]:
    """Every condition that must hold before a step counts as good.

    Args:
        absent: counters that the newest scrape lacks: what an older one said of them is no longer known to hold.
    """
    gained = {name: value for name, value in step.gained().items() if name not in absent}
    found = [_requests(gained), _batch(step, max_num_seqs), _mix(step, max_model_len), _clean(gained), _kept(gained)]
    found += _setting(step)
    if room is not None:
        found.append(_free(step, room))
    return found


def _absent(name: str, what: str) -> str:
    return f"{what} are not known: {NEEDED[name]} is not in the scrape"


def _requests(gained: Mapping[str, float]) -> Condition:
    have, need = gained.get("finished"), gate("requests")
    text = _absent("finished", "finished requests")
    if have is not None:
        text = f"{have:,.0f} of {need:,.0f} requests finished"
    return Condition(
        "requests", have, need, "requests", have is not None and have >= need, text, gate_source("requests")
    )


def _batch(step: Step, max_num_seqs: int) -> Condition:
    """The batch was as full as one of its two limits lets it be."""
    running, usage, need = step.peaks.get("running"), step.peaks.get("kv_usage"), gate("batch_fill")
    shares = [share for share in (running / max_num_seqs if running is not None else None, usage) if share is not None]
    have = max(shares, default=None)
    text = "the fullest batch is not known"
    if have is not None:
        text = (
            f"at most {running or 0:,.0f} of {max_num_seqs:,} requests at once, {100 * (usage or 0):.0f} % of the pool"
        )
    return Condition("batch", have, need, "share", have is not None and have >= need, text, gate_source("batch_fill"))


def _mix(step: Step, max_model_len: int) -> Condition:
    gained = step.gained()
    parts = [longest(gained, kind) for kind in ("prompt", "generation")]
    known = [part for part in parts if part is not None]
    have, need = (float(sum(known)) if known else None), gate("request_share") * max_model_len
    text = "lengths of requests are not exported"
    if have is not None:
        text = f"longest request seen: above {have:,.0f} of {max_model_len:,} tokens ({need:,.0f} needed)"
    return Condition("mix", have, need, "tokens", have is not None and have >= need, text, gate_source("request_share"))


def _clean(gained: Mapping[str, float]) -> Condition:
    """No request failed on the server's side."""
    have = gained.get("errors")
    text = f"{have:,.0f} requests ended with an error" if have else "no request ended with an error"
    if have is None:
        text = _absent("errors", "requests that ended with an error")
    return Condition(
        "errors", have, 0.0, "requests", have == 0, text, "derived: an error is to be explained before a step"
    )


def _kept(gained: Mapping[str, float]) -> Condition:
    """No request was preempted."""
    have = gained.get("preemptions")
    text = f"{have:,.0f} preemptions" if have else "no preemption"
    if have is None:
        text = _absent("preemptions", "preemptions")
    return Condition("preemptions", have, 0.0, "preemptions", have == 0, text, gate_source("preemptions_per_100"))


def _setting(step: Step) -> list[Condition]:
    """The server runs the utilization that the step is taken to run; nothing where it does not state one."""
    have, need = (step.config or {}).get("gpu_memory_utilization"), step.setting.gpu_memory_utilization
    if have is None:
        return []
    same = abs(have - need) <= SAME_UTILIZATION
    text = f"the server states utilization {have:g}"
    if not same:
        text += f", and the step is taken to run {need:g}: check that this is its command"
    return [
        Condition("setting", have, need, "fraction", same, text, "derived: the evidence is of what the server runs")
    ]


def _free(step: Step, room: Room) -> Condition:
    have, need = step.peaks.get("free_bytes"), float(room.headroom)
    if have is None:
        text = (
            f"free memory was not measured ({gib(need)} GiB needed; --free-gib, or DCGM_FI_DEV_FB_FREE in the scrape)"
        )
        return Condition("free", None, need, "bytes", None, text, gate_source("headroom"))
    falling = still_falling(step)
    text = f"{gib(have)} GiB of the fullest GPU were free at the worst moment ({gib(need)} needed)"
    if falling:
        text += ", and it is still falling"
    return Condition("free", have, need, "bytes", have >= need and not falling, text, gate_source("headroom"))


def still_falling(step: Step) -> bool:
    """Whether the last third of the samples lies lower than all before, by more than the gate's tolerance."""
    samples = [size for _, size in step.free]
    if len(samples) < 6:
        return False
    cut = len(samples) * 2 // 3
    return min(samples[:cut]) - min(samples[cut:]) > gate("still_falling")


def seen(step: Step) -> dict[str, Any]:
    """The evidence of a step as ``evidence`` of ``tune --json``; None where the scrapes do not say."""
    gained = step.gained()
    names = ("finished", "aborted", "errors", "preemptions", "prompt_tokens", "generation_tokens", "rejections")
    hours = step.seconds / 3600
    return {
        **{name: gained.get(name) for name in names},
        "peak_kv_usage": step.peaks.get("kv_usage"),
        "peak_running": step.peaks.get("running"),
        "peak_waiting": step.peaks.get("waiting"),
        "longest_prompt": longest(gained, "prompt"),
        "longest_generation": longest(gained, "generation"),
        "longest_step": longest(gained, "step"),
        "free_low_bytes": step.peaks.get("free_bytes"),
        "scrapes": step.scrapes,
        "hours": hours,
        "deaths_per_hour_bound": rate_bound(hours) if hours and not step.died else None,
        "null_means": "not in the scrapes",
    }
