"""How long an event takes from Kafka until its product's score can be read."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from redis.asyncio import Redis

from stream import keys
from stream.bench.rig import BatchWriter
from stream.bench.shop import BusyShop
from stream.kafka.clients import make_producer
from stream.settings import Settings

PROBES = 50
"""Of the events in a second, so many at most are for a product of their own and looked for."""
LAST_ANSWERS = 30.0
"""Seconds that the last probes are waited for."""
LOOK = 0.002
"""Seconds between two looks …"""
FEW = 10
"""… while no more than so many are looked for; the more, the rarer, or looking would be a load."""
SHARES = (0.5, 0.9, 0.99, 0.999)


@dataclass(frozen=True, slots=True)
class Latency:
    """What was measured at one load.

    Attributes:
        rate: Events written a second.
        probes: Events of which the latency was measured.
        p50_ms, p90_ms, p99_ms, p999_ms, worst_ms: From an event's Kafka time, which is when it
            was due to be written, until its score can be read in Redis.
        curve_ms: The same at 0, 1, 2 … 100 %, for a picture.
        pause_ms: Longest time that the worker's event loop left a task waiting meanwhile.
        own_ms: The same of the pauses in which it was at work itself, not waiting for a core.
    """

    rate: int
    probes: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    worst_ms: float
    curve_ms: tuple[float, ...]
    pause_ms: float = 0.0
    own_ms: float = 0.0


def summed_up(rate: int, delays: Sequence[float], pauses: Mapping[str, float] = {}) -> Latency:
    """Take the quantiles of delays, s. The pauses are those of the event loop, ms.

    >>> summed_up(10, [0.001 * n for n in range(1, 1001)]).p999_ms
    999.0
    """
    ordered = sorted(delays)
    p50, p90, p99, p999 = (quantile(ordered, share) * 1000 for share in SHARES)
    return Latency(
        rate,
        len(ordered),
        round(p50, 1),
        round(p90, 1),
        round(p99, 1),
        round(p999, 1),
        round(ordered[-1] * 1000, 1),
        tuple(round(quantile(ordered, percent / 100) * 1000, 1) for percent in range(101)),
        pauses.get("longest_ms", 0.0),
        pauses.get("own_ms", 0.0),
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """Least value that at least a share of all does not exceed.

    >>> quantile([1.0, 2.0, 3.0, 4.0], 0.5), quantile([1.0, 2.0, 3.0, 4.0], 0.51)
    (2.0, 3.0)
    """
    rank = -int(-share * len(ordered) // 1)  # rounded up
    return ordered[min(len(ordered) - 1, max(0, rank - 1))]


async def latencies(settings: Settings, shop: BusyShop, rate: int, seconds: float) -> list[float]:
    """Write live events at a fixed rate, some of them probes, and see when those are answered.

    All are due by a plan that waits for nothing, and their latency is counted from when they were
    due: a worker that stands still delays all that come meanwhile, and none of them is left out
    (no coordinated omission).

    Returns:
        Seconds, one for each probe. What was not answered counts as long as it was waited for.
    """
    probed = min(PROBES, rate)
    waiting: dict[str, float] = {}
    delays: list[float] = []
    mark = f"probe-{time.time_ns():x}"
    async with make_producer(settings) as producer, Redis.from_url(settings.redis) as redis:
        writer = BatchWriter(producer, settings.partitions)
        looking = asyncio.create_task(_look(redis, waiting, delays))
        began = time.time()
        sent = probes = 0
        while (elapsed := time.time() - began) < seconds:
            while sent < int(elapsed * (rate - probed)):
                sent += 1
                due = int((began + sent / (rate - probed)) * 1000)
                await writer.put(*shop.next(due), due)
            while probes < int(elapsed * probed):
                probes += 1
                waiting[f"{mark}-{probes}"] = due_at = began + probes / probed
                await _probe(writer, f"{mark}-{probes}", int(due_at * 1000))
            await writer.flush()
            await asyncio.sleep(0.002)
        deadline = time.monotonic() + LAST_ANSWERS
        while waiting and time.monotonic() < deadline:  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.1)
        looking.cancel()
    return delays + [time.time() - due_at for due_at in waiting.values()]


async def _probe(writer: BatchWriter, product: str, due: int) -> None:
    event = {
        "event_id": product,
        "type": "view_item",
        "time": due,
        "user_id": f"of-{product}",
        "product_id": product,
    }
    await writer.put("clicks", f"of-{product}", orjson.dumps(event), due)


async def _look(redis: Any, waiting: dict[str, float], delays: list[float]) -> None:
    """Note when the score of a probe can be read."""
    while True:
        probes = list(waiting)
        found = await redis.mget([keys.score(p) for p in probes]) if probes else []
        now = time.time()
        delays += [now - waiting.pop(p) for p, raw in zip(probes, found, strict=True) if raw]
        await asyncio.sleep(LOOK * max(1.0, len(probes) / FEW))
