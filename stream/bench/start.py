"""How long a worker takes to score again when the catalogue is large."""

import asyncio
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from redis import Redis

from stream import keys
from stream.bench.rig import BatchWriter, rig, run_worker, usage
from stream.customers.row import CustomerRow
from stream.embedded.server import Say
from stream.errors import StreamError
from stream.kafka.clients import make_producer
from stream.kafka.topics import create_topics
from stream.partitions import home
from stream.products.row import UNITS, VIEWS, ProductRow
from stream.rows import Row
from stream.settings import STAGES, Settings
from stream.units import HOUR

CHUNK = 5_000
"""Rows that are written together."""
GIVE_UP = 120.0
"""Seconds without all scores after which the benchmark fails."""


@dataclass(frozen=True, slots=True)
class Start:
    """What was measured.

    Attributes:
        known: Products, and as many customers, that Redis knew.
        active: Products that were clicked while no worker ran.
        first_s, all_s: From the start of the process until the first and the last of the active
            products had a score, s.
        memory_mib: Resident memory of the process then.
        product_row, customer_row: Bytes of their rows: two days of a product that sells each hour,
            a customer with twenty visits.
        redis_mib: All that Redis held.
    """

    known: int
    active: int
    first_s: float
    all_s: float
    memory_mib: float
    product_row: int
    customer_row: int
    redis_mib: float

    def document(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def measure_start(settings: Settings, known: int, active: int, say: Say) -> Start:
    """Fill Redis with rows, click some of the products, then start a worker and wait."""
    now = int(time.time() * 1000)
    with rig(settings, say) as here, Redis.from_url(here.settings.redis) as redis:
        say(f"writing {known:,} products and {known:,} customers")
        _know(redis, known, now, here.settings.partitions)
        redis_mib = redis.info("memory")["used_memory"] / 2**20
        asyncio.run(_click(here.settings, min(active, known), now))
        began = time.monotonic()
        with run_worker(here.settings) as process:
            say("the worker starts")
            first, last = _wait_for_scores(redis, min(active, known), process)
            _, memory = usage(process.pid)
    return Start(
        known=known,
        active=min(active, known),
        first_s=round(first - began, 2),
        all_s=round(last - began, 2),
        memory_mib=round(memory / 2**20, 1),
        product_row=len(_product(now).encode()),
        customer_row=len(_customer(now).encode()),
        redis_mib=round(redis_mib, 1),
    )


def _know(redis: "Redis", known: int, now: int, partitions: int) -> None:
    """Write what a worker would have stored: rows, and for how many partitions they are."""
    for stage in STAGES:
        for partition in range(1 if stage == "learner" else partitions):
            redis.hset(keys.checkpoint(stage, partition), "partitions", str(partitions))
    product, customer = _product(now).encode(), _customer(now).encode()
    for names, stage, row in (
        ((f"p{n}" for n in range(known)), "products", product),
        ((f"of-{n}" for n in range(known)), "customers", customer),
    ):
        for partition, chunk in _chunks(names, partitions):
            redis.hset(keys.rows(stage, partition), mapping=dict.fromkeys(chunk, row))


def _chunks(names: Iterator[str], partitions: int) -> Iterator[tuple[int, list[str]]]:
    gathered: list[list[str]] = [[] for _ in range(partitions)]
    for name in names:
        partition = home(name, partitions)
        gathered[partition].append(name)
        if len(gathered[partition]) == CHUNK:
            yield partition, gathered[partition]
            gathered[partition] = []
    yield from ((partition, chunk) for partition, chunk in enumerate(gathered) if chunk)


def _product(now: int) -> Row:
    row = ProductRow()
    row.hear("mugs", 12.5)
    for hours in range(48):
        time_ = now - hours * HOUR
        row.totals[VIEWS] += 1
        row.count(VIEWS, time_, 1.0)
        row.count(UNITS, time_, 1.0)
        row.sell(1.0, time_, HOUR, 1.0)
    row.closed = now // HOUR
    return row


def _customer(now: int) -> Row:
    row = CustomerRow()
    for number in range(20):
        row.is_new(f"event-{number}", now)
        row.visit(now, "session")
        row.like(f"category-{number % 4}", 1.0, now)
        row.pair(f"p{number}", now)
    return row


async def _click(settings: Settings, active: int, now: int) -> None:
    await create_topics(settings)
    async with make_producer(settings) as producer:
        writer = BatchWriter(producer, settings.partitions)
        for number in range(active):
            event = {
                "event_id": f"c{number}",
                "type": "view_item",
                "time": now,
                "user_id": f"u{number}",
                "product_id": f"p{number}",
            }
            await writer.put("clicks", f"u{number}", orjson.dumps(event))
        await writer.flush()


def _wait_for_scores(
    redis: "Redis", active: int, process: "subprocess.Popen[bytes]"
) -> tuple[float, float]:
    """Say when the first score was there, and when all of them were."""
    names = [keys.score(f"p{number}") for number in range(active)]
    first = 0.0
    deadline = time.monotonic() + GIVE_UP
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise StreamError("The worker has ended; see its messages above.")
        there: int = redis.exists(*names)
        now = time.monotonic()
        first = first or (now if there else 0.0)
        if there == active:
            return first, now
        time.sleep(0.02)
    raise StreamError(f"Not all products were scored after {GIVE_UP:.0f} s.")
