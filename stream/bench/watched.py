"""A worker that is watched: where its time goes, and how long its event loop lets others wait.

    python -m stream.bench.watched report.json

It is `stream worker` with all stages. The CPU time of what shards and neighbours are asked is
added up; they are asked for hundreds of events at once, so that the watching costs next to nothing.
"""

import asyncio
import functools
import json
import logging
import sys
import time
from array import array
from collections import defaultdict
from collections.abc import Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass
from inspect import isgeneratorfunction
from pathlib import Path
from types import coroutine
from typing import Any

from stream.agents.worker import Worker
from stream.bench.latency import quantile
from stream.customers.shard import CustomersShard
from stream.kafka.post import Post
from stream.learner.shard import LearnerShard
from stream.products.shard import ProductsShard
from stream.redis.checkpoints import RedisCheckpoints
from stream.settings import STAGES, read_settings

BEAT = 0.005
"""Seconds between two beats of the heart; how much later one comes is how long a task waits."""
SNAPSHOT = 0.1
"""Seconds between two lines of the books."""
ASKED = ("offer", "due", "folding", "tick", "changing")
"""What a shard is asked, at once or in steps."""
SHARDS = (CustomersShard, ProductsShard, LearnerShard)

Costs = dict[str, float]
"""CPU seconds by part: `customers.folding`, `products.save`, `letters`, `process`."""


