"""How much this machine does: a worker on the embedded Kafka and Redis, seen from outside."""

import asyncio
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import orjson
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from stream import keys
from stream.bench.rig import PARTITIONS, BatchWriter, bench_settings, run_worker, usage
from stream.embedded import embedded
from stream.errors import StreamError
from stream.events.logs import Event
from stream.kafka.clients import make_producer
from stream.kafka.topics import create_topics
from stream.settings import Settings
from stream.simulate.plan import ShopPlan
from stream.simulate.shop import Shop

LIVE_RATE = 5_000
"""Events a second while latency is measured."""
SETTLED = 3.0
"""Seconds without another event after which all are counted."""
PROBES = 20
"""Probe events a second, each for a product of its own, sent on time whatever came of the last."""
LAST_ANSWERS = 30.0
"""Seconds that the last probes are waited for."""
GIVE_UP = 300.0
"""Seconds without an end after which the benchmark fails."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured.

    Attributes:
        events: Read from a full topic.
        seconds: To count them, at the pace from the first checkpoint to the last.
        rate: Events a second.
        cpu_us: CPU time of the worker process per event, all threads, µs.
        memory_mib: Its resident memory at the end.
        p50_ms, p99_ms, worst_ms: From an event's Kafka time to its score in Redis, while
            `live_rate` events a second are written.
        probes: Events of which that was measured.
    """

    events: int
    seconds: float
    rate: float
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
    with embedded(say=say) as addresses:
        settings = bench_settings(addresses)
        # Live events follow on the recorded ones, which end now.
        begin = int(time.time() * 1000) - _span(events + int(LIVE_RATE * live_seconds))
        plan = ShopPlan(
            products=20_000,
            customers=100_000,
            start=begin,  # type: ignore[arg-type]
            events_per_day=_PER_DAY,
        )
        stream = Shop(plan).events(catalog=False)
        say(f"writing {events:,} events")
        asyncio.run(_fill(settings, islice(stream, events)))
        with run_worker(addresses) as process, Redis.from_url(addresses.redis) as redis:
            say("the worker reads them")
            seconds = _wait_until_counted(redis, process)
            cpu, memory = usage(process.pid)
            say(f"measuring latency at {LIVE_RATE:,} events/s")
            live = list(islice(stream, int(LIVE_RATE * live_seconds)))  # not made meanwhile
            delays = asyncio.run(_latencies(settings, live, live_seconds))
    if not delays:
        raise StreamError("No probe was answered; see the worker's messages above.")
    return Result(
        events=events,
        seconds=round(seconds, 2),
        rate=round(events / seconds),
        cpu_us=round(cpu / events * 1e6, 1),
        memory_mib=round(memory / 2**20, 1),
        live_rate=LIVE_RATE,
        p50_ms=round(statistics.median(delays) * 1000, 1),
        p99_ms=round(sorted(delays)[int(len(delays) * 0.99)] * 1000, 1),
        worst_ms=round(max(delays) * 1000, 1),
        probes=len(delays),
    )


_PER_DAY = 20_000 * 86_400
"""A shop as busy as the mark of 20,000 events/s: time in the log passes as it does live."""


def _span(events: int) -> int:
    """Simulated time that so many events take, with room, ms."""
    return int(events / _PER_DAY * 86_400_000 * 1.5) + 60_000


async def _fill(settings: Settings, events: Iterable[Event]) -> None:
    await create_topics(settings)
    async with make_producer(settings) as producer:
        writer = BatchWriter(producer)
        for event in events:
            await writer.put(event.topic, event.key, orjson.dumps(event.value))
        await writer.flush()
        await producer.flush()


def _wait_until_counted(redis: "Redis", process: "subprocess.Popen[bytes]") -> float:
    """Seconds for all events, at the pace from the first checkpoint with events to the last."""
    began = ended = 0.0
    first = 0
    before: tuple[int, ...] = ()
    deadline = time.monotonic() + GIVE_UP
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise StreamError("The worker has ended; see its messages above.")
        counted, stale = _counted(redis)
        now = time.monotonic()
        if sum(counted) and not began:
            began, first = now, sum(counted)  # which took their time before
        if counted != before:
            before, ended = counted, now
        elif began and now - ended > SETTLED and not stale:
            return (ended - began) * sum(counted) / max(1, sum(counted) - first)
        time.sleep(0.05)
    raise StreamError(f"The worker was not done after {GIVE_UP:.0f} s.")


def _counted(redis: "Redis") -> tuple[tuple[int, ...], int]:
    """Events counted by each products shard, and public documents that wait to be renewed."""
    counts, stale = [], 0
    for partition in range(PARTITIONS):
        for stage in ("customers", "products"):
            notes: Any = redis.hmget(keys.checkpoint(stage, partition), ["counts", "stale"])
            counted, waiting = (orjson.loads(raw or b"null") for raw in notes)
            stale += waiting or 0
        counts.append((counted or {}).get("events", 0))
    return tuple(counts), stale


async def _latencies(settings: Settings, events: Sequence[Event], seconds: float) -> list[float]:
    """Write live events at a fixed rate, and probes between them, on schedule."""
    waiting: dict[str, float] = {}
    delays: list[float] = []
    ahead = iter(events)
    async with make_producer(settings) as producer, AsyncRedis.from_url(settings.redis) as redis:
        writer = BatchWriter(producer)
        looking = asyncio.create_task(_look(redis, waiting, delays))
        began = time.monotonic()
        sent = probes = 0
        while (elapsed := time.monotonic() - began) < seconds:
            for event in islice(ahead, int(elapsed * LIVE_RATE) - sent):
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
