"""Visits to the shop: what is looked at, what goes into the cart, and what is going to be ordered.

All visits of a slice of time are drawn at once, a column for each thing that is known of a
click. A customer's decision to buy rests on what a scorer can see (taste, price, repeated
views, the cart) and on what it cannot (the mood of the visit).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from stream.simulate.catalogue import Catalogue
from stream.simulate.customers import NOTHING, Customers
from stream.simulate.plan import Flags, Floats, Ints, ShopPlan
from stream.units import SECOND, Millis

VIEWS = 5.5
"""Views of a mean visit."""
KINDS = ("view_item", "select_item", "add_to_cart", "add_to_wishlist", "remove_from_cart")
VIEW, SELECT, CART, WISH, REMOVE = range(len(KINDS))
CLICK = np.dtype(
    [
        ("time", "i8"),
        ("kind", "i1"),
        ("customer", "i4"),
        ("product", "i4"),
        ("visit", "i8"),
        ("channel", "i1"),
    ]
)
"""A click as a row of an array."""
Clicks = NDArray[np.void]

GAP, GAP_SPREAD = 25 * SECOND, 0.8
"""Median time between two views of a visit, and the standard deviation of its logarithm."""
ELSEWHERE = 0.25
"""Share of views outside the category that the visit began with."""
RETURNS = 0.12
"""Share of views that go back to a product of an earlier visit."""
AGAIN = 0.18
"""Share of views that look at the last product once more."""
SELECTS = 0.2
"""Share of first views that come from a list."""
WISHES = 0.004
"""Wishes per view."""
CHECKOUT = 0.68
"""Share of products put into the cart that are ordered; most others stay there."""
REMOVED = 0.15
"""Share of products put into the cart and not ordered that are taken out again."""
BUYING = 0.2
"""Share of visits in the mood to buy."""
BUYING_MOOD, BROWSING_MOOD = 1.4, -1.0
"""How much more readily these buy, and the others; a logarithm."""
PRICE, REDUCED, LOOKED_AGAIN, CAME_BACK = -0.6, 2.5, 0.5, 0.6
"""What moves a buyer: logarithm of price to usual price, discount, a second look, coming back."""
LIKELIEST = 0.7
"""No view leads to a cart or an order more surely."""


@dataclass(frozen=True, slots=True)
class Levels:
    """What goes on with each product, as multiples of what is usual. Shape (products,)."""

    interest: Floats
    carts: Floats
    sales: Floats


@dataclass(frozen=True, slots=True)
class Basket:
    """An order that will be placed.

    Attributes:
        customer: Who orders.
        channel: Number of the channel.
        decided: Time of the last click on what is ordered.
        due: When it is placed.
        lines: Product → quantity.
    """

    customer: int
    channel: int
    decided: Millis
    due: Millis
    lines: dict[int, int]


@dataclass(frozen=True, slots=True)
class Views:
    """Views, visit by visit. Shape (views,); `who` and `last` have the shape (visits,).

    Attributes:
        who: Customer of each visit.
        last: Index of each visit's last view.
        visit: Number of the view's visit.
        customer, product, time: Of the view.
        looks: How often the visit has looked at the product right before.
    """

    who: Ints
    last: Ints
    visit: Ints
    customer: Ints
    product: Ints
    time: Ints
    looks: Ints


class Demand:
    """Draws what customers do. It knows nothing of orders once they are decided."""

    def __init__(self, plan: ShopPlan, catalogue: Catalogue, customers: Customers) -> None:
        self._rng = plan.rng("demand")
        self._delays = plan.delays
        self._catalogue = catalogue
        self._customers = customers
        self._visits = 0
        looked = self._looked(plan.rng("calibration"), 5_000, plan.start, Millis(SECOND))
        appetite = self._appetite(plan.rng("mood"), looked)
        self._carts = _scale(appetite, plan.carts)
        self._direct = _scale(appetite, plan.direct)

    def visits(
        self, count: int, begin: Millis, length: Millis, levels: Levels
    ) -> tuple[Clicks, Sequence[Basket]]:
        """Draw visits that begin in a slice of time: their clicks, not sorted, and their orders."""
        rng = self._rng
        views = self._looked(rng, count, begin, length)
        product = views.product
        appetite = self._appetite(rng, views)
        there = np.where(self._catalogue.sold_out(), 0.0, 1.0)[product]
        interest, carts, sales = (
            part[product] for part in (levels.interest, levels.carts, levels.sales)
        )

        chance = rng.random((3, len(product)))
        carted = (
            chance[0] < np.minimum(self._carts * appetite * carts / interest, LIKELIEST) * there
        )
        direct = (
            chance[0]
            > 1 - np.minimum(self._direct * appetite * sales / interest, LIKELIEST) * there
        )
        ordered = carted & (chance[1] < CHECKOUT * sales / carts)
        removed = carted & ~ordered & (chance[1] > 1 - REMOVED)
        wished = chance[2] < WISHES * carts / interest
        bought = ordered | (direct & ~carted)

        channel = self._customers.channel(rng, views.who)
        kind = np.where((views.looks == 0) & (rng.random(len(product)) < SELECTS), SELECT, VIEW)
        soon = rng.integers(2 * SECOND, 20 * SECOND, len(product))
        later = rng.integers(20 * SECOND, 200 * SECOND, len(product))
        every = np.ones(len(product), dtype=np.bool_)
        clicks = np.concatenate(
            [
                self._clicks(views, channel, every, kind, views.time),
                self._clicks(views, channel, carted, CART, views.time + soon),
                self._clicks(views, channel, wished, WISH, views.time + soon),
                self._clicks(views, channel, removed, REMOVE, views.time + soon + later),
            ]
        )
        baskets = self._baskets(views, channel, np.flatnonzero(bought), views.time + soon * carted)
        self._visits += count

        customers = self._customers
        customers.remember(rng, views.who, product[views.last])
        customers.forget(views.customer[bought], product[bought])
        return clicks, baskets

    def _looked(self, rng: Generator, count: int, begin: Millis, length: Millis) -> Views:
        """Draw who comes and what each looks at."""
        customers = self._customers
        who = customers.draw(rng, count)
        sizes = rng.geometric(1 / VIEWS, count)
        ends = np.cumsum(sizes)
        visit = np.repeat(np.arange(count), sizes)
        customer = who[visit]
        index = np.arange(len(visit))
        first = (ends - sizes)[visit]

        category = customers.category(rng, who)[visit]
        away = np.flatnonzero(rng.random(len(visit)) < ELSEWHERE)
        category[away] = customers.category(rng, customer[away])
        product = self._catalogue.draw(rng, category)
        remembered = customers.remembered(rng, customer)
        returns = (rng.random(len(visit)) < RETURNS) & (remembered != NOTHING)
        product = np.where(returns, remembered, product)
        again = (rng.random(len(visit)) < AGAIN) & (index > first)
        source = np.maximum.accumulate(np.where(again, 0, index))

        gaps = GAP * np.exp(GAP_SPREAD * rng.standard_normal(len(visit)))
        passed = np.cumsum(gaps.astype(np.int64))
        arrival = begin + rng.integers(0, length, count)
        return Views(
            who=who,
            last=ends - 1,
            visit=visit,
            customer=customer,
            product=product[source],
            time=arrival[visit] + passed - passed[first],
            looks=index - source,
        )

    def _appetite(self, rng: Generator, views: Views) -> Floats:
        """Say how readily each view leads on, against a usual one."""
        catalogue, customers = self._catalogue, self._customers
        product, customer = views.product, views.customer
        thrift = customers.thrift[customer]
        dearness = np.clip(np.log(catalogue.price / catalogue.typical), -1.5, 1.5)[product]
        mood = np.where(rng.random(len(views.who)) < BUYING, BUYING_MOOD, BROWSING_MOOD)
        return np.exp(
            mood[views.visit]
            + customers.readiness[customer]
            + customers.liking(customer, catalogue.category[product])
            + catalogue.appeal[product]
            + (PRICE * dearness + REDUCED * catalogue.discount[product]) * thrift
            + LOOKED_AGAIN * np.minimum(views.looks, 2)
            + CAME_BACK * customers.knows(customer, product)
        )

    def _clicks(
        self, views: Views, channel: Ints, chosen: Flags, kind: Ints | int, time: Ints
    ) -> Clicks:
        visit = views.visit[chosen]
        clicks = np.empty(len(visit), dtype=CLICK)
        clicks["time"] = time[chosen]
        clicks["kind"] = kind
        clicks["customer"] = views.customer[chosen]
        clicks["product"] = views.product[chosen]
        clicks["visit"] = self._visits + visit
        clicks["channel"] = channel[visit]
        return clicks

    def _baskets(self, views: Views, channel: Ints, bought: Ints, time: Ints) -> Sequence[Basket]:
        """Gather what each visit has decided to buy into one order."""
        rng = self._rng
        more = np.where(rng.random(len(bought)) < 0.12, rng.geometric(0.6, len(bought)), 0)
        visits, place = np.unique(views.visit[bought], return_inverse=True)
        decided = np.zeros(len(visits), dtype=np.int64)
        np.maximum.at(decided, place, time[bought])
        due = decided + self._delays.draw(rng, len(visits))
        lines: list[dict[int, int]] = [{} for _ in visits]
        for order, slot, quantity in zip(
            place.tolist(), views.product[bought].tolist(), (1 + more).tolist(), strict=True
        ):
            lines[order][slot] = lines[order].get(slot, 0) + quantity
        columns = (views.who[visits], channel[visits], decided, due)
        return [
            Basket(customer, way, Millis(then), Millis(at), products)
            for customer, way, then, at, products in zip(
                *(column.tolist() for column in columns), lines, strict=True
            )
        ]


def _scale(appetite: Floats, share: float) -> float:
    """Find the factor that makes the mean chance what is planned, with the likeliest as a limit."""
    scale = share / float(appetite.mean())
    for _ in range(5):
        scale *= share / float(np.minimum(scale * appetite, LIKELIEST).mean())
    return scale
