"""How far off forecasts have been of late, by how much was expected: the band around the next."""

from bisect import bisect_left
from collections.abc import Mapping
from itertools import accumulate
from math import exp, floor, log, log2
from typing import Any, Self

from stream.models.linear import LIMIT
from stream.models.snapshots import readable

SIZES = 9
"""Kinds of forecasts, by the expected units: under 1, under 3, under 7 … 255 and above."""
CELLS = 60
REACH = 4.0
"""Logarithm of the largest ratio of actual to expected that is told from larger ones."""
HALF_LIFE = 28.0
"""Days after which an error counts half."""
PRIOR = 20.0
"""Errors that are believed in before any is known: a normal law of this deviation, in logs."""
PRIOR_DEVIATION = 0.8
SHARED = 0.5
"""Added to units before their logarithm is taken, so that none at all has one."""
LEAST_CHANCE = 1e-4
_CELL = 2.0 * REACH / CELLS
_FAR = 40.0


def _first() -> list[float]:
    middles = [-REACH + (cell + 0.5) * _CELL for cell in range(CELLS)]
    worth = [exp(-((middle / PRIOR_DEVIATION) ** 2) / 2.0) for middle in middles]
    total = sum(worth)
    return [PRIOR * one / total for one in worth]


_PRIOR = _first()


class Bands:
    """Histograms of the ratio of actual to expected units, faded, one for each size.

    A histogram knows all quantiles, and the chance of any demand. It follows change, and what
    it says of an expectation is what came of others like it, without a law to be assumed:
    intervals from it cover what they should where demand comes in lumps as well.

    Source:
        Empirical (split-conformal) intervals: Vovk et al., "Algorithmic Learning in a Random
        World", 2005, by taxonomy of the expected size.

    >>> bands = Bands()
    >>> for day in range(100):
    ...     for sold in (5.0, 10.0, 20.0, 0.0, 40.0):
    ...         bands.learn(float(day), 10.0, sold)
    >>> low, middle, high = bands.quantiles(10.0)
    >>> low < 1.0 < 8.0 < middle < 12.0 < 30.0 < high
    True
    """

    def __init__(self) -> None:
        self._counts = [[0.0] * CELLS for _ in range(SIZES)]
        self._landmark: float | None = None
        self._latest = 0.0
        self._sums: dict[int, list[float]] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bands) and self.state() == other.state()

    __hash__ = None  # type: ignore[assignment]  # it changes

    def learn(self, day: float, expected: float, sold: float) -> None:
        """Take note of what came of a forecast. A number beyond belief is left out.

        Args:
            day: When, in days. Any order.
            expected: Units. Not negative.
            sold: Units. Below zero counts as zero.
        """
        if not (abs(day) <= LIMIT and abs(expected) <= LIMIT and abs(sold) <= LIMIT):
            return
        if self._landmark is None:
            self._landmark = self._latest = day
        self._latest = max(self._latest, day)
        if day - self._landmark > _FAR * HALF_LIFE:
            faded = 0.5 ** ((day - self._landmark) / HALF_LIFE)
            self._counts = [[count * faded for count in counts] for counts in self._counts]
            self._landmark = day
        ratio = log((max(0.0, sold) + SHARED) / (max(0.0, expected) + SHARED))
        cell = max(0, min(CELLS - 1, floor((ratio + REACH) / _CELL)))
        size = _size(expected)
        self._counts[size][cell] += 2.0 ** ((day - self._landmark) / HALF_LIFE)
        self._sums.pop(size, None)

    def quantiles(
        self, expected: float, levels: tuple[float, ...] = (0.1, 0.5, 0.9)
    ) -> tuple[float, ...]:
        """Units that a share of forecasts like this one stayed under: for each level, in order.

        Less than half a unit is none: a cell is wider than that where little is expected.
        """
        sums = self._summed(_size(expected))
        answers = []
        for level in levels:
            aim = level * sums[-1]
            cell = min(CELLS - 1, bisect_left(sums, aim))
            before = sums[cell - 1] if cell else 0.0
            ratio = -REACH + _CELL * (cell + (aim - before) / (sums[cell] - before))
            units = (max(0.0, expected) + SHARED) * exp(ratio) - SHARED
            answers.append(units if units >= SHARED else 0.0)
        return tuple(answers)

    def chance(self, expected: float, least: float) -> float:
        """Give the probability that at least so many units will be sold, of 1 or more.

        Args:
            expected: Units.
            least: Units; demand is a whole number, so that half a unit less makes the border.
        """
        sums = self._summed(_size(expected))
        ratio = log(max(SHARED, least) / (max(0.0, expected) + SHARED))
        place = max(0.0, min(CELLS - 1e-9, (ratio + REACH) / _CELL))
        cell = floor(place)
        before = sums[cell - 1] if cell else 0.0
        under = (before + (sums[cell] - before) * (place - cell)) / sums[-1]
        return max(LEAST_CHANCE, min(1.0 - LEAST_CHANCE, 1.0 - under))

    def _summed(self, size: int) -> list[float]:
        sums = self._sums.get(size)
        if sums is None:
            landmark = self._latest if self._landmark is None else self._landmark
            faded = 0.5 ** ((self._latest - landmark) / HALF_LIFE)
            both = zip(self._counts[size], _PRIOR, strict=True)
            sums = list(accumulate(count * faded + prior for count, prior in both))
            self._sums[size] = sums
        return sums

    def state(self) -> dict[str, Any]:
        """Write down as plain numbers."""
        return {
            "counts": [list(counts) for counts in self._counts],
            "landmark": self._landmark,
            "latest": self._latest,
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Self:
        """Read what `state` has written."""
        with readable("bands"):
            new = cls()
            counts = [[float(count) for count in counts] for counts in state["counts"]]
            if len(counts) != SIZES or any(len(row) != CELLS for row in counts):
                raise ValueError(f"bands have {SIZES} sizes and {CELLS} cells")
            new._counts = counts
            landmark = state["landmark"]
            new._landmark = None if landmark is None else float(landmark)
            new._latest = float(state["latest"])
        return new


def _size(expected: float) -> int:
    return max(0, min(SIZES - 1, floor(log2(max(0.0, expected) + 1.0))))
