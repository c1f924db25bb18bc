"""What more workers on one machine give, each kept to a core."""

import asyncio
import os
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

from stream.bench.counting import Counted, count
from stream.bench.rig import pin, rig, run_worker
from stream.bench.shop import BusyShop, fill
from stream.embedded.server import Say
from stream.settings import Settings

SKIP, LEAVE = 0.2, 0.05
"""Shares of the events left out at the beginning and at the end: the group finds together, and
one worker is done before the others."""


@dataclass(frozen=True, slots=True)
class Workers:
    """What was measured.

    Attributes:
        workers: Processes.
        cores: Of this machine. Kafka and Redis are kept to the last, workers share all from the
            first on.
        counted: By all of them.
    """

    workers: int
    cores: int
    counted: Counted

    def document(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def measure_workers(settings: Settings, events: int, workers: int, say: Say) -> Workers:
    """Fill the topics, then let some workers read them together."""
    cores = _cores()
    with rig(settings, say) as here, ExitStack() as ends:
        say(f"writing {events:,} events")
        shop = BusyShop(events)
        asyncio.run(fill(here.settings, shop, events))
        for server in (here.servers.kafka, here.servers.redis):
            pin(server.pid, cores[-1:])
        say(f"{workers} of workers read them")
        processes = [
            ends.enter_context(
                run_worker(here.settings, cores=[cores[number % len(cores)]] if cores else [])
            )
            for number in range(workers)
        ]
        return Workers(workers, len(cores), count(here, processes, shop, skip=SKIP, leave=LEAVE))


def _cores() -> list[int]:
    """Cores that we may use (Linux; elsewhere none are named)."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
