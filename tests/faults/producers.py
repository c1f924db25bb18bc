"""What producers do: transactions, compression, and records that are none."""

import asyncio
import random
import statistics
import time
from collections.abc import Mapping
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer
from redis import Redis

from faults.load import Event, Load
from faults.trial import Fault, Trial
from stream import keys
from stream.clock import PATIENCE
from stream.events.types import MAX_RECORD
from stream.units import SECOND

CODECS = ("gzip", "snappy", "lz4", "zstd")
ABORTED = 0.25
"""Share of transactions that are taken back."""
CALM = 500
"""Events a second that any machine keeps up with."""
EVERY = 0.4
"""Seconds between two events whose scores are waited for."""


class Transactional(Load):
    """Everything in transactions, of which some are aborted.

    Attributes:
        aborted: Events that were taken back.
        probes: When events for products of their own were committed, by product.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.aborted = 0
        self.probes: dict[str, float] = {}
        self._probed = 0.0

    def make_producer(self) -> AIOKafkaProducer:
        """Make one that begins where an earlier one of that name has ended."""
        return AIOKafkaProducer(
            bootstrap_servers=self.settings.kafka,
            transactional_id=self.tag.strip(),
            request_timeout_ms=5_000,
            transaction_timeout_ms=10_000,
        )

    async def write(self, producer: AIOKafkaProducer, events: list[Event]) -> list[Event]:
        """Take some other events back first."""
        if self.dice.random() < ABORTED:
            await producer.begin_transaction()
            doomed = [self.event() for _ in events]
            await super().write(producer, doomed)
            await producer.abort_transaction()
            self.aborted += len(doomed)
        await producer.begin_transaction()
        probe = next((e for e in events if "product_id" in e), None)
        if probe and time.monotonic() > self._probed + EVERY:
            self._probed = time.monotonic()
            probe["product_id"] = f"{self.tag}probe-{self._probed}"
            counted = await super().write(producer, events)
            await producer.commit_transaction()
            self.probes[probe["product_id"]] = time.monotonic()
            return counted
        counted = await super().write(producer, events)
        await producer.commit_transaction()
        return counted


class Compressed(Load):
    """By turns with every codec."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.turns = 0

    def make_producer(self) -> AIOKafkaProducer:
        """Make one with the next codec."""
        return AIOKafkaProducer(
            bootstrap_servers=self.settings.kafka,
            enable_idempotence=True,
            compression_type=CODECS[self.turns // 10 % len(CODECS)],
        )

    async def write(self, producer: AIOKafkaProducer, events: list[Event]) -> list[Event]:
        """End this producer after ten batches."""
        counted = await super().write(producer, events)
        self.turns += 1
        if self.turns % 10 == 0:
            await self.end_producer()
        return counted


class Odd(Load):
    """Beside events: null, nothing, junk, and records of 1 MiB and of more."""

    async def write(self, producer: AIOKafkaProducer, events: list[Event]) -> list[Event]:
        """Write both."""
        counted = await super().write(producer, events)
        for value in (None, b"", b"{", random.Random(self.sent).randbytes(50)):
            await producer.send_and_wait("clicks", value, key=b"odd")
            self.refused += bool(value)
        if self.dice.random() < 0.2:
            large = self.event()
            large["padding"] = "x" * (MAX_RECORD - len(orjson.dumps({**large, "padding": ""})))
            counted = [*counted, *await super().write(producer, [large])]
            await producer.send_and_wait("clicks", b"x" * (MAX_RECORD + 1), key=b"odd")
            self.refused += 1
        return counted


def transactions(trial: Trial) -> None:
    """What was taken back does not count, and nobody waits for the markers."""
    trial.workers(2)
    load = trial.load
    assert isinstance(load, Transactional)
    time.sleep(60 if trial.long else 5)
    # Whoever is late under a load beyond his powers does not wait for markers.
    load.pause()
    asyncio.run(trial.shop.settle(trial.patience))
    load.rate = min(load.rate, CALM)
    load.probes.clear()
    load.go_on()
    delays = _delays(trial, load.probes, 20 if trial.long else 5)
    assert delays
    middle, worst = statistics.median(delays), max(delays)
    delay = f"a score after {middle * 1000:.0f} ms, {worst:.1f} s at most"
    trial.said = f"{load.aborted:,} aborted; {delay}"
    # A topic of which a marker is never read would be waited for, for so long, again and again.
    assert middle < PATIENCE / SECOND / 2, trial.said


def _delays(trial: Trial, probes: Mapping[str, float], seconds: float) -> list[float]:
    """From the commit of an event until its product has a score, s."""
    delays: dict[str, float] = {}
    end = time.monotonic() + seconds
    with Redis.from_url(trial.shop.settings.redis) as redis:
        while time.monotonic() < end:
            for product, committed in list(probes.items()):
                if product not in delays and redis.exists(trial.shop.prefix + keys.score(product)):
                    delays[product] = time.monotonic() - committed
            time.sleep(0.005)
    return list(delays.values())


def compressed(trial: Trial) -> None:
    """Every codec is read."""
    trial.workers(2)
    time.sleep(20 if trial.long else 5)
    trial.moves()


def odd(trial: Trial) -> None:
    """What is no event is refused, with the reason, or passed over; 1 MiB is not too much."""
    trial.workers(2)
    time.sleep(20 if trial.long else 5)
    trial.moves()
    trial.settle()
    refused = trial.refused()
    assert refused == trial.load.refused, f"{refused} refused of {trial.load.refused}"


FAULTS = (
    Fault("transactions, a quarter aborted", transactions, Transactional, short=False),
    Fault("gzip, snappy, lz4 and zstd by turns", compressed, Compressed, short=False),
    Fault("null, junk, records of 1 MiB and more", odd, Odd),
)
