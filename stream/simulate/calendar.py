"""What will happen to the shop's products, and when: the truth that a scorer is to find.

Days are planned one after the other by a source of chance of their own, so looking ahead
does not change what happens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from stream.simulate.plan import Floats, Ints, ShopPlan
from stream.units import DAY, HOUR, Millis

TrendKind = Literal["takeoff", "fad", "decline"]

CATEGORY_PROMOTIONS = 1 / 7
"""Promotions of a whole category, a day."""


@dataclass(frozen=True, slots=True)
class Trend:
    """A product's interest moves along an S-curve, stays, comes back; sales follow, save in fads.

    Attributes:
        slot: The product's place in the catalogue.
        starts: When interest begins to move.
        growth: What interest is multiplied by at its height.
        lag: How much later sales follow. Milliseconds.
        rises, holds, falls: How long each part takes. Milliseconds.
    """

    kind: TrendKind
    slot: int
    product_id: str
    starts: Millis
    growth: float
    lag: Millis
    rises: Millis
    holds: Millis
    falls: Millis

    @property
    def saturates(self) -> Millis:
        """When sales have moved as far as they will."""
        return Millis(self.starts + self.lag + self.rises)

    @property
    def ends(self) -> Millis:
        """When interest and sales are what they were."""
        return Millis(self.saturates + self.holds + self.falls)

    def interest(self, at: Millis) -> float:
        """Multiple of the product's usual views."""
        return self._level(at - self.starts)

    def sales(self, at: Millis) -> float:
        """Multiple of the product's usual sales."""
        return 1.0 if self.kind == "fad" else self._level(at - self.starts - self.lag)

    def _level(self, age: int) -> float:
        up = _s_curve(age / self.rises)
        down = _s_curve((age - self.rises - self.holds) / self.falls)
        return 1 + (self.growth - 1) * up * (1 - down)


def _s_curve(share: float) -> float:
    x = min(max(share, 0.0), 1.0)
    return x * x * (3 - 2 * x)


@dataclass(frozen=True, slots=True)
class Promotion:
    """A lower price for some days, of one product or a whole category."""

    starts: Millis
    ends: Millis
    discount: float
    slot: int | None = None
    category: int | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """A new product takes the place of one that leaves the shop."""

    at: Millis
    slot: int
    product_id: str


@dataclass(frozen=True, slots=True)
class Day:
    """What begins on one day."""

    trends: Sequence[Trend]
    promotions: Sequence[Promotion]
    listings: Sequence[Listing]


def product_id(slot: int, generation: int) -> str:
    """Name the first, second … product of a place in the catalogue.

    >>> product_id(42, 0), product_id(42, 1)
    ('p00042', 'p00042-1')
    """
    return f"p{slot:05d}" + (f"-{generation}" if generation else "")


class Calendar:
    """The days of a shop, planned as far as somebody has asked.

    Attributes:
        days: The days planned so far, from the first.
    """

    def __init__(self, plan: ShopPlan, rank: Floats, categories: int) -> None:
        """Begin with nothing planned.

        Args:
            plan: The shop's plan.
            rank: In its category, 0 the best seller, 1 the slowest. Shape (products,).
            categories: How many there are.
        """
        self._plan = plan
        self._categories = categories
        self._rng = plan.rng("calendar")
        self._generation = [0] * plan.products
        self._quiet_from = np.full(plan.products, plan.start, dtype=np.int64)
        # A best seller would only empty its category, and of the slowest nobody would see the rise.
        self._middle = np.flatnonzero((rank > 0.05) & (rank < 0.6))
        self._slow = np.flatnonzero(rank >= 0.6)
        self.days: list[Day] = []

    def day(self, number: int) -> Day:
        """Say what begins on a day, 0 being the first."""
        while len(self.days) <= number:
            self.days.append(self._planned(len(self.days)))
        return self.days[number]

    def planned_until(self, at: Millis) -> Sequence[Day]:
        """Give all days up to the one that holds this time."""
        if at < self._plan.start:
            return ()
        number = (at - self._plan.start) // DAY
        self.day(number)
        return self.days[: number + 1]

    def _planned(self, number: int) -> Day:
        opens = self._plan.start + number * DAY
        plan = self._plan
        if number < plan.warm_up:
            return Day((), (), ())
        listings = [
            self._listing(int(slot), opens) for slot in self._pick(self._slow, plan.listings, opens)
        ]
        shares: tuple[tuple[TrendKind, float], ...] = (
            ("takeoff", plan.takeoffs),
            ("fad", plan.fads),
            ("decline", plan.declines),
        )
        trends = [
            self._trend(kind, int(slot), opens)
            for kind, share in shares
            for slot in self._pick(self._middle, share, opens)
        ]
        promotions = [
            self._promotion(opens, slot=int(slot))
            for slot in self._pick(np.arange(plan.products), plan.promotions, opens)
        ]
        if plan.promotions and self._rng.random() < CATEGORY_PROMOTIONS:
            category = int(self._rng.integers(self._categories))
            promotions.append(self._promotion(opens, category=category))
        return Day(trends, promotions, listings)

    def _pick(self, slots: Ints, share: float, opens: int) -> Ints:
        """Pick places where nothing else is going on."""
        quiet = slots[self._quiet_from[slots] <= opens]
        count = min(self._rng.poisson(share * self._plan.products), len(quiet))
        return self._rng.choice(quiet, size=count, replace=False)

    def _trend(self, kind: TrendKind, slot: int, opens: int) -> Trend:
        rng = self._rng
        lag = 0
        match kind:
            case "takeoff":
                growth, days = (
                    float(np.exp(rng.uniform(np.log(3), np.log(10)))),
                    (2, 5, 4, 10, 5, 10),
                )
                lag = int(rng.uniform(4, 24) * HOUR)
            case "fad":
                growth, days = float(np.exp(rng.uniform(np.log(3), np.log(10)))), (1, 3, 2, 4, 2, 5)
            case "decline":
                growth, days = float(rng.uniform(0.15, 0.5)), (3, 6, 7, 14, 7, 14)
        trend = Trend(
            kind=kind,
            slot=slot,
            product_id=product_id(slot, self._generation[slot]),
            starts=Millis(int(opens + rng.uniform(0, DAY))),
            growth=growth,
            lag=Millis(lag),
            rises=Millis(int(rng.uniform(*days[0:2]) * DAY)),
            holds=Millis(int(rng.uniform(*days[2:4]) * DAY)),
            falls=Millis(int(rng.uniform(*days[4:6]) * DAY)),
        )
        self._quiet_from[slot] = trend.ends + 14 * DAY
        return trend

    def _promotion(
        self, opens: int, slot: int | None = None, category: int | None = None
    ) -> Promotion:
        starts = opens + int(self._rng.integers(24)) * HOUR
        ends = starts + int(self._rng.integers(2, 6)) * DAY
        if slot is not None:
            self._quiet_from[slot] = ends + 7 * DAY
        discount = round(float(self._rng.uniform(0.1, 0.3)), 2)
        return Promotion(Millis(starts), Millis(ends), discount, slot, category)

    def _listing(self, slot: int, opens: int) -> Listing:
        self._generation[slot] += 1
        at = opens + int(self._rng.integers(24)) * HOUR
        self._quiet_from[slot] = at + 7 * DAY
        return Listing(Millis(at), slot, product_id(slot, self._generation[slot]))
