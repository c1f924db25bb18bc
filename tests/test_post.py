"""The contract of letters: in order, byte for byte, and held by Kafka when `send` returns.

It is kept by a real Kafka, and by what stands in for one where histories are simulated.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import NewTopic
from making import KAFKA_TIME
from simulation.line import DirectLine
from simulation.log import MemoryLog, MemoryProducer

from stream.embedded import Addresses
from stream.errors import BrokerDown
from stream.kafka import post as post_module
from stream.kafka.clients import make_admin, make_producer
from stream.kafka.post import Post
from stream.settings import Settings
from stream.shards import Letter

PARTITIONS = 2


class Read(NamedTuple):
    """What matters of a record that was read."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Log(Protocol):
    """A topic of two partitions.

    Attributes:
        topic: Its name.
        make: Makes a producer.
    """

    topic: str
    make: Callable[[], Any]

    async def read(self, partition: int, offset: int = 0) -> list[Read]:
        """Records from an offset up to the end."""
        ...

    async def end(self, partition: int) -> int:
        """Offset after the last record."""
        ...


class KafkaLog:
    """A topic of a real Kafka."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self.topic = topic
        self.make: Callable[[], Any] = partial(make_producer, settings, at_once=True)
        self._settings = settings

    async def open(self) -> None:
        """Create it."""
        admin = make_admin(self._settings)
        await admin.start()
        await admin.create_topics([NewTopic(self.topic, PARTITIONS, 1)])
        await admin.close()

    async def read(self, partition: int, offset: int = 0) -> list[Read]:
        """Records from an offset up to the end."""
        place = TopicPartition(self.topic, partition)
        found: list[Read] = []
        async with AIOKafkaConsumer(bootstrap_servers=self._settings.kafka) as consumer:
            consumer.assign([place])
            consumer.seek(place, offset)
            while await consumer.position(place) < (await consumer.end_offsets([place]))[place]:
                for run in (await consumer.getmany(timeout_ms=200)).values():
                    found += [Read(r.offset, r.key, r.value, tuple(r.headers)) for r in run]
        return found

    async def end(self, partition: int) -> int:
        """Offset after the last record."""
        place = TopicPartition(self.topic, partition)
        async with AIOKafkaConsumer(bootstrap_servers=self._settings.kafka) as consumer:
            return int((await consumer.end_offsets([place]))[place])


class SimulatedLog:
    """A log made of plain data."""

    topic = "activity"

    def __init__(self) -> None:
        self._log = MemoryLog(PARTITIONS, lambda: KAFKA_TIME)
        self.make: Callable[[], Any] = lambda: MemoryProducer(self._log, DirectLine())

    async def read(self, partition: int, offset: int = 0) -> list[Read]:
        """Records from an offset up to the end."""
        records = self._log.read((self.topic, partition), offset, 1_000)
        return [Read(r.offset, r.key, r.value, tuple(r.headers)) for r in records]

    async def end(self, partition: int) -> int:
        """Offset after the last record."""
        return self._log.end((self.topic, partition))


@pytest.fixture(params=["kafka", "memory"])
async def log(request: pytest.FixtureRequest) -> AsyncIterator[Log]:
    """A topic that holds nothing yet."""
    if request.param == "memory":
        yield SimulatedLog()
        return
    servers: Addresses = request.getfixturevalue("servers")
    settings = Settings(kafka=servers.kafka, _env_file=None)  # type: ignore[call-arg]
    kafka = KafkaLog(settings, f"post.{request.node.originalname}")
    await kafka.open()
    yield kafka


def letters(log: Log, partition: int, *values: bytes) -> list[Letter]:
    """Letters to a partition."""
    return [Letter(log.topic, partition, None, value) for value in values]


async def test_letters_to_a_partition_lie_in_the_order_in_which_they_were_sent(log: Log) -> None:
    """And all of them lie there when `send` returns, whoever sends beside it."""
    post = Post(log.make)
    for start in (0, 50):
        numbers = [b"%d" % n for n in range(start, start + 50)]
        await asyncio.gather(
            post.send(letters(log, 0, *numbers)), post.send(letters(log, 1, *reversed(numbers)))
        )
        assert [await log.end(n) for n in (0, 1)] == [start + 50, start + 50]
    records = await log.read(0)
    assert [record.offset for record in records] == list(range(100))
    assert [record.value for record in records] == [b"%d" % n for n in range(100)]
    assert [record.value for record in await log.read(1, 98)] == [b"51", b"50"]
    await post.close()


async def test_letters_arrive_as_they_were_written(log: Log) -> None:
    """Any bytes in key and value, or none in one of them, and headers with any value."""
    post = Post(log.make)
    headers = (("reason", b"\xc3\xa9\n"), ("offset", b""))
    written = [
        Letter(log.topic, None, b"\x00any key\xff", bytes(range(256)), headers),
        Letter(log.topic, None, b"deleted", None),
        Letter(log.topic, None, None, b"not keyed"),
        Letter(log.topic, None, b"", b""),
    ]
    await post.send(written)
    records = [record for n in (0, 1) for record in await log.read(n)]
    found = {(record.key, record.value, tuple(record.headers)) for record in records}
    assert found == {(letter.key, letter.value, letter.headers) for letter in written}
    await post.close()


async def test_a_key_has_one_partition(log: Log) -> None:
    """Where a letter names no partition, its key chooses: always the same."""
    post = Post(log.make)
    keys = [b"key %d" % n for n in range(20)]
    await post.send(Letter(log.topic, None, key, b"v") for key in keys * 2)
    lying = [{record.key for record in await log.read(n)} for n in (0, 1)]
    assert lying[0] | lying[1] == set(keys)
    assert not lying[0] & lying[1]
    assert all(lying)
    await post.close()


async def test_a_producer_that_was_closed_takes_nothing(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its letters are to be sent again, by another: also if it was closed before it sent any."""
    monkeypatch.setattr(post_module, "HANDING_OVER", 2.0)
    post = Post(log.make)
    for number in (b"first", b"second"):
        producer = await post._ready()
        await producer.stop()
        with pytest.raises(BrokerDown):
            await post.send(letters(log, 0, number))
        await post.send(letters(log, 0, number))
    assert [record.value for record in await log.read(0)] == [b"first", b"second"]
    await post.close()
