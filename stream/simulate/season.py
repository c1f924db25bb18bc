"""What goes on in the shop now: trends, promotions, new products, and a little drift."""

from collections.abc import Sequence

import numpy as np

from stream.events.logs import Event
from stream.simulate.calendar import Calendar, Day, Promotion, Trend
from stream.simulate.catalogue import Catalogue
from stream.simulate.demand import Levels
from stream.simulate.plan import Floats, ShopPlan
from stream.units import DAY, HOUR, Millis

DRIFT, DRIFT_KEPT = 0.08, 0.8
"""Overnight change of a product's usual interest, a logarithm, and the share of it that stays."""
LOUDER = 2.0
"""A product reduced by 10 % is this many times 10 % more looked for."""


class Season:
    """Carries out the calendar, hour by hour, and knows what it does to each product."""

    def __init__(self, plan: ShopPlan, calendar: Calendar, catalogue: Catalogue) -> None:
        self._start = plan.start
        self._calendar = calendar
        self._catalogue = catalogue
        self._rng = plan.rng("season")
        self._day = Day((), (), ())
        self._trends: list[Trend] = []
        self._promotions: list[Promotion] = []
        self._usual: Floats = np.ones(plan.products)

    def turn(self, now: Millis) -> Sequence[Event]:
        """Begin and end what is due on the hour, and tell of the products that it changes."""
        number, passed = divmod(now - self._start, DAY)
        if passed == 0:
            self._open(number, now)
        if passed % HOUR:
            return ()
        catalogue = self._catalogue
        events: list[Event] = []
        for listing in self._day.listings:
            if listing.at == now:
                events += catalogue.relist(listing)
        changed = catalogue.reduce(self._discounts(now))
        return events + [catalogue.told(slot, now) for slot in changed.tolist()]

    def levels(self, at: Millis) -> Levels:
        """Say how much each product is looked for, put into carts and bought, against the usual."""
        interest = self._usual * (1 + LOUDER * self._catalogue.discount)
        carts, sales = interest.copy(), interest.copy()
        for trend in self._trends:
            seen, sold = trend.interest(at), trend.sales(at)
            interest[trend.slot] *= seen
            carts[trend.slot] *= sold if trend.kind == "fad" else seen
            sales[trend.slot] *= sold
        return Levels(interest, carts, sales)

    def _open(self, number: int, now: Millis) -> None:
        self._day = self._calendar.day(number)
        self._trends = [t for t in (*self._trends, *self._day.trends) if t.ends > now]
        self._promotions = [p for p in (*self._promotions, *self._day.promotions) if p.ends > now]
        drift = DRIFT * self._rng.standard_normal(len(self._usual))
        self._usual = self._usual**DRIFT_KEPT * np.exp(drift)

    def _discounts(self, now: Millis) -> Floats:
        discounts = np.zeros(len(self._usual))
        for promotion in self._promotions:
            if promotion.starts <= now < promotion.ends:
                meant = self._meant(promotion)
                discounts[meant] = np.maximum(discounts[meant], promotion.discount)
        return discounts

    def _meant(self, promotion: Promotion) -> int | slice:
        if promotion.slot is not None:
            return promotion.slot
        return self._catalogue.shelf(promotion.category or 0)
