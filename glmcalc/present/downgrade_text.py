"""A ladder as text for a terminal: what is missing, the steps as a table, what each costs, the command after the last."""

from __future__ import annotations

from typing import Any

from glmcalc.facts.quantity import gib
from glmcalc.present.terminal import table

_WORDS = {"fits": "FITS", "marginal": "MARGINAL", "does_not_fit": "DOES NOT FIT", "unsupported": "UNSUPPORTED"}
_LIMITS = {
    "startup_free_memory": "the share asked for", "weights_load": "loading weights", "profile_run_activation": "the profile run",
    "kv_pool": "the KV pool", "cuda_graph_capture": "graphs and late buffers", "runtime_peak": "peaks while serving",
    "preemption_not_oom": "a pool for all requests", "supported": "a combination that has a kernel",
}  # fmt: skip


def limit_words(limit: str | None) -> str:
    """A limit of a ladder in words."""
    return _LIMITS.get(limit or "", "nothing")


def ladder_text(data: dict[str, Any]) -> str:
    """The whole answer of ``glmcalc downgrade``."""
    start = data["start"]
    lines = [data["stated"]["text"], ""] if data.get("stated") else []
    lines.append(f"{_WORDS[start['status']]}  {start['reason']}")
    if start["missing_bytes"]:
        short = (
            f"{gib(start['missing_bytes'])} GiB on each GPU, at the pessimistic end, for {limit_words(start['limit'])}"
        )
        lines.append(f"Missing: {short}. Kept to the last: {data['keep']}.")
    if data["steps"]:
        lines += ["", *_rows(data["steps"]), "", *_costs(data["steps"])]
    elif data["fits_after"]:
        lines.append("Nothing has to be given up.")
    lines.append("")
    if data["fits_after"]:
        lines.append(f"After it: FITS  {data['after']['reason']}")
        lines += [f"  {data['command']}"]
    else:
        lines.append(data["reason"])
        if data["outcome"] == "marginal":
            lines.append(f"  {data['command']}")
    lines += _nearest(data)
    if data["safe"]:
        safe = data["safe"]
        lines += [
            "",
            f"Quality: {safe['why']} ({safe['source']}).",
            f"The safe record, {safe['flag']} {safe['to']}: {safe['status'].replace('_', ' ')}. {safe['reason']}",
        ]
        lines += [f"  {safe['command']}"] if safe["command"] else []
    if data["searched"]:
        lines += ["", f"Searched: {data['searched']}.", f"Not budgeted here: {'; '.join(data['not_searched'])}."]
    lines += [f"Warning: {text}" for text in data["warnings"]]
    return "\n".join(lines)


def _rows(steps: list[dict[str, Any]]) -> list[str]:
    rows = [
        [
            index,
            step["flag"],
            value_text(step["from"]),
            value_text(step["to"]),
            gib(step["gained_bytes"]),
            limit_words(step["limit"]),
            f"{step['tokens_gained']:+,}",
            "restart" if step["restart"] else "",
            step["status"].replace("_", " "),
        ]
        for index, step in enumerate(steps, 1)
    ]
    head = ["", "flag", "from", "to", "GiB a GPU", "towards", "tokens", "needs", "then"]
    return table(rows, head, right=(0, 4, 6)).splitlines()


def value_text(value: object) -> str:
    """A setting's value: None is the engine's default, and off for speculation."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _costs(steps: list[dict[str, Any]]) -> list[str]:
    lines = []
    for index, step in enumerate(steps, 1):
        lines.append(f"{index}  {step['change']}")
        for label, kind in (("Quality", "quality"), ("Speed", "speed")):
            cost, source = step[f"{kind}_cost"], step[f"{kind}_source"]
            said = cost if cost is not None else f"not known: {step[f'{kind}_reason']}"
            lines.append(f"   {label}: {said}{f' ({source})' if source and source not in said else ''}.")
        lines.append(f"   Undo: {step['undo']}.")
    return lines


def _nearest(data: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    for other in [data["nearest"], *data["nearest_others"]] if data["nearest"] else []:
        changes = ", ".join(f"{row['flag']} {value_text(row['to'])}" for row in other["change"])
        lines += ["", f"Fits: {other['gpus']} x {other['gpu']} ({changes}). {other['reason']}", f"  {other['command']}"]
        if other["safe"]:
            lines.append(f"  On plain FP8 KV; with {other['safe']['to']}: {other['safe']['status'].replace('_', ' ')}.")
    return lines
