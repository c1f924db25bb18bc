"""Is everything fit for work? Asked by `stream check`, and by a worker before it begins."""

import asyncio
import logging
from collections.abc import Awaitable, Mapping
from typing import NamedTuple, TypeVar

import orjson
from aiokafka import TopicPartition
from redis.asyncio import Redis

from stream import keys
from stream.customers.pseudonyms import Pseudonyms
from stream.errors import BrokerDown, Misconfigured, StoreDown, StreamError
from stream.kafka.reading import reader
from stream.kafka.topics import SOURCES, misfit, partition_counts
from stream.models import snapshots
from stream.patience import patiently
from stream.products.serving import Serving
from stream.redis.clients import Address, make_async_redis, redis_errors
from stream.redis.store import Store, look_at_store
from stream.settings import STAGES, Settings, Stage

PATIENCE = 10.0
"""Seconds that Kafka has for an answer when somebody waits for it at a terminal."""

log = logging.getLogger("stream")
T = TypeVar("T")


class Finding(NamedTuple):
    """The answer to one question."""

    name: str
    ok: bool
    text: str


class Stored(NamedTuple):
    """What the checkpoint of one shard says of itself."""

    partitions: int
    positions: Mapping[str, int]


def memory(store: Store) -> Finding:
    """Judge whether a full Redis would drop checkpoints.

    >>> memory(Store(bounded=True, policy="allkeys-lru", persists=True)).ok
    False
    >>> memory(Store(bounded=False, policy="allkeys-lru", persists=True)).ok
    True
    """
    match store:
        case Store(policy="noeviction"):
            return Finding("redis memory", True, "A full Redis refuses writes and drops nothing.")
        case Store(bounded=False):
            return Finding("redis memory", True, "It has no limit, so nothing is dropped.")
        case Store(policy=None):
            text = (
                "Redis does not say what it drops when it is full. It must be nothing: noeviction."
            )
            return Finding("redis memory", True, text)
        case _:
            text = (
                f"A full Redis would drop keys (maxmemory-policy {store.policy}), among them "
                "what is counted. Set: maxmemory-policy noeviction"
            )
            return Finding("redis memory", False, text)


def persistence(store: Store) -> Finding:
    """Judge whether checkpoints outlive Redis.

    >>> persistence(Store(bounded=False, policy="noeviction", persists=False)).text[-15:]
    ' appendonly yes'
    """
    match store.persists:
        case True:
            return Finding("redis persistence", True, "What is stored is written to disk.")
        case None:
            text = "Redis does not say whether it writes to disk. It must: appendonly yes."
            return Finding("redis persistence", True, text)
        case _:
            text = (
                "Redis writes nothing to disk: when it ends, all that is counted is lost. "
                "Set: appendonly yes"
            )
            return Finding("redis persistence", False, text)


async def refuse_unfit_store(settings: Settings, *, lenient: bool = False) -> None:
    """Let nobody count into a Redis that would lose it. A Redis that is down is waited for.

    Args:
        settings: Where Redis is.
        lenient: Warn only, as a demo does.

    Raises:
        Misconfigured: It drops keys when full, or does not write to disk.
    """
    redis = make_async_redis(Address.of(settings))
    try:
        store = await patiently(lambda: look_at_store(redis))
    finally:
        await redis.aclose()
    wrong = [f.text for f in (memory(store), persistence(store)) if not f.ok]
    if wrong and not lenient:
        raise Misconfigured("\n".join(wrong))
    unknown = [f.text for f in (memory(store), persistence(store)) if "does not say" in f.text]
    for text in wrong + unknown:
        log.warning(text)


def refuse_unfit_secret(settings: Settings) -> None:
    """Let nobody begin without the key of the pseudonyms.

    Raises:
        Misconfigured: It is missing or too short.
    """
    if settings.secret is None:
        raise Misconfigured(
            "Set STREAM_SECRET: user ids are stored under names that are made with it. "
            "openssl rand -hex 32 prints a fit one."
        )
    Pseudonyms(settings.secret.get_secret_value().encode())


async def findings(settings: Settings) -> list[Finding]:
    """Ask everything that has to be right for a worker, and how far it has come."""
    found = [_secret(settings)]
    kafka, partitions = await _kafka(settings)
    redis = make_async_redis(Address.of(settings))
    try:
        found += kafka
        found += await _redis(redis)
        if found[-1].name != "redis":  # it answers
            found += await _contents(settings, redis, partitions)
    finally:
        await redis.aclose()
    return found


