"""A simulated shop that is very busy, and its events in Kafka."""

import time
from collections.abc import Iterable, Iterator

import orjson

from stream.bench.rig import BatchWriter
from stream.events.logs import Event
from stream.kafka.clients import make_producer
from stream.kafka.topics import create_topics
from stream.settings import Settings
from stream.simulate.plan import ShopPlan
from stream.simulate.shop import Shop
from stream.units import DAY, MINUTE, Millis

PER_DAY = 20_000 * 86_400
"""20,000 events a second: time in the log passes as it does live."""


def busy_shop(events: int) -> Iterator[Event]:
    """Events of a shop that has had so many, with some room, when it is now.

    20,000 products and 100,000 customers; more than nine in ten events are views.
    """
    span = int(events / PER_DAY * DAY * 1.5) + MINUTE
    plan = ShopPlan(
        products=20_000,
        customers=100_000,
        start=Millis(int(time.time() * 1000) - span),
        events_per_day=PER_DAY,
    )
    return iter(Shop(plan).events(catalog=False))


async def fill(settings: Settings, events: Iterable[Event]) -> None:
    """Create the topics and write events to them, all of them before it returns."""
    await create_topics(settings)
    async with make_producer(settings) as producer:
        writer = BatchWriter(producer)
        for event in events:
            await writer.put(event.topic, event.key, orjson.dumps(event.value))
        await writer.flush()
        await producer.flush()
