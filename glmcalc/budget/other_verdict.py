"""From the points at which SGLang or llama.cpp may die to a verdict: the same rule as for vLLM, without its words."""

from __future__ import annotations

from glmcalc.budget.result import Verdict
from glmcalc.budget.verdict import Check
from glmcalc.facts.quantity import Band, gib


def decide(
    checks: list[Check], refusals: tuple[str, ...], uncertain: tuple[str, ...], capacity: str, settle: str
) -> Verdict:
    """The pessimistic end decides "fits", the optimistic end "does not fit"; between them, or with a doubt, it is marginal.

    Args:
        checks: in the order of a start.
        refusals: what the engine refuses or has no kernel for.
        uncertain: why no verdict can be better than marginal.
        capacity: one sentence of what the pool holds.
        settle: the log line that settles it.
    """
    if refusals:
        first = refusals[0]
        return Verdict("unsupported", None, first + "." * (not first.endswith(".")), "Take another GPU or engine.")
    for check in checks:
        if check.margin.high < 0:
            return Verdict("does_not_fit", check.stage, check.reason, check.advice, engine_message=check.engine_message)
    for check in sorted(checks, key=lambda one: one.margin.likely >= 0):  # what likely dies before what only may
        if check.margin.low < 0:
            message = check.engine_message if check.margin.likely < 0 else None
            return Verdict("marginal", check.stage, check.reason, check.advice, None, check.settle, message)
    if uncertain:
        reason = f"{capacity} But {uncertain[0].rstrip('.')}: no better than marginal."
        return Verdict("marginal", None, reason, f"Start once, and look at {settle}.", None, settle)
    return Verdict("fits", None, capacity, f"Run the command, then compare {settle}.")


def apart(have: Band, need: Band) -> Band:
    """What is left of ``have`` when ``need`` is taken: the ends as far apart as they can be."""
    return Band(have.low - need.high, have.likely - need.likely, have.high - need.low)


def spread(band: Band) -> str:
    """``low to high`` in GiB; one figure where there is no range."""
    if band.low == band.high:
        return gib(band.likely)
    return f"{gib(band.low)} to {gib(band.high)}"
