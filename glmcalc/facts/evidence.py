"""What others measured or published: server logs, checkpoint sizes, known deployments, the guide's claims."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from glmcalc.facts.errors import InputError
from glmcalc.facts.store import load_csv, load_json, load_jsonl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable, Iterator


PROVENANCE = ("source", "date", "kind")
KINDS = ("spec", "config", "measured", "estimated")


def with_provenance(rows: Iterable[Mapping[str, Any]], file: str) -> list[dict[str, Any]]:
    """``rows`` as they are, once each is known to say where it comes from.

    Raises:
        InputError: a row without source, date or kind; names the file and the row.
    """
    kept = []
    for number, row in enumerate(rows, start=1):
        name = row.get("id") or row.get("term") or f"row {number}"
        for field in PROVENANCE:
            if not row.get(field):
                raise InputError(field, row.get(field), "present", f"{file}: {name} has no {field}.")
        if row["kind"] not in KINDS:
            raise InputError(
                "kind", row["kind"], f"one of {', '.join(KINDS)}", f"{file}: {name} has kind {row['kind']!r}."
            )
        kept.append(dict(row))
    return kept


def observations() -> list[dict[str, Any]]:
    """What real servers printed: weights, pool, tokens, with their flags; numbers in GiB or tokens on each GPU."""
    return with_provenance(load_jsonl("observations.jsonl"), "observations.jsonl")


def checkpoints() -> list[dict[str, Any]]:
    """Published sizes of checkpoints, in bytes."""
    return with_provenance(load_jsonl("checkpoints.jsonl"), "checkpoints.jsonl")


def known_deployments() -> list[dict[str, Any]]:
    """Deployments that are known to run, or to fail and where."""
    return with_provenance(load_jsonl("deployments_known.jsonl"), "deployments_known.jsonl")


def claims() -> list[dict[str, Any]]:
    """Figures of the published guide, as it states them."""
    return with_provenance(load_csv("guide_claims.csv"), "guide_claims.csv")


def glossary() -> list[dict[str, Any]]:
    """Terms and units as they are used here."""
    return with_provenance(load_csv("glossary.csv"), "glossary.csv")


def sources() -> list[dict[str, Any]]:
    """Every source in ``data/``: file, what of a row it is of, kind, latest date, and how many rows rest on it."""
    tables: dict[str, list[dict[str, Any]]] = {
        "observations.jsonl": observations(),
        "checkpoints.jsonl": checkpoints(),
        "deployments_known.jsonl": known_deployments(),
        "guide_claims.csv": claims(),
        "glossary.csv": glossary(),
        "hardware.csv": with_provenance(load_csv("hardware.csv"), "hardware.csv"),
        "models.json": with_provenance(load_json("models.json")["models"], "models.json"),
        "engine_versions.json": with_provenance(load_json("engine_versions.json")["rules"], "engine_versions.json"),
        **{
            file: with_provenance(load_json(file)[rows], file)
            for file, rows in (
                ("engine_rules_llamacpp.json", "rules"),
                ("engine_rules_sglang.json", "rules"),
                ("other_engine_terms.json", "terms"),
            )
        },
        "gguf_types.json": with_provenance(load_json("gguf_types.json")["types"], "gguf_types.json"),
        "memory_terms.json": with_provenance(load_json("memory_terms.json")["terms"], "memory_terms.json"),
        "speed_presets.json": with_provenance(load_json("speed_presets.json")["rows"], "speed_presets.json"),
        **{
            file: with_provenance(load_jsonl(file), file)
            for file in (
                "configurations.jsonl",
                "death_classes.jsonl",
                "downgrade_steps.jsonl",
                "gguf_files.jsonl",
                "incidents.jsonl",
                "indexshare.jsonl",
                "kernel_times.jsonl",
                "log_lines.jsonl",
                "oom_signatures.jsonl",
                "quality_notes.jsonl",
                "peers.jsonl",
                "residual_reasons.jsonl",
                "throughput.jsonl",
                "tuning_gates.jsonl",
                "weight_recipes.jsonl",
            )
        },
        "weight_formats.json": with_provenance(load_json("weight_formats.json")["formats"], "weight_formats.json"),
        "vllm_flags.json": with_provenance([load_json("vllm_flags.json")], "vllm_flags.json"),
    }
    out = []
    for file, rows in tables.items():
        cited = [one for row in rows for one in _cited(row)]
        if file.startswith("engine_") and (newest := load_json(file).get("newest_known_source")):
            cited.append(((newest, "spec", "newest release"), max(row["date"] for row in rows)))
        for (source, kind, of), count in Counter(key for key, _ in cited).items():
            dates = [date for key, date in cited if key == (source, kind, of)]
            out.append({"file": file, "of": of, "kind": kind, "date": max(dates), "rows": count, "source": source})
    return out


# Columns beside ``source`` whose figure is another's: what it is of, its kind, and the column with its date.
_OWN_SOURCE = {
    "memory_gib_engine_source": ("memory_gib_engine", "measured", "date"),
    "memory_gib_nvidia_smi_source": ("memory_gib_nvidia_smi", "measured", "date"),
    "price_source": ("price", "measured", "price_date"),
}


def _cited(row: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str, str], str]]:
    """What a row rests on, each as ``(source, kind, of what)`` and date: its source, and every field that is addresses."""
    yield (row["source"], row["kind"], "row"), row["date"]
    for name, value in row.items():
        of, kind, date = _OWN_SOURCE.get(name, ("more", row["kind"], "date"))
        if name != "source":
            for url in _addresses(value):
                yield (url, kind, of), row.get(date) or row["date"]


def _addresses(value: object) -> list[str]:
    """Addresses of a field that is nothing else, or of what lies inside it."""
    if isinstance(value, Mapping):
        return [url for part in value.values() for url in _addresses(part)]
    if isinstance(value, (list, tuple)):
        return [url for part in value for url in _addresses(part)]
    words = value.split() if isinstance(value, str) else []
    return words if words and all(word.startswith(("https://", "http://")) for word in words) else []
