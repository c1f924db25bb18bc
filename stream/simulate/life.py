"""A run of a shop from its start: slices of time, each drawn at once and told in order.

    visits of a slice ─▶ clicks; those after the slice are held ────┐
                     └─▶ baskets ─▶ till ─▶ orders, refunds, stock ─┼─▶ events, sorted by time
    calendar ─▶ season ─▶ prices, new products ─────────────────────┘

Memory holds the products, the customers, the clicks of visits that are under way, and the
orders and refunds that are not due yet: a rate times a mean delay. It does not grow with time.
"""

from collections.abc import Iterator, Sequence
from itertools import count
from operator import itemgetter

import numpy as np

from stream.events.logs import Event
from stream.simulate.calendar import Calendar
from stream.simulate.catalogue import Catalogue
from stream.simulate.customers import CHANNELS, Customers
from stream.simulate.demand import CLICK, KINDS, VIEWS, Clicks, Demand
from stream.simulate.plan import ShopPlan, bustle
from stream.simulate.season import Season
from stream.simulate.till import Till
from stream.units import DAY, HOUR, Millis

VIEW_SHARE = 0.93
"""Share of clicks and orders that are views. The laws of `demand` make 4 % carts, 3 % orders."""
SLICES = tuple(HOUR // parts for parts in (1, 2, 3, 4, 6, 12, 20, 30, 60))
SLICE_EVENTS = 4_000
"""Events that a slice should hold at most, so that numpy pays and little is held."""


class Life:
    """A shop's life. It is told once."""

    def __init__(self, plan: ShopPlan, calendar: Calendar) -> None:
        self._start = plan.start
        self._visits_per_day = plan.events_per_day * VIEW_SHARE / VIEWS
        self._length = slice_length(plan.events_per_day)
        self._rng = plan.rng("life")
        self._mark = plan.mark
        self._serial = count(1)
        self._catalogue = Catalogue(plan)
        self._customers = Customers(plan, self._catalogue)
        self._demand = Demand(plan, self._catalogue, self._customers)
        self._season = Season(plan, calendar, self._catalogue)
        self._till = Till(plan, self._catalogue, self._customers, self._serial)
        self._held: Clicks = np.empty(0, dtype=CLICK)

    def events(self) -> Iterator[Event]:
        """Tell every event in order of its time, first of all products. There is no end."""
        begin = self._start
        for slot in range(len(self._catalogue.ids)):
            yield self._catalogue.told(slot, begin)
        while True:
            end = Millis(begin + self._length)
            events = [
                *self._season.turn(begin),
                *self._clicks(begin),
                *self._till.settle(end),
            ]
            events.sort(key=itemgetter(2))
            yield from events
            begin = end

    def _clicks(self, begin: Millis) -> Sequence[Event]:
        """Draw the visits of a slice, and tell all clicks that fall into it."""
        middle = Millis(begin + self._length // 2)
        levels = self._season.levels(middle)
        self._catalogue.look_for(levels.interest)
        expected = self._visits_per_day * self._length / DAY * bustle(middle)
        visits = int(self._rng.poisson(expected))
        if visits:
            clicks, baskets = self._demand.visits(visits, begin, self._length, levels)
            self._held = np.concatenate([self._held, clicks])
            self._till.take(baskets)
        now = self._held["time"] < begin + self._length
        due = self._held[now]
        self._held = self._held[~now]
        return self._told(due[np.argsort(due["time"], kind="stable")])

    def _told(self, clicks: Clicks) -> Sequence[Event]:
        users, products = self._customers.ids, self._catalogue.ids
        categories, prices = self._catalogue.names, self._catalogue.price.tolist()
        mark = self._mark
        return [
            Event(
                "clicks",
                users[customer],
                time,
                {
                    "event_id": f"{mark}{number:x}",
                    "type": KINDS[kind],
                    "time": time,
                    "user_id": users[customer],
                    "product_id": products[product],
                    "category": categories[product],
                    "price": prices[product],
                    "session_id": f"{mark}s{visit:x}",
                    "channel": CHANNELS[channel],
                },
            )
            # The clicks come first: when they end, no number has been taken in vain.
            for (time, kind, customer, product, visit, channel), number in zip(
                clicks.tolist(), self._serial, strict=False
            )
        ]


def slice_length(events_per_day: float) -> Millis:
    """Choose the longest slice that does not hold too many events, of an hour to a minute.

    >>> slice_length(200_000) / HOUR, slice_length(100_000_000) / HOUR * 60
    (0.3333333333333333, 1.0)
    """
    fitting = (s for s in SLICES if events_per_day * s / DAY <= SLICE_EVENTS)
    return Millis(next(fitting, SLICES[-1]))
