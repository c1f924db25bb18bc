"""The contract of what carries batches to a stage: assignment, order, holding back, moving.

It is kept by Faust with our transport over a real Kafka, and by what stands in for it where
histories are simulated.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextvars import Context
from typing import Any, Protocol

import pytest
from faust.types import TP
from making import KAFKA_TIME
from simulation.group import App, Group
from simulation.line import DirectLine
from simulation.log import MemoryLog

from stream.agents.app import Carry, make_app
from stream.agents.transport import Positions
from stream.embedded import Servers, embedded_servers
from stream.kafka.clients import make_producer
from stream.kafka.topics import SOURCES, create_topics
from stream.settings import Settings
from stream.shards import Batch

PARTITIONS = 2
ALL = {TP(topic, n) for topic in SOURCES["customers"] for n in range(PARTITIONS)}
CLICKS, ORDERS = TP("clicks", 0), TP("orders", 0)
PATIENCE = 30.0
"""Seconds for what is to come."""
A_WHILE = 0.5
"""Seconds in which what is not to come would have come."""


class Cluster(Protocol):
    """Topics of two partitions, and a group that reads them."""

    async def write(self, tp: TP, number: int) -> None:
        """Append so many records."""
        ...

    def make(self, positions: Positions, carry: Carry) -> Any:
        """Make a member of the group, that has not joined yet."""
        ...


class KafkaCluster:
    """Those of a real Kafka, and Faust."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def write(self, tp: TP, number: int) -> None:
        """Append so many records."""
        async with make_producer(self._settings) as producer:
            for n in range(number):
                await producer.send(tp.topic, b"%d" % n, partition=tp.partition)

    def make(self, positions: Positions, carry: Carry) -> Any:
        """Make a member of the group, that has not joined yet."""
        return make_app("customers", self._settings, positions=positions, carry=carry)


class Plain:
    """The running event loop, as a group wants it."""

    def serve(self, delay: float, callback: Callable[..., object], *args: Any) -> None:
        """Call back after some time."""
        asyncio.get_running_loop().call_later(delay, callback, *args)

    def go(self, work: Coroutine[Any, Any, Any], context: Context) -> "asyncio.Task[Any]":
        """Begin a piece of work."""
        return asyncio.get_running_loop().create_task(work, context=context)


class SimulatedCluster:
    """Those made of plain data."""

    def __init__(self) -> None:
        self._log = MemoryLog(PARTITIONS, lambda: KAFKA_TIME)
        loop: Any = Plain()
        self._group = Group("customers", self._log, loop)

    async def write(self, tp: TP, number: int) -> None:
        """Append so many records."""
        for n in range(number):
            self._log.append((tp.topic, tp.partition), None, b"%d" % n, ())

    def make(self, positions: Positions, carry: Carry) -> Any:
        """Make a member of the group, that has not joined yet."""
        options: dict[str, Any] = {"most": 7, "acked": {}, "asleep": lambda: False}
        return App(self._group, self._log, DirectLine(), positions, carry, **options)


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """A Kafka of their own: topics have the names that they have."""
    with embedded_servers(tmp_path_factory.mktemp("membership")) as servers:
        yield servers


@pytest.fixture(params=["faust", "memory"])
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    """Topics that hold nothing that counts, and a group without members."""
    if request.param == "memory":
        yield SimulatedCluster()
        return
    servers: Servers = request.getfixturevalue("kafka")
    options: dict[str, Any] = {
        "kafka": servers.addresses.kafka,
        "partitions": PARTITIONS,
        "prefix": f"{request.node.originalname}:",
        "kafka_session": 6_000,
    }
    settings = Settings(_env_file=None, **options)  # type: ignore[call-arg]
    await create_topics(settings)
    yield KafkaCluster(settings)


class Member:
    """A worker that reads from where the one before it has ended, and notes what happens.

    Attributes:
        app: What carries batches to it.
        told: What it was assigned, one set for each time.
        lost: How often its partitions were taken back.
        ends: Where the partitions ended that it was last assigned.
        offsets: Of what was carried to it, by partition, since that was last assigned.
    """

    def __init__(self, cluster: Cluster, done: dict[TP, int]) -> None:
        """Prepare to read what is not done."""
        self.app = cluster.make(self._positions, self._carry)
        self.app.on_partitions_revoked.connect(self._revoked)
        self.told: list[set[TP]] = []
        self.lost = 0
        self.ends: Mapping[TP, int] = {}
        self.offsets: dict[TP, list[int]] = defaultdict(list)
        self.free = asyncio.Event()
        self.free.set()
        self._done = done

    @property
    def partitions(self) -> set[int]:
        """Numbers of the partitions that are its own now."""
        return {tp.partition for tp in self.told[-1]} if self.told else set()

    async def _positions(self, assigned: set[TP]) -> Mapping[TP, int]:
        begins = await self.app.consumer.earliest_offsets(*assigned)
        self.ends = dict(await self.app.consumer.highwaters(*assigned))
        self.told.append(set(assigned))
        self.offsets.clear()
        return {tp: max(begins[tp], self._done.get(tp, 0)) for tp in assigned}

    async def _carry(self, event: Any) -> None:
        batch: Batch = event.value
        if event.message.generation_id != self.app.consumer_generation_id:
            return
        tp = TP(batch.topic, batch.partition)
        assert tp in self.told[-1]
        assert batch.end >= batch.read
        await self.free.wait()
        offsets = [record.offset for record in batch.records]
        self.offsets[tp] += offsets
        self._done[tp] = batch.read
        event.ack()

    async def _revoked(self, *_: Any, **__: Any) -> None:
        self.lost += 1


