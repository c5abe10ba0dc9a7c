"""One machine's answer as scripts read it: a row of ``glmcalc size --json``."""

from __future__ import annotations

from glmcalc.facts.quantity import gib
from glmcalc.solve.size_fit import Fit
from glmcalc.solve.size_limits import Ends, ends_of, limits_of
from glmcalc.solve.size_need import Configuration, Need
from glmcalc.speed.price import hourly_price, token_price

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from glmcalc.solve.size_search import Found

_SIZES = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "decode_context_parallel_size")
_SHORT = {"tensor_parallel_size": "tp", "pipeline_parallel_size": "pp", "data_parallel_size": "dp", "decode_context_parallel_size": "dcp"}  # fmt: skip


def row_of(config: Configuration, need: Need, found: Found, limits: bool) -> dict[str, Any]:
    """The row of what the search found; ``limits`` adds contexts, concurrencies and components."""
    fit = found.best
    ends = ends_of(fit, need.context, need.concurrency)
    row = {
        **_machine(config),
        **_deployment(fit),
        "status": fit.status,
        "max_context": ends.context,
        "max_concurrency": ends.requests,
        "limits_reason": _no_limits(fit, ends),
        "held": {"low": fit.held_low, "likely": fit.held},
        **_speed(found),
        **_price(config, need, found),
        "quality_note": fit.quality_note,
        "quality_rank": fit.rank,
        "quality_sources": list(fit.quality_sources),
        "safe": _safe(found.safe),
        "reason": _reason(found),
        "why": _why(found),
        "instead": list(found.refused),
        "tried": found.tried,
        "command": fit.plan.command,
        "warnings": list(fit.plan.resolved.warnings),
    }
    if limits:
        lengths, requests = limits_of(fit)
        per_gpu = {"memory_bytes": fit.plan.memory.likely if fit.plan.memory else None,
                   "components": [part.to_dict() for part in fit.plan.components]}  # fmt: skip
        row.update({"contexts": lengths, "concurrencies": requests, "per_gpu": per_gpu})
    return row


def _no_limits(fit: Fit, ends: Ends) -> str | None:
    """Why one of the ends is null."""
    if ends.context is not None and ends.requests is not None:
        return None
    if fit.status == "unsupported" or fit.plan.verdict.stage == "weights_load":
        return str(fit.plan.verdict.reason)
    return (
        "not one request fits at the pessimistic end"
        if ends.context is None
        else "not one request of this context fits at the pessimistic end"
    )


def _machine(config: Configuration) -> dict[str, Any]:
    return {
        "id": config.id, "gpu": config.gpu, "gpus": config.gpus, "nodes": config.nodes, "between_nodes": config.between_nodes, "name": config.label, "use": config.use,
        "host_ram_gb": config.host_ram_gb, "note": config.note, "source": config.source,
    }  # fmt: skip


def _deployment(fit: Fit) -> dict[str, Any]:
    from glmcalc.budget.result import deployment_dict

    made = fit.plan
    data = deployment_dict(made.resolved) if fit.deployment.engine == "vllm" else made.deployment
    kept = ("engine", "engine_version", "model", "quantization", *_SIZES, "enable_expert_parallel", "max_num_seqs",
            "max_num_batched_tokens", "gpu_memory_utilization")  # fmt: skip
    more = {
        "experts_on_cpu_layers": data.get("experts_on_cpu_layers"),
        "mem_fraction_static": data.get("mem_fraction_static"),
    }
    return {
        **{name: data.get(name) for name in kept}, **more, "parallelism": _parallelism(data), "kv_record": made.kv.record,
        "max_model_len": data["max_model_len"],
    }  # fmt: skip


def _parallelism(data: dict[str, Any]) -> str:
    """``tp 8, dcp 2``; of llama.cpp how its layers lie."""
    if data["engine"] == "llama.cpp":
        away = data["experts_on_cpu_layers"]
        spread = f"layers over {data['gpus']}" if data["gpus"] > 1 else "one device"
        return spread + (f", experts of {away:g} layers on the CPU" if away else "")
    named = [f"{_SHORT[name]} {data[name]}" for name in _SIZES if (data.get(name) or 1) > 1]
    return ", ".join([*(named or ["tp 1"]), *(["ep"] if data.get("enable_expert_parallel") else [])])


def _speed(found: Found) -> dict[str, Any]:
    names = ("tok_s_user", "tok_s_total", "ttft_s")
    speed = found.speed
    figures = {name: getattr(speed, name).to_dict() if speed is not None and getattr(speed, name) is not None else None for name in names}  # fmt: skip
    notes = list(speed.notes) if speed is not None else []
    return {
        **figures,
        "speed_basis": speed.basis if speed is not None and speed.reason is None else None,
        "speed_band": speed.band if speed is not None else None,
        "speed_records": speed.records if speed is not None else 0,
        "speed_reason": found.speed_reason,
        "ttft_reason": next(
            (note.split(": ", 1)[1] for note in notes if note.startswith("time to the first token: ")), found.speed_reason
        )
        if figures["ttft_s"] is None else None,
        "speed_notes": notes,
    }  # fmt: skip


def _price(config: Configuration, need: Need, found: Found) -> dict[str, Any]:
    price = hourly_price(config.device, config.gpus, need.prices)
    if price is None:
        why = f"no price of {config.device.name} by the hour is known here; give one with --prices FILE"
        return {"usd_per_hour": None, "price": None, "usd_per_million": None, "price_reason": why}
    total = found.speed.tok_s_total if found.speed is not None else None
    million = token_price(price, total).to_dict() if total is not None else None
    reason = None if million is not None else f"no speed: {found.speed_reason}"
    return {
        "usd_per_hour": round((price.low + price.high) / 2, 4), "price": price.to_dict(), "usd_per_million": million,
        "price_reason": reason,
    }  # fmt: skip


