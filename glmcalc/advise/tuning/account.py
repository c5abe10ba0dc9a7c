"""The tuner's answer in words and rows: what to watch, what time proves, what a step buys, the log of the steps."""

from __future__ import annotations

from glmcalc.advise.tuning.evidence import seen
from glmcalc.advise.tuning.room import Room
from glmcalc.advise.tuning.state import Setting, State
from glmcalc.facts.gates import gate, rate_bound
from glmcalc.facts.quantity import MIB, gib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def setting_row(setting: Setting) -> dict[str, Any]:
    """A setting under vLLM's names; bytes of one GPU, or None where the pool is not pinned."""
    return {
        "gpu_memory_utilization": setting.gpu_memory_utilization,
        "kv_cache_memory_bytes": setting.kv_cache_memory_bytes,
        "max_num_seqs": setting.max_num_seqs,
    }


def watch(room: Room | None) -> list[dict[str, Any]]:
    """Three metrics: what to look at after the step, and from where on to act."""
    free = room.headroom if room else round(gate("headroom"))
    return [
        {
            "metric": "DCGM_FI_DEV_FB_FREE", "alert": f"min(DCGM_FI_DEV_FB_FREE) < {free // MIB}",
            "threshold": free // MIB, "unit": "MiB", "why": f"below {gib(free)} GiB the headroom is used up; below {gib(gate('rollback_free'))} GiB roll back",
        },
        {
            "metric": "vllm:num_preemptions_total", "alert": "increase(vllm:num_preemptions_total[10m]) > 0",
            "threshold": 0, "unit": "preemptions", "why": "the pool is too small for the mix: fewer requests at once, not more memory",
        },
        {
            "metric": "process_start_time_seconds", "alert": "changes(process_start_time_seconds[1h]) > 0",
            "threshold": 0, "unit": "restarts", "why": "a restart that nobody made is a death: roll back",
        },
    ]  # fmt: skip


def what_it_proves(hours: float) -> dict[str, Any]:
    """What ``hours`` without a death say of the rate of deaths, and what they do not."""
    month = 30 * 24
    if hours <= 0:
        return {
            "hours": 0.0,
            "deaths_per_hour_bound": None,
            "text": "No time between two scrapes yet: nothing is proven.",
        }
    bound = rate_bound(hours)
    return {
        "hours": hours,
        "deaths_per_hour_bound": bound,
        "hours_for_one_in_30_days": rate_bound(1) * month,
        "text": (
            f"No death in {hours:.3g} h bounds the rate below {bound:.2g} an hour (3/t, 95 %), that is {bound * month:,.0f} in "
            f"30 days; below one in 30 days takes {rate_bound(1) * month:,.0f} h of the same load."
        ),
    }


def guide_note(room: Room | None) -> dict[str, Any]:
    """The published schedule, what its step buys on this machine, and what its hour proves."""
    hours = gate("guide_hours")
    text = f"{gate('guide_start'):g}, then {gate('guide_step'):g} more after each stable hour, up to {gate('guide_cap'):g}. "
    buys = room.buys(gate("guide_step")) if room else None
    if buys:
        text += (
            f"Here {gate('guide_step'):g} is {gib(buys['gpu_bytes'])} GiB of each GPU, {gib(buys['all_gpus_bytes'], 1)} GiB on "
            f"{buys['gpus']} GPUs, and {buys['tokens_per_replica']:,} tokens of KV in each replica. "
        )
    proof = what_it_proves(hours)
    return {"text": text + proof["text"], "step_buys": buys, "hour_proves": proof}


def tuning_log(state: State) -> list[dict[str, Any]]:
    """One row for each step: its setting, what was seen, what was decided; for a plot of the tuning.

    ``began`` is in seconds since the epoch, ``gpu_memory_utilization`` a fraction, sizes in bytes; None where the scrapes
    did not say.
    """
    return [
        {
            "step": step.number,
            "how": step.how,
            **setting_row(step.setting),
            "began": step.began,
            **seen(step),
            "good": step.good,
            "died": step.died,
            "decision": step.decision,
            "reason": step.reason,
        }
        for step in state.steps
    ]
