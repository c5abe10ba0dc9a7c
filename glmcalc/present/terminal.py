"""Answers as text for a terminal; the same figures as ``--json``, rounded, with units."""

from __future__ import annotations

from glmcalc.facts.quantity import gb, gib
from glmcalc.present.ledger import Row, gib_text, ledger
from glmcalc.present.tty import terminal_columns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, Sequence

WORDS = {"fits": "FITS", "marginal": "MARGINAL", "does_not_fit": "DOES NOT FIT", "unsupported": "UNSUPPORTED"}


def table(rows: Sequence[Sequence[object]], headers: Sequence[str], right: Sequence[int] = ()) -> str:
    """Rows as a plain table; columns in ``right`` are right-aligned. In a narrow terminal the widest text is wrapped."""
    from tabulate import tabulate

    align = ["right" if index in right else "left" for index in range(len(headers))]
    widths = _narrowed(rows, headers, right, terminal_columns())
    return str(
        tabulate(
            rows, headers=list(headers), tablefmt="simple", colalign=align if rows else None, disable_numparse=True,
            maxcolwidths=widths if rows else None,
        )
    )  # fmt: skip


_LEAST_COLUMN = 12


def _narrowed(
    rows: Sequence[Sequence[object]], headers: Sequence[str], right: Sequence[int], most: int | None
) -> list[int | None] | None:
    """Widths of columns with which a table is ``most`` characters wide, as far as its texts can be wrapped; None: as it is."""
    if most is None:
        return None
    widths = [max([len(str(header)), *(len(str(row[index])) for row in rows)]) for index, header in enumerate(headers)]
    kept = list(widths)
    texts = [index for index in range(len(headers)) if index not in right]
    while texts and sum(kept) + 2 * (len(kept) - 1) > most:
        widest = max(texts, key=lambda index: kept[index])
        if kept[widest] <= _LEAST_COLUMN:
            break
        kept[widest] -= 1
    return [now if now < was else None for now, was in zip(kept, widths)] if kept != widths else None


def budget_text(data: dict[str, Any]) -> str:
    """One budget: verdict, what to do, the table of one GPU, the command, warnings."""
    verdict, deployment = data["verdict"], data["deployment"]
    if deployment["engine"] != "vllm":
        from glmcalc.present.other_text import other_budget_text

        return other_budget_text(data)
    lines = [f"{WORDS[verdict['status']]}  {verdict['reason']}"]
    if verdict["stage"]:
        lines.append(f"Stage: {verdict['stage']}")
    lines += _advice_lines(verdict, deployment)
    if verdict.get("settle"):
        lines.append(f"What settles it: {verdict['settle']}.")
    if verdict["engine_message"]:
        lines += ["", "The engine will print:", f"  {verdict['engine_message']}"]
    if verdict["status"] != "unsupported":
        lines += ["", *_component_lines(data), "", _kv_line(data)]
    version = deployment["engine_version"]
    lines += ["", f"Command (rules of vLLM {version}):", f"  {data['command']}"]
    lines += [f"Warning: {text}" for text in data["warnings"]]
    for key, words in (("not_modelled", "Not modelled"), ("no_effect_on_memory", "No effect on memory")):
        if data[key]:
            lines.append(f"{words}: {', '.join(flag_text(row) for row in data[key])}")
    return "\n".join(lines)


def _advice_lines(verdict: Mapping[str, Any], deployment: Mapping[str, Any]) -> list[str]:
    """What to do: the nearest change that fits first, since it gives up least; what else there is second."""
    mend, advice = verdict.get("mend"), verdict["advice"]
    if not mend:
        return [f"Do: {advice}"]
    changes = ", ".join(f"{row['flag']} {_value(row['from'])} -> {_value(row['to'])}" for row in mend["change"])
    lines = [
        f"Do: nearest that fits: {changes}{_gpus_taken(mend['change'], deployment)}",
        f"  {mend['summary']}",
        *([f"  Costs: {mend['cost']}."] if mend["cost"] else []),
        f"  {mend['command']}",
    ]
    shorter_only = [row["flag"] for row in mend["change"]] == ["--max-model-len"]
    return lines if shorter_only and "--max-model-len" in advice else [*lines, f"Or: {advice}"]


def _value(value: object) -> object:
    return ("off", "on")[value] if isinstance(value, bool) else value


def _gpus_taken(change: Sequence[Mapping[str, Any]], deployment: Mapping[str, Any]) -> str:
    """How many GPUs a change of the parallel sizes takes."""
    sizes = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")
    after = {**{name: deployment[name] for name in sizes}, **{row["name"]: row["to"] for row in change}}
    gpus = 1
    for name in sizes:
        gpus *= after[name] or 1
    moved = gpus != deployment["gpus"] and any(row["name"] in sizes for row in change)
    return f" ({gpus} GPUs in place of {deployment['gpus']})" if moved else ""


def _component_lines(data: dict[str, Any]) -> list[str]:
    per_gpu, deployment = data["per_gpu"], data["deployment"]
    if per_gpu["memory_bytes"] is None:
        return [f"The memory of {deployment['gpu']} is not known."]
    book = ledger(data)

    def row(part: Row) -> list[str]:
        return [part.label, gib_text(part.cents), _band(part.low, part.high), part.basis, part.note or ""]

    inside = [row(part) for part in book.inside if part.cents or part.high]
    outside = [row(part) for part in book.outside]
    share = f"{deployment['gpu_memory_utilization']:g} x total"
    inside.append(["= utilization line", gib_text(book.line or 0), "", "exact", share])
    origin = ": ".join(text for text in (deployment["gpu"], per_gpu["memory_note"]) if text)
    total = ["= driver's total", gib_text(book.total or 0), _band(book.total_low, book.total_high)]
    outside.append([*total, per_gpu["memory_basis"], origin])
    title = f"One of {deployment['gpus']} GPUs ({deployment['gpu']})"
    return table(inside + outside, [title, "GiB", "band, GiB", "basis", "what"], right=(1, 2)).splitlines()


