"""Sending letters: in order, each acknowledged before the next to its partition."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    KafkaError,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    ProducerFenced,
    UnknownProducerId,
)

from stream.errors import BrokerDown
from stream.kafka.clients import kafka_errors
from stream.shards import Letter

HANDING_OVER = 50.0
"""Seconds for a producer to take a letter, more than Kafka has for an answer. One that was given up
meanwhile, because of another shard's letters, may leave who waits for a topic's partitions waiting
for ever."""
FAREWELL = 1.0
"""Seconds for a producer to end at the end of the worker."""
_SPENT = (
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    ProducerFenced,
    UnknownProducerId,
)


class Post:
    """The producer that all shards of a worker share.

    Receivers drop what comes again by its source position, which needs that letters to one
    partition never overtake each other. So a letter waits for the acknowledgement of the one
    before it, however the producer retries.
    """

    def __init__(self, make: Callable[[], AIOKafkaProducer]) -> None:
        """Send by producers that `make` makes; there will be another after an error."""
        self._make = make
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._ending: set[asyncio.Task[None]] = set()

    async def send(self, letters: Iterable[Letter]) -> None:
        """Send letters and wait until Kafka holds them.

        Raises:
            BrokerDown: Some may not have arrived; all of them are to be sent again.
        """
        lines: dict[tuple[str, int | None], list[Letter]] = defaultdict(list)
        for letter in letters:
            lines[letter.topic, letter.partition].append(letter)
        if lines:
            producer = await self._ready()
            try:
                with kafka_errors(), _spent_producer():
                    await asyncio.gather(*(self._line(producer, line) for line in lines.values()))
            except BrokerDown:
                self._give_up(producer)
                raise

    async def _line(self, producer: AIOKafkaProducer, letters: list[Letter]) -> None:
        if letters[0].partition is None:  # the receivers of these do not mind the order
            await asyncio.gather(*[await self._put(producer, letter) for letter in letters])
            return
        for letter in letters:
            await (await self._put(producer, letter))

    async def _put(self, producer: AIOKafkaProducer, letter: Letter) -> "asyncio.Future[object]":
        async with asyncio.timeout(HANDING_OVER):
            future: asyncio.Future[object] = await producer.send(
                letter.topic,
                letter.value,
                key=letter.key,
                partition=letter.partition,
                headers=list(letter.headers),
            )
        future.add_done_callback(_heard)
        return future

    async def _ready(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                self._producer = await self._made()
            return self._producer

    async def _made(self) -> AIOKafkaProducer:
        producer = self._make()
        with kafka_errors():
            try:
                await producer.start()
            except BaseException:
                await producer.stop()
                raise
        return producer

    def _give_up(self, producer: AIOKafkaProducer) -> None:
        """Begin with a new producer: after an error an idempotent one may never recover."""
        if self._producer is None or self._producer is not producer:
            return  # another shard was first
        self._producer = None
        # It may still wait for answers on behalf of others, who need not wait for it.
        task = asyncio.create_task(producer.stop())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """Stop sending. What Kafka does not confirm at once is sent again by whoever comes next."""
        if self._producer is not None:
            self._give_up(self._producer)
        if self._ending:
            _, late = await asyncio.wait(self._ending, timeout=FAREWELL)
            for task in late:
                task.cancel()


def _heard(future: "asyncio.Future[object]") -> None:
    """Take note of an error: of several the first is raised, the others need not be told."""
    if not future.cancelled():
        future.exception()


@contextmanager
def _spent_producer() -> Iterator[None]:
    """Have letters sent again, by a new producer, whose producer has come to its end."""
    try:
        yield
    except _SPENT as error:
        raise BrokerDown(f"Kafka's answer was lost: {error!r}") from error
    except KafkaError as error:
        if type(error) is KafkaError:  # what aiokafka says when its sender has broken down
            raise BrokerDown(f"Kafka's answer was lost: {error}") from error
        raise
