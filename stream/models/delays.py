"""How soon after a click its order comes."""

from collections.abc import Mapping
from typing import Any, Self

from stream.models.linear import LIMIT
from stream.models.snapshots import readable
from stream.units import DAY, HOUR, MINUTE, Millis, span_name

SPANS = tuple(
    Millis(span) for span in (MINUTE, 3 * MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, DAY, 7 * DAY)
)
MEMORY = 20_000.0
"""Clicks with an order after which one counts for 1/e."""


class DelayCurve:
    """Shares of the clicks with an order whose order came within some spans.

    >>> curve = DelayCurve()
    >>> for delay in (30_000, 30_000, 120_000, 7_200_000):
    ...     curve.add(delay)
    >>> {span: round(share, 2) for span, share in curve.report().items()}
    {'1m': 0.5, '3m': 0.75, '10m': 0.75, '1h': 0.75, '6h': 1.0, '1d': 1.0, '7d': 1.0}
    """

    def __init__(self) -> None:
        self._total = 0.0
        self._within = [0.0] * len(SPANS)

    def add(self, delay: int, weight: float = 1.0) -> None:
        """Take note of an order.

        Args:
            delay: From the click to its order, ms.
            weight: How many clicks this one stands for.
        """
        if not 0.0 < weight <= LIMIT:
            return
        keep = 1.0 - 1.0 / MEMORY
        self._total = self._total * keep + weight
        self._within = [
            within * keep + (weight if delay <= span else 0.0)
            for span, within in zip(SPANS, self._within, strict=True)
        ]

    def report(self) -> dict[str, float]:
        """Give the shares by span; none before the first order."""
        if not self._total:
            return {}
        return {
            span_name(span): within / self._total
            for span, within in zip(SPANS, self._within, strict=True)
        }

    def state(self) -> dict[str, Any]:
        """Write down as plain numbers."""
        return {"total": self._total, "within": self._within}

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Self:
        """Read what `state` has written."""
        with readable("delay curve"):
            new = cls()
            new._total = float(state["total"])
            new._within = [float(within) for within in state["within"]]
            if len(new._within) != len(SPANS):
                raise ValueError(f"{len(new._within)} sums for {len(SPANS)} spans")
        return new
