"""Workers as processes, a shop that writes to Kafka, and what Redis says in the end."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from sys import maxsize
from typing import Any, NamedTuple

import orjson
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from redis import Redis

from stream import keys
from stream.embedded import Server, Servers
from stream.kafka.clients import make_producer
from stream.kafka.topics import SOURCES, create_topics, partition_counts
from stream.partitions import home
from stream.settings import Settings, Stage

PARTITIONS = 4
SESSION = 4_000
"""Group session timeout, ms: how long the partitions of a killed worker stay without one."""
PATIENCE = 120.0
"""Seconds after which a wait has failed. A slow machine shall be slow, not wrong."""
SECRET = "a secret of the tests"  # noqa: S105 (of nothing)
KINDS = ("views", "carts", "wishes", "orders", "units")
_PLAIN = {"view_item": "views", "add_to_cart": "carts", "add_to_wishlist": "wishes"}

Event = dict[str, Any]
Placed = Callable[[str, str], int]
"""Partition of an event, given its topic and user."""


class Sent(NamedTuple):
    """An event on its way to a topic; bytes go as they are."""

    topic: str
    value: Event | bytes
    key: bytes | None = None

    def record(self) -> tuple[bytes, bytes | None]:
        """Value and key of its message."""
        if isinstance(self.value, bytes):
            return self.value, self.key
        return orjson.dumps(self.value), str(self.value["user_id"]).encode()


def evidence(events: Iterable[Sent]) -> Counter[str]:
    """What the events must add up to."""
    totals = Counter[str]()
    for _, event, _ in events:
        if isinstance(event, bytes):
            continue
        if event["type"] == "purchase":
            totals["orders"] += len(event["items"])
            totals["units"] += sum(item["quantity"] for item in event["items"])
        else:
            totals[_PLAIN[event["type"]]] += 1
    return totals


@dataclass
class Worker:
    """One `stream worker` process."""

    environment: Mapping[str, str]
    arguments: Sequence[str]
    log: Path
    process: "subprocess.Popen[bytes]" = field(init=False)
    wanted: bool = field(init=False, default=True)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Start it, for the first time or again."""
        self.wanted = True
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                env=self.environment,
                cwd=self.log.parent,  # away from anybody's .env
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def command(self) -> list[str]:
        """What is run."""
        return [str(Path(sys.executable).with_name("stream")), "worker", *self.arguments]

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process.poll() is None

    @property
    def said(self) -> str:
        """Everything it has written."""
        return self.log.read_text()

    def kill(self) -> None:
        """End it by SIGKILL."""
        self.wanted = False
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """Stop it in its tracks, as a machine that is suspended does."""
        self.process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Let it go on as if nothing had been."""
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> tuple[int, float]:
        """Ask it to end; its exit code, and how many seconds it took."""
        self.wanted = False
        began = time.monotonic()
        self.process.terminate()
        return self.process.wait(PATIENCE), time.monotonic() - began

    def listens(self) -> bool:
        """Whether it takes SIGTERM for a request. For its first moments Python is not that far."""
        status = Path(f"/proc/{self.process.pid}/status")
        if not status.exists():  # no Linux
            return self.has_begun()
        caught = next(line for line in status.read_text().splitlines() if "SigCgt" in line)
        return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)

    def has_begun(self) -> bool:
        """Whether it has been given partitions to work on."""
        return "partitions [" in self.said


class Shop:
    """An installation with nothing in it yet.

    Attributes:
        servers: Its Kafka and its Redis.
        prefix: In front of the keys.
        settings: Of whoever looks at it.
        environment: Of its workers.
        workers: All that have been started.
    """

    def __init__(
        self,
        servers: Servers,
        folder: Path,
        prefix: str = "shop:",
        replication: int = 1,
        **more: str,
    ) -> None:
        """Use servers, which may be killed meanwhile.

        Args:
            servers: A Kafka and a Redis.
            folder: Where the workers' logs are written.
            prefix: In front of the keys.
            replication: Brokers that hold each partition.
            more: Settings of the workers beside the usual ones, as in `WEB="127.0.0.1:8090"`.
        """
        self.servers = servers
        self.prefix = prefix
        self._folder = folder
        self.settings = Settings(
            kafka=servers.addresses.kafka,
            redis=servers.addresses.redis,
            partitions=PARTITIONS,
            replication=replication,
            prefix=prefix,
            web="",
            _env_file=None,  # type: ignore[call-arg]
        )
        self.environment = {
            **{name: v for name, v in os.environ.items() if not name.startswith("STREAM_")},
            "STREAM_KAFKA": servers.addresses.kafka,
            "STREAM_REDIS": servers.addresses.redis,
            "STREAM_KAFKA_SESSION": str(SESSION),
            "STREAM_PREFIX": prefix,
            "STREAM_SECRET": SECRET,
            "STREAM_WEB": "",
            **{f"STREAM_{name}": value for name, value in more.items()},
        }
        self.workers: list[Worker] = []

    def turn_to(self, redis: Server) -> None:
        """Look at another Redis from now on."""
        self.settings = self.settings.model_copy(update={"redis": redis.address})

    async def open(self) -> None:
        """Create the topics."""
        await create_topics(self.settings)

    def happens(self, claim: Callable[[], bool], within: float = PATIENCE) -> bool:
        """Wait for a claim to come true, while no worker dies of itself."""
        deadline = time.monotonic() + within
        while not claim():
            self.see_workers()
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def see_workers(self) -> None:
        """Fail if a worker has died of itself."""
        for worker in self.workers:
            assert worker.alive or not worker.wanted, worker.said

    @contextmanager
    def worker(self, *arguments: str) -> Iterator[Worker]:
        """Run a worker until the end of the block, at which it must not have died of anything."""
        log = self._folder / f"{self.prefix.rstrip(':')}-{len(self.workers)}.log"
        worker = Worker(self.environment, arguments, log)
        self.workers.append(worker)
        try:
            yield worker
        finally:
            if worker.alive:
                worker.wake()
                worker.kill()
        # Whatever happens to its neighbours, it speaks in plain sentences.
        assert "Traceback" not in worker.said, worker.said

    async def send(self, events: Iterable[Sent], placed: Placed | None = None) -> None:
        """Write events to Kafka, each under its key unless told otherwise, and wait for Kafka."""
        placed = placed or (lambda _, user: home(user, PARTITIONS))
        waiting = []
        async with make_producer(self.settings) as producer:
            for event in events:
                value, key = event.record()
                partition = placed(event.topic, (key or b"").decode("latin-1"))
                waiting.append(await producer.send(event.topic, value, key, partition))
            for sent in waiting:
                await sent

    async def read(self, topic: str) -> list[ConsumerRecord]:
        """Everything that a topic holds."""
        records: list[ConsumerRecord] = []
        async with AIOKafkaConsumer(bootstrap_servers=self.settings.kafka) as consumer:
            ends = await self._ends(consumer, topic)
            consumer.assign(list(ends))
            await consumer.seek_to_beginning()
            while any([await consumer.position(tp) < end for tp, end in ends.items()]):
                for run in (await consumer.getmany(timeout_ms=500)).values():
                    records += run
        return records

    def documents(self, pattern: str) -> dict[str, Any]:
        """Public documents by key, without the prefix."""
        with Redis.from_url(self.settings.redis) as redis:
            names = list(redis.scan_iter(self.prefix + pattern, count=5_000))
            raws = redis.mget(names) if names else []
        start = len(self.prefix)
        return {
            name.decode()[start:]: orjson.loads(raw)
            for name, raw in zip(names, raws, strict=True)
            if raw
        }

    def rows(self, stage: Stage) -> list[tuple[str, bytes]]:
        """Rows that the shards of a stage have stored, with their ids."""
        return self._stored(partial(keys.rows, stage))

    def waiting(self, stage: Stage) -> list[tuple[str, bytes]]:
        """What waits for its time in the shards of a stage, with their ids."""
        return self._stored(partial(keys.waiting, stage))

    def _stored(self, name: Callable[[int], str]) -> list[tuple[str, bytes]]:
        with Redis.from_url(self.settings.redis) as redis:
            hashes = [redis.hgetall(self.prefix + name(n)) for n in range(PARTITIONS)]
        return [(id_.decode(), raw) for found in hashes for id_, raw in found.items()]

    def totals(self, tag: str = "") -> Counter[str]:
        """Evidence over all products whose ids begin with a tag."""
        totals = Counter[str]()
        for document in self.documents(f"score:{tag}*").values():
            totals.update({kind: document["evidence"][kind] for kind in KINDS})
        return +totals

    def counts(self, stage: Stage = "customers") -> Counter[str]:
        """What the shards of a stage have counted."""
        counts = Counter[str]()
        for partition in range(PARTITIONS):
            counts.update(orjson.loads(self._note(stage, partition, "counts") or b"{}"))
        return counts

    def reached(self, least: int) -> bool:
        """Whether so many events have been counted, all kinds together."""
        return sum(self.totals()[kind] for kind in ("views", "carts", "wishes")) >= least

    async def settle(self, within: float = PATIENCE) -> None:
        """Wait until every stage has read all there is, and all that came of it.

        Args:
            within: Seconds after which it has failed if nothing more is read.
        """
        least, moved = maxsize, time.monotonic()
        while behind := await self._behind():
            self.see_workers()
            left = sum(end - position for position, end in behind.values())
            if left < least:
                least, moved = left, time.monotonic()
            assert time.monotonic() < moved + within, f"not read after {within:.0f} s: {behind}"
            await asyncio.sleep(0.2)

    async def _behind(self) -> dict[str, tuple[int, int]]:
        """Position and end of each partition that holds more than a checkpoint has."""
        behind = {}
        async with AIOKafkaConsumer(bootstrap_servers=self.settings.kafka) as consumer:
            for stage, topics in SOURCES.items():
                for tp, end in (await self._ends(consumer, *topics)).items():
                    raw = self._note(stage, tp.partition, "positions")
                    position = orjson.loads(raw or b"{}").get(tp.topic, 0)
                    if position != end:
                        behind[f"{tp.topic}-{tp.partition}"] = (position, end)
        return behind

    async def _ends(self, consumer: AIOKafkaConsumer, *topics: str) -> dict[TopicPartition, int]:
        counts = await partition_counts(self.settings)
        parts = [TopicPartition(topic, n) for topic in topics for n in range(counts[topic])]
        ends: dict[TopicPartition, int] = await consumer.end_offsets(parts)
        return ends

    def _note(self, stage: str, partition: int, name: str) -> bytes | None:
        with Redis.from_url(self.settings.redis) as redis:
            note: bytes | None = redis.hget(self.prefix + keys.checkpoint(stage, partition), name)
            return note
