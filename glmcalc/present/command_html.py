"""Commands to copy, the engine's own message, and the change that mends."""

from __future__ import annotations

import re
from html import escape
from typing import Any, Mapping, Sequence

from glmcalc.present.prose import prose

LINE, HALF = 100, 52


def wrapped(command: str, width: int = LINE) -> str:
    """A one-line command on several, broken only before flags, with the shell's continuation marks.

    >>> print(wrapped("vllm serve m --tensor-parallel-size 8 --max-num-seqs 1", 40))
    vllm serve m --tensor-parallel-size 8 \\
      --max-num-seqs 1
    """
    lines: list[str] = []
    for piece in re.split(r" (?=--[a-z])", command.strip()):
        if lines and len(lines[-1]) + 1 + len(piece) + 2 <= width:
            lines[-1] += f" {piece}"
        else:
            lines.append(piece if not lines else f"  {piece}")
    return " \\\n".join(lines)


def command_block(command: str, changed: Sequence[str] = (), copy: bool = True, width: int = LINE) -> str:
    """A command in a box with a Copy button; flags named in ``changed`` are underlined with their values."""
    pieces = []
    for line in wrapped(command, width).split("\n"):
        indent = line[: len(line) - len(line.lstrip())]
        # A flag stays with its value where a narrow screen breaks the line.
        words = re.split(r" (?=--[a-z]|\\$)", line.strip())
        pieces.append(indent + " ".join(_piece(word, changed) for word in words))
    text = "\n".join(pieces)
    button = '<button type="button" class="gm-btn" data-copy>Copy</button>' if copy else ""
    return f'<div class="gm-cmd">{button}<pre tabindex="0" aria-label="Command">{text}</pre></div>'


def _piece(word: str, changed: Sequence[str]) -> str:
    name = re.split(r"[ =]", word, maxsplit=1)[0]
    text = f"<mark>{escape(word)}</mark>" if name in changed else escape(word)
    return f'<span class="gm-f">{text}</span>' if len(word) <= 44 else text


def command_section(plan: Mapping[str, Any], copy: bool = True) -> str:
    """The command of the plan itself."""
    return (
        "<section><h2>Command <small>normalised; every flag that moves memory is written out</small></h2>"
        f"{command_block(plan['command'], copy=copy)}</section>"
    )


def engine_message(plan: Mapping[str, Any]) -> str:
    """What the engine will print, with its figures predicted; empty where it prints nothing."""
    said = plan["verdict"]
    if not said.get("engine_message"):
        return ""
    stage = f" <small>stage <code>{escape(said['stage'])}</code></small>" if said.get("stage") else ""
    return (
        f"<section><h2>What the engine will print{stage}</h2>"
        f'<div class="gm-cmd"><pre tabindex="0" aria-label="Engine message">{escape(said["engine_message"])}</pre></div></section>'
    )


def mend(
    plan: Mapping[str, Any], copy: bool = True, width: int = HALF, title: str = "The command that does work"
) -> str:
    """The nearest command that fits: each change from old to new, what it gives, the whole line; empty where none.

    Args:
        width: letters of a line, of the command. title: of the section, HTML.
    """
    said = plan["verdict"].get("mend")
    if not said:
        return ""
    changes = "".join(_change(change) for change in said["change"])
    flags = [str(change["flag"]) for change in said["change"]]
    words = [str(said["summary"]).rstrip(".")] if said.get("summary") else []
    words += [f"Cost: {str(said['cost']).rstrip('.')}"] if said.get("cost") else []
    note = f'<span class="gm-cap">{prose(". ".join(words))}.</span>' if words else ""
    return (
        f'<section><h2>{title}</h2><p class="gm-change">{changes}{note}</p>'
        f"{command_block(said['command'], flags, copy, width)}</section>"
    )


def _change(change: Mapping[str, Any]) -> str:
    def shown(value: object) -> str:
        return "not set" if value is None else escape(str(value))

    return (
        f'<span class="gm-from"><code>{escape(str(change["flag"]))}</code> <del>{shown(change["from"])}</del> → '
        f"<ins>{shown(change['to'])}</ins></span> "
    )


def notes(plan: Mapping[str, Any]) -> str:
    """Warnings and what is not modelled, as a list; empty where there are none."""
    watched = plan["verdict"].get("watch")
    items = [prose(_doubt(row)) for row in plan.get("doubts") or []]
    items += [prose(str(text)) for text in plan.get("warnings") or [] if text != watched]
    items += [f"Not modelled: <code>{escape(_named(item))}</code>." for item in plan.get("not_modelled") or []]
    if not items:
        return ""
    return f'<section><h2>Notes</h2><ul class="gm-notes">{"".join(f"<li>{item}</li>" for item in items)}</ul></section>'


def _doubt(row: Mapping[str, str]) -> str:
    perhaps = f" Perhaps {row['reasons']}." if row["reasons"] else ""
    return f"In the pasted log, beyond its range: {row['said']}{perhaps}"


def _named(item: object) -> str:
    if isinstance(item, Mapping):
        return str(item.get("flag") or item.get("name") or item)
    return str(item)
