"""What a simulated shop is like, and the laws that its customers keep."""

import math
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from stream.errors import Misconfigured
from stream.units import DAY, HOUR, MINUTE, SECOND, Millis

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]

HOURS = (
    14,
    9,
    6,
    5,
    6,
    10,
    20,
    32,
    45,
    55,
    62,
    64,
    66,
    62,
    60,
    62,
    66,
    72,
    80,
    92,
    100,
    92,
    62,
    32,
)
"""Visits at each full hour, UTC, in proportion."""
WEEKDAYS = (1.0, 0.96, 0.95, 0.98, 0.92, 1.05, 1.20)
"""Visits on each day from Monday, in proportion."""


NEW_YEAR = Millis(1_767_225_600_000)
"""2026-01-01, a Thursday."""


@dataclass(frozen=True)
class DelayLaw:
    """How long after its decision an order is placed: one of two log-normal laws.

    Most customers pay at once. The others sleep on it, and make the tail for which
    a scorer that calls a click fruitless too early has to answer.

    Attributes:
        swift: Share of orders that are placed at once.
        swift_median, swift_spread: Their median, and the standard deviation of the logarithm.
        slow_median, slow_spread: The same for the others.
        least, longest: What is drawn beyond is set to these. All times in milliseconds.
    """

    swift: float = 0.8
    swift_median: int = 4 * MINUTE
    swift_spread: float = 0.9
    slow_median: int = 8 * HOUR
    slow_spread: float = 1.0
    least: int = 5 * SECOND
    longest: int = 5 * DAY

    def draw(self, rng: Generator, count: int) -> Ints:
        """Draw delays. Milliseconds."""
        swift = rng.random(count) < self.swift
        median = np.where(swift, self.swift_median, self.slow_median)
        spread = np.where(swift, self.swift_spread, self.slow_spread)
        delay = median * np.exp(spread * rng.standard_normal(count))
        drawn: Ints = np.clip(delay, self.least, self.longest).astype(np.int64)
        return drawn

    def share_within(self, span: Millis) -> float:
        """Share of orders placed within a span of the decision: what a live estimate should find.

        >>> round(DelayLaw().share_within(Millis(HOUR)), 3)
        0.803
        >>> round(DelayLaw().share_within(Millis(DAY)), 3)
        0.973
        """
        if span < self.least:
            return 0.0
        if span >= self.longest:
            return 1.0
        swift = _normal(math.log(span / self.swift_median) / self.swift_spread)
        slow = _normal(math.log(span / self.slow_median) / self.slow_spread)
        return self.swift * swift + (1 - self.swift) * slow


def _normal(deviation: float) -> float:
    return 0.5 * math.erfc(-deviation / math.sqrt(2))


@dataclass(frozen=True)
class ShopPlan:
    """What a shop is like. Two shops of one plan do the same to the last event.

    Attributes:
        seed: Everything that is drawn follows from it.
        products: Products on sale at any time.
        customers: Customers; some come daily, many once a month.
        start: Time of the first event.
        events_per_day: Clicks and orders of a mean day.
        takeoffs: Share of products that take off each day. They come to sell 3 to 10 times as much.
        fads: Share of products that become much looked at each day, and sell as before.
        declines: Share of products that lose interest each day.
        promotions: Share of products that are reduced each day, for some days.
        listings: Share of products that make room for a new one each day.
        warm_up: Days before the first take-off, fad, decline or promotion.
        carts: Carts per view.
        direct: Order lines per view that never were in a cart.
        delays: How long after their decision orders are placed.
    """

    seed: int = 1
    products: int = 2_000
    customers: int = 20_000
    start: Millis = NEW_YEAR
    events_per_day: float = 200_000
    takeoffs: float = 0.002
    fads: float = 0.002
    declines: float = 0.001
    promotions: float = 0.0015
    listings: float = 0.0005
    warm_up: int = 3
    carts: float = 0.036
    direct: float = 0.025
    delays: DelayLaw = field(default_factory=DelayLaw)

    def __post_init__(self) -> None:
        if self.products < 30 or self.customers < 10:
            raise Misconfigured("A simulated shop needs at least 30 products and 10 customers.")
        if not 0 < self.events_per_day <= 1e10:
            raise Misconfigured("A simulated shop needs more than 0 events a day, at most 1e10.")
        if self.seed < 0:
            raise Misconfigured("The seed of a simulated shop must not be negative.")

    @property
    def mark(self) -> str:
        """What ids of this shop begin with, so that two shops of other seeds share none."""
        return f"{self.seed:x}-"

    def rng(self, name: str) -> Generator:
        """Make a source of chance for one use, so that no other use disturbs it."""
        return np.random.default_rng([self.seed, *name.encode()])


def bustle(time: Millis) -> float:
    """Visits at this hour and weekday, where the mean over a week is 1.

    >>> evening, night = Millis(20 * HOUR), Millis(27 * HOUR)
    >>> bustle(evening) > 10 * bustle(night)
    True
    """
    hour = time / HOUR % 24
    before = int(hour)
    after = HOURS[(before + 1) % 24]
    now = HOURS[before] + (hour - before) * (after - HOURS[before])
    weekday = (time // DAY + 3) % 7  # 1970-01-01 was a Thursday
    return now / _MEAN_HOUR * WEEKDAYS[weekday] / _MEAN_WEEKDAY


_MEAN_HOUR = sum(HOURS) / 24
_MEAN_WEEKDAY = sum(WEEKDAYS) / 7
