"""Reading topics by hand, outside of any consumer group."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from stream.errors import Misconfigured
from stream.kafka.clients import kafka_errors, make_consumer
from stream.kafka.topics import partition_counts
from stream.settings import Settings

FETCH_MS = 500
"""How long one look for more records takes at most."""


@asynccontextmanager
async def reader(settings: Settings) -> AsyncIterator[AIOKafkaConsumer]:
    """Run a consumer that reads nothing yet; its errors come out as ours."""
    with kafka_errors():
        consumer = make_consumer(settings)
        try:
            await consumer.start()
            yield consumer
        finally:
            await consumer.stop()


async def partitions_of(settings: Settings, topic: str) -> list[TopicPartition]:
    """Name the partitions of a topic of ours.

    Raises:
        Misconfigured: There is no such topic.
    """
    count = (await partition_counts(settings)).get(topic)
    if count is None:
        raise Misconfigured(f"The topic {topic} is missing. Create it with: stream topics")
    return [TopicPartition(topic, partition) for partition in range(count)]


async def read_to_end(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], last: int | None = None
) -> AsyncIterator[ConsumerRecord]:
    """Read what partitions hold now, each in its order.

    Args:
        consumer: Of `reader`.
        partitions: Which.
        last: At most so many of each, the newest.
    """
    consumer.assign(partitions)
    ends = await consumer.end_offsets(partitions)
    for partition, begin in (await consumer.beginning_offsets(partitions)).items():
        consumer.seek(partition, begin if last is None else max(begin, ends[partition] - last))
    unread = set(partitions)
    while unread:
        # A position is asked for, not counted: not every offset is a record's.
        unread = {p for p in unread if await consumer.position(p) < ends[p]}
        if not unread:
            break
        for run in (await consumer.getmany(*unread, timeout_ms=FETCH_MS)).values():
            for record in run:
                if record.offset < ends[TopicPartition(record.topic, record.partition)]:
                    yield record
