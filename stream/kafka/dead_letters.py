"""The topic of what was refused: reading it, and sending letters back where they came from."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiokafka import ConsumerRecord

from stream.events.types import PUBLIC
from stream.kafka.clients import kafka_errors, make_producer
from stream.kafka.reading import partitions_of, read_to_end, reader
from stream.settings import Settings
from stream.units import Millis

TOPIC = "dead-letters"
Return = Callable[[Iterable["DeadLetter"]], Awaitable[None]]


@dataclass(frozen=True, slots=True, order=True)
class DeadLetter:
    """A record that was refused. They sort by the time of their refusal.

    Attributes:
        time: When it was refused.
        topic: Where it was read; "" if the letter does not say.
        partition: Where it was read.
        offset: Where it was read.
        reason: Why it was refused, one of a few.
        detail: What its sender can do about it.
        key: As it was sent.
        value: As it was sent.
    """

    time: Millis
    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    key: bytes | None = field(compare=False)
    value: bytes | None = field(compare=False)

    @property
    def source(self) -> str:
        """Where it was read, in one word. A letter that comes twice has the same."""
        return f"{self.topic}-{self.partition}@{self.offset}"

    @property
    def returnable(self) -> bool:
        """Whether it is known where it came from."""
        return self.topic in PUBLIC


def dead_letter_of(record: ConsumerRecord) -> DeadLetter:
    """Read a letter; what others may have written to the topic has no reason and no origin."""
    headers = {name: raw.decode(errors="replace") for name, raw in record.headers if raw}
    return DeadLetter(
        Millis(record.timestamp),
        headers.get("topic", ""),
        _number(headers.get("partition", "")),
        _number(headers.get("offset", "")),
        headers.get("reason", "unknown"),
        headers.get("detail", ""),
        record.key,
        record.value,
    )


async def read_dead_letters(
    settings: Settings, last: int | None = None
) -> AsyncGenerator[DeadLetter, None]:
    """Read what the topic holds now; the order is that of its partitions.

    Args:
        settings: Where Kafka is.
        last: At most so many of each partition, the newest.
    """
    partitions = await partitions_of(settings, TOPIC)
    async with reader(settings) as consumer:
        async for record in read_to_end(consumer, partitions, last):
            yield dead_letter_of(record)


@asynccontextmanager
async def returning(settings: Settings) -> AsyncIterator[Return]:
    """Give out a function that sends letters, as they came, to the topics they came from.

    It returns when Kafka holds them.
    """
    with kafka_errors():
        producer = make_producer(settings)

        async def send(letters: Iterable[DeadLetter]) -> None:
            await asyncio.gather(
                *[await producer.send(x.topic, x.value, key=x.key) for x in letters]
            )

        try:
            await producer.start()
            yield send
        finally:
            await producer.stop()


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else -1
