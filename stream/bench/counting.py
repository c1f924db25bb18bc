"""How fast a worker counts what lies in Kafka, seen from outside."""

import subprocess
import time
from dataclasses import dataclass
from typing import Any

import orjson
from redis import Redis

from stream import keys
from stream.bench.rig import PARTITIONS, usage
from stream.errors import StreamError

SETTLED = 3.0
"""Seconds without another event after which all are counted."""
GIVE_UP = 300.0
"""Seconds without an end after which it fails."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What was seen between the first checkpoint with events and the last: the start is left out.

    Attributes:
        rate: Events a second.
        cpu_us: CPU time of the worker process for an event, all threads, µs.
        memory_mib: Its resident memory at the end.
    """

    rate: float
    cpu_us: float
    memory_mib: float


def count(redis: "Redis", process: "subprocess.Popen[bytes]") -> Counted:
    """Wait until a worker has counted all events."""
    first: tuple[float, float, int] | None = None
    last = (0.0, 0.0, 0)
    before: tuple[int, ...] = ()
    deadline = time.monotonic() + GIVE_UP
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise StreamError("The worker has ended; see its messages above.")
        counted, stale = _counted(redis)
        now, (cpu, memory) = time.monotonic(), usage(process.pid)
        if sum(counted) and first is None:
            first = now, cpu, sum(counted)  # which took their time before
        if counted != before:
            before, last = counted, (now, cpu, sum(counted))
        elif first is not None and now - last[0] > SETTLED and not stale:
            seconds, spent, events = (b - a for a, b in zip(first, last, strict=True))
            return Counted(events / seconds, spent / events * 1e6, memory / 2**20)
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
