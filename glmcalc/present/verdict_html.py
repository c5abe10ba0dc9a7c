"""The verdict: an annunciator tile (icon and word), one sentence with the numbers, one line of what to do."""

from __future__ import annotations

from html import escape
from typing import Any, Mapping

from glmcalc.present.ledger import cents, gib_text
from glmcalc.present.prose import prose

ICONS = {
    "fits": '<path d="M4 12.5l5.5 5.5L20 6.5"/>',
    "marginal": '<path d="M12 3L22 20.5H2zM12 10v5M12 17.6v.6"/>',
    "does_not_fit": '<path d="M5 5l14 14M19 5L5 19"/>',
    "unsupported": '<circle cx="12" cy="12" r="9"/><path d="M6 18L18 6"/>',
    "input": '<path d="M12 6.5v7M12 17v.6"/><rect x="3" y="2.5" width="18" height="19"/>',
    "starting": '<path d="M5 12h.6M11.7 12h.6M18.4 12h.6"/>',
}
WORDS = {
    "fits": "Fits",
    "marginal": "Marginal",
    "does_not_fit": "Does not fit",
    "unsupported": "Unsupported",
    "input": "Bad input",
    "starting": "Starting",
}
TONES = {
    "fits": "ok", "marginal": "warn", "does_not_fit": "bad", "unsupported": "na", "input": "input", "starting": "wait",
}  # fmt: skip


def tile(status: str, sentence: str, note: str = "", level: str = "", word: str = "") -> str:
    """One verdict. ``sentence`` and ``note`` are HTML made by this package (:func:`prose`), not user text.

    Args:
        word: stands in the tile in place of the status's own.
    """
    busy = ' aria-busy="true"' if status == "starting" else ""
    below = f'<p class="gm-n">{note}</p>' if note else ""
    return (
        f'<div class="gm-verdict {TONES[status]}{level}" data-status="{status}"{busy}>'
        f'<div class="gm-tile"><svg viewBox="0 0 24 24" aria-hidden="true">{ICONS[status]}</svg>'
        f"<span>{escape(word) or WORDS[status]}</span></div>"
        f'<div class="gm-vt"><p class="gm-s">{sentence}</p>{below}</div></div>'
    )


def verdict(plan: Mapping[str, Any]) -> str:
    """The verdict of ``Plan.to_dict()``."""
    said = plan["verdict"]
    parts = [_mended(said["mend"])] if said.get("mend") else []
    if said.get("advice"):
        advice = str(said["advice"])
        parts.append(prose(f"Or {advice[:1].lower()}{advice[1:]}" if parts else advice))
    if said.get("settle") and str(said["settle"]).lower() not in str(said.get("advice") or "").lower():
        parts.append(f"To settle it: {prose(said['settle'])}.")
    if plan.get("doubts"):
        beyond = " ".join(prose(str(row["said"])) for row in plan["doubts"])
        parts.append(f"<b>Not explained in the pasted log:</b> {beyond} Likely reasons: under Notes.")
    if said.get("watch"):
        parts.append(f"<b>Watch:</b> {prose(said['watch'])}")
    return tile(said["status"], prose(said["reason"]), " ".join(parts))


def _mended(mend: Mapping[str, Any]) -> str:
    changes = ", ".join(
        f"<code>{escape(str(change['flag']))} {escape(str(change['to']))}</code>" for change in mend["change"]
    )
    return f"With {changes} it fits: {prose(str(mend['summary']))}"


def bad_input(error: Mapping[str, Any], kept: bool) -> str:
    """The verdict of an :class:`InputError` (its ``to_dict()``): what was given, what is allowed.

    Args:
        error: field, value, allowed, message.
        kept: whether an earlier result still stands below.
    """
    message, allowed = str(error["message"]), str(error["allowed"])
    note = "" if allowed in message else f"<code>{escape(str(error['field']))}</code> takes {prose(allowed)}. "
    if allowed.startswith("a flag of "):
        note += "The server ends on it before it loads anything. Mend the name, and paste again. "
    return tile("input", prose(message), note + ("The last good state stays below, greyed." if kept else ""))


def starting() -> str:
    """The verdict while the kernel starts."""
    return tile("starting", "The kernel is starting.", "The controls answer in a few seconds; nothing will move.")


def brief(plan: Mapping[str, Any]) -> str:
    """The verdict in one line for a narrow screen: the word and two numbers."""
    status = plan["verdict"]["status"]
    kv = plan["kv"]
    words = ""
    if status != "unsupported" and kv.get("available_bytes") is not None:
        length = plan["deployment"].get("max_model_len")
        times = kv.get("max_concurrency")
        if status == "does_not_fit" and kv.get("needed_bytes"):
            words = f"needs {_gib(kv['needed_bytes'])}, pool {_gib(kv['available_bytes'])} GiB"
        elif times is not None and isinstance(length, int):
            words = f"{times:,.1f} × {length:,} tokens; pool {_gib(kv['available_bytes'])} GiB"
    return brief_line(status, words)


def brief_line(status: str, words: str, word: str = "") -> str:
    """One line: the status word (or ``word``) in its colour, and a few plain words."""
    return f'<b class="{TONES[status]}">{escape(word) or WORDS[status]}</b><span>{escape(words)}</span>'


def _gib(value: int | float) -> str:
    return gib_text(cents(value))