def _secret(settings: Settings) -> Finding:
    try:
        refuse_unfit_secret(settings)
    except Misconfigured as error:
        return Finding("secret", False, str(error))
    return Finding("secret", True, "STREAM_SECRET is set.")


async def _kafka(settings: Settings) -> tuple[list[Finding], int | None]:
    try:
        counts = await _in_time(partition_counts(settings))
    except StreamError as error:
        return [Finding("kafka", False, str(error))], None
    reached = Finding("kafka", True, f"Kafka answers at {settings.kafka}.")
    wrong = misfit(counts)
    if wrong is not None:
        return [reached, Finding("topics", False, wrong)], None
    fit = f"All {len(counts)} topics are there, with {counts['clicks']} partitions."
    return [reached, Finding("topics", True, fit)], counts["clicks"]


async def _in_time(work: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(PATIENCE):
            return await work
    except TimeoutError as error:
        raise BrokerDown(f"Kafka does not answer within {PATIENCE:.0f} s.") from error


async def _redis(redis: Redis) -> list[Finding]:
    try:
        with redis_errors():
            await redis.ping()
        store = await look_at_store(redis)
    except StreamError as error:
        return [Finding("redis", False, str(error))]
    return [Finding("redis", True, "Redis answers."), memory(store), persistence(store)]


async def _contents(settings: Settings, redis: Redis, partitions: int | None) -> list[Finding]:
    try:
        found = [await _models(settings, redis)]
        if partitions is not None:
            stored = await _stored(settings, redis, partitions)
            found += [_checkpoints(stored, partitions), await _progress(settings, stored)]
    except StoreDown as error:
        return [Finding("redis", False, str(error))]
    return found


async def _models(settings: Settings, redis: Redis) -> Finding:
    with redis_errors():
        raw = await redis.get(settings.prefix + keys.SERVING)
    if not isinstance(raw, bytes):
        return Finding("models", True, "None yet: rules of thumb serve until labels have settled.")
    try:
        serving = Serving.restored(*snapshots.decode(raw, "serving"))
    except Misconfigured as error:
        return Finding("models", False, str(error))
    return Finding("models", True, f"Version {serving.version}.")


async def _stored(
    settings: Settings, redis: Redis, partitions: int
) -> dict[tuple[Stage, int], Stored]:
    shards = [(s, p) for s in STAGES for p in range(1 if s == "learner" else partitions)]
    with redis_errors():
        pipe = redis.pipeline(transaction=False)
        for stage, partition in shards:
            pipe.hmget(
                settings.prefix + keys.checkpoint(stage, partition), ["partitions", "positions"]
            )
        answers = await pipe.execute()
    return {
        shard: Stored(int(made_with), orjson.loads(positions or b"{}"))
        for shard, (made_with, positions) in zip(shards, answers, strict=True)
        if made_with is not None
    }


def _checkpoints(stored: Mapping[tuple[Stage, int], Stored], partitions: int) -> Finding:
    others = sorted({s.partitions for s in stored.values()} - {partitions})
    if others:
        text = (
            f"They were made with {others[0]} partitions, the topics have {partitions}. Use "
            "another STREAM_PREFIX (all is counted anew from Kafka), or topics as they were."
        )
        return Finding("checkpoints", False, text)
    text = (
        f"{len(stored)} shards have stored theirs." if stored else "No worker has stored any yet."
    )
    return Finding("checkpoints", True, text)


async def _progress(settings: Settings, stored: Mapping[tuple[Stage, int], Stored]) -> Finding:
    read = {
        (stage, TopicPartition(topic, partition)): shard.positions.get(topic, 0)
        for (stage, partition), shard in stored.items()
        for topic in SOURCES[stage]
    }
    try:
        ends = await _in_time(_ends(settings, {partition for _, partition in read}))
    except StreamError as error:
        return Finding("lag", False, str(error))
    behind = dict.fromkeys(STAGES, 0)
    for (stage, partition), position in read.items():
        if position > ends[partition]:
            text = (
                f"{partition.topic}-{partition.partition} ends at {ends[partition]:,}, but "
                f"{position:,} of its records are counted: it was created anew. Use another "
                "STREAM_PREFIX, or an empty Redis, for a new beginning."
            )
            return Finding("lag", False, text)
        behind[stage] += ends[partition] - position
    text = ", ".join(f"{stage} {records:,}" for stage, records in behind.items())
    return Finding("lag", True, f"Records not counted yet: {text}.")


async def _ends(settings: Settings, partitions: set[TopicPartition]) -> dict[TopicPartition, int]:
    if not partitions:
        return {}
    async with reader(settings) as consumer:
        ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
        return ends
