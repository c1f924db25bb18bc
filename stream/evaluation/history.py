"""What was sold in each window of a horizon, and what simple forecasters make of it."""

from collections.abc import Sequence
from math import nan

import numpy as np

from stream.evaluation.measures import Floats, Ints

ALPHAS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)
"""Rates of the simple exponential smoothing that hindsight chooses from."""
MEAN_OF = 4
SIMPLE = ("naive", "mean4", *(f"ses{alpha}" for alpha in ALPHAS))


class History:
    """What was sold in each window, by product: enough for the simple forecasters and a scale.

    Attributes:
        numbers: Products, numbered as they come.
        windows: So many lie before the scored part.
        units, sold: Of each product before the scored part: units, and windows with any.
    """

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.windows = 0
        self._recent = np.full((0, MEAN_OF), nan)
        self._levels = np.full((0, len(ALPHAS)), nan)
        self._before = np.zeros((0, 4))

    @property
    def units(self) -> Floats:
        """See above."""
        return np.asarray(self._before[:, 0])

    @property
    def sold(self) -> Floats:
        """See above."""
        return np.asarray(self._before[:, 1])

    @property
    def scale(self) -> Floats:
        """Root of the mean square error of the naive forecast before the scored part."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.sqrt(self._before[:, 2] / self._before[:, 3]))

    def number(self, products: Sequence[str]) -> Ints:
        """Number products; new ones are taken in."""
        numbers = self.numbers
        found = np.array(
            [numbers.setdefault(product, len(numbers)) for product in products], dtype=np.int64
        )
        if more := len(numbers) - len(self._recent):
            self._recent = np.vstack([self._recent, np.full((more, MEAN_OF), nan)])
            self._levels = np.vstack([self._levels, np.full((more, len(ALPHAS)), nan)])
            self._before = np.vstack([self._before, np.zeros((more, 4))])
        return found

    def add(self, units: dict[str, int], *, scored: bool) -> None:
        """A window is over; products without sales sold nothing."""
        found = self.number(tuple(units))
        now = np.zeros(len(self.numbers))
        now[found] = np.maximum(0, tuple(units.values()))
        last = self._recent[:, -1]
        if not scored:
            self.windows += 1
            known = ~np.isnan(last)
            self._before[:, 0] += now
            self._before[:, 1] += now > 0
            self._before[known, 2] += (now[known] - last[known]) ** 2
            self._before[known, 3] += 1
        self._recent = np.hstack([self._recent[:, 1:], now[:, None]])
        levels, rates = self._levels, np.array(ALPHAS)
        self._levels = np.where(
            np.isnan(levels), now[:, None], levels + rates * (now[:, None] - levels)
        )

    def simple(self, numbers: Ints) -> Floats:
        """What the simple forecasters say. Shape (products, forecasters)."""
        recent = np.nan_to_num(self._recent[numbers])
        seen = np.maximum(1, (~np.isnan(self._recent[numbers])).sum(axis=1))
        levels = np.nan_to_num(self._levels[numbers])
        return np.column_stack([recent[:, -1], recent.sum(axis=1) / seen, levels])

    def lags(self, numbers: Ints) -> Floats:
        """Logarithms of the units of the last windows, latest last, and of their mean.

        NaN for a window before the first sale of the product. Shape (products, windows + 1).
        """
        recent = self._recent[numbers]
        mean = self.simple(numbers)[:, SIMPLE.index("mean4")]
        return np.asarray(np.log1p(np.column_stack([recent, mean])))
