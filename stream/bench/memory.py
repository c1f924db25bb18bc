"""Whether a worker's memory grows while events come and come."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from redis import Redis

from stream.bench.counting import GIVE_UP, Counter
from stream.bench.rig import BatchWriter, Rig, rig, run_worker, usage
from stream.bench.shop import BusyShop
from stream.embedded.server import Say
from stream.errors import StreamError
from stream.kafka.clients import make_admin, make_producer
from stream.kafka.topics import create_topics
from stream.settings import Settings

AHEAD = 100_000
"""Events that the shop may be ahead: the worker always has some, and Kafka's disk is bounded."""
FOR_NOW = {"retention.ms": "60000", "segment.ms": "15000"}
"""Of the topics that would else hold all events of the run."""
TALKATIVE = ("clicks", "orders", "activity", "examples")
ENOUGH = 0.999
"""Share of the events that ends the run; how many lines an order has is known in the mean only."""
FIRST = 0.25
"""Share of the events after which all that is known has been seen; the slope is of the rest."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What was measured.

    Attributes:
        events: Counted.
        rate: Events a second.
        mib: Resident memory of the worker at tenths of the events, MiB.
        slope: What it grew by after the first quarter, MiB for a million events.
        redis_mib: All that Redis held at the end.
    """

    events: int
    rate: float
    mib: list[float]
    slope: float
    redis_mib: float

    def document(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def measure_memory(settings: Settings, events: int, say: Say) -> Memory:
    """Write events as fast as a worker counts them and look at its memory."""
    with rig(settings, say) as here:
        shop = BusyShop(events)
        asyncio.run(_prepare(here.settings))
        say(f"writing {events:,} events while the worker reads them")
        seen, redis_mib = asyncio.run(_feed(here, shop, events, say))
    first, last = seen[0], seen[-1]
    return Memory(
        events=last[1],
        rate=round((last[1] - first[1]) / (last[0] - first[0])),
        mib=[round(_mib(seen, last[1] * tenth / 10), 1) for tenth in range(1, 11)],
        slope=round(slope([(n, mib) for _, n, mib in seen if n >= FIRST * last[1]]), 3),
        redis_mib=round(redis_mib, 1),
    )


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Growth by least squares, for a million.

    >>> slope([(1e6, 100.0), (2e6, 101.0), (3e6, 102.0)])
    1.0
    """
    if len({n for n, _ in points}) < 2:
        return 0.0
    across, up = np.array(points).T
    return float(np.round(np.polyfit(across / 1e6, up, 1)[0], 9))


def _mib(seen: Sequence[tuple[float, int, float]], events: float) -> float:
    return next(mib for _, n, mib in seen if n >= events)


async def _prepare(settings: Settings) -> None:
    await create_topics(settings)
    admin = make_admin(settings)
    await admin.start()
    try:
        await admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, name, dict(FOR_NOW)) for name in TALKATIVE]
        )
    finally:
        await admin.close()


async def _feed(
    here: Rig, shop: BusyShop, events: int, say: Say
) -> tuple[list[tuple[float, int, float]], float]:
    """Write; each second note the time, what is counted and the worker's memory, MiB."""
    settings = here.settings
    seen: list[tuple[float, int, float]] = []
    with Redis.from_url(settings.redis) as redis, run_worker(settings) as process:
        counter = Counter(redis, here, [process], shop)
        async with make_producer(settings) as producer:
            writer = BatchWriter(producer, settings.partitions)
            sent = counted = said = 0
            looked = changed = time.monotonic()
            while counted < ENOUGH * events and time.monotonic() < changed + GIVE_UP:
                for _ in range(min(1_000, events - sent, counted + AHEAD - sent)):
                    now = time.time_ns() // 1_000_000
                    await writer.put(*shop.next(now), now)
                    sent += 1
                if sent in (events, counted + AHEAD):
                    await writer.flush()
                    await asyncio.sleep(0.02)
                if time.monotonic() > looked + 0.2:
                    looked = time.monotonic()
                    now_counted = counter.look().events
                    if now_counted > counted:
                        counted, changed = now_counted, looked
                        seen.append((looked, counted, usage(process.pid)[1] / 2**20))
                    if counted // 1_000_000 > said:
                        said = counted // 1_000_000
                        say(f"{counted:,} events, {seen[-1][2]:.0f} MiB")
        if counted < ENOUGH * events:
            raise StreamError(f"Nothing more was counted in {GIVE_UP:.0f} s.")
        info: dict[str, Any] = redis.info("memory")
        return seen, info["used_memory"] / 2**20
