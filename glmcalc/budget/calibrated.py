"""A machine's measured terms brought to another length, batch or depth of speculation.

What a formula scales with is kept, what it is worth is measured: a term at the new setting is the measured one times the
ratio of the formula's two values, or the measured one where nothing scales. Differences between two settings of one
machine are known far better than their sums.
"""

from __future__ import annotations

from glmcalc.budget import runtime
from glmcalc.budget.result import Component
from glmcalc.budget.terms import stock_terms
from glmcalc.facts.columns import larger, rounded
from glmcalc.facts.frozen import record
from glmcalc.facts.quantity import Band, combine
from glmcalc.model.resolved import Resolved, measured_at, mismatch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from glmcalc.model.calibration import Calibration

SOURCE = "as measured by the start-up log of this machine (glmcalc calibrate)"
RESIDUAL = "not_explained"
_SCALE = ("workspaces", "activation_peak", "cuda_graphs")
# Half of what a scaled term moved by may be wrong: the ranges of its coefficients span factors of 2 to 3 to each side.
_DOUBT_OF_A_MOVE = 0.5


@record
class Calibrated:
    """A calibration at one deployment.

    Attributes:
        terms: components inside utilization beside weights and pool.
        weights_shift: bytes on top of the closed form's weights.
        weights_printed: whether the log printed the weights.
        spread: how far the sum of all terms may be off, around 0, bytes. Far less than the terms' own ranges make together:
            their sum was measured, only its share-out and what moved since is open.
        graphs_above: captured graphs above their estimate, bytes; None where it was not printed.
    """

    terms: tuple[Component, ...]
    weights_shift: int
    weights_printed: bool
    spread: Band
    graphs_above: int | None


def calibrated(r: Resolved) -> Calibrated | None:
    """The deployment's calibration applied to it; None without one, or where it says nothing of this deployment."""
    calibration: Calibration | None = r.asked.calibration
    if calibration is None or mismatch(calibration, r) is not None:
        return None
    at = measured_at(calibration)
    printed = calibration.weights_printed
    before, now = (_prior(one, printed) for one in (at, r))
    if r.version.fork:
        terms = [_forks_overhead(calibration.term("fork_overhead"), before, now)]
        moves = [_difference(before[name].band, now[name].band) for name in now]
    else:
        terms = [_moved(calibration.term(name), before[name], now[name]) for name in now]
        moves = [_move_of(calibration.term(name), before[name], term) for name, term in zip(now, terms)]
    if r.asked.weights_bytes is not None:
        terms = [component for component in terms if component.name != "load_extras"]
    residual = calibration.term(RESIDUAL)
    if residual is not None:
        terms.append(
            Component(RESIDUAL, "Not explained", residual, True, "calibrated", SOURCE, "measured, by no formula")
        )
    shift = calibration.weights_shift_bytes
    if printed and runtime.workspace_in_printed_weights(r):
        shift += runtime.workspace_bytes(r) - runtime.workspace_bytes(at)
    return Calibrated(tuple(terms), shift, printed, _spread(moves, _half_width(r, at)), calibration.graphs_above_bytes)


def _prior(r: Resolved, printed: bool) -> dict[str, Component]:
    """The uncalibrated terms by name; a fork's too, for how they move."""
    return {component.name: component for component in stock_terms(r, printed)}


def _moved(measured: Band | None, before: Component, now: Component) -> Component:
    """One term at the new setting."""
    if measured is None or before.band.nothing or now.band.nothing:
        return now  # not measured, or only one of the two settings has it
    likely = measured.likely
    if now.name in _SCALE and before.band.likely > 0:
        # in floats: two sizes multiplied are beyond whole numbers of 64 bits
        likely = rounded(1.0 * measured.likely * now.band.likely / before.band.likely)
    doubt = rounded(_DOUBT_OF_A_MOVE * abs(likely - measured.likely))
    band = _at_least_zero(
        likely - (measured.likely - measured.low) - doubt, likely, likely + measured.high - measured.likely + doubt
    )
    return Component(now.name, now.label, band, True, "calibrated", SOURCE, now.note)


def _forks_overhead(measured: Band | None, before: dict[str, Component], now: dict[str, Component]) -> Component:
    """A fork's overhead, which no formula splits: as measured, moved by what upstream's formulas say of the difference."""
    moves = [_difference(before[name].band, now[name].band) for name in now]
    sum_ = combine([measured or Band.exact(0), *moves])
    note = "as measured" if all(move.nothing for move in moves) else "measured; moved by upstream's formulas"
    band = _at_least_zero(sum_.low, sum_.likely, sum_.high)
    return Component("fork_overhead", "Fork's overhead", band, True, "calibrated", SOURCE, note)


def _move_of(measured: Band | None, before: Component, now: Component) -> Band:
    """What a term moved by since it was measured."""
    return _difference(before.band if measured is None else measured, now.band)


def _spread(moves: list[Band], half_width: int) -> Band:
    """The ranges of the moves and the least half width, as independent errors around 0."""
    around = [Band(move.low - move.likely, 0, move.high - move.likely) for move in moves]
    return combine([*around, Band(-half_width, 0, half_width)])


def _difference(before: Band, now: Band) -> Band:
    """What a term moves by: with its whole range where only one of two settings has it, else half of it to each side."""
    if before.nothing:
        return now
    if now.nothing:
        return Band(-before.high, -before.likely, -before.low)
    move = now.likely - before.likely
    doubt = rounded(_DOUBT_OF_A_MOVE * abs(move))
    return Band(move - doubt, move, move + doubt)


def _at_least_zero(low: int, likely: int, high: int) -> Band:
    return Band(larger(low, 0), larger(likely, 0), larger(high, 0))


def _half_width(r: Resolved, at: Resolved) -> int:
    shared = r.device.architecture == "sm121"
    width = runtime.term("calibrated_half_width_shared" if shared else "calibrated_half_width").likely
    if r.version.release != at.version.release or r.version.fork != at.version.fork or r.record != at.record:
        width += runtime.term("calibrated_half_width_other").likely
    return round(width)