class Books:
    """CPU time by what it was spent on, as it grows, and the beats of the event loop."""

    def __init__(self) -> None:
        self.spent: Costs = defaultdict(float)
        self.lines: list[tuple[float, Costs]] = []
        self.beats = array("d")
        self.waits = array("d")
        self.busy = array("d")

    def timed(self, part: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Have the time of each call added up."""

        @functools.wraps(work)
        def call(*args: Any, **named: Any) -> Any:
            began = time.thread_time()
            try:
                return work(*args, **named)
            finally:
                self.spent[part] += time.thread_time() - began

        return call

    def walked(
        self, part: str, work: Callable[..., Generator[None, None, Any]]
    ) -> Callable[..., Generator[None, None, Any]]:
        """Have the time of each step of a generator added up."""

        @functools.wraps(work)
        def call(*args: Any, **named: Any) -> Generator[None, None, Any]:
            step = self.timed(part, work(*args, **named).__next__)
            while True:
                try:
                    step()
                except StopIteration as end:
                    return end.value
                yield

        return call

    def stepped(
        self, part: Callable[..., str], work: Callable[..., Coroutine[Any, Any, Any]]
    ) -> Callable[..., Any]:
        """Have the time of each step of a coroutine added up, and not that in which it waits."""

        @functools.wraps(work)
        async def call(*args: Any, **named: Any) -> Any:
            return await self._steps(part(*args), work(*args, **named))

        return call

    @coroutine
    def _steps(self, part: str, work: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
        step: Callable[[], Any] = functools.partial(work.send, None)
        while True:
            began = time.thread_time()
            try:
                waited_for = step()
            except StopIteration as end:
                return end.value
            finally:
                self.spent[part] += time.thread_time() - began
            try:
                step = functools.partial(work.send, (yield waited_for))
            except BaseException as error:  # noqa: BLE001 (it is handed on)
                step = functools.partial(work.throw, error)

    async def keep(self) -> None:
        """Let the heart beat, and write a line now and then."""
        written = 0.0
        while True:
            due, spent = time.monotonic() + BEAT, time.thread_time()
            await asyncio.sleep(BEAT)
            now = time.monotonic()
            self.beats.append(now)
            self.waits.append(max(0.0, now - due))
            self.busy.append(time.thread_time() - spent)
            if now > written + SNAPSHOT:
                written = now
                self.write()

    def write(self) -> None:
        """Add a line."""
        self.lines.append((time.monotonic(), {**self.spent, "process": time.process_time()}))

    def report(self) -> str:
        """Everything, as JSON."""
        beats = list(zip(self.beats, self.waits, self.busy, strict=True))
        return json.dumps({"lines": self.lines, "beats": beats})


@dataclass(frozen=True, slots=True)
class Report:
    """What a watched worker has written.

    Attributes:
        lines: Times by the monotonic clock, s, and what had been spent by then.
        beats: Times, for how long the event loop had let a task wait, and how much CPU time its
            thread had had since the beat before, s.
    """

    lines: list[tuple[float, Costs]]
    beats: list[tuple[float, float, float]]

    @classmethod
    def read(cls, path: Path) -> "Report":
        """Read it; the worker has ended."""
        return cls(**json.loads(path.read_text()))

    def costs(self, began: float, ended: float, events: int) -> dict[str, float]:
        """What was spent for an event between two times, µs.

        `loop` is what the process spent on anything else: Faust, the clients, asyncio.
        """
        first = max((line for line in self.lines if line[0] <= began), default=self.lines[0])
        last = min((line for line in self.lines if line[0] >= ended), default=self.lines[-1])
        spent = {name: at - first[1].get(name, 0.0) for name, at in last[1].items()}
        spent["loop"] = spent.pop("process") - sum(spent.values())
        return {name: round(s / events * 1e6, 3) for name, s in spent.items()}

    def pauses(self, began: float, ended: float) -> dict[str, float]:
        """How long the event loop let a task wait between two times, ms.

        `own_ms` is the longest in which it was at work itself. On a machine with much to do the
        others are longer: the thread waited for a core.
        """
        here = [(wait, cpu) for at, wait, cpu in self.beats if began <= at <= ended] or [(0.0, 0.0)]
        waits = sorted(wait for wait, _ in here)
        named = {"p50_ms": 0.5, "p99_ms": 0.99, "longest_ms": 1.0}
        pauses = {name: quantile(waits, share) for name, share in named.items()}
        pauses["own_ms"] = max(min(beat) for beat in here)
        return {name: round(pause * 1000, 1) for name, pause in pauses.items()}


def by_stage(costs: Mapping[str, float]) -> dict[str, float]:
    """Add up what the parts of each stage cost; the stages come first, as the data flows.

    >>> by_stage({"products.due": 4.0, "loop": 3.0, "customers.due": 2.0, "customers.save": 1.0})
    {'customers': 3.0, 'products': 4.0, 'loop': 3.0}
    """
    stages = {part.partition(".")[0] for part in costs}
    sums: dict[str, float] = {stage: 0.0 for stage in STAGES if stage in stages}
    for part, cost in costs.items():
        stage = part.partition(".")[0]
        sums[stage] = round(sums.get(stage, 0.0) + cost, 3)
    return sums


def _watch(books: Books) -> None:
    for stage, shard in zip(STAGES, SHARDS, strict=True):
        for name in ASKED:
            asked = getattr(shard, name)
            watched = books.walked if isgeneratorfunction(asked) else books.timed
            setattr(shard, name, watched(f"{stage}.{name}", asked))
    # Each line of letters is a task of its own, whose time would not be found in `Post.send`.
    neighbours: list[tuple[type, str, Callable[..., str]]] = [
        (RedisCheckpoints, "fetch", functools.partial(_of_stage, "fetch")),
        (RedisCheckpoints, "save", functools.partial(_of_stage, "save")),
        (Post, "_line", lambda *_: "letters"),
    ]
    for owner, name, part in neighbours:
        setattr(owner, name, books.stepped(part, getattr(owner, name)))


def _of_stage(name: str, _checkpoints: object, stage: str, *_: object) -> str:
    return f"{stage}.{name}"


async def _run(books: Books) -> None:
    worker = Worker(read_settings(), STAGES)
    worker.stop_on_signals()
    keeping = asyncio.create_task(books.keep())
    await worker.run()
    keeping.cancel()
    books.write()


def main(path: Path) -> None:
    """Work until SIGTERM, then write the report."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    for name in ("faust", "mode", "aiokafka"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    books = Books()
    _watch(books)
    asyncio.run(_run(books))
    path.write_text(books.report())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
