"""How far off forecasts have been of late: the band around the next one."""

from collections.abc import Mapping
from math import isfinite
from typing import Any, Self

from stream.models.linear import units
from stream.models.snapshots import readable

LEVELS = (0.1, 0.5, 0.9)
MEMORY = 500.0
FIRST_SPREAD = 0.5
"""Mean error before any is known, in log units: about half as much again, or a third less."""
_PATIENCE = 10.0
_GAINS = (7.0, 3.0, 7.0)
"""Step sizes in spreads: one over the density there, between a normal and a Laplace law's."""


class ResidualQuantiles:
    """Running p10, p50 and p90 of log residuals, which follow change.

    Each step moves a quantile up by its level if the residual lies above it, else down by the
    rest. River's P² estimator was not chosen: its numbers cannot be read out or put back, and
    it never forgets.

    Source:
        Robbins and Monro, "A Stochastic Approximation Method", 1951; the quantile recursion as
        in Tierney, SIAM J. Sci. Stat. Comput. 4, 1983.

    >>> residuals = ResidualQuantiles()
    >>> for error in (0.2, -0.1, 0.0) * 100:
    ...     residuals.add(error)
    >>> low, middle, high = residuals.quantiles()
    >>> low < middle < high
    True
    """

    def __init__(self) -> None:
        self._count = 0
        self._spread = FIRST_SPREAD
        self._quantiles = [-1.5 * FIRST_SPREAD, 0.0, 1.5 * FIRST_SPREAD]

    def add(self, residual: float) -> None:
        """Take note of log1p(actual) less the prediction. What is no finite number is left out."""
        if not isfinite(residual):
            return
        self._count += 1
        age = min(self._count + _PATIENCE, MEMORY)
        quantiles = self._quantiles
        self._spread += (abs(residual - quantiles[1]) - self._spread) / age
        for place, (level, gain) in enumerate(zip(LEVELS, _GAINS, strict=True)):
            push = level if residual > quantiles[place] else level - 1.0
            quantiles[place] += gain * self._spread / age * push

    def quantiles(self) -> tuple[float, float, float]:
        """Residuals that 10, 50 and 90 of 100 stay under, in log units, in order."""
        low, middle, high = sorted(self._quantiles)
        return low, middle, high

    def band(self, log_units: float) -> tuple[float, float, float]:
        """Turn a regressor's forecast into p10, p50 and p90, in units."""
        low, middle, high = self.quantiles()
        return units(log_units + low), units(log_units + middle), units(log_units + high)

    def state(self) -> dict[str, Any]:
        """Write down as plain numbers."""
        return {
            "count": self._count,
            "spread": self._spread,
            "quantiles": list(self._quantiles),
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Self:
        """Read what `state` has written."""
        with readable("residuals"):
            new = cls()
            new._count = int(state["count"])
            new._spread = float(state["spread"])
            low, middle, high = map(float, state["quantiles"])
            new._quantiles = [low, middle, high]
        return new
