"""Recorded events to Kafka, as fast as it takes them or at the pace at which they happened."""

import asyncio
import threading
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer

from stream.errors import BrokerDown, Misconfigured
from stream.events.logs import Event
from stream.kafka.clients import kafka_errors, make_admin, make_producer, start_admin
from stream.settings import Settings
from stream.units import Millis

AHEAD = 5_000
"""Events that are read before they are sent."""
PATIENCE = 60.0
"""Seconds for Kafka to confirm the last events."""
GRACE = 5.0
"""The same, when somebody has pressed Ctrl-C and waits."""
IDLE = 0.005
"""Seconds until the next look, when there was nothing to read or no room."""


@dataclass(slots=True)
class Tally:
    """How far sending has come.

    Attributes:
        sent: Events that Kafka has confirmed, by topic.
        reached: Time of the latest event that was handed over; None before the first.
        interrupted: It was cancelled; what was handed over by then has been sent.
        failure: What Kafka said to an event that it did not take.
    """

    sent: Counter[str] = field(default_factory=Counter)
    reached: Millis | None = None
    interrupted: bool = False
    failure: BaseException | None = None

    def settle(self, delivery: asyncio.Future[Any]) -> None:
        """Take note of Kafka's answer to an event."""
        if delivery.cancelled():
            return
        if failure := delivery.exception():
            self.failure = failure
        else:
            self.sent[delivery.result().topic] += 1


async def send_log(
    events: Iterator[Event],
    settings: Settings,
    tally: Tally,
    *,
    topics: Collection[str],
    speed: float | None = None,
) -> None:
    """Send events, each under its key, and wait until Kafka has them.

    Cancelled, it sends what it has taken and returns.

    Args:
        events: May block: they are read in a thread.
        settings: Where Kafka is.
        tally: Written while it goes on.
        topics: Where events may go; they must be there.
        speed: So many times as fast as recorded; None does not wait.

    Raises:
        Misconfigured: A topic is missing.
        BrokerDown: Kafka does not answer.
    """
    with kafka_errors():
        await _see_topics(settings, topics)
        async with _running(make_producer(settings)) as producer:
            try:
                async with aclosing(_read_ahead(events)) as ready:
                    async for event in _paced(ready, speed):
                        # The record's own time stays that of sending: Kafka would delete a record
                        # of years ago at once.
                        delivery = await producer.send(
                            event.topic, orjson.dumps(event.value), key=event.key.encode()
                        )
                        delivery.add_done_callback(tally.settle)
                        tally.reached = event.time
                        if tally.failure:
                            break
            except asyncio.CancelledError:
                tally.interrupted = True
                if task := asyncio.current_task():
                    task.uncancel()
            await _flush(producer, GRACE if tally.interrupted else PATIENCE)
        if tally.failure:
            raise tally.failure


async def _see_topics(settings: Settings, topics: Collection[str]) -> None:
    # Asked for by name, Kafka might create it, with as many partitions as it likes.
    admin = make_admin(settings)
    try:
        await start_admin(settings, admin)
        missing = sorted(set(topics) - set(await admin.list_topics()))
    finally:
        await admin.close()
    if missing:
        raise Misconfigured(
            f"Kafka at {settings.kafka} has no topic {', '.join(missing)}. "
            "Create what is missing with: stream topics"
        )


@asynccontextmanager
async def _running(producer: AIOKafkaProducer) -> AsyncIterator[AIOKafkaProducer]:
    try:
        await producer.start()
        yield producer
    finally:
        # It would wait for a broker that is gone until that one is back.
        with suppress(TimeoutError):
            await asyncio.wait_for(producer.stop(), GRACE)


async def _flush(producer: AIOKafkaProducer, patience: float) -> None:
    try:
        await asyncio.wait_for(producer.flush(), patience)
    except TimeoutError:
        raise BrokerDown(
            f"Kafka has not confirmed the last events within {patience:.0f} s. Send the log again "
            "when it is back: events with the same ids count once."
        ) from None


async def _paced(events: AsyncIterator[Event], speed: float | None) -> AsyncIterator[Event]:
    began: float | None = None
    first = 0
    async for event in events:
        if speed is not None:
            now = time.monotonic()
            if began is None:
                began, first = now, event.time
            early = began + (event.time - first) / 1000 / speed - now
            if early > 0:
                await asyncio.sleep(early)
        yield event


async def _read_ahead(events: Iterator[Event]) -> AsyncGenerator[Event, None]:
    """Read in a thread: a pipe that waits for its next line must not hold up what was read."""
    reading = _Reading(events)
    reading.start()
    try:
        while True:
            over = reading.over  # asked first: what comes before the end is seen below
            if reading.ready:
                yield reading.ready.popleft()
            elif over:
                break
            else:
                await asyncio.sleep(IDLE)
    finally:
        reading.stop()
    if reading.failure:
        raise reading.failure


class _Reading(threading.Thread):
    def __init__(self, events: Iterator[Event]) -> None:
        super().__init__(name="log", daemon=True)
        self.ready: deque[Event] = deque()
        self.over = False
        self.failure: Exception | None = None
        self._events = events
        self._stopped = False

    def run(self) -> None:
        try:
            for event in self._events:
                self.ready.append(event)
                while len(self.ready) >= AHEAD and not self._stopped:
                    time.sleep(IDLE)
                if self._stopped:
                    break
        except Exception as failure:  # noqa: BLE001 (raised again by whoever waits for events)
            self.failure = failure
        self.over = True

    def stop(self) -> None:
        self._stopped = True
        # It may wait for a line that never comes; as a daemon it ends with the process.
        self.join(timeout=1)
