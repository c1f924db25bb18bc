"""A simulated shop that is very busy, and its events in Kafka."""

import time
from itertools import islice
from typing import NamedTuple

import orjson

from stream.bench.rig import BatchWriter
from stream.events.logs import Event
from stream.kafka.clients import make_producer
from stream.kafka.topics import create_topics
from stream.settings import Settings
from stream.simulate.plan import ShopPlan
from stream.simulate.shop import Shop

PACE = 20_000
"""Events a second by the times in the log: time passes in it as it does live."""
MOST = 1_000_000
"""Events that are simulated; after them the same come again, under other names."""
_OURS = ("event_id", "order_id", "time")


class Template(NamedTuple):
    """An event without its id and its time."""

    topic: str
    key: str
    head: bytes
    """Up to its time, with two places for its number in an order and one otherwise."""
    rest: bytes

    def filled(self, number: int, time_: int) -> bytes:
        """Write the event."""
        numbers = (number, number) if self.topic == "orders" else (number,)
        return self.head % (*numbers, time_) + self.rest


class BusyShop:
    """Events without end: those of a simulated day again and again, with ids and times of now.

    20,000 products and 100,000 customers; 93 of 100 events are views, 4 carts, 3 orders. A day,
    so that orders belong to it: they come minutes and hours after their clicks.

    Attributes:
        lines: Of an event in the mean: an order is counted for each product in it.
    """

    def __init__(self, events: int) -> None:
        """Simulate a day.

        Args:
            events: How many will be asked for.
        """
        self._number = 0
        day = min(events, MOST)
        plan = ShopPlan(products=20_000, customers=100_000, events_per_day=day)
        told = Shop(plan).events(catalog=False)
        events_ = list(islice(told, day))
        self._templates = [_template(event) for event in events_]
        self.lines = sum(len(event.value.get("items", [event])) for event in events_) / day

    def next(self, time_: int) -> tuple[str, str, bytes]:
        """Tell the next event: its topic, its key, its value."""
        number = self._number
        self._number = number + 1
        template = self._templates[number % len(self._templates)]
        return template.topic, template.key, template.filled(number, time_)


def _template(event: Event) -> Template:
    head = b'{"event_id":"e%d","time":%d,'
    if event.topic == "orders":
        head = b'{"event_id":"e%d","order_id":"o%d","time":%d,'
    kept = {name: value for name, value in event.value.items() if name not in _OURS}
    return Template(event.topic, event.key, head, orjson.dumps(kept)[1:])


async def fill(settings: Settings, shop: BusyShop, events: int, pace: float = PACE) -> None:
    """Create the topics and write events to them, all of them before it returns.

    Args:
        settings: Where.
        shop: Whose.
        events: How many.
        pace: So many a second have happened until now.
    """
    await create_topics(settings)
    began = time.time() * 1000 - events * 1000 / pace
    async with make_producer(settings) as producer:
        writer = BatchWriter(producer, settings.partitions)
        for number in range(events):
            at = int(began + number * 1000 / pace)
            await writer.put(*shop.next(at), at)
        await writer.flush()
        await producer.flush()
