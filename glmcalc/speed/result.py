"""What a speed estimate is made of, and how scripts read it."""

from __future__ import annotations

from glmcalc.facts.frozen import record
from glmcalc.speed.asked import Asked
from glmcalc.speed.bands import Range
from glmcalc.speed.presets import Choice
from glmcalc.speed.records import rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

NO_MEASUREMENT = "no measurement of this stack"
DOES_NOT_FIT = "does not fit"


@record
class Speed:
    """The answer; every figure is None where ``reason`` says why.

    Attributes:
        too_large: no figure, because the deployment does not hold one such request.
        running: requests that run at once, of ``concurrency`` asked for.
        choice: the preset, None where no figure is given.
        band: ``A`` (1.8 times from end to end), ``B`` (4) or ``C`` (7, no measurement of this stack).
        acceptance: tokens a step; 1 without speculation.
        ttft_s: seconds to the first token; None with the reason among ``notes``.
        tpot_ms: milliseconds between two tokens of one request. tok_s_user, tok_s_total: tokens per second of one, and of all
            that run.
    """

    asked: Asked
    context: int
    concurrency: int
    running: int
    choice: Choice | None
    band: str | None
    why: tuple[str, ...]
    acceptance: float | None
    ttft_s: Range | None
    tpot_ms: Range | None
    tok_s_user: Range | None
    tok_s_total: Range | None
    reason: str | None
    notes: tuple[str, ...]
    too_large: bool = False

    @property
    def records(self) -> int:
        """How many measured rows stand behind the preset; 0 where the stack itself was not measured."""
        return 0 if self.choice is None or self.band == "C" else len(self.choice.preset.rows)

    @property
    def basis(self) -> str:
        """What the figures rest on, as one phrase."""
        if self.choice is None:
            return DOES_NOT_FIT if self.too_large else NO_MEASUREMENT
        if self.choice.band == "C":
            single = len(self.choice.preset.rows) == 1 and not self.stands_in
            return "a single report" if single else NO_MEASUREMENT
        if self.band == "C":
            return "extrapolated"
        return f"{self.choice.preset.label}: {self.records} records"

    @property
    def stands_in(self) -> bool:
        """Whether the preset is another stack's."""
        return self.choice is not None and any(
            "stands in" in why or "not measured on" in why for why in self.choice.why
        )

    def to_dict(self) -> dict[str, Any]:
        """As ``glmcalc speed --json`` prints it."""
        choice = self.choice
        preset = None if choice is None else {
            "id": choice.preset.id, "label": choice.preset.label, "rows": list(choice.preset.rows),
            "sources": sources(choice.preset.rows), "date": choice.preset.date, "note": choice.preset.note,
        }  # fmt: skip
        figures = {name: getattr(self, name) for name in ("ttft_s", "tpot_ms", "tok_s_user", "tok_s_total")}
        return {
            "gpu": self.asked.device.id,
            "gpus": self.asked.machine.ranks * self.asked.stages * self.asked.replicas,
            "model": self.asked.machine.checkpoint.name,
            "engine": self.asked.engine,
            "context": self.context,
            "concurrency": self.concurrency,
            "running": self.running if choice is not None else None,
            **{name: value.to_dict() if value is not None else None for name, value in figures.items()},
            "basis": self.basis,
            "records": self.records,
            "band": self.band,
            "band_why": list(self.why),
            "acceptance_length": self.acceptance,
            "num_speculative_tokens": self.asked.drafts,
            "preset": preset,
            "reason": self.reason,
            "notes": list(self.notes),
            "warnings": list(self.asked.warnings),
        }


def nothing(asked: Asked, context: int, concurrency: int, reason: str, notes: Sequence[str], too_large: bool) -> Speed:
    """No figure, and why."""
    return Speed(
        asked, context, concurrency, 0, None, None, (), None, None, None, None, None, reason,
        tuple(note for note in notes if asked.room.reason != note), too_large,
    )  # fmt: skip


def sources(names: Sequence[str]) -> list[str]:
    """Where the named rows of ``data/throughput.jsonl`` come from, each once, in their order."""
    wanted = set(names)
    return list(dict.fromkeys(row["source"] for row in rows() if row["id"] in wanted))
