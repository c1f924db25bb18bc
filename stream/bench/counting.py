"""How fast workers count what lies in Kafka, and what it costs, seen from outside."""

import subprocess
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
from redis import Redis

from stream import keys
from stream.bench.rig import Rig, peak_memory, usage
from stream.bench.shop import BusyShop
from stream.errors import StreamError

SETTLED = 3.0
"""Seconds without another event after which all are counted."""
GIVE_UP = 120.0
"""Seconds without another event after which it fails, if not even the first has come."""
GLANCE = 0.05
"""Seconds between two looks."""


class Seen(NamedTuple):
    """What was seen at one moment; all but the time and `stale` only grow."""

    at: float
    """Monotonic clock, s."""
    events: int
    """Counted by all products shards; an order of several lines counts once."""
    worker: float
    """CPU time of the workers, s."""
    kafka: float
    redis: float
    commands: int
    """That Redis has run, those of scripts included, but not ours."""
    received: int
    """Bytes that Redis has read."""
    sent: int
    """Bytes that Redis has written."""
    stale: int
    """Public documents that wait to be renewed."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What was seen between the first checkpoint with events and the last: the start is left out.

    Attributes:
        events: Counted in that time.
        rate: Events a second.
        cpu_us: CPU time of the worker processes for an event, all threads, µs.
        kafka_us, redis_us: The same of the two servers.
        memory_mib: Most resident memory of one worker.
        commands, received, sent: Commands and bytes to and from Redis for an event.
        began, ended: That time, by the monotonic clock, s.
    """

    events: int
    rate: float
    cpu_us: float
    kafka_us: float
    redis_us: float
    memory_mib: float
    commands: float
    received: float
    sent: float
    began: float
    ended: float


class Counter:
    """Looks at workers, at Kafka and at Redis."""

    def __init__(
        self,
        redis: "Redis",
        rig: Rig,
        workers: Collection["subprocess.Popen[bytes]"],
        shop: BusyShop,
    ) -> None:
        self._redis = redis
        self._lines = shop.lines
        self._rig = rig
        self._workers = workers
        self._looks = 0

    def look(self) -> Seen:
        """See how far they are.

        Raises:
            StreamError: A worker has ended.
        """
        if any(worker.poll() is not None for worker in self._workers):
            raise StreamError("The worker has ended; see its messages above.")
        pipe = self._redis.pipeline(transaction=False)
        pipe.info("stats")
        for partition in range(self._rig.settings.partitions):
            for stage in ("products", "customers"):
                pipe.hmget(keys.checkpoint(stage, partition), ["counts", "stale"])
        stats, *notes = pipe.execute()
        self._looks += 1
        counted: list[tuple[Any, Any]] = [
            (orjson.loads(counts or b"{}"), orjson.loads(stale or b"0") or 0)
            for counts, stale in notes
        ]
        return Seen(
            at=time.monotonic(),
            events=round(sum(counts.get("events", 0) for counts, _ in counted[::2]) / self._lines),
            worker=sum(usage(worker.pid)[0] for worker in self._workers),
            kafka=usage(self._rig.servers.kafka.pid)[0],
            redis=usage(self._rig.servers.redis.pid)[0],
            commands=stats["total_commands_processed"] - self._looks * (len(notes) + 1),
            received=stats["total_net_input_bytes"],
            sent=stats["total_net_output_bytes"],
            stale=sum(stale for _, stale in counted),
        )

    def until_settled(self) -> list[Seen]:
        """Look until nothing more is counted and all that was counted is published."""
        seen = [self.look()]
        before, changed = seen[0].events, 0.0
        began = time.monotonic()
        while True:
            time.sleep(GLANCE)
            seen.append(self.look())
            now = seen[-1]
            if now.events != before:
                before, changed = now.events, now.at
            elif changed and now.at > changed + SETTLED and not now.stale:
                return seen
            if now.at > max(began, changed) + GIVE_UP:
                raise StreamError(f"Nothing more was counted in {GIVE_UP:.0f} s.")

    def peak_mib(self) -> float:
        """Most memory that one of them has had."""
        return max(peak_memory(worker.pid) for worker in self._workers) / 2**20


def count(
    rig: Rig,
    workers: Collection["subprocess.Popen[bytes]"],
    shop: BusyShop,
    *,
    skip: float = 0.0,
    leave: float = 0.0,
) -> Counted:
    """Wait until workers have counted all events, and say how fast they were.

    Args:
        rig: Where they work.
        workers: All of them.
        shop: Whose events.
        skip: Share of the events that is left out at the beginning, while workers still find
            together.
        leave: Share that is left out at the end, when one has no more to do and others have.
    """
    with Redis.from_url(rig.settings.redis) as redis:
        counter = Counter(redis, rig, workers, shop)
        seen = counter.until_settled()
        return between(*_ends(seen, skip, leave), counter.peak_mib())


def _ends(seen: Sequence[Seen], skip: float, leave: float) -> tuple[Seen, Seen]:
    """Choose the first look with events and the first with all of them."""
    before = seen[0].events
    new = seen[-1].events - before
    first = next(s for s in seen if s.events > before + skip * new)
    last = next(s for s in seen if s.events >= before + (1 - leave) * new)
    return first, last


def between(first: Seen, last: Seen, memory_mib: float) -> Counted:
    """What happened between two looks, for an event.

    Raises:
        StreamError: All was counted in one step.
    """
    events = last.events - first.events
    if not events:
        raise StreamError("All events were counted at once: take more of them.")
    return Counted(
        events=events,
        rate=events / (last.at - first.at),
        cpu_us=(last.worker - first.worker) / events * 1e6,
        kafka_us=(last.kafka - first.kafka) / events * 1e6,
        redis_us=(last.redis - first.redis) / events * 1e6,
        memory_mib=memory_mib,
        commands=(last.commands - first.commands) / events,
        received=(last.received - first.received) / events,
        sent=(last.sent - first.sent) / events,
        began=first.at,
        ended=last.at,
    )
