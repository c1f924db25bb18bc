"""What the shop has announced, and what it tells of the world outside: promotions, signals."""

from collections.abc import Mapping
from typing import Any

from stream.models.promotions import Promotion, Promotions
from stream.models.signals import Signals
from stream.units import Millis, rfc3339

MOST_PROMOTIONS = 50_000
"""Promotions that are remembered; beyond them, those that ended first are forgotten."""


class Market:
    """Promotions and signals, pruned and bounded.

    Attributes:
        promotions: The calendar.
        signals: The latest of each.
    """

    def __init__(self) -> None:
        self.promotions = Promotions()
        self.signals = Signals()

    def hear(self, said: Mapping[str, Any]) -> None:
        """Take note of a market event. What is said later of a promotion holds."""
        if said["type"] == "promotion":
            self.promotions.announce(
                Promotion(
                    said["promotion_id"],
                    said["starts"],
                    said["ends"],
                    said.get("discount"),
                    said.get("product_id"),
                    said.get("category"),
                )
            )
            return
        self.signals.hear(said["name"], said.get("category"), said["time"], said["value"])

    def prune(self, now: int) -> None:
        """Forget what has no bearing any more, and what is too much."""
        self.promotions.prune(now)
        if len(self.promotions) > MOST_PROMOTIONS:
            by_end = sorted(self.promotions.all(), key=lambda promotion: promotion.ends)
            for promotion in by_end[: len(by_end) - MOST_PROMOTIONS]:
                self.promotions.withdraw(promotion.id)

    def report(self, now: Millis) -> dict[str, Any]:
        """Show what is known."""
        promotions = self.promotions.all()
        return {
            "promotions": len(promotions),
            "running": sum(p.starts <= now < p.ends for p in promotions),
            "announced": sum(p.starts > now for p in promotions),
            "signals": [
                {
                    "name": signal.name,
                    "category": signal.category,
                    "time": rfc3339(Millis(signal.time)),
                    "value": signal.value,
                    "usual": signal.usual,
                    "deviation": signal.deviation,
                }
                for signal in self.signals
            ],
        }
