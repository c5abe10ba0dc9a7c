"""A case in words: the cause with its numbers, what the log said, the line for the ticket; secrets masked."""

from __future__ import annotations

from glmcalc.facts.quantity import engine_gib
from glmcalc.logs.secrets import mask

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from glmcalc.advise.case import Case
    from glmcalc.advise.changes import Change

_LONGEST_QUOTE = 400


def cause_of(case: Case) -> str:
    """One sentence with the numbers: the first of the signature's whose figures are all known."""
    row = case.death.signature
    if row is None:
        shown = case.death.lines[0] if case.death.lines else None
        if case.death.death == "healthy":
            return f"The server came up{f' (line {shown.number:,})' if shown else ''}, and nothing after that failed."
        if case.death.death == "unknown":
            seen = "Only errors that follow from another are in this text. " if shown else "No line that is known. "
            return f"{seen}What failed first is not known."
        return (
            f"The first error is one that is no lack of memory as far as is known: {quote(shown.text) if shown else ''}"
        )
    figures = _figures(case)
    for template in row.cause:
        try:
            return template.format(**figures)
        except KeyError:
            continue
    return row.cause[-1]


def _figures(case: Case) -> dict[str, str]:
    figures: dict[str, str] = {}
    for name in ("tried", "free", "gpu_total", "start_free", "requested", "kv_needed", "available_kv"):
        value = case.value(f"{name}_bytes")
        if value is not None:
            figures[name] = (
                f"{engine_gib(int(value))} GiB" if abs(value) >= 1 << 28 else f"{value / (1 << 20):,.2f} MiB"
            )
    for name in ("estimated_max_model_len", "max_model_len"):
        value = case.value(name)
        if value is not None:
            figures[name] = f"{int(value):,}"
    usage, index, share = (
        case.value("kv_cache_usage_pct"),
        case.value("gpu_index"),
        case.value("gpu_memory_utilization"),
    )
    if usage is not None:
        figures["kv_cache_usage_pct"] = f"{usage:g} %"
    if index is not None:
        figures["gpu_index"] = f"{index}"
    if share is not None:
        figures["gpu_memory_utilization"] = f"{share:g}"
    stated = case.deployment.max_model_len if case.deployment else case.facts.arguments.get("max_model_len")
    if isinstance(stated, int):
        figures.setdefault("max_model_len", f"{stated:,}")
    if case.plan is not None:
        r = case.plan.resolved
        figures.setdefault("max_model_len", f"{r.max_model_len:,}")
        figures["max_num_batched_tokens"], figures["max_num_seqs"] = (
            f"{r.max_num_batched_tokens:,}",
            f"{r.max_num_seqs:,}",
        )
    return figures


def what_was_read(case: Case) -> list[dict[str, Any]]:
    """What the log said, as ``name``, ``text`` and ``line``; for the column beside the answer."""
    facts, rows = case.facts, []
    if facts.engine:
        version = f" {facts.engine_version}" if facts.engine_version else ", version not stated"
        if not facts.engine_version and case.deployment is not None:
            version += f"; rules of {case.deployment.engine_version}"
        rows.append({"name": "Engine", "text": f"{facts.engine}{version}", "line": facts.version_line})
    if case.deployment is not None:
        rows.append(
            {
                "name": "Flags",
                "text": _flags_in_short(case),
                "line": facts.argument_lines[0] if facts.argument_lines else None,
            }
        )
    for name, label in (("gpu_total_bytes", "GPU"), ("weights_bytes", "Weights as printed"), ("available_kv_bytes", "KV pool as printed"),
                        ("kv_tokens", "KV tokens as printed"), ("tried_bytes", "Asked for"), ("free_bytes", "Free then")):  # fmt: skip
        row = facts.last_value(name)
        if row is not None:
            text = f"{row.value:,} tokens" if name == "kv_tokens" else f"{engine_gib(int(row.value))} GiB"
            rows.append({"name": label, "text": text, "line": row.line})
    if case.death.secondary:
        first = case.death.secondary[0]
        rows.append({"name": "Secondary error", "text": "looked through", "line": first.number})
    return rows


def _flags_in_short(case: Case) -> str:
    asked = case.deployment
    if asked is None:
        return ""
    parts = [
        f"TP {asked.tensor_parallel_size}" if asked.tensor_parallel_size else "",
        f"DCP {asked.decode_context_parallel_size}" if asked.decode_context_parallel_size else "",
        f"{asked.kv_cache_dtype} KV" if asked.kv_cache_dtype else "",
        f"{asked.max_model_len:,} tokens" if isinstance(asked.max_model_len, int) else "",
        f"{asked.max_num_seqs} seqs" if asked.max_num_seqs else "",
        f"T {asked.max_num_batched_tokens:,}" if asked.max_num_batched_tokens else "",
        f"util {asked.gpu_memory_utilization:g}" if asked.gpu_memory_utilization else "",
        f"MTP {asked.num_speculative_tokens}" if asked.num_speculative_tokens else "",
    ]
    return ", ".join(part for part in parts if part) or "defaults"


def ticket(case: Case, change: Change | None) -> str:
    """One line for the ticket: version, model, KV record, machine, class, and the way back."""
    facts, made = case.facts, case.plan
    parts = [f"{facts.engine or 'engine not known'} {facts.engine_version or ''}".strip()]
    if made is not None:
        r = made.resolved
        parts += [
            r.checkpoint.name,
            f"{r.record}, {made.kv.bytes_per_token:,} B/token",
            f"TP {r.tp}",
            f"{r.gpus} × {r.device.name}",
        ]
    elif case.deployment is not None:
        parts.append(case.deployment.model)
    parts.append(f"class {case.death.death}")
    if change is not None and change.kind == "flag" and change.before is not None:
        parts.append(f"roll back: {change.name} {change.before}")
    return masked(" · ".join(parts))


def quote(text: str) -> str:
    """A line of the log as it is shown: masked, and cut where it is long."""
    shown = masked(text.strip())
    return shown if len(shown) <= _LONGEST_QUOTE else shown[: _LONGEST_QUOTE - 1] + "…"


def masked(text: str) -> str:
    """``text`` without its secrets."""
    return mask(text)[0]


def masked_all(value: Any) -> Any:
    """The same for every text inside ``value``."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, dict):
        return {name: masked_all(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked_all(part) for part in value]
    return value
