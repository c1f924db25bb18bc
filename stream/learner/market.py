"""What the shop has announced, and what it tells of the world outside: promotions, signals."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from stream.models.promotions import Promotion, Promotions
from stream.models.snapshots import readable
from stream.units import DAY, Millis, rfc3339

MOST_PROMOTIONS = 50_000
"""Promotions that are remembered; beyond them, those that ended first are forgotten."""
MOST_SIGNALS = 1_000
HALF_LIFE = 28.0
"""Days after which a signal's value counts half in its usual one."""


class Signal(NamedTuple):
    """The latest of a signal.

    Attributes:
        usual: Faded mean of its values.
        weight: How many values stand behind that.
    """

    name: str
    category: str | None
    time: int
    value: float
    usual: float
    weight: float

    def next(self, time: int, value: float) -> "Signal":
        """Take a later value in."""
        weight = self.weight * 0.5 ** ((time - self.time) / DAY / HALF_LIFE) + 1.0
        usual = self.usual + (value - self.usual) / weight
        return self._replace(time=time, value=value, usual=usual, weight=weight)


class Market:
    """Promotions and signals, pruned and bounded.

    Attributes:
        promotions: The calendar.
        signals: By name and category.

    >>> market = Market()
    >>> for time, value in ((0, 10.0), (0, 20.0), (DAY, 12.0)):
    ...     market.hear({"type": "signal", "name": "rain", "time": time, "value": value})
    >>> [(s.value, round(s.usual, 1)) for s in market.signals.values()]
    [(12.0, 14.0)]
    """

    def __init__(self) -> None:
        self.promotions = Promotions()
        self.signals: dict[tuple[str, str | None], Signal] = {}

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
        name, category, time, value = (
            said["name"],
            said.get("category"),
            said["time"],
            said["value"],
        )
        known = self.signals.get((name, category))
        if known is None:
            self.signals[name, category] = Signal(name, category, time, value, value, 1.0)
        elif time >= known.time:
            self.signals[name, category] = known.next(time, value)

    def prune(self, now: int) -> None:
        """Forget what has no bearing any more, and what is too much."""
        self.promotions.prune(now)
        if len(self.promotions) > MOST_PROMOTIONS:
            by_end = sorted(self.promotions.all(), key=lambda promotion: promotion.ends)
            for promotion in by_end[: len(by_end) - MOST_PROMOTIONS]:
                self.promotions.withdraw(promotion.id)
        if len(self.signals) > MOST_SIGNALS:
            latest = sorted(self.signals.values(), key=lambda signal: -signal.time)
            self.signals = {(s.name, s.category): s for s in latest[:MOST_SIGNALS]}

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
                }
                for signal in self.signals.values()
            ],
        }

    def state(self) -> dict[str, Any]:
        """Write down as plain values."""
        return {
            "promotions": self.promotions.state(),
            "signals": [list(signal) for signal in self.signals.values()],
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Self:
        """Read what `state` has written."""
        with readable("market"):
            new = cls()
            new.promotions = Promotions.restored(state["promotions"])
            for fields in state["signals"]:
                signal = Signal(*fields)
                new.signals[signal.name, signal.category] = signal
        return new
