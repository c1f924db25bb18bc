"""One fault: a shop under load, what is done to it, and whether the account is right afterwards."""

import asyncio
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Self

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from redis import Redis
from redis.exceptions import RedisError
from running import KINDS, PARTITIONS, Shop, Worker

from faults.load import Load, MakeLoad
from stream import keys
from stream.embedded import Servers
from stream.errors import StreamError
from stream.kafka.topics import TOPICS, partition_counts

SETTLED = 60.0
"""Seconds for the last scores, when everything is read."""


@dataclass(frozen=True)
class Fault:
    """Something that happens.

    Attributes:
        name: As the table calls it.
        inflict: Does it, while the load goes on, and mends it where that takes somebody.
        load: Makes the load.
        short: Whether it is part of the tests. Some take too long, some are tested elsewhere.
    """

    name: str
    inflict: Callable[["Trial"], None]
    load: MakeLoad = Load
    short: bool = True


@dataclass(frozen=True)
class Outcome:
    """What became of it; a line of the table.

    Attributes:
        fault: Its name.
        sent: Events that Kafka confirmed to their producer, and that count.
        counted: What the scores say they are made of.
        lost: Events that are missing, product by product.
        twice: Events too many, product by product.
        letters: Records among the dead letters.
        stood: Longest time until all shards had made a checkpoint again, s.
        memory: Most that a worker had resident, MiB.
        said: What else there is to say.
        failure: What went wrong; empty if nothing.
    """

    fault: str
    sent: int
    counted: int
    lost: int
    twice: int
    letters: int
    stood: float
    memory: float
    said: str
    failure: str = ""

    @property
    def right(self) -> bool:
        """Whether everything was counted once and nothing else went wrong."""
        return not (self.lost or self.twice or self.failure)


