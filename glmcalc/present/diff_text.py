"""An upgrade as text for a terminal: what moves, by which rule, and whether it still fits."""

from __future__ import annotations

from glmcalc.facts.quantity import gib
from glmcalc.present.terminal import table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def diff_text(data: dict[str, Any]) -> str:
    """What ``glmcalc diff`` prints."""
    old, new, verdicts = data["from_version"], data["to_version"], data["verdicts"]
    words = verdicts["to"]["status"].replace("_", " ").upper()
    if verdicts["to"]["status"] == "fits":
        words = "STILL FITS" if verdicts["from"]["status"] == "fits" else "NOW FITS"
    lines = [f"{words}  vLLM {new}: {verdicts['to']['reason']}", f"vLLM {old}: {verdicts['from']['reason']}", ""]
    rows = [
        [
            row["label"],
            _gib(row["from_bytes"]),
            _gib(row["to_bytes"]),
            f"{row['moved_bytes'] / 2**30:+.2f}" if row["moved_bytes"] else "",
        ]
        for row in data["components"]
        if row["from_bytes"] or row["to_bytes"]
    ]
    lines += table(rows, ["One GPU, GiB", old, new, "moves by"], right=(1, 2, 3)).splitlines()
    kv = data["kv"]
    lines.append("")
    for version, side in ((old, kv["from"]), (new, kv["to"])):
        tokens = f"{side['tokens']:,} tokens" if side["tokens"] is not None else "no pool"
        lines.append(
            f"{version}: record {side['record']}, {side['bytes_per_token']:,.6g} B per token and GPU, {tokens}"
        )
    lines += ["", "Rules that differ:" if data["rules"] else "No rule that is known differs between the two."]
    for rule in data["rules"]:
        between = " (open between the releases that were read)" if rule["open"] else ""
        lines.append(f"  {rule['meaning']}: {rule['from']} -> {rule['to']}{between}  {rule['source']}")
    lines += [f"Warning: {text}" for text in data["warnings"]]
    return "\n".join(lines)


def _gib(value: int | None) -> str:
    return "" if value is None else gib(value)