async def until(true: Callable[[], bool]) -> None:
    """Wait for something."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "it did not come"
        await asyncio.sleep(0.02)


async def test_all_that_is_assigned_is_carried_in_order(cluster: Cluster) -> None:
    """From where it was said to begin, of all topics, while more is written."""
    await cluster.write(CLICKS, 50)
    await cluster.write(ORDERS, 5)
    done = {CLICKS: 10}
    member = Member(cluster, done)
    await member.app.start()
    await until(lambda: done.get(CLICKS) == 50 and done.get(ORDERS) == 5)
    assert member.told == [ALL]
    assert {tp: end for tp, end in member.ends.items() if end} == {CLICKS: 50, ORDERS: 5}
    await cluster.write(CLICKS, 20)
    await until(lambda: done[CLICKS] == 70)
    await member.app.stop()
    assert member.offsets[CLICKS] == list(range(10, 70))
    assert member.offsets[ORDERS] == list(range(5))


async def test_partitions_move_together_and_nobody_has_them_twice(cluster: Cluster) -> None:
    """Who joins gets a share, of every topic the same; who leaves is followed by the others."""
    done: dict[TP, int] = {}
    first, second = Member(cluster, done), Member(cluster, done)
    await first.app.start()
    await until(lambda: first.partitions == {0, 1})
    await second.app.start()
    await until(lambda: {*first.partitions} ^ {*second.partitions} == {0, 1})
    await until(lambda: not (first.app.rebalancing or second.app.rebalancing))
    assert first.lost >= 1
    for member in (first, second):
        assert member.told[-1] == {tp for tp in ALL if tp.partition in member.partitions}
    ends = {**first.ends, **second.ends}
    for partition in range(PARTITIONS):
        await cluster.write(TP("clicks", partition), 10)
        ends[TP("clicks", partition)] += 10
    await until(lambda: {tp: done.get(tp, 0) for tp in ALL} == ends)
    assert not first.offsets.keys() & second.offsets.keys()
    await second.app.stop()
    await until(lambda: first.partitions == {0, 1} and not first.app.rebalancing)
    await cluster.write(CLICKS, 10)
    await until(lambda: done[CLICKS] == ends[CLICKS] + 10)
    await first.app.stop()


async def test_what_is_held_back_is_not_read(cluster: Cluster) -> None:
    """And goes on without a gap afterwards."""
    done: dict[TP, int] = {}
    member = Member(cluster, done)
    await member.app.start()
    await until(lambda: bool(member.told) and not member.app.rebalancing)
    begin = member.ends[CLICKS]
    done.update({tp: end for tp, end in member.ends.items() if end})
    member.app.consumer.pause_partitions({CLICKS})
    await asyncio.sleep(A_WHILE)
    offsets = len(member.offsets[CLICKS])
    await cluster.write(CLICKS, 10)
    await cluster.write(ORDERS, 10)
    await until(lambda: done.get(ORDERS, 0) == member.ends[ORDERS] + 10)
    await asyncio.sleep(A_WHILE)
    assert len(member.offsets[CLICKS]) == offsets
    member.app.consumer.resume_partitions({CLICKS})
    await until(lambda: done.get(CLICKS, 0) == begin + 10)
    await member.app.stop()
    assert member.offsets[CLICKS][-10:] == list(range(begin, begin + 10))


async def test_one_batch_waits_for_the_other(cluster: Cluster) -> None:
    """While there is no room for the first, no second one comes; then all of them, in order."""
    done: dict[TP, int] = {}
    member = Member(cluster, done)
    member.free.clear()
    await member.app.start()
    await until(lambda: bool(member.told) and not member.app.rebalancing)
    begin = member.ends[CLICKS]
    for _ in range(5):
        await cluster.write(CLICKS, 20)
        await asyncio.sleep(0.05)
    await asyncio.sleep(A_WHILE)
    assert not any(member.offsets.values())
    member.free.set()
    await until(lambda: done.get(CLICKS, 0) == begin + 100)
    await member.app.stop()
    offsets = member.offsets[CLICKS]
    assert offsets == list(range(offsets[0], begin + 100))
