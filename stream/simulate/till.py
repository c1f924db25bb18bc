"""What follows the decision to buy: orders, refunds, stock that runs low and is filled up."""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from stream.events.logs import Event
from stream.simulate.catalogue import Catalogue
from stream.simulate.customers import CHANNELS, Customers
from stream.simulate.demand import Basket
from stream.simulate.plan import ShopPlan
from stream.units import DAY, Millis

REFUNDS = 0.06
"""Share of orders that are refunded."""
IN_PART = 0.5
"""Share of refunds that take back one line, or some of its units, and not the whole order."""
REFUND_AFTER = (1, 12)
"""Days between an order and its refund, from and to."""


@dataclass(frozen=True, slots=True)
class _Refund:
    """Something will be sent back."""

    order: Mapping[str, Any]
    items: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class _Delivery:
    """The supplier will bring goods, if the product is still the one that was on sale then."""

    slot: int
    listed_at: Millis


class Till:
    """Holds what is due later, and carries it out in order of time."""

    def __init__(
        self, plan: ShopPlan, catalogue: Catalogue, customers: Customers, serial: Iterator[int]
    ) -> None:
        """Begin with nothing pending.

        Args:
            plan: The shop's plan.
            catalogue: What is sold, and how much of it there is.
            customers: Who orders.
            serial: Gives each event a number of its own.
        """
        self._rng = plan.rng("till")
        self._mark = plan.mark
        self._catalogue = catalogue
        self._users = customers.ids
        self._serial = serial
        self._arrivals = count()
        self._pending: list[tuple[Millis, int, Basket | _Refund | _Delivery]] = []

    def take(self, baskets: Sequence[Basket]) -> None:
        """Keep baskets until they are due."""
        for basket in baskets:
            self._keep(basket.due, basket)

    def settle(self, end: Millis) -> Sequence[Event]:
        """Carry out all that is due before a time."""
        events: list[Event] = []
        while self._pending and self._pending[0][0] < end:
            now, _, due = heapq.heappop(self._pending)
            match due:
                case Basket():
                    events += self._sold(due, now)
                case _Refund():
                    events.append(self._refunded(due, now))
                case _Delivery():
                    events += self._delivered(due, now)
        return events

    def _keep(self, at: Millis, what: Basket | _Refund | _Delivery) -> None:
        heapq.heappush(self._pending, (at, next(self._arrivals), what))

    def _sold(self, basket: Basket, now: Millis) -> Sequence[Event]:
        """Place an order of what there is, and tell of stock that has run low."""
        sold = [
            (slot, taken)
            for slot, wanted in basket.lines.items()
            if self._catalogue.listed_at(slot) <= basket.decided
            and (taken := self._catalogue.take(slot, wanted))
        ]
        if not sold:
            return ()
        order = self._order(basket, sold, now)
        if self._rng.random() < REFUNDS:
            wait = int(self._rng.uniform(*REFUND_AFTER) * DAY)
            self._keep(Millis(now + wait), _Refund(order, self._sent_back(order["items"])))
        return Event("orders", order["user_id"], now, order), *self._restocked(sold, now)

    def _order(
        self, basket: Basket, sold: Sequence[tuple[int, int]], now: Millis
    ) -> dict[str, Any]:
        catalogue = self._catalogue
        number = next(self._serial)
        return {
            "event_id": f"{self._mark}{number:x}",
            "type": "purchase",
            "time": now,
            "order_id": f"{self._mark}o{number:x}",
            "user_id": self._users[basket.customer],
            "items": [
                {
                    "product_id": catalogue.ids[slot],
                    "quantity": quantity,
                    "price": float(catalogue.price[slot]),
                    "category": catalogue.names[slot],
                }
                for slot, quantity in sold
            ],
            "channel": CHANNELS[basket.channel],
        }

    def _restocked(self, sold: Sequence[tuple[int, int]], now: Millis) -> Iterator[Event]:
        """Order more of what has run low, and tell of stock that has changed much."""
        catalogue = self._catalogue
        for slot, _ in sold:
            if catalogue.is_low(slot):
                delivery = _Delivery(slot, catalogue.listed_at(slot))
                self._keep(catalogue.order_more(slot, now), delivery)
            if catalogue.is_news(slot):
                yield catalogue.told(slot, now)

    def _sent_back(self, items: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """Choose what of an order comes back."""
        if self._rng.random() >= IN_PART:
            return items
        item = items[int(self._rng.integers(len(items)))]
        return [{**item, "quantity": int(self._rng.integers(1, item["quantity"] + 1))}]

    def _refunded(self, back: _Refund, now: Millis) -> Event:
        event_id = f"{self._mark}{next(self._serial):x}"
        changes = {"event_id": event_id, "type": "refund", "time": now, "items": back.items}
        return Event("orders", back.order["user_id"], now, {**back.order, **changes})

    def _delivered(self, delivery: _Delivery, now: Millis) -> Sequence[Event]:
        if self._catalogue.listed_at(delivery.slot) > delivery.listed_at:
            return ()
        self._catalogue.fill(delivery.slot, now)
        return (self._catalogue.told(delivery.slot, now),)
