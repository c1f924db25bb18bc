"""How much this machine does: a worker on the embedded Kafka and Redis, seen from outside."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from redis import Redis

from stream.bench.counting import Counted, count
from stream.bench.latency import Latency, latencies, summed_up
from stream.bench.rig import Rig, rig, run_worker
from stream.bench.shop import BusyShop, fill
from stream.bench.storage import Storage, weigh
from stream.bench.watched import Report
from stream.embedded.server import Say
from stream.errors import StreamError
from stream.settings import Settings

SETTLING = 15.0
"""Seconds of each load before it is measured: what came before has left scores to be renewed."""


@dataclass(frozen=True, slots=True)
class Load:
    """What was measured.

    Attributes:
        events: Read from a full topic.
        full: How fast, and what it cost.
        costs: CPU time for an event by what it was spent on, µs.
        pauses: How long the worker's event loop let a task wait meanwhile, ms.
        storage: What lay in Redis then.
        live: How long a score took, at each rate.
    """

    events: int
    full: Counted
    costs: dict[str, float]
    pauses: dict[str, float]
    storage: Storage
    live: list[Latency]

    def document(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def measure(
    settings: Settings,
    events: int,
    percents: Sequence[float],
    seconds: float,
    say: Say,
    *,
    quiet: int | None = None,
) -> Load:
    """Fill the topics, let a worker read them, then measure how long a score takes live.

    Args:
        settings: Of the worker.
        events: In the topics.
        percents: Loads at which latency is measured, in percent of the worker's own speed.
        seconds: For how long, each.
        say: Where lines about the progress go.
        quiet: Events a second of one more load, before the others.
    """
    with rig(settings, say) as here, TemporaryDirectory(prefix="stream-bench-") as folder:
        report = Path(folder) / "report.json"
        say(f"writing {events:,} events")
        shop = BusyShop(events)
        asyncio.run(fill(here.settings, shop, events))
        spans: list[tuple[int, list[float], float, float]] = []
        with run_worker(here.settings, report=report) as process:
            say("the worker reads them")
            counted = count(here, [process], shop)
            with Redis.from_url(here.settings.redis) as redis:
                storage = weigh(redis, here.settings.partitions)
            rates = [max(1, round(counted.rate * percent / 100)) for percent in percents]
            for rate in [*([quiet] if quiet else []), *rates]:
                say(f"measuring latency at {rate:,} events/s")
                spans.append((rate, *_live(here, shop, rate, seconds)))
        told = Report.read(report)
    return Load(
        events=events,
        full=counted,
        costs=told.costs(counted.began, counted.ended, counted.events),
        pauses=told.pauses(counted.began, counted.ended),
        storage=storage,
        live=[
            summed_up(rate, delays, told.pauses(began, ended))
            for rate, delays, began, ended in spans
        ],
    )


def _live(here: Rig, shop: BusyShop, rate: int, seconds: float) -> tuple[list[float], float, float]:
    """Say the delays, and between which times they were measured."""
    asyncio.run(latencies(here.settings, shop, rate, min(SETTLING, seconds)))
    began = time.monotonic()
    delays = asyncio.run(latencies(here.settings, shop, rate, seconds))
    if not delays:
        raise StreamError("No event was due in so short a time.")
    return delays, began, time.monotonic()
