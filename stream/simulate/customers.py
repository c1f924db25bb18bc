"""Who comes to the shop: how often, for what, and what they remember of the last time."""

import numpy as np
from numpy.random import Generator

from stream.simulate.catalogue import Catalogue
from stream.simulate.plan import Flags, Floats, Ints, ShopPlan

TASTE = (0.5, 0.2, 0.12)
"""How often a customer comes for the first, second and third favourite category, if not for any."""
LIKING = (0.6, 0.3, 0.2)
"""How much more readily a customer buys there; a logarithm."""
MEMORY = 4
"""Products that a customer may come back to."""
CHANNELS = ("web", "app", "mail", "ads", "search")
NOTHING = -1


class Customers:
    """The customers of a shop. Arrays have the shape (customers,) where nothing is said.

    Attributes:
        ids: Their user ids.
        thrift: How much a price above the usual puts them off.
        readiness: How readily they buy at all; a logarithm.
    """

    def __init__(self, plan: ShopPlan, catalogue: Catalogue) -> None:
        rng = plan.rng("customers")
        count = plan.customers
        activity = np.exp(rng.normal(0, 1, count))
        self._activity = np.cumsum(activity)
        self._popular = np.cumsum(catalogue.weights)
        self._favourites: Ints = np.stack(
            [self._popular_category(rng, count) for _ in TASTE], axis=1
        )
        self.thrift: Floats = np.exp(rng.normal(0, 0.4, count))
        self.readiness: Floats = rng.normal(0, 0.5, count)
        self._channel: Ints = rng.choice(2, size=count, p=(0.6, 0.4))
        self.ids = [f"u{number:06d}" for number in range(count)]
        everyone = np.arange(count)
        # They have been here before the first event.
        self._memory: Ints = np.stack(
            [catalogue.draw(rng, self.category(rng, everyone)) for _ in range(MEMORY)], axis=1
        )

    def _popular_category(self, rng: Generator, count: int) -> Ints:
        at = rng.random(count) * self._popular[-1]
        drawn: Ints = np.searchsorted(self._popular, at, side="right")
        return np.minimum(drawn, len(self._popular) - 1)

    def draw(self, rng: Generator, count: int) -> Ints:
        """Draw who comes."""
        at = rng.random(count) * self._activity[-1]
        drawn: Ints = np.searchsorted(self._activity, at, side="right")
        return np.minimum(drawn, len(self.ids) - 1)

    def category(self, rng: Generator, who: Ints) -> Ints:
        """Draw which category each is after."""
        favourite = np.searchsorted(np.cumsum(TASTE), rng.random(len(who)), side="right")
        anything = favourite == len(TASTE)
        category = self._favourites[who, np.where(anything, 0, favourite)]
        category[anything] = self._popular_category(rng, int(anything.sum()))
        return category

    def channel(self, rng: Generator, who: Ints) -> Ints:
        """Draw which way each comes: the usual one, mostly."""
        return np.where(
            rng.random(len(who)) < 0.75,
            self._channel[who],
            rng.integers(len(CHANNELS), size=len(who)),
        )

    def liking(self, who: Ints, category: Ints) -> Floats:
        """Say how much more readily each buys from a category than from any; a logarithm."""
        liking = np.zeros(len(who))
        for place in reversed(range(len(TASTE))):
            liking[self._favourites[who, place] == category] = LIKING[place]
        return liking

    def remembered(self, rng: Generator, who: Ints) -> Ints:
        """Draw a product that each has seen at an earlier visit, or `NOTHING`."""
        return self._memory[who, rng.integers(MEMORY, size=len(who))]

    def knows(self, who: Ints, product: Ints) -> Flags:
        """Say whether each has a product of an earlier visit in mind."""
        known: Flags = (self._memory[who] == product[:, None]).any(axis=1)
        return known

    def remember(self, rng: Generator, who: Ints, product: Ints) -> None:
        """Let each keep a product in mind, in the place of another."""
        self._memory[who, rng.integers(MEMORY, size=len(who))] = product

    def forget(self, who: Ints, product: Ints) -> None:
        """Let each forget a product: who has bought it does not come back for it."""
        for place in range(MEMORY):
            bought = who[self._memory[who, place] == product]
            self._memory[bought, place] = NOTHING
