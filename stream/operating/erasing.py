"""Customers forgotten on request: recorded in Kafka, carried out by the worker that has them."""

import asyncio
import time
from dataclasses import dataclass

import orjson
from redis.asyncio import Redis

from stream import keys
from stream.customers.pseudonyms import Pseudonyms
from stream.errors import Misconfigured, NeighbourDown
from stream.kafka.clients import kafka_errors, make_producer
from stream.kafka.topics import fitting_partitions
from stream.partitions import home
from stream.redis.clients import Address, make_async_redis, redis_errors
from stream.settings import Settings

TOPIC = "erasures"
GLANCE = 0.1
"""Seconds between two looks at whether it was carried out."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """A request that Kafka holds.

    Attributes:
        customer: The pseudonym of who is to be forgotten.
        partition: Where the request lies.
        offset: Where the request lies.
    """

    customer: str
    partition: int
    offset: int


async def request_erasure(settings: Settings, user_id: str) -> Erasure:
    """Record that a customer is to be forgotten.

    Raises:
        Misconfigured: There is no secret, or the topics do not fit.
        BrokerDown: It is not known whether it was recorded; asking again does no harm.
    """
    if settings.secret is None:
        raise Misconfigured("Set STREAM_SECRET to that of the worker: without it nobody is found.")
    customer = Pseudonyms(settings.secret.get_secret_value().encode()).of(user_id)
    partition = home(user_id, await fitting_partitions(settings))
    request = {"customer": customer, "time": time.time_ns() // 1_000_000}
    with kafka_errors():
        producer = make_producer(settings)
        try:
            await producer.start()
            sent = await producer.send_and_wait(
                TOPIC, orjson.dumps(request), key=customer.encode(), partition=partition
            )
        finally:
            await producer.stop()
    return Erasure(customer, partition, sent.offset)


async def carried_out(settings: Settings, erasure: Erasure, patience: float) -> bool:
    """Wait until the customers shard has carried it out, or for so many seconds.

    Returns:
        Whether it has. If not, it will when a worker runs.
    """
    redis = make_async_redis(Address.of(settings))
    deadline = time.monotonic() + patience
    try:
        while not await _is_carried_out(redis, settings.prefix, erasure):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(GLANCE)
    finally:
        await redis.aclose()
    return True


async def _is_carried_out(redis: Redis, prefix: str, erasure: Erasure) -> bool:
    """Look at the checkpoint. It drops the customer's document in the same transaction."""
    try:
        with redis_errors():
            raw = await redis.hget(
                prefix + keys.checkpoint("customers", erasure.partition), "positions"
            )
    except NeighbourDown:
        return False
    positions: dict[str, int] = orjson.loads(raw or b"{}")
    return positions.get(TOPIC, 0) > erasure.offset
