"""A speed estimate as text for a terminal: the figures with their bands, and what stands behind them."""

from __future__ import annotations

from glmcalc.present.terminal import table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ROWS = (
    ("tok_s_user", "tok/s of one user"),
    ("tok_s_total", "tok/s of all that run"),
    ("tpot_ms", "ms per token (TPOT)"),
    ("ttft_s", "s to the first token (TTFT)"),
)
_BANDS = {
    "A": "A: this stack was measured",
    "B": "B: this stack was measured, with parts not stated or outside its rows",
    "C": "C: no measurement of this stack",
}
_MOST_SOURCES = 4


def speed_text(data: dict[str, Any]) -> str:
    """What ``glmcalc speed`` prints."""
    where = f"{data['gpus']} x {data['gpu']}, {data['engine']}, {data['model']}"
    what = f"{data['context']:,} tokens each, {_requests(data)}"
    if data["tok_s_user"] is None:
        lines = [f"NO FIGURE  {data['reason']}.", f"{where}; {what}", f"Basis: {data['basis']}."]
        return "\n".join([*lines, *_notes(data)])
    mid, low, high = (number_text(data["tok_s_user"][end]) for end in ("mid", "low", "high"))
    lines = [f"{mid} tok/s of one user [{low} to {high}]", f"{where}; {what}", ""]
    rows = [[label, *_figures(data[name])] for name, label in _ROWS]
    lines += table(rows, ["", "likely", "low", "high"], right=(1, 2, 3)).splitlines()
    return "\n".join([*lines, "", *_basis(data), *_notes(data)])


def _requests(data: dict[str, Any]) -> str:
    asked, running = data["concurrency"], data["running"]
    words = "1 request" if asked == 1 else f"{asked:,} requests"
    return words if running is None or running == asked else f"{words}, {running:,} of them at once"


def _figures(band: dict[str, float] | None) -> list[str]:
    if band is None:
        return ["not given", "", ""]
    return [number_text(band[end]) for end in ("mid", "low", "high")]


def number_text(value: float) -> str:
    """Three digits: what a band of this width allows.

    >>> number_text(1234.5), number_text(44.72), number_text(0.3204)
    ('1,230', '44.7', '0.32')
    """
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 100 else f"{rounded:.3g}"


def _basis(data: dict[str, Any]) -> list[str]:
    preset = data["preset"]
    width = data["tpot_ms"]["high"] / data["tpot_ms"]["low"]
    lines = [f"Basis: {data['basis']}.", f"Band {_BANDS[data['band']]} ({width:.1f} times from end to end)."]
    lines += [f"  {why}" for why in data["band_why"]]
    if data["num_speculative_tokens"]:
        lines.append(f"MTP: {data['num_speculative_tokens']} drafts, {data['acceptance_length']:g} tokens a step.")
    sources = preset["sources"]
    lines.append(f"Preset {preset['id']}, {len(preset['rows'])} rows of data/throughput.jsonl:")
    lines += [f"  {source}" for source in sources[:_MOST_SOURCES]]
    if len(sources) > _MOST_SOURCES:
        lines.append(f"  and {len(sources) - _MOST_SOURCES} more")
    return lines


def _notes(data: dict[str, Any]) -> list[str]:
    return [f"Note: {text}." for text in data["notes"]] + [f"Warning: {text}" for text in data["warnings"]]
