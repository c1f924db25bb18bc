"""How long an event takes from Kafka until its product's score can be read."""

import asyncio
import time
from collections.abc import Sequence
from itertools import islice
from typing import Any

import orjson
from redis.asyncio import Redis

from stream import keys
from stream.bench.rig import BatchWriter
from stream.events.logs import Event
from stream.kafka.clients import make_producer
from stream.settings import Settings

PROBES = 20
"""Probe events a second, each for a product of its own, sent on time whatever came of the last."""
LAST_ANSWERS = 30.0
"""Seconds that the last probes are waited for."""


async def latencies(
    settings: Settings, events: Sequence[Event], rate: int, seconds: float
) -> list[float]:
    """Write live events at a fixed rate, and probes between them, on schedule."""
    waiting: dict[str, float] = {}
    delays: list[float] = []
    ahead = iter(events)
    async with make_producer(settings) as producer, Redis.from_url(settings.redis) as redis:
        writer = BatchWriter(producer)
        looking = asyncio.create_task(_look(redis, waiting, delays))
        began = time.monotonic()
        sent = probes = 0
        while (elapsed := time.monotonic() - began) < seconds:
            for event in islice(ahead, int(elapsed * rate) - sent):
                event.value["time"] = time.time_ns() // 1_000_000
                await writer.put(event.topic, event.key, orjson.dumps(event.value))
                sent += 1
            while probes < elapsed * PROBES:
                await _probe(writer, f"probe-{probes}", waiting)
                probes += 1
            await writer.flush()
            await asyncio.sleep(0.01)
        deadline = time.monotonic() + LAST_ANSWERS
        while waiting and time.monotonic() < deadline:  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.1)
        looking.cancel()
    return delays + [time.time() - sent_at for sent_at in waiting.values()]


async def _probe(writer: BatchWriter, product: str, waiting: dict[str, float]) -> None:
    waiting[product] = now = time.time()
    event = {
        "event_id": product,
        "type": "view_item",
        "time": int(now * 1000),
        "user_id": f"of-{product}",
        "product_id": product,
    }
    await writer.put("clicks", f"of-{product}", orjson.dumps(event))


async def _look(redis: Any, waiting: dict[str, float], delays: list[float]) -> None:
    """Note when the score of a probe can be read."""
    while True:
        probes = list(waiting)
        found = await redis.mget([keys.score(p) for p in probes]) if probes else []
        now = time.time()
        delays += [now - waiting.pop(p) for p, raw in zip(probes, found, strict=True) if raw]
        await asyncio.sleep(0.002)
