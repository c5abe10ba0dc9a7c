"""A diagnosis as text for a terminal, in the order in which it is needed at night."""

from __future__ import annotations

from typing import Any


def diagnosis_text(data: dict[str, Any]) -> str:
    """Which death with its lines, the one change with its command, what it costs, the others, what not to touch."""
    signature = f", signature {data['signature']}" if data["signature"] else ""
    lines = [
        f"{data['title'].upper()}  {data['cause']}",
        f"Class: {data['class']}. Confidence: {data['confidence']}{signature}.",
    ]
    lines += [f"  {row['line']:>8,}  {row['text']}" for row in data["evidence"]]
    if data["change"]:
        lines += ["", "The one change to make now:", f"  {data['change']['text']}"]
        if data["command"]:
            lines += ["", f"  {data['command']}", ""]
        lines += [f"  {label}: {text}" for label, text in (("Costs", data["cost"]), ("Verify", data["verify"])) if text]
        if data["after"]:
            lines.append(f"  By the budget: {data['after']['verdict']['reason']}")
    for index, other in enumerate(data["alternatives"], 1):
        risk = f" Risk: {other['risk']}" if other["risk"] else ""
        lines += ["", f"If that fails, {index}: {other['text']}{risk}"]
        lines += [f"  {other['command']}"] if other["command"] and other["kind"] != "action" else []
    if data["do_not_touch"]:
        lines += ["", "Do not touch:", *(f"  {row['name']}: {row['why']}" for row in data["do_not_touch"])]
    issue = data["known_issue"]
    if issue:
        fixed = f" Fixed in: {issue['fixed_in']}." if issue["fixed_in"] else ""
        lines += ["", f"Known issue: {issue['text']}{fixed}", *(f"  {url}" for url in issue["urls"])]
    if data["look_for"]:
        lines += ["", "What would settle it:", *(f"  {text}" for text in data["look_for"])]
    lines += [f"Missing: {text}" for text in data["missing"]]
    lines += [f"Read: {text}" for text in data["inferred"]]
    lines += [f"Earlier in this log: {text}" for text in data["earlier"]]
    if data["masked"]:
        lines.append(f"Masked: {data['masked']} secret(s); put your own back before you run the command.")
    lines += ["", f"For the ticket: {data['ticket']}"]
    return "\n".join(lines)
