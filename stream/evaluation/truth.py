"""What came, as the log itself tells it: nothing here is asked of a shard."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from stream.products.forecasts import ClickPrediction
from stream.units import DAY

REMEMBERED = 7 * DAY
"""A repeated event is known again for at least so long."""


class Repeats:
    """Events that were there before, by customer and id, in two generations."""

    def __init__(self) -> None:
        self._now: set[tuple[str, str]] = set()
        self._before: set[tuple[str, str]] = set()
        self._since = 0

    def is_new(self, customer: str, event_id: str, time: int) -> bool:
        """Take note of an event; False if it was there before."""
        if time > self._since + REMEMBERED:
            self._before, self._now, self._since = self._now, set(), time
        name = customer, event_id
        if name in self._now or name in self._before:
            return False
        self._now.add(name)
        return True


@dataclass(slots=True)
class OpenClick:
    """A click that waits for its label.

    Attributes:
        said: What was predicted; its customer is a pseudonym.
        batch: What the batch model says of it; NaN while there is none.
        delay: From the click to its order, ms; None while no order has come.
    """

    event_id: str
    customer: str
    said: ClickPrediction
    batch: float
    delay: int | None = None


class Clicks:
    """Clicks that wait: did the same customer buy that product at or after the click?"""

    def __init__(self, window: int) -> None:
        """Begin.

        Args:
            window: How long after a click an order counts as its, ms.
        """
        self.window = window
        self.waiting: deque[OpenClick] = deque()
        self._by_pair: dict[tuple[str, str], list[OpenClick]] = {}
        self._moment = 0
        self._sold: set[tuple[str, str]] = set()

    def open(self, click: OpenClick) -> None:
        """Let a click wait. Clicks come in the order of time."""
        pair = click.customer, click.said.product
        if click.said.time == self._moment and pair in self._sold:
            click.delay = 0
        self.waiting.append(click)
        self._by_pair.setdefault(pair, []).append(click)

    def bought(self, customer: str, product: str, time: int) -> None:
        """Note a purchase. Purchases come in the order of time, too."""
        if time != self._moment:
            self._moment, self._sold = time, set()
        self._sold.add((customer, product))
        for click in self._by_pair.get((customer, product), ()):
            delay = time - click.said.time
            if click.delay is None and 0 <= delay <= self.window:
                click.delay = delay

    def settled(self, time: int) -> Iterator[OpenClick]:
        """Hand out the clicks whose window has passed when the log has come to `time`."""
        waiting = self.waiting
        while waiting and waiting[0].said.time + self.window < time:
            click = waiting.popleft()
            pair = click.customer, click.said.product
            self._by_pair[pair].pop(0)
            if not self._by_pair[pair]:
                del self._by_pair[pair]
            yield click


class Categories:
    """Which category each product has been given so far: by the catalogue, else by the events."""

    def __init__(self) -> None:
        self._given: dict[str, str] = {}
        self._listed: dict[str, int] = {}

    def hear(self, product: str, category: str | None) -> None:
        """Take an event's own word while the catalogue is silent."""
        if category is not None and product not in self._listed:
            self._given[product] = category

    def hear_listing(self, product: str, category: str, time: int) -> None:
        """Take the catalogue's word, but for what it has overruled already."""
        if time >= self._listed.get(product, 0):
            self._given[product], self._listed[product] = category, time

    def of(self, product: str) -> str | None:
        """The category of a product as of now."""
        return self._given.get(product)


class Sold(NamedTuple):
    """Units that were sold, or taken back, at the time of their purchase.

    Attributes:
        category: That of the product when the purchase was read.
    """

    product: str
    category: str | None
    time: int
    units: int


@dataclass(slots=True)
class Line:
    """Units of a product in an order, less what was taken back."""

    category: str | None
    units: int = 0


class Orders:
    """Orders of late, so that a refund takes back what its purchase had counted, and no more."""

    def __init__(self, kept: int, categories: Categories) -> None:
        """Begin.

        Args:
            kept: How long an order is remembered, ms.
            categories: Which category each product has.
        """
        self._kept = kept
        self._categories = categories
        self._orders: dict[tuple[str, str], tuple[int, dict[str, Line]]] = {}
        self._early: dict[tuple[str, str], list[tuple[str, int]]] = {}
        self._ages: deque[tuple[int, tuple[str, str]]] = deque()

    def take(self, event: dict[str, Any]) -> Iterator[Sold]:
        """Reckon what an order event changes."""
        time, name = event["time"], (event["user_id"], event["order_id"])
        while self._ages and self._ages[0][0] < time - self._kept:
            _, old = self._ages.popleft()
            self._orders.pop(old, None)
            self._early.pop(old, None)
        if event["type"] == "refund":
            for item in event["items"]:
                yield from self._take_back(name, item["product_id"], item["quantity"], time)
        elif name not in self._orders:
            lines: dict[str, Line] = {}
            for item in event["items"]:
                product = item["product_id"]
                line = lines.setdefault(product, Line(self._categories.of(product)))
                line.units += item["quantity"]
            self._orders[name] = time, lines
            self._ages.append((time, name))
            for product, line in tuple(lines.items()):
                yield Sold(product, line.category, time, line.units)
            for product, units in self._early.pop(name, ()):
                yield from self._take_back(name, product, units, time)

    def is_new(self, event: dict[str, Any]) -> bool:
        """Whether this is a purchase that was not there before."""
        return (event["user_id"], event["order_id"]) not in self._orders

    def _take_back(
        self, name: tuple[str, str], product: str, units: int, now: int
    ) -> Iterator[Sold]:
        if name not in self._orders:
            self._early.setdefault(name, []).append((product, units))
            self._ages.append((now, name))
            return
        time, lines = self._orders[name]
        line = lines.get(product)
        if line is not None and (back := min(units, line.units)):
            line.units -= back
            yield Sold(product, line.category, time, -back)


class Windows:
    """Units by product, or category, in the present window of a horizon, and in the last one.

    Attributes:
        end: Of the present window.
    """

    def __init__(self, horizon: int, first: int) -> None:
        """Begin with the window that starts at `first`."""
        self.horizon = horizon
        self.end = first + horizon
        self.now: dict[str, int] = {}
        self.last: dict[str, int] = {}

    def sell(self, what: str, time: int, units: int) -> None:
        """Count units where they belong; what lies further back is settled."""
        age = self.end - time
        if 0 < age <= self.horizon:
            self.now[what] = self.now.get(what, 0) + units
        elif self.horizon < age <= 2 * self.horizon:
            self.last[what] = self.last.get(what, 0) + units

    def turn(self) -> None:
        """The present window is over."""
        self.last, self.now = self.now, {}
        self.end += self.horizon
