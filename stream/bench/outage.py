"""How soon a worker has caught up with what came while none was there."""

import asyncio
import time
from dataclasses import asdict, dataclass
from typing import Any

from redis import Redis

from stream.bench.counting import Counter, Seen, count
from stream.bench.rig import BatchWriter, Rig, rig, run_worker
from stream.bench.shop import BusyShop, fill
from stream.embedded.server import Say
from stream.errors import StreamError
from stream.kafka.clients import make_producer
from stream.settings import Settings

SHARE = 0.5
"""Of the worker's speed: events that come live, before, meanwhile and after."""
CURRENT = 1.0
"""Seconds that a worker may lag behind and is said to have caught up."""
PATIENCE = 5.0
"""Times the outage that a worker has to catch up, and as long as it takes to start."""
START = 30.0


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """What was measured.

    Attributes:
        outage_s: For so long no worker was there, s.
        live: Events a second that came then, and went on coming.
        backlog: Events that had come when it started.
        caught_up_s: From the start of the process until it was behind by a second of events, s.
        rate: Events a second that it counted from its first checkpoint until then.
    """

    outage_s: float
    live: int
    backlog: int
    caught_up_s: float
    rate: float

    def document(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def measure_outage(settings: Settings, events: int, outage: float, say: Say) -> CaughtUp:
    """Learn how fast the worker is, end it, write what an outage leaves behind, start it again."""
    with rig(settings, say) as here:
        say(f"writing {events:,} events")
        shop = BusyShop(events)
        asyncio.run(fill(here.settings, shop, events))
        with run_worker(here.settings) as process:
            say("the worker reads them")
            live = max(1, round(count(here, [process], shop).rate * SHARE))
        backlog = round(live * outage)
        say(f"no worker for {outage:g} s: {backlog:,} events")
        asyncio.run(fill(here.settings, shop, backlog, live))
        return asyncio.run(_catch_up(here, shop, backlog, live, outage))


async def _catch_up(here: Rig, shop: BusyShop, backlog: int, live: int, outage: float) -> CaughtUp:
    settings = here.settings
    with Redis.from_url(settings.redis) as redis, run_worker(settings) as process:
        began = time.monotonic()
        counter = Counter(redis, here, [process], shop)
        before = counter.look()
        first: Seen | None = None
        async with make_producer(settings) as producer:
            writer = BatchWriter(producer, settings.partitions)
            sent = 0
            patience = START + PATIENCE * outage
            while (elapsed := time.monotonic() - began) < patience:
                while sent < int(elapsed * live):
                    now = time.time_ns() // 1_000_000
                    await writer.put(*shop.next(now), now)
                    sent += 1
                await writer.flush()
                seen = counter.look()
                counted = seen.events - before.events
                if counted and first is None:
                    first = seen
                if first is not None and counted >= backlog + sent - live * CURRENT:
                    return CaughtUp(
                        outage_s=outage,
                        live=live,
                        backlog=backlog,
                        caught_up_s=round(seen.at - began, 2),
                        rate=round((seen.events - first.events) / max(0.001, seen.at - first.at)),
                    )
                await asyncio.sleep(0.02)
    raise StreamError(f"The worker had not caught up after {patience:.0f} s.")
