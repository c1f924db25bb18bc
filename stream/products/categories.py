"""What happened in each category, summed up for the learner, who adds up all shards."""

from math import log

from stream.products.row import WIDTH
from stream.units import MINUTE

SLOT = 5 * MINUTE
"""Time of a sum is exact to this."""


class CategorySums:
    """Counts by category and time slot since they were last told.

    A sum holds one count for each of the row's kinds, then the number of prices seen and the
    sum of their logarithms.
    """

    __slots__ = ("_sums",)

    def __init__(self) -> None:
        self._sums: dict[tuple[str, int], list[float]] = {}

    def add(self, category: str | None, time: int, kind: int, amount: float) -> None:
        """Count something that happened to a product of a category."""
        if category is not None:
            self._sum(category, time)[kind] += amount

    def price(self, category: str | None, time: int, price: float | None) -> None:
        """Take note of a price that was seen in a category."""
        if category is not None and price:
            sums = self._sum(category, time)
            sums[WIDTH] += 1
            sums[WIDTH + 1] += log(price)

    def _sum(self, category: str, time: int) -> list[float]:
        return self._sums.setdefault((category, time // SLOT), [0.0] * (WIDTH + 2))

    def entries(self) -> list[list[object]]:
        """[category, time, sum] of each, once."""
        sums, self._sums = self._sums, {}
        return [[category, slot * SLOT, counts] for (category, slot), counts in sums.items()]
