"""A shop that writes to Kafka without pause, and knows what must be counted of it."""

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import lru_cache
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from running import PARTITIONS

from stream.partitions import home
from stream.settings import Settings

PRODUCTS = 300
CUSTOMERS = 3_000
"""So many that of none more than a hundred events, all whose ids are remembered, come at once."""
TICK = 0.05
"""Seconds between two looks at what is due."""
ARREARS = 0.5
"""Seconds of events that are made up for after Kafka was away; what else was due never happens."""
ANSWER = 10.0
"""Seconds that Kafka has to confirm; then it is written again, under the same ids."""
PLAIN = {"view_item": "views", "add_to_cart": "carts", "add_to_wishlist": "wishes"}
MIX = ["view_item"] * 88 + ["add_to_cart"] * 5 + ["add_to_wishlist"] * 3 + ["purchase"] * 4

Event = dict[str, Any]
Expected = Counter[tuple[str, str]]
"""What must be counted, by product and kind of evidence."""


@lru_cache(maxsize=1 << 14)
def home_of(user: str, partitions: int) -> int:
    """Partition that a producer puts a customer's events on."""
    return home(user, partitions)


def evidence_of(events: Iterable[Event]) -> Expected:
    """What events must add up to, by product."""
    totals: Expected = Counter()
    for event in events:
        if event["type"] == "purchase":
            for item in event["items"]:
                totals[item["product_id"], "orders"] += 1
                totals[item["product_id"], "units"] += item["quantity"]
        else:
            totals[event["product_id"], PLAIN[event["type"]]] += 1
    return totals


class Load:
    """Events at a fixed rate, from a thread of its own.

    Attributes:
        rate: Events a second.
        sent: Events that Kafka has confirmed.
        expected: What they must add up to.
        partitions: Of clicks, as producers see them.
        refused: Records sent that must end among the dead letters.
    """

    def __init__(self, settings: Settings, rate: int, tag: str) -> None:
        """Get ready.

        Args:
            settings: Where Kafka is.
            rate: Events a second.
            tag: In front of every id.
        """
        self.rate = rate
        self.sent = self.refused = 0
        self.expected: Expected = Counter()
        self.partitions = PARTITIONS
        self.settings = settings
        self.tag = tag
        self.dice = random.Random(tag)
        self.producer: AIOKafkaProducer | None = None
        self._number = 0
        self._heard = True
        self._paused = threading.Event()
        self._idle = threading.Event()
        self._over = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    # What others do with it

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def pause(self) -> None:
        """Return when everything that was begun is confirmed, and write nothing more for now."""
        self._paused.set()
        while not self._idle.wait(0.1):
            self.see()

    def go_on(self) -> None:
        """Write on."""
        self._idle.clear()
        self._paused.clear()

    def stop(self) -> None:
        """End; everything that was begun is confirmed."""
        self._over.set()
        self._thread.join()
        self.see()

    def spread(self, partitions: int) -> None:
        """Write clicks to so many partitions, as producers do when they have heard of them."""
        self.pause()
        self.partitions = partitions
        self._heard = False
        self.go_on()

    def forget(self, events: Expected) -> None:
        """Take out of the account what cannot be counted."""
        self.expected -= events
        self.sent -= sum(n for (_, kind), n in events.items() if kind != "units")

    def see(self) -> None:
        """Fail if it has."""
        if self._failure is not None:
            raise self._failure

    # What kinds of it do otherwise

    def make_producer(self) -> AIOKafkaProducer:
        """Make a producer as many shops have it."""
        return AIOKafkaProducer(
            bootstrap_servers=self.settings.kafka,
            acks="all",
            enable_idempotence=True,
            request_timeout_ms=int(ANSWER * 500),
            max_batch_size=1 << 18,
            max_request_size=4 << 20,
        )

    def now(self) -> Any:
        """Time of the next event."""
        return time.time_ns() // 1_000_000

    def event(self) -> Event:
        """Invent one."""
        dice, self._number = self.dice, self._number + 1
        kind = MIX[int(dice.random() * len(MIX))]
        product = f"{self.tag}p{int(dice.random() * PRODUCTS)}"
        event: Event = {
            "event_id": f"{self.tag}{self._number}",
            "type": kind,
            "time": self.now(),
            "user_id": f"{self.tag}u{int(dice.random() * CUSTOMERS)}",
        }
        if kind == "purchase":
            item = {"product_id": product, "quantity": dice.randrange(1, 4), "price": 9.5}
            return {**event, "order_id": f"{self.tag}{self._number}", "items": [item]}
        return {**event, "product_id": product, "category": "mugs", "price": 9.5}

    async def write(self, producer: AIOKafkaProducer, events: list[Event]) -> list[Event]:
        """Write events and wait until Kafka holds them; return those that count."""
        batches: dict[tuple[str, int], Any] = {}
        waiting = []
        for event in events:
            user, ordered = event["user_id"], "items" in event
            partition = home_of(user, PARTITIONS if ordered else self.partitions)
            where = ("orders" if ordered else "clicks", partition)
            key, value = user.encode(), orjson.dumps(event)
            batch = batches.get(where)
            if batch is None or not batch.append(key=key, value=value, timestamp=None):
                if batch is not None:
                    waiting.append(await producer.send_batch(batch, where[0], partition=where[1]))
                batch = batches[where] = producer.create_batch()
                batch.append(key=key, value=value, timestamp=None)
        for where, batch in batches.items():
            waiting.append(await producer.send_batch(batch, where[0], partition=where[1]))
        await asyncio.gather(*waiting)
        return events

    # How it is done

    def _run(self) -> None:
        try:
            asyncio.run(self._write_on())
        except BaseException as error:  # noqa: BLE001 (raised again by whoever waits)
            self._failure = error

    async def _write_on(self) -> None:
        due = time.monotonic()
        while not self._over.is_set():
            await asyncio.sleep(TICK)
            now = time.monotonic()
            if self._paused.is_set():
                self._idle.set()
                due = now
                continue
            due = max(due, now - ARREARS)
            events = [self.event() for _ in range(int((now - due) * self.rate))]
            if events:
                due += len(events) / self.rate
                await self._deliver(events)
        await self.end_producer()

    async def _deliver(self, events: list[Event]) -> None:
        """Write until Kafka has confirmed; what comes twice by that has the same ids."""
        if not self._heard:
            self._heard = True
            await self.end_producer()
        while True:
            try:
                async with asyncio.timeout(ANSWER):
                    if self.producer is None:
                        self.producer = self.make_producer()
                        await self.producer.start()
                    counted = await self.write(self.producer, events)
                break
            except (KafkaError, TimeoutError, OSError, AssertionError):
                # The last is what aiokafka has to say of a partition it has not heard of yet.
                await self.end_producer()
                await asyncio.sleep(0.5)
        self.expected += evidence_of(counted)
        self.sent += len(counted)

    async def end_producer(self) -> None:
        """Go on with a new one."""
        producer, self.producer = self.producer, None
        if producer is not None:
            with suppress(KafkaError, TimeoutError, OSError):
                await asyncio.wait_for(producer.stop(), 2.0)


MakeLoad = Callable[[Settings, int, str], Load]
