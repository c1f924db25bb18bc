"""Whether a customer comes back: what is known at a moment, and what came of it."""

from math import log, log1p
from typing import NamedTuple, Protocol

from stream.customers.row import LEFT, PRICE, CustomerRow
from stream.models.linear import Linear
from stream.units import DAY

HORIZON = 28 * DAY
"""A customer who orders again within this time has come back."""
EVERY = 14 * DAY
"""Time between two looks at a customer."""
FOLLOWED = 26 * EVERY
"""A customer is looked at until so long after the last order: a year, but for a day."""
FADING = 30.0
"""Half-life of an order, days."""
FIRST_RETURN = 0.2
"""Base rate believed before any label has come."""
ANONYMOUS = "anonymous:"
"""So begins the id of a customer whom the shop does not know, who cannot be known to come back."""

RETURN_NAMES = (
    "recency",
    "age",
    "orders",
    "rate",
    "orders_28d",
    "orders_56d",
    "orders_112d",
    "gap",
    "overdue",
    "single",
    "basket",
    "lines",
    "last_basket",
    "orders_faded",
    "recency_28d",
    "recency_capped",
    "nearly_due",
)


class ReturnServing(Protocol):
    """The model and the rule that it has to beat, as the learner publishes them."""

    @property
    def rule(self) -> Linear:
        """Always there."""
        ...

    @property
    def trusted(self) -> bool:
        """The model has been no worse than the rule of late, and is served."""
        ...

    def both(self, x: list[float | None]) -> tuple[float, float]:
        """Values of the model and of the rule."""
        ...


class ReturnPrediction(NamedTuple):
    """The chance that a customer orders within 28 days from a moment on.

    Attributes:
        customer: Pseudonym.
        time: The moment; nothing is known of what came at it or later.
        p: What is served.
        rule: What the base rate says.
        x: The features, one for each of `RETURN_NAMES`.
    """

    customer: str
    time: int
    p: float
    rule: float
    x: list[float | None]


def return_features(row: CustomerRow, time: int) -> list[float | None] | None:
    """Number what is known of a customer who has ordered before `time`, ms.

    Returns:
        One number for each of `RETURN_NAMES`; None where nothing is known. None in place of
        the list for a customer without an order: there is nothing to come back from.
    """
    orders = sorted(
        (at, sum(max(0.0, line[LEFT]) * line[PRICE] for line in lines), len(lines))
        for at, lines in row.orders.values()
        if row.erased < at < time
    )
    if not orders:
        return None
    ages = [(time - at) / DAY for at, _, _ in orders]
    number, recency, age = len(orders), ages[-1], ages[0]
    days = sorted({at // DAY for at, _, _ in orders})
    gap = (days[-1] - days[0]) / (len(days) - 1) if len(days) > 1 else None
    spend, lines = sum(s for _, s, _ in orders), sum(n for _, _, n in orders)
    return [
        log1p(recency),
        log1p(age),
        log1p(number),
        log((number + 0.5) / (age + 28.0)),
        *[log1p(sum(a <= span for a in ages)) for span in (28.0, 56.0, 112.0)],
        None if gap is None else log1p(gap),
        None if gap is None else log((recency + 3.0) / (gap + 3.0)),
        float(gap is None),
        log1p(max(0.0, spend) / number),
        log1p(lines / number),
        log1p(max(0.0, orders[-1][1])),
        sum(0.5 ** (a / FADING) for a in ages),
        recency / 28.0,
        min(recency / 28.0, 1.0),
        float(gap is not None and abs(recency + 14.0 - gap) < 14.0),
    ]


def came_back(row: CustomerRow, time: int) -> bool:
    """Whether an order came within the horizon from `time` on: to be asked when that is over."""
    return any(time <= at < time + HORIZON for at, _ in row.orders.values())