def _band(low: int | None, high: int | None) -> str:
    return "" if low is None or high is None else f"{gib_text(low)} to {gib_text(high)}"


def _kv_line(data: dict[str, Any]) -> str:
    kv = data["kv"]
    text = f"KV record {kv['record']}: {kv['bytes_per_token']:,} B per token and GPU, {kv['bytes_per_block']:,} B per block of {kv['block_size']}"
    if kv["num_blocks"] is not None:
        text += f"; {kv['num_blocks']:,} blocks, {kv['tokens']:,} tokens, {kv['max_concurrency']:.2f}x"
    return text


def flag_text(row: object) -> str:
    """A flag of a list of flags, whether or not what was nearest to it stands beside it."""
    return row if isinstance(row, str) else str(row.get("flag", row)) if isinstance(row, dict) else str(row)


def weights_text(data: dict[str, Any]) -> str:
    """A checkpoint by module, or a GGUF file by kinds of tensors."""
    if data["per_gpu_bytes"] is None:
        return _file_text(data)
    rows = [
        [
            row["module"],
            f"{row['parameters']:,}",
            f"{row['stored_bytes']:,}",
            gb(row["stored_bytes"]),
            gib(row["per_gpu_bytes"]),
            ", ".join(row["formats"]),
        ]
        for row in data["modules"]
    ]
    spread = f"tp {data['tensor_parallel_size']}, pp {data['pipeline_parallel_size']}, dp {data['data_parallel_size']}"
    rows.append(
        [
            "= all",
            f"{data['parameters']:,}",
            f"{data['total_bytes']:,}",
            gb(data["total_bytes"]),
            gib(data["per_gpu_bytes"]),
            "",
        ]
    )
    head = [data["model"], "parameters", "stored, B", "stored, GB", f"a GPU, GiB ({spread})", "format"]
    text = table(rows, head, right=(1, 2, 3, 4))
    if data["total_bytes"] == data["bytes_without_mtp"]:
        lines = ["This checkpoint has no MTP layer."]
    else:
        lines = [f"Without the MTP layer: {data['bytes_without_mtp']:,} B stored."]
        if not data["mtp_loaded"]:
            lines.append("The MTP layer is stored, and loaded only with --speculative-config.")
    if data["basis"] != "exact":
        low, high = data["per_gpu_low_bytes"], data["per_gpu_high_bytes"]
        lines.append(f"{_stored_band(data)}; a GPU: {gib(low)} to {gib(high)} GiB.")
    return "\n".join([text, *lines, *_weights_notes(data)])


def _file_text(data: dict[str, Any]) -> str:
    rows = [[row["module"], f"{row['parameters']:,}", "unknown"] for row in data["modules"]]
    rows.append(["= all", f"{data['parameters']:,}", f"{data['total_bytes']:,}"])
    text = table(rows, [f"{data['model']} {data['quantization']}", "elements", "bytes"], right=(1, 2))
    size = f"{gb(data['total_bytes'])} GB, {gib(data['total_bytes'])} GiB ({data['basis']}: {data['source']})"
    band = [] if data["total_low_bytes"] == data["total_high_bytes"] else [f"{_stored_band(data)}."]
    return "\n".join([text, size, *band, *_weights_notes(data), f"On each GPU: {data['reason']}."])


def _stored_band(data: dict[str, Any]) -> str:
    return f"Band: {gb(data['total_low_bytes'])} to {gb(data['total_high_bytes'])} GB stored"


def _weights_notes(data: dict[str, Any]) -> list[str]:
    names = {"vllm": "vLLM", "sglang": "SGLang", "mlx": "MLX"}
    loaded = f"Loaded by {', '.join(names.get(name, name) for name in data['engines'])}."
    notes = [f"{text if '/' in text.split()[0] else text[0].upper() + text[1:]}." for text in data["notes"]]
    return ([] if data["engines"] == ["vllm", "sglang"] and not notes else [loaded]) + notes


def parse_text(data: dict[str, Any]) -> str:
    """What a pasted command says."""
    lines = [f"Engine: {data['engine']}"]
    if data["image"]:
        lines.append(f"Image: {data['image']} (release: {data['engine_version'] or 'not stated'})")
    lines += [f"  {name} = {value}" for name, value in data["settings"].items()]
    for key in ("unresolved", "not_modelled", "no_effect_on_memory", "unknown", "warnings"):
        if data[key]:
            lines.append(f"{key.replace('_', ' ').capitalize()}: {', '.join(flag_text(row) for row in data[key])}")
    return "\n".join(lines)


_COLUMNS = {
    "models": ("id", "quantization", "total_gb", "parameters", "indexers", "max_model_len", "source"),
    "hardware": ("id", "name", "architecture", "memory_gib", "basis", "source"),
    "claims": ("id", "claim", "value", "unit", "ours", "why"),
    "sources": ("file", "of", "kind", "date", "rows", "source"),
}


def rows_text(kind: str, rows: Sequence[dict[str, Any]]) -> str:
    """A list of facts as a table of its chief columns; ``--json`` has all of them."""
    columns = _COLUMNS[kind]
    body = [[_short(row.get(column)) for column in columns] for row in rows]
    return table(body, columns)


def _short(value: object, width: int = 64) -> str:
    text = (
        "unknown"
        if value in (None, "")
        else f"{value:,}"
        if isinstance(value, int) and not isinstance(value, bool)
        else str(value)
    )
    return text if len(text) <= width else text[: width - 1] + "…"
