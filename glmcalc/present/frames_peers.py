"""Tables of chapter 3 on other sizing tools: their answers beside ours, and what was run."""

from __future__ import annotations

from typing import Any

import pandas as pd

from glmcalc.facts.hardware import device
from glmcalc.facts.quantity import GIB
from glmcalc.present.display import Html
from glmcalc.present.frame_html import as_table
from glmcalc.present.sizing_peers import QUESTIONS, compared, peer_rows

_SAME = {"gb300": "gb300_nvl72"}  # a GPU as a peer calls it, and as we do


def peers() -> Html:
    """Other tools beside this one: question, their answer, ours, and how far theirs is from it."""
    rows = []
    for question, words in QUESTIONS.items():
        for row in peer_rows():
            if row["question"] == question:
                ours, off = compared(row)
                said = row["shown"] + (f" ({row['note']})" if row["note"] else "")
                answer = _answer(row)
                rows.append({"asked": words, "tool": f"{row['tool']} {row['version']}", "its answer": answer, "ours": ours, "theirs to ours": off, "in its words": said})  # fmt: skip
    return as_table(pd.DataFrame(rows))


def _answer(row: dict[str, Any]) -> str:
    value = row["answer"]
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if row["unit"] == "B":
        return f"{value / GIB:,.2f} GiB"
    return f"{value:,g} {row['unit'].split()[0]}" if value < 1000 else f"{value:,.0f} B"


def sweeps() -> Html:
    """A search over deployments of eight GPUs, side by side: aiconfigurator's ``cli default`` and ``glmcalc size``."""
    every = [row for row in peer_rows() if row["question"] == "sweep"]
    ours = {row["inputs"]["gpu"]: row for row in every if row["tool"] == "glmcalc"}
    rows = []
    for row in every:
        own = ours.get(_SAME.get(row["inputs"]["gpu"], row["inputs"]["gpu"]))
        if row["tool"] == "glmcalc" or own is None:
            continue
        rows.append({
            "eight of": device(own["inputs"]["gpu"]).name,
            f"{row['tool']} {row['version']}": row["shown"], "seconds": f"{row['seconds']:.1f}", "idle Pythons": _idle(row),
            f"glmcalc {own['version']}": own["shown"], "seconds ": f"{own['seconds']:.2f}", "idle Pythons ": _idle(own),
        })  # fmt: skip
    return as_table(pd.DataFrame(rows).set_index("eight of"))


def _idle(row: dict[str, Any]) -> str:
    return f"{row['seconds'] / row['python_seconds']:.0f}"


def peer_commands() -> Html:
    """What was run, how long a cold process took, and how often a Python that does nothing would have run meanwhile."""
    rows: dict[str, dict[str, Any]] = {}
    for row in peer_rows():
        if row["tool"] == "glmcalc":
            continue
        rows.setdefault(row["command"], {
            "tool": f"{row['tool']} {row['version']}", "seconds": f"{row['seconds']:.2f}",
            "times an idle Python": _idle(row), "command": f"`{row['command']}`",
        })  # fmt: skip
    return as_table(pd.DataFrame(list(rows.values())))
