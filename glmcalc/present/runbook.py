"""Chapter 4's own pieces: the decision chart, the runbook's entries, worked incidents."""

from __future__ import annotations

from html import escape
from typing import Sequence

import pandas as pd

from glmcalc.advise.account import quote
from glmcalc.advise.classes import QUIET, class_names, death_class
from glmcalc.advise.incidents import diagnosed, incident
from glmcalc.advise.ladder import downgrade
from glmcalc.advise.ladder_order import KEEPS
from glmcalc.facts.errors import InputError
from glmcalc.model.deployment import Deployment
from glmcalc.present.bar import SHAPES
from glmcalc.present.command_html import command_block
from glmcalc.present.display import Html, style
from glmcalc.present.frames import as_table
from glmcalc.present.happened_bar import happened_bar
from glmcalc.present.happened_html import change_part, death_tile, second_part
from glmcalc.present.ladder_html import ladder_section
from glmcalc.present.prose import prose, source

# A question down the middle, and what a "yes" means. The order is that of a start; each question assumes a "no" before it.
_CHART: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Does `/health` answer, and is every request served in the end?", ("preemption_not_oom", "healthy")),
    ("Is the first error below nothing but `EngineDeadError` or *EngineCore encountered*? Read on upwards.", ()),
    ("Does the kernel's log or the exit code (137) name the process?", ("host_ram",)),
    ("Does the first error say neither memory nor KV cache?", ("not_oom_other",)),
    ("Did it stop at `Free memory on device`, before anything was loaded?", ("startup_free_memory",)),
    ("Is `Model loading took` missing?", ("weights_load",)),
    ("Is `Available KV cache memory` missing?", ("profile_run_activation",)),
    ("Does an error name the KV cache or its blocks?", ("startup_no_kv_blocks", "startup_kv_too_small")),
    ("Is `Application startup complete` missing?", ("cuda_graph_capture",)),
    ("It served. Does the Traceback end in a kernel's own buffer (`sparse_decode_fwd`, NCCL, a workspace)?", ("runtime_workspace",)),
    ("Else: an allocation of the model's own, indexer logits among them.", ("runtime_activation",)),
)  # fmt: skip
_FIELDS = (
    ("check", "Check"),
    ("meaning", "Meaning"),
    ("change", "One change"),
    ("cost", "Cost"),
    ("verify", "Verify"),
    ("undo", "Undo"),
)


def decision_chart() -> Html:
    """From a symptom to a class of death: questions from top to bottom, the class that a "yes" means at the right."""
    rows = "".join(
        f'<li><p class="gm-q">{_marked(question)}</p><div class="gm-a">{"".join(_card(name) for name in names)}</div></li>'
        for question, names in _CHART
    )
    plain = "\n".join(f"{question}  ->  {', '.join(names) or 'look above'}" for question, names in _CHART)
    return _html(
        f'<ol class="gm-chart" aria-label="Decision chart: the first question answered with yes names the class">{rows}</ol>',
        plain,
    )


def _card(name: str) -> str:
    row = death_class(name)
    change = prose(row["change"]) if name not in QUIET else "Nothing to change."
    return f'<div class="gm-card"><b>{escape(row["title"])}</b> <code>{escape(name)}</code><br>{change}</div>'


def _marked(text: str) -> str:
    """Prose, with *words* set as emphasis."""
    parts = prose(text).split("*")
    return "".join(f"<em>{part}</em>" if index % 2 else part for index, part in enumerate(parts))


def runbook(*names: str) -> Html:
    """Runbook entries by class, all of them when none is named: the log line as title; check, meaning, one change, cost, verify, undo.

    Raises:
        InputError: no such class.
    """
    known = [name for name in class_names() if name not in QUIET]
    for name in names:
        if name not in known:
            raise InputError("class", name, f"one of {', '.join(known)}")
    rows = [death_class(name) for name in names or known]
    body = "".join(
        f'<article class="gm-entry"><h3><code>{escape(row["log_line"])}</code></h3><p class="gm-cap"><code>{escape(row["id"])}</code> · '
        f"{source(row['source'])}</p><dl>{_entry(row)}</dl></article>"
        for row in rows
    )
    return _html(f'<div class="gm-book">{body}</div>', "\n".join(row["log_line"] for row in rows))


def _entry(row: dict[str, str]) -> str:
    return "".join(f"<div><dt>{label}</dt><dd>{prose(row[field])}</dd></div>" for field, label in _FIELDS)


def words_of(name: str) -> int:
    """Words of a runbook entry, its title counted."""
    row = death_class(name)
    return len(" ".join([row["log_line"], *(row[field] for field, _ in _FIELDS)]).split())


def log_lines(name: str) -> Html:
    """An incident's log, as it would be read before the answer is."""
    row = incident(name)
    return _html(_log(row["log"]), "\n".join(row["log"]))


def worked(name: str) -> Html:
    """An incident: what was reported, its lines, the diagnosis with the bar, the one change, and what else would do."""
    row, made = incident(name), diagnosed(name)
    data = made.to_dict()
    drawing, _ = happened_bar(made.case, SHAPES)
    head = f'<h3>{escape(row["title"])}</h3><p class="gm-cap">{prose(row["reported"])} {source(row["source"])}. {prose(_sentence(row["note"]))}</p>'
    parts = [head, _log(row["log"]), death_tile(data), change_part(data), drawing, second_part(data)]
    return _html("".join(parts).replace(" data-copy", " hidden"), f"{data['class']}: {data['cause']}")


def ladder(deployment: Deployment, keep: str = "context", death: str | None = None) -> Html:
    """What to give up, in order, until a deployment fits: each step budgeted, with its price and source.

    Raises:
        InputError: as :func:`glmcalc.advise.ladder.downgrade`.
    """
    made = downgrade(deployment, keep=keep, death=death).to_dict()
    plain = "\n".join(step["change"] for step in made["steps"])
    command = command_block(made["command"], copy=False) if made["fits_after"] else ""
    return _html(ladder_section(made) + command, plain or str(made["reason"]), "ladder.css")


def four_orders(deployment: Deployment) -> Html:
    """The same deployment under each of the four priorities: the steps taken, in order, and what they end in."""
    rows = []
    for keep in KEEPS:
        made = downgrade(deployment, keep=keep).to_dict()
        steps = [f"{step['flag']} {'off' if step['to'] is None else step['to']}" for step in made["steps"]]
        rows.append(
            {
                "keep": keep,
                "given up, in this order": "; then ".join(steps) or "nothing",
                "ends in": made["after"]["reason"],
            }
        )
    return as_table(pd.DataFrame(rows))


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def _log(lines: Sequence[str]) -> str:
    return f'<pre class="gm-log" tabindex="0" aria-label="Lines of the log">{escape(chr(10).join(quote(line) for line in lines))}</pre>'


def _html(body: str, plain: str, *sheets: str) -> Html:
    css = style("style.css", "happened.css", "runbook.css", *sheets)
    return Html(f'<style>{css}</style><div class="gm">{body}</div>', plain)
