"""How much this machine does: a worker on the embedded Kafka and Redis, seen from outside."""

import asyncio
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from redis import Redis

from stream.bench.counting import count
from stream.bench.latency import latencies
from stream.bench.rig import bench_settings, run_worker
from stream.bench.shop import busy_shop, fill
from stream.embedded import embedded
from stream.errors import StreamError

LIVE_RATE = 5_000
"""Events a second while latency is measured."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured.

    Attributes:
        events: Read from a full topic.
        rate: Events a second, from the first checkpoint to the last.
        cpu_us: CPU time of the worker process per event in that time, all threads, µs.
        memory_mib: Its resident memory at the end.
        p50_ms, p99_ms, worst_ms: From an event's Kafka time to its score in Redis, while
            `live_rate` events a second are written.
        probes: Events of which that was measured.
    """

    events: int
    rate: int
    cpu_us: float
    memory_mib: float
    live_rate: int
    p50_ms: float
    p99_ms: float
    worst_ms: float
    probes: int

    def document(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def measure(events: int, live_seconds: float, say: Say) -> Result:
    """Fill the topics, let a worker read them, then measure how long a score takes live."""
    live_events = int(LIVE_RATE * live_seconds)
    with embedded(say=say) as addresses:
        settings = bench_settings(addresses)
        stream = busy_shop(events + live_events)
        say(f"writing {events:,} events")
        asyncio.run(fill(settings, islice(stream, events)))
        with run_worker(addresses) as process, Redis.from_url(addresses.redis) as redis:
            say("the worker reads them")
            counted = count(redis, process)
            say(f"measuring latency at {LIVE_RATE:,} events/s")
            live = list(islice(stream, live_events))  # not made meanwhile
            delays = sorted(asyncio.run(latencies(settings, live, LIVE_RATE, live_seconds)))
    if not delays:
        raise StreamError("No probe was answered; see the worker's messages above.")
    return Result(
        events=events,
        rate=round(counted.rate),
        cpu_us=round(counted.cpu_us, 1),
        memory_mib=round(counted.memory_mib, 1),
        live_rate=LIVE_RATE,
        p50_ms=round(statistics.median(delays) * 1000, 1),
        p99_ms=round(delays[int(len(delays) * 0.99)] * 1000, 1),
        worst_ms=round(delays[-1] * 1000, 1),
        probes=len(delays),
    )
