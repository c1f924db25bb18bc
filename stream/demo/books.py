"""What a worker must have counted, kept by who sends the events; nothing here is the worker's."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stream.events.logs import Event
from stream.units import DAY, HOUR, Millis

_COUNTED = {
    "view_item": "views",
    "select_item": "views",
    "add_to_cart": "carts",
    "add_to_wishlist": "wishes",
}


@dataclass(slots=True)
class _Line:
    """What is left of a line of an order."""

    product: str
    left: int


@dataclass(slots=True)
class Books:
    """An account of what was sent.

    Attributes:
        events: Clicks and orders sent, repetitions included.
        repeated: Those of them that had been sent before, and must not count.
        totals: Views, carts, wishes, order lines and units, less what was sent back.
        entries: Lines that a worker has to enter: a click is one, an order one for each product.
    """

    events: int = 0
    repeated: int = 0
    totals: Counter[str] = field(default_factory=Counter)
    entries: int = 0
    _seen: set[tuple[str, str]] = field(default_factory=set)
    _orders: dict[tuple[str, str], list[_Line]] = field(default_factory=dict)
    _early: dict[tuple[str, str], list[Mapping[str, Any]]] = field(default_factory=dict)
    _views: dict[int, Counter[str]] = field(default_factory=dict)

    def enter(self, event: Event) -> None:
        """Take note of an event that is sent."""
        if event.topic == "catalog":
            return
        said = event.value
        self.events += 1
        user, number = str(said["user_id"]), str(said["event_id"])
        if (user, number) in self._seen:
            self.repeated += 1
            return
        self._seen.add((user, number))
        if event.topic == "clicks":
            self._click(event.time, said)
            return
        order = (user, str(said["order_id"]))
        if said["type"] == "purchase":
            self._purchase(order, said["items"])
        elif order in self._orders:
            self._refund(order, said["items"])
        else:
            self._early.setdefault(order, []).extend(said["items"])

    def viewed(self, until: Millis) -> list[str]:
        """Rank the products by their views in the day before a time, most first."""
        day: Counter[str] = Counter()
        for hour, views in self._views.items():
            if until - DAY <= hour * HOUR <= until:
                day.update(views)
        return [product for product, _ in day.most_common()]

    def _click(self, time: Millis, said: Mapping[str, Any]) -> None:
        self.entries += 1
        kind = _COUNTED.get(said["type"])
        if kind is None:
            return
        self.totals[kind] += 1
        if kind == "views":
            hour = time // HOUR
            if hour not in self._views:
                self._views[hour] = Counter()
                self._views.pop(hour - 48, None)
            self._views[hour][str(said["product_id"])] += 1

    def _purchase(self, order: tuple[str, str], items: list[Mapping[str, Any]]) -> None:
        if order in self._orders:
            self.repeated += 1
            return
        lines = [_Line(str(item["product_id"]), int(item["quantity"])) for item in items]
        self._orders[order] = lines
        self.entries += len(lines)
        self.totals["orders"] += len(lines)
        self.totals["units"] += sum(line.left for line in lines)
        self._refund(order, self._early.pop(order, []))

    def _refund(self, order: tuple[str, str], items: list[Mapping[str, Any]]) -> None:
        """Take back what the purchase counted, no more than that."""
        for item in items:
            quantity = int(item["quantity"])
            for line in self._orders[order]:
                back = min(quantity, line.left) if line.product == str(item["product_id"]) else 0
                if back:
                    quantity -= back
                    line.left -= back
                    self.entries += 1
                    self.totals["units"] -= back
                    self.totals["orders"] -= line.left == 0
