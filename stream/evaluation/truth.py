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


class Sold(NamedTuple):
    """Units of a product that were sold, or taken back, at the time of their purchase."""

    product: str
    time: int
    units: int


class Orders:
    """Orders of late, so that a refund takes back what its purchase had counted, and no more."""

    def __init__(self, kept: int) -> None:
        """Begin.

        Args:
            kept: How long an order is remembered, ms.
        """
        self._kept = kept
        self._orders: dict[tuple[str, str], tuple[int, dict[str, int]]] = {}
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
            lines: dict[str, int] = {}
            for item in event["items"]:
                product = item["product_id"]
                lines[product] = lines.get(product, 0) + item["quantity"]
            self._orders[name] = time, lines
            self._ages.append((time, name))
            for product, units in tuple(lines.items()):
                yield Sold(product, time, units)
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
        back = min(units, lines.get(product, 0))
        if back:
            lines[product] -= back
            yield Sold(product, time, -back)


class Windows:
    """Units by product in the present window of a horizon, and in the last one.

    Attributes:
        end: Of the present window.
    """

    def __init__(self, horizon: int, first: int) -> None:
        """Begin with the window that starts at `first`."""
        self.horizon = horizon
        self.end = first + horizon
        self.now: dict[str, int] = {}
        self.last: dict[str, int] = {}

    def sell(self, sold: Sold) -> None:
        """Count units where they belong; what lies further back is settled."""
        age = self.end - sold.time
        if 0 < age <= self.horizon:
            self.now[sold.product] = self.now.get(sold.product, 0) + sold.units
        elif self.horizon < age <= 2 * self.horizon:
            self.last[sold.product] = self.last.get(sold.product, 0) + sold.units

    def turn(self) -> None:
        """The present window is over."""
        self.last, self.now = self.now, {}
        self.end += self.horizon
