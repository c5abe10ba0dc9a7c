"""A diagnosis as text for a terminal, in the order in which it is needed at night."""

from __future__ import annotations

import shlex
from textwrap import wrap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_WIDTH = 100


def diagnosis_text(data: dict[str, Any], width: int = _WIDTH) -> str:
    """Which death with its lines, the one change with its command, what it costs, the others, what not to touch.

    Args:
        data: of :meth:`Diagnosis.to_dict`.
        width: columns. Sentences are wrapped, commands broken before flags so that they still paste; addresses stay whole.
    """
    signature = f", signature {data['signature']}" if data["signature"] else ""
    lines = [
        *_wrapped(f"{data['title'].upper()}  {data['cause']}", width),
        *_wrapped(f"Class: {data['class']}. Confidence: {data['confidence']}{signature}.", width),
    ]
    for text in data["unknown"]:
        lines += _wrapped(f"Check the command: {text}", width)
    for row in data["evidence"]:
        lines += _wrapped(row["text"], width, f"  {row['line']:>7,}  ", " " * 11)
    lines += _the_change(data, width)
    for index, other in enumerate(data["alternatives"], 1):
        lines += ["", *_wrapped(f"If that fails, {index}: {other['text']}", width)]
        if other["risk"]:
            lines += _wrapped(f"Risk: {other['risk']}", width, "  ", "  ")
        if other["command"] and (other["kind"] != "action" or other["budget"]):  # a budgeted action changes flags
            lines += command_lines(other["command"], width)
    if data["do_not_touch"]:
        lines += ["", "Do not touch:"]
        for row in data["do_not_touch"]:
            lines += _wrapped(f"{row['name']}: {row['why']}", width, "  ", "    ")
    return "\n".join(lines + _known_issue(data, width) + _sources(data, width))


def command_lines(command: str, width: int = _WIDTH) -> list[str]:
    """A command over as many lines as it needs, each but the last ending in a backslash; it pastes as it is."""
    groups: list[str] = []
    for word in _words(command):
        if groups and not word.startswith("-") and not _assigns(groups[-1]):
            groups[-1] += f" {word}"
        else:
            groups.append(word)
    lines = ["  "]
    for group in groups:
        if len(lines[-1]) + len(group) + 3 > width and lines[-1].strip():
            lines[-1] = f"{lines[-1].rstrip()} \\"
            lines.append("      ")
        lines[-1] += f"{group} "
    return [line.rstrip() for line in lines]


def _words(command: str) -> list[str]:
    """The words of a command, quoted again as it had them; the command whole where it is no shell line."""
    try:
        return [word if _plain(word) else shlex.quote(word) for word in shlex.split(command)]
    except ValueError:
        return [command]


def _assigns(group: str) -> bool:
    """Whether a group is a variable in front of the command."""
    name, equals, _ = group.partition("=")
    return bool(equals) and name.isidentifier()


def _plain(word: str) -> bool:
    """A word that the shell takes as it is: an assignment in front of the command, or the mark of a masked secret."""
    return (
        shlex.quote(word) == word or word == "[masked]" or (word.partition("=")[0].isidentifier() and " " not in word)
    )


def _the_change(data: dict[str, Any], width: int) -> list[str]:
    if not data["change"]:
        return []
    lines = ["", "The one change to make now:", *_wrapped(data["change"]["text"], width, "  ", "  ")]
    if data["command"]:
        lines += ["", *command_lines(data["command"], width), ""]
    for label, text in (("Costs", data["cost"]), ("Verify", data["verify"])):
        if text:
            lines += _wrapped(f"{label}: {text}", width, "  ", "    ")
    if data["after"]:
        verdict = data["after"]["verdict"]
        status = "" if verdict["status"] == "fits" else f" {verdict['status'].replace('_', ' ')}."
        lines += _wrapped(f"By the budget:{status} {verdict['reason']}", width, "  ", "    ")
    return lines


def _known_issue(data: dict[str, Any], width: int) -> list[str]:
    issue = data["known_issue"]
    if not issue:
        return []
    fixed = f" Fixed in: {issue['fixed_in']}." if issue["fixed_in"] else ""
    return ["", *_wrapped(f"Known issue: {issue['text']}{fixed}", width), *(f"  {url}" for url in issue["urls"])]


def _sources(data: dict[str, Any], width: int) -> list[str]:
    """What would settle it, what is missing, what was read, and the line for the ticket."""
    lines: list[str] = []
    if data["look_for"]:
        lines += ["", "What would settle it:", *(f"  {text}" for text in data["look_for"])]
    told = [f"Missing: {text}" for text in data["missing"]]
    told += [f"Read: {text}" for text in data["inferred"]]
    told += [f"Earlier in this log: {text}" for text in data["earlier"]]
    told += [f"Later in this log: {text}" for text in data["later"]]
    if data["masked"]:
        told.append(f"Masked: {data['masked']} secret(s); put your own back before you run the command.")
    if told:
        lines += ["", *(line for text in told for line in _wrapped(text, width, "", "  "))]
    return [*lines, "", *_wrapped(f"For the ticket: {data['ticket']}", width)]


def _wrapped(text: str, width: int, first: str = "", following: str = "  ") -> list[str]:
    return wrap(
        text, width, initial_indent=first, subsequent_indent=following, break_long_words=False, break_on_hyphens=False
    )
