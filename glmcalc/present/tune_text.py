"""The tuner's answer as text for a terminal: the decision, why, the command, what to watch."""

from __future__ import annotations

from typing import Any

from glmcalc.facts.quantity import gib

_WORDS = {"hold": "HOLD", "raise": "RAISE", "lower": "LOWER", "roll_back": "ROLL BACK"}


def tune_text(data: dict[str, Any]) -> str:
    """The decision, if metrics were read, and the stress plan, if it was asked for."""
    lines = _decision(data) if data["decision"] is not None else []
    if "stress" in data:
        lines += ["", *_stress(data["stress"])] if lines else _stress(data["stress"])
    return "\n".join(lines)


def _decision(data: dict[str, Any]) -> list[str]:
    lines = [f"{_WORDS[data['decision']]}  {data['reason']}", "", f"  {data['next_command']}", ""]
    if data["decision"] == "hold":
        lines[2] = f"  keep running: {data['next_command']}"
    else:
        lines.append("Nothing was restarted: the step is yours to take. Then call this again.")
    if data["pinned_command"]:
        lines += [f"Final form, at the next restart: {data['pin_reason']}.", f"  {data['pinned_command']}"]
    elif data["pin_reason"]:
        lines.append(f"Not pinned: {data['pin_reason']}.")
    lines.append(f"Step {data['step']} ({data['mode']}). Gate: {'passed' if data['gate_passed'] else 'not passed'}.")
    marks = {True: "yes", False: "no", None: "?"}
    lines += [f"  {marks[row['met']]:>3}  {row['text']}" for row in data["gate"]]
    if data["ceiling"]:
        lines.append(_ceiling(data))
    lines.append(data["proves"]["text"])
    if data.get("guide"):
        lines.append(f"The guide: {data['guide']['text']}")
    lines += ["", "Watch:", *(f"  {row['alert']}  {row['why']}" for row in data["watch"])]
    lines += [f"Warning: {text}" for text in data["warnings"]]
    return lines


def _ceiling(data: dict[str, Any]) -> str:
    ceiling, buys = data["ceiling"], data["step_buys"]
    outside = sum(ceiling["outside_high_bytes"].values())
    return (
        f"Ceiling {ceiling['gpu_memory_utilization']:g}: outside the line may live {gib(outside)} GiB a GPU, and "
        f"{gib(ceiling['margin_bytes'])} GiB stay free. 0.01 is {gib(buys['gpu_bytes'])} GiB a GPU, "
        f"{gib(buys['all_gpus_bytes'], 1)} GiB on {buys['gpus']} GPUs, {buys['tokens_per_replica']:,} tokens of KV."
    )


def _stress(plan: dict[str, Any]) -> list[str]:
    lines = [
        f"STRESS PLAN  about {plan['minutes']:.0f} minutes ({plan['minutes_basis']}). Run it on a server without users."
    ]
    for number, shape in enumerate(plan["shapes"], 1):
        if shape["reason"]:
            lines += ["", f"{number}. {shape['name']}: cannot be made: {shape['reason']}."]
            continue
        bound = f", no failure: below {shape['rate_bound']:.2%} each (95 %)" if shape["rate_bound"] else ""
        count = f"{shape['occurrences']:,} occurrences" if shape["occurrences"] else "occurrences as counted"
        lines += [
            "",
            f"{number}. {shape['name']}: {shape['what']}.",
            f"   {count} in {shape['minutes']:.1f} min{bound}. {shape['checks']}.",
        ]
        lines += [f"   {command}" for command in shape["commands"]]
    rates = ", ".join(f"{row['hours']:,} h: {row['deaths_per_hour_below']:.2g}" for row in plan["bounds"])
    lines += ["", f"Proves: {plan['proves']}", f"Does not prove: {plan['does_not_prove']}"]
    return [*lines, f"Hours without a death bound their rate by 3/t, an hour: {rates}."]
