"""A budget of SGLang or llama.cpp as text for a terminal; the same figures as ``--json``, rounded, with units."""

from __future__ import annotations

from glmcalc.facts.quantity import gib
from glmcalc.present.ledger import Row, gib_text, ledger
from glmcalc.present.terminal import WORDS, flag_text, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping

_NAMES = {"sglang": "SGLang", "llama.cpp": "llama.cpp"}


def other_budget_text(data: Mapping[str, Any]) -> str:
    """Verdict, what to do, the table of one GPU, the cache, the command, warnings."""
    verdict, deployment = data["verdict"], data["deployment"]
    lines = [f"{WORDS[verdict['status']]}  {verdict['reason']}"]
    if verdict["stage"]:
        lines.append(f"Stage: {verdict['stage']}")
    lines.append(f"Do: {verdict['advice']}")
    if verdict["settle"]:
        lines.append(f"What settles it: {verdict['settle']}.")
    if verdict["engine_message"]:
        lines += ["", "The engine will print:", f"  {verdict['engine_message']}"]
    if verdict["status"] != "unsupported":
        lines += ["", *_component_lines(data), "", _kv_line(data), *_host_lines(data)]
    engine = f"{_NAMES[deployment['engine']]} {deployment['engine_version']}"
    lines += ["", f"Command (rules of {engine}):", f"  {data['command']}"]
    lines += [f"Warning: {text}" for text in data["warnings"]]
    for key, words in (("not_modelled", "Not modelled"), ("no_effect_on_memory", "No effect on memory")):
        if data[key]:
            lines.append(f"{words}: {', '.join(flag_text(row) for row in data[key])}")
    return "\n".join(lines)


def _component_lines(data: Mapping[str, Any]) -> list[str]:
    per_gpu, deployment = data["per_gpu"], data["deployment"]
    if per_gpu["memory_bytes"] is None:
        return [f"The memory of {deployment['gpu']} is not known."]
    book = ledger(data)
    rows = [_row(part) for part in book.inside if part.cents or part.high]
    if deployment["engine"] == "sglang":
        share = f"{deployment['mem_fraction_static']:g} x what is free before the weights load"
        rows.append(["= static share", gib_text(book.line or 0), "", "", share])
    else:
        rows.append(["= in all", gib_text(book.used), "", "", "of what the GPU may take"])
    rows += [_row(part) for part in book.outside if part.cents or part.high]
    origin = ": ".join(text for text in (deployment["gpu"], per_gpu["memory_note"]) if text)
    total = ["= memory of the GPU", gib_text(book.total or 0), _band(book.total_low, book.total_high)]
    rows.append([*total, per_gpu["memory_basis"], origin])
    title = f"One of {deployment['gpus']} GPUs ({deployment['gpu']})"
    return table(rows, [title, "GiB", "band, GiB", "basis", "what"], right=(1, 2)).splitlines()


def _row(part: Row) -> list[str]:
    return [part.label, gib_text(part.cents), _band(part.low, part.high), part.basis, part.note or ""]


def _band(low: int | None, high: int | None) -> str:
    return "" if low is None or high is None else f"{gib_text(low)} to {gib_text(high)}"


def _kv_line(data: Mapping[str, Any]) -> str:
    kv = data["kv"]
    each = f"{kv['bytes_per_token']:,} B per token"
    if kv.get("bytes_per_token_low") is not None:
        each += f" (or {kv['bytes_per_token_low']:,}: the release leaves it open)"
    if data["deployment"]["engine"] == "llama.cpp":
        text = f"KV cache {kv['record']}: {each} over all layers, {kv['cells']:,} cells"
        return f"{text}; {kv['slots']} x {kv['slot_cells']:,} tokens, {gib(kv['needed_bytes'])} GiB in all"
    text = f"KV record {kv['record']}: {each} and GPU"
    if kv["tokens"] is not None:
        text += f"; {kv['tokens']:,} tokens, {kv['max_concurrency']:.2f}x"
    return text


def _host_lines(data: Mapping[str, Any]) -> list[str]:
    host = data.get("host")
    if not host or not host["weights_bytes"] + host["kv_bytes"]:
        return []
    where = "of the same memory" if host["shares_memory_with_the_gpu"] else "of the host's memory"
    return [
        f"On the CPU: {gib(host['weights_bytes'])} GiB of weights and {gib(host['kv_bytes'])} GiB of cache, {where}."
    ]
