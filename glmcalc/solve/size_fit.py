"""One candidate of the search under a need: its budget, whether it serves, and what it holds."""

from __future__ import annotations

from glmcalc.facts.frozen import record
from glmcalc.facts.quantity import gib
from glmcalc.solve.size_need import Need

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from glmcalc.model.deployment import Deployment

STATUSES = ("fits", "marginal", "does_not_fit", "unsupported", "no_evidence")


@record
class Fit:
    """One deployment, budgeted for the need.

    Attributes:
        plan: ``glmcalc.plan``'s answer for ``deployment``.
        status: of the need as a whole: of the budget, and of the pool against all requests at once.
        held_low, held: requests of full length that all replicas hold at once, at the pessimistic and the likely figures.
        requests_each: of one replica.
        rank, quality_note, quality_sources: as :func:`glmcalc.solve.size_need.quality_note`.
        short_bytes: missing on one GPU, where it is the pool that is too small for all requests; else None.
    """

    deployment: Deployment
    plan: Any
    status: str
    reason: str
    held_low: int
    held: int
    replicas: int
    requests_each: int
    rank: int
    quality_note: str | None
    quality_sources: tuple[str, ...]
    short_bytes: int | None = None

    @property
    def clear(self) -> bool:
        """Whether no limit is crossed at the pessimistic end: it fits, or only what is not known of the engine keeps it open."""
        return self.status == "fits" or (
            self.status == "marginal" and self.plan.verdict.stage is None and self.short_bytes is None
        )

    @property
    def order(self) -> tuple[int, int, int, int]:
        """Better ones first: status (one that likely holds before one that likely does not), then quality, then headroom."""
        surely = 0 if self.clear else 1 if self.plan.verdict.engine_message is None else 2
        return STATUSES.index(self.status), surely, self.rank, -self.held_low


def whole_status(plan_status: str, low: int, likely: int, wanted: int) -> str:
    """Status of a need: the budget's, and no better than the pool allows for ``wanted`` requests at once.

    >>> whole_status("fits", 9, 12, 8), whole_status("fits", 7, 9, 8), whole_status("fits", 5, 7, 8)
    ('fits', 'marginal', 'does_not_fit')
    """
    if plan_status in ("does_not_fit", "unsupported"):
        return plan_status
    if likely < wanted:
        return "does_not_fit"
    return plan_status if low >= wanted else "marginal"


def too_few(plan_reason: str, low: int, likely: int, need: Need, short: int | None) -> str:
    """Why the pool does not hold all requests, with the numbers."""
    missing = f"; {gib(short)} GiB is missing on each GPU" if short else ""
    held = f"{low:,}" if low == likely else f"{low:,} to {likely:,}"
    return (
        f"The KV pool holds {held} requests of {need.context:,} tokens at once and {need.concurrency:,} are "
        f"needed{missing}. {plan_reason}"
    )
