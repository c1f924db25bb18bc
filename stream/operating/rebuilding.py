"""Beginning anew with what Kafka holds: everything of ours in Redis goes, nothing else."""

import asyncio
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aiokafka import TopicPartition
from aiokafka.errors import for_code
from redis.asyncio import Redis

from stream import keys
from stream.errors import BrokerDown, Misconfigured
from stream.kafka.clients import kafka_errors, make_admin, start_admin
from stream.kafka.reading import partitions_of, reader
from stream.kafka.topics import group_of
from stream.redis.clients import Address, make_async_redis, redis_errors
from stream.settings import STAGES, Settings

TOPICS = ("clicks", "orders")
TRIES = 5
"""Times that Kafka is asked for the groups, a second apart."""
CHUNK = 1_000
"""Keys that are dropped with one command."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What has become of it.

    Attributes:
        dropped: Keys.
        held: Records of clicks and orders that Kafka holds, to be counted anew.
        gone: Records that it has deleted, which nobody will count.
    """

    dropped: int
    held: int
    gone: int


async def refuse_at_work(settings: Settings) -> None:
    """Let nobody rebuild under a worker's hands: what it writes meanwhile would go, too.

    Raises:
        Misconfigured: A consumer group has members.
    """
    for last in range(TRIES):
        try:
            busy = await _busy(settings)
            break
        except BrokerDown:  # a Kafka that never had a group has to make room for them first
            if last == TRIES - 1:
                raise
            await asyncio.sleep(1.0)
    if busy:
        raise Misconfigured(
            f"Workers are at work: {', '.join(sorted(busy))}. Stop them first; Kafka forgets one "
            "that was killed after STREAM_KAFKA_SESSION."
        )


async def _busy(settings: Settings) -> list[str]:
    admin = make_admin(settings)
    busy = []
    with kafka_errors():
        try:
            await start_admin(settings, admin)
            for stage in STAGES:  # one by one: aiokafka misreads an answer about several
                (answer,) = await admin.describe_consumer_groups([group_of(settings, stage)])
                (error, group, _state, _type, _protocol, members, *_) = answer.groups[0]
                if error:  # who may not see the members must not take them for absent
                    raise for_code(error)(group)
                busy += [group] if members else []
        finally:
            await admin.close()
    return busy


async def rebuild(settings: Settings) -> Rebuilt:
    """Drop what was made from Kafka. Workers that start then count everything it holds."""
    await refuse_at_work(settings)
    held, gone = await _records(settings)
    redis = make_async_redis(Address.of(settings))
    try:
        with redis_errors():
            dropped = await _drop(redis, settings.prefix)
    finally:
        await redis.aclose()
    return Rebuilt(dropped, held, gone)


async def _records(settings: Settings) -> tuple[int, int]:
    parts: list[TopicPartition] = []
    for topic in TOPICS:
        parts += await partitions_of(settings, topic)
    async with reader(settings) as consumer:
        begins = await consumer.beginning_offsets(parts)
        ends = await consumer.end_offsets(parts)
    gone = sum(begins.values())
    return sum(ends.values()) - gone, gone


async def _drop(redis: Redis, prefix: str) -> int:
    """Drop what shards have stored at once, so that no half of it can be gone on with."""
    pattern = re.sub(r"([*?\[\]\\^-])", r"\\\1", prefix) + "*"
    stored: list[str] = []
    public: list[str] = []
    async for raw in redis.scan_iter(match=pattern, count=CHUNK):
        name = raw.decode(errors="surrogateescape").removeprefix(prefix)
        if keys.is_stored(name):
            stored.append(prefix + name)
        elif keys.is_public(name):
            public.append(prefix + name)
    dropped = 0
    for chunk in (stored, *_chunks(public)):
        if chunk:
            names = [name.encode(errors="surrogateescape") for name in chunk]
            dropped += await redis.unlink(*names)
    return dropped


def _chunks(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), CHUNK):
        yield names[start : start + CHUNK]