def _safe(fit: Fit | None) -> dict[str, Any] | None:
    """What the safe form does here, beside one with a reported loss."""
    if fit is None:
        return None
    return {
        "quantization": _deployment(fit)["quantization"], "kv_record": fit.plan.kv.record, "status": fit.status,
        "held_low": fit.held_low, "reason": fit.reason, "command": fit.plan.command,
    }  # fmt: skip


def _reason(found: Found) -> str:
    text = found.best.reason
    if found.unloaded and found.best.status != "fits":
        text += " " + " ".join(
            f"{one.fmt} weights take {gib(one.needed)} GiB on each GPU and its memory is {gib(one.memory)}: they do not load, "
            f"by {gib(one.needed - one.memory)} GiB."
            for one in found.unloaded
        )
    return text


def _why(found: Found) -> str:
    """What was chosen, and by what."""
    fit = found.best
    data = _deployment(fit)
    larger = [f"{one.fmt} weights do not load ({gib(one.needed)} GiB a GPU)" for one in found.unloaded]
    text = f"{data['quantization']} weights, {data['kv_record']} KV, {data['parallelism']} under {data['engine']}"
    by = "the first of status, quality, speed and headroom" if fit.clear else "the nearest of what was budgeted"
    tail = f"; {'; '.join(larger)}" if larger else ""
    return f"{text}: {by} among {found.tried} deployment{'s' if found.tried > 1 else ''}{tail}."


def row_without_verdict(config: Configuration, need: Need, status: str, reason: str) -> dict[str, Any]:
    """Facts of a machine on which nothing is budgeted: of its devices nothing is known for this model, or they do not run it."""
    chip = config.device
    memory = chip.memory()
    names = ("engine", "engine_version", "model", "quantization", *_SIZES, "enable_expert_parallel", "max_num_seqs",
             "max_num_batched_tokens", "gpu_memory_utilization", "experts_on_cpu_layers", "mem_fraction_static", "parallelism", "kv_record",
             "max_model_len", "max_context", "max_concurrency", "held", "tok_s_user", "tok_s_total", "ttft_s", "speed_basis", "speed_band",
             "quality_note", "quality_rank", "safe", "command", "usd_per_million")  # fmt: skip
    price = hourly_price(chip, config.gpus, need.prices)
    facts = {
        "memory_bytes": memory.bytes * config.gpus if memory else None, "bandwidth_gb_s": chip.bandwidth_gb_s,
        "bf16_tflops": chip.bf16_tflops, "fp8_tflops": chip.fp8_tflops, "interconnect_gb_s": chip.interconnect_gb_s,
    }  # fmt: skip
    return {
        **_machine(config), **dict.fromkeys(names), "status": status, "reason": reason,
        "why": None, "instead": [], "tried": 0, "speed_records": 0, "speed_reason": reason, "ttft_reason": reason, "limits_reason": reason, "speed_notes": [], "warnings": [],
        "quality_sources": [], "usd_per_hour": round((price.low + price.high) / 2, 4) if price else None,
        "price": price.to_dict() if price else None, "price_reason": "no speed, no price a token", "facts": facts,
        "contexts": [], "concurrencies": [], "per_gpu": None,
    }  # fmt: skip


def finish(rows: list[dict[str, Any]], need: Need) -> None:
    """To each row: whether it serves, by how much it misses a wish, and the nearest machine that does."""
    for row in rows:
        row["misses"] = misses(row, need)
        row["serves"] = row["status"] == "fits" and not row["misses"]
    for row in rows:
        row["nearest"] = None if row["serves"] else _nearest(row, rows)


def misses(row: dict[str, Any], need: Need) -> list[str]:
    """The wishes that a row does not meet at its pessimistic end, each with by how much."""
    found: list[str] = []
    if row["status"] not in ("fits", "marginal"):
        return found
    if need.min_tok_s_user is not None:
        speed = row["tok_s_user"]
        if speed is None:
            found.append(f"tok/s of one user: not known ({row['speed_reason']})")
        elif speed["low"] < need.min_tok_s_user:
            short = need.min_tok_s_user - speed["low"]
            found.append(
                f"tok/s of one user: {speed['low']:.3g} at the pessimistic end, {short:.3g} short of {need.min_tok_s_user:g}"
            )
    if need.max_ttft is not None:
        wait = row["ttft_s"]
        if wait is None:
            found.append(f"time to the first token: not known ({row['ttft_reason']})")
        elif wait["high"] > need.max_ttft:
            over = wait["high"] - need.max_ttft
            found.append(
                f"time to the first token: {wait['high']:.3g} s at the pessimistic end, {over:.3g} s over {need.max_ttft:g}"
            )
    return found


def _nearest(row: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The machine that serves: of the same device with the fewest GPUs, else the cheapest, else the smallest."""
    able = [other for other in rows if other["serves"]]
    if not able:
        return None
    best = min(able, key=lambda other: (other["gpu"] != row["gpu"], other["usd_per_hour"] is None, other["usd_per_hour"] or 0.0, other["gpus"]))  # fmt: skip
    return {
        name: best[name]
        for name in ("id", "name", "gpu", "gpus", "quantization", "parallelism", "usd_per_hour", "command")
    }