class Trial:
    """A shop under load, to do something to.

    Attributes:
        shop: The installation.
        servers: Its Kafka and its Redis.
        load: What goes on meanwhile.
        long: Whether there is time to do it often.
        dice: What is random.
        said: What the fault found out; printed beside the figures.
        patience: Seconds after which a wait has failed.
    """

    def __init__(
        self, servers: Servers, folder: Path, fault: Fault, rate: int, *, long: bool
    ) -> None:
        """Prepare; nothing is written yet.

        Args:
            servers: What to use.
            folder: For logs.
            fault: Gives its name to the keys.
            rate: Events a second.
            long: Whether there is time to do it often.
        """
        self.servers = servers
        self.folder = folder
        self.long = long
        self.patience = 300.0
        self.rate = rate
        self.dice = Random(fault.name)
        self.said = ""
        tag = re.sub(r"\W+", "-", fault.name)
        folder.mkdir(parents=True, exist_ok=True)
        self.shop = Shop(servers, folder, f"{tag}:")
        self.load = fault.load(self.shop.settings, rate, f"{tag} ")
        self.stood = self.memory = 0.0
        self._settled: tuple[Counter[tuple[str, str]], int] | None = None
        self._ends = ExitStack()
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._watch_memory, daemon=True)

    def use(self, shop: Shop) -> None:
        """Take another installation than the one that all faults share."""
        self.shop, self.servers = shop, shop.servers
        self.load = type(self.load)(shop.settings, self.rate, self.load.tag)

    def __enter__(self) -> Self:
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with suppress(Exception):
            self.load.stop()
        self._ends.close()
        self._watch.join()

    # For faults

    def workers(self, number: int, *arguments: str) -> list[Worker]:
        """Open the shop, begin to write, start workers, and wait until all of it moves."""
        self.open()
        workers = [self.worker(*arguments) for _ in range(number)]
        self.begun()
        return workers

    def open(self) -> None:
        """Begin to write, to topics with nothing in them."""
        asyncio.run(_renew(self.shop))
        self.load.start()

    def worker(self, *arguments: str) -> Worker:
        """Start one worker more; it is killed at the end."""
        return self._ends.enter_context(self.shop.worker(*arguments))

    def often(self, short: int, long: int) -> range:
        """So many times, as there is time."""
        return range(long if self.long else short)

    def rest(self, least: float = 0.5, most: float = 3.0) -> None:
        """Let it go on for a random while."""
        time.sleep(self.dice.uniform(least, most))

    def begun(self) -> None:
        """Wait until every shard has made a checkpoint."""
        before = self.stood
        self.moves()
        self.stood = before

    def moves(self) -> None:
        """Wait until every shard has made a checkpoint from now on; note how long that took."""
        began = time.monotonic()
        before = self._saves()
        self.load.see()
        moved = self.shop.happens(
            lambda: all(
                b is not None and a != b for a, b in zip(before, self._saves(), strict=True)
            ),
            self.patience,
        )
        assert moved, f"shards that stand still: {before}, now {self._saves()}"
        self.stood = max(self.stood, time.monotonic() - began)

    def happens(self, claim: Callable[[], bool], said: str) -> None:
        """Wait for a claim to come true, or fail."""
        assert self.shop.happens(claim, self.patience), said

    def _saves(self) -> list[int | None]:
        shards = [(s, p) for s in ("customers", "products") for p in range(PARTITIONS)]
        try:
            with (
                Redis.from_url(self.shop.settings.redis) as redis,
                redis.pipeline(transaction=False) as pipe,
            ):
                for shard in shards:
                    pipe.hget(self.shop.prefix + keys.checkpoint(*shard), "saves")
                return [None if raw is None else int(raw) for raw in pipe.execute()]
        except RedisError:
            return [None] * len(shards)

    # The account

    def settle(self) -> None:
        """End the load and wait until all is read, and every score knows it.

        For faults whose servers end with them. The others are settled when they are over.
        """
        if self._settled is not None:
            return
        self.load.stop()
        asyncio.run(self.shop.settle(self.patience))
        self.shop.happens(lambda: self.counted() == self.load.expected, SETTLED)
        self._settled = self.counted(), self.refused()

    def counted(self) -> Counter[tuple[str, str]]:
        """Evidence by product and kind."""
        start = len("score:")
        documents = self.shop.documents(f"score:{self.load.tag}*")
        found = {
            (key[start:], kind): document["evidence"][kind]
            for key, document in documents.items()
            for kind in KINDS
        }
        return +Counter(found)

    def refused(self) -> int:
        """Records that workers have refused."""
        counts = self.shop.counts()
        return sum(n for kind, n in counts.items() if kind.startswith("refused:"))

    def outcome(self, fault: str) -> Outcome:
        """Draw up the account. Of a fault that failed before it was settled, what can be known."""
        expected = self.load.expected
        said = self.said if self._settled else f"{self.said} Not settled: lost may be unread."
        found, letters = self._settled or (Counter[tuple[str, str]](), 0)
        if self._settled is None:
            with suppress(RedisError, OSError):
                found, letters = self.counted(), self.refused()
        return Outcome(
            fault,
            self.load.sent,
            sum(n for (_, kind), n in found.items() if kind != "units"),
            sum((expected - found).values()),
            sum((found - expected).values()),
            letters,
            self.stood,
            self.memory,
            said.strip(),
        )

    def _watch_memory(self) -> None:
        while not self._over.wait(0.5):
            for worker in list(self.shop.workers):
                if worker.alive:
                    self.memory = max(self.memory, peak(worker.process.pid))


def peak(pid: int, field: str = "VmHWM") -> float:
    """Most that a process has had resident, MiB; 0 where that is not told."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) / 1024
    return 0.0


async def _renew(shop: Shop) -> None:
    """Let the topics be there, and empty."""
    names = list(await partition_counts(shop.settings))
    if names:
        admin = AIOKafkaAdminClient(bootstrap_servers=shop.settings.kafka)
        await admin.start()
        try:
            await admin.delete_topics(names)
            while set(names) & set(await admin.list_topics()):  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.1)
        finally:
            await admin.close()
    for _ in range(50):  # what is deleted is still there for a moment
        with suppress(StreamError):
            await shop.open()
            if len(await partition_counts(shop.settings)) == len(TOPICS):
                return
        await asyncio.sleep(0.2)
    raise AssertionError("Kafka does not create the topics anew")


def run(servers: Servers, folder: Path, fault: Fault, rate: int, *, long: bool) -> Outcome:
    """Let something happen, and see what became of it."""
    outcome = None
    try:
        with Trial(servers, folder, fault, rate, long=long) as trial:
            try:
                fault.inflict(trial)
                trial.settle()
            finally:
                outcome = trial.outcome(fault.name)
    except (AssertionError, StreamError, KafkaError, RedisError, OSError) as error:
        assert outcome is not None
        outcome = replace(outcome, failure=str(error)[-2_000:] or repr(error))
    return outcome
