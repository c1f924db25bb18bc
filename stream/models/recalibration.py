"""A last line through the log-odds, so that what is said to happen once in fifty times does."""

from collections.abc import Mapping
from typing import Any, Self

from stream.models.linear import probability
from stream.models.snapshots import readable

CENTRE = -3.5
"""Log-odds around which the line turns: about three in a hundred."""
FIRST_SHIFT = 100.0
FIRST_SLOPE = 1_000.0
"""How firmly no correction is believed in at first: precisions of the shift and of the slope."""
MEMORY = 20_000.0
"""Labels after which certainty has grown old by as much as it was."""
SLOPES = (0.2, 2.0)
SHIFTS = (-4.0, 4.0)
FLOOR = 1e-3
"""Least curvature that a label is taken to have."""


class Recalibration:
    """Slope and intercept on the log-odds, learned online: Platt's scaling that goes on.

    It stays linear, so that reasons stay exact.

    Source:
        Platt, "Probabilistic Outputs for Support Vector Machines", 1999, by one step of an
        extended Kalman filter for each label.

    >>> line = Recalibration()
    >>> line.corrected(-2.0)
    -2.0
    >>> for happened in [True, False, False, False] * 500:
    ...     line.learn(-4.0, happened)
    >>> 0.15 < probability(line.corrected(-4.0)) < 0.26
    True
    """

    def __init__(self) -> None:
        self._shift = 0.0
        self._slope = 1.0
        self._covariance = [1.0 / FIRST_SHIFT, 0.0, 1.0 / FIRST_SLOPE]

    @property
    def slope(self) -> float:
        """What log-odds are multiplied with."""
        return self._slope

    @property
    def intercept(self) -> float:
        """What is added then."""
        return self._shift + CENTRE * (1.0 - self._slope)

    def corrected(self, log_odds: float) -> float:
        """Correct log-odds."""
        return self.intercept + self._slope * log_odds

    def learn(self, log_odds: float, y: bool, weight: float = 1.0, *, late: bool = False) -> None:  # noqa: FBT001 (a label)
        """Learn what came of log-odds that were said before.

        Args:
            log_odds: Not corrected.
            y: Did it happen?
            weight: How many examples this one stands for.
            late: It was told as a negative before, which is taken back.
        """
        gap = log_odds - CENTRE
        a, b, c = self._covariance
        p = probability(self.corrected(log_odds))
        reach = (a + b * gap, b + c * gap)
        if late:
            self._move(reach, weight)
            return
        curvature = weight * max(p * (1.0 - p), FLOOR)
        surprise = 1.0 + curvature * (reach[0] + reach[1] * gap)
        self._move(reach, weight * (float(y) - p) / surprise)
        shrink = curvature / surprise
        grow = 1.0 + weight / MEMORY
        self._covariance = [
            min(1.0 / FIRST_SHIFT, (a - shrink * reach[0] * reach[0]) * grow),
            (b - shrink * reach[0] * reach[1]) * grow,
            min(1.0 / FIRST_SLOPE, (c - shrink * reach[1] * reach[1]) * grow),
        ]
        self._bound()

    def _move(self, reach: tuple[float, float], residual: float) -> None:
        self._shift = min(max(self._shift + reach[0] * residual, SHIFTS[0]), SHIFTS[1])
        self._slope = min(max(self._slope + reach[1] * residual, SLOPES[0]), SLOPES[1])

    def _bound(self) -> None:
        """Keep shift and slope from being taken for one and the same thing."""
        a, b, c = self._covariance
        most = 0.99 * (a * c) ** 0.5
        self._covariance[1] = min(max(b, -most), most)

    def forget(self) -> None:
        """Believe in what was learned no more firmly than at the start."""
        self._covariance = [1.0 / FIRST_SHIFT, 0.0, 1.0 / FIRST_SLOPE]

    def state(self) -> list[float]:
        """Write down as plain numbers."""
        return [self._shift, self._slope, *self._covariance]

    @classmethod
    def restored(cls, state: list[float] | Mapping[str, Any]) -> Self:
        """Read what `state` has written."""
        with readable("recalibration"):
            new = cls()
            shift, slope, *covariance = map(float, state)
            new._shift, new._slope = shift, slope
            a, b, c = covariance
            new._covariance = [a, b, c]
        return new
