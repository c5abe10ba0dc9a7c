"""A calibration as text for a terminal: terms beside their estimates, each line explained, what stays unexplained."""

from __future__ import annotations

from glmcalc.facts.quantity import gib
from glmcalc.present.terminal import table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, Sequence


def calibration_text(data: dict[str, Any], written: Sequence[str] = ()) -> str:
    """What ``glmcalc calibrate`` prints."""
    asked, band = data["deployment"], data["band"]
    lines = [
        f"MEASURED  At these flags the pool's range narrows from {gib(band['before_bytes'])} to {gib(band['after_bytes'])} GiB per GPU; "
        "at another length, batch or MTP depth it widens by half of what the terms move.",
        f"{asked['model']} on {asked['gpus']} x {asked['gpu']}, TP {asked['tensor_parallel_size']}, vLLM {asked['engine_version']}",
        "",
        *_terms(data),
    ]
    if data["identity"]:
        gap = data["identity"]["gap_bytes"]
        lines += ["", f"Total x utilization less the four printed terms misses the printed pool by {gib(gap)} GiB."]
    lines += ["", "What the lines say:"]
    for row in data["explained"]:
        lines += [f"  {row['line']:>6,}  {row['text']}", f"          {row['says']}"]
    beyond = [row for row in data["residuals"] if row["beyond_band"]]
    lines += ["", "Beyond their range:" if beyond else "Every comparison lies inside its range:"]
    for row in beyond or data["residuals"]:
        lines.append(f"  {residual_text(row)}")
        lines += [f"      perhaps {reason['text']} ({reason['source']})" for reason in row["reasons"]]
    lines += [f"Missing: {text}" for text in data["missing"]]
    lines += [f"Read: {text}" for text in data["inferred"]]
    lines += [f"Written: {text}" for text in written]
    if not written:
        lines.append("Nothing is kept: --out FILE writes what --calibration of the other subcommands takes.")
    return "\n".join(lines)


def _terms(data: dict[str, Any]) -> list[str]:
    rows = []
    for part in data["components"]:
        if not part["bytes"] and not part["estimate_bytes"]:
            continue
        estimate = part["estimate_bytes"]
        span = "" if estimate is None else f"{gib(part['estimate_low_bytes'])} to {gib(part['estimate_high_bytes'])}"
        rows.append([
            part["label"], gib(part["bytes"]), part["basis"], "" if estimate is None else gib(estimate), span,
            f"{part['line']:,}" if part["line"] else "",
        ])  # fmt: skip
    return table(
        rows, ["One GPU", "now, GiB", "basis", "estimate, GiB", "its range, GiB", "line"], right=(1, 3, 5)
    ).splitlines()


def residual_text(row: Mapping[str, Any]) -> str:
    """One comparison of :func:`glmcalc.advise.reconcile.residuals` as a sentence."""
    if "tokens" in row:
        return f"{row['label']}: {row['measured_tokens']:,}, by the printed pool {row['estimate_tokens']:,}."
    return (
        f"{row['label']}: {gib(row['measured_bytes'])} GiB, estimated {gib(row['estimate_bytes'])} "
        f"({gib(row['low_bytes'])} to {gib(row['high_bytes'])})."
    )
