"""Penalised least squares on logarithms, with numpy: small, and the same on every run."""

from __future__ import annotations

import numpy as np

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Sequence

    Array = np.ndarray[Any, np.dtype[np.float64]]

Z90 = 1.6448536269514722  # half of a 90 % interval in standard deviations
_STEPS, _TOLERANCE, _NUDGE = 60, 1e-10, 1e-6


class Prior:
    """A coefficient before any row is seen: ``middle``, with a standard deviation of its logarithm."""

    def __init__(self, name: str, middle: float, spread: float) -> None:
        self.name = name
        self.middle = middle
        self.spread = spread


class Solution:
    """Coefficients by name, with the standard deviation of each one's logarithm."""

    def __init__(self, names: Sequence[str], logs: Array, covariance: Array) -> None:
        self.values = {name: float(np.exp(log)) for name, log in zip(names, logs)}
        self.spreads = {name: float(np.sqrt(covariance[i, i])) for i, name in enumerate(names)}
        self._covariance, self._places = covariance, {name: i for i, name in enumerate(names)}

    def band(self, name: str) -> tuple[float, float, float]:
        """Low end, middle and high end of a coefficient's 90 % interval."""
        factor = float(np.exp(Z90 * self.spreads[name]))
        middle = self.values[name]
        return middle / factor, middle, middle * factor

    def correlation(self, one: str, other: str) -> float:
        """Correlation of two coefficients' logarithms."""
        both = self._covariance[self._places[one], self._places[other]]
        return float(both / (self.spreads[one] * self.spreads[other]))


def solve(
    predict: Callable[[dict[str, Any]], Array], observed: Array, priors: Sequence[Prior], noise: float
) -> Solution:
    """Coefficients that bring ``predict`` close to ``observed`` in logarithms, each held by its prior.

    Gauss-Newton with halved steps from the priors' middles: no random number, one order of sums.

    Args:
        predict: seconds of each row from coefficients by name.
        observed: seconds of each row, above 0.
        noise: standard deviation of a row's logarithm.
    """
    names = [prior.name for prior in priors]
    centre = np.array([np.log(prior.middle) for prior in priors])
    weight = np.array([1.0 / prior.spread for prior in priors])

    def residuals(logs: Array) -> Array:
        seconds = predict({name: float(np.exp(log)) for name, log in zip(names, logs)})
        fitted = (np.log(seconds) - np.log(observed)) / noise
        every: Array = np.concatenate([fitted, (logs - centre) * weight])
        return every

    logs = centre.copy()
    now = residuals(logs)
    for _ in range(_STEPS):
        slope = _jacobian(residuals, logs, now)
        step = -np.linalg.lstsq(slope, now, rcond=None)[0]
        scale = 1.0
        while scale > 1e-4 and np.sum(residuals(logs + scale * step) ** 2) > np.sum(now**2):
            scale /= 2
        logs = logs + scale * step
        now = residuals(logs)
        if np.max(np.abs(scale * step)) < _TOLERANCE:
            break
    slope = _jacobian(residuals, logs, now)
    return Solution(names, logs, np.linalg.inv(slope.T @ slope))


def _jacobian(residuals: Callable[[Array], Array], logs: Array, now: Array) -> Array:
    columns = []
    for i in range(len(logs)):
        moved = logs.copy()
        moved[i] += _NUDGE
        columns.append((residuals(moved) - now) / _NUDGE)
    matrix: Array = np.stack(columns, axis=1)
    return matrix
