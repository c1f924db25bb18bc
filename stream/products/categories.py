"""What happened in each category, summed up for the learner, who adds up all shards."""

from math import log

from stream.products.row import WIDTH
from stream.units import MINUTE

SLOT = 5 * MINUTE
"""Time of a sum is exact to this."""


class CategorySums:
    """Counts by category and time slot since they were last told.

    A sum holds one count for each of the row's kinds, then customers who had not touched a
    product before, the number of prices seen, and the sum of their logarithms.
    """

    __slots__ = ("_sums",)

    def __init__(self) -> None:
        self._sums: dict[tuple[str, int], list[float]] = {}

    def click(
        self, category: str | None, time: int, kind: int | None, price: float | None, first: int
    ) -> None:
        """Count a click, where its kind is counted, and take note of the price that was seen."""
        if category is None:
            return
        sums = self._sum(category, time)
        if kind is not None:
            sums[kind] += 1
            sums[WIDTH] += first
        if price:
            sums[WIDTH + 1] += 1
            sums[WIDTH + 2] += log(price)

    def order(self, category: str | None, time: int, kind: int, amount: float) -> None:
        """Count what was sold, or refunded."""
        if category is not None:
            self._sum(category, time)[kind] += amount

    def _sum(self, category: str, time: int) -> list[float]:
        slot = category, time // SLOT
        sums = self._sums.get(slot)
        if sums is None:
            sums = self._sums[slot] = [0.0] * (WIDTH + 3)
        return sums

    def entries(self) -> list[list[object]]:
        """[category, time, sum] of each, once."""
        sums, self._sums = self._sums, {}
        return [[category, slot * SLOT, counts] for (category, slot), counts in sums.items()]
