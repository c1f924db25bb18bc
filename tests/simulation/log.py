"""Kafka as plain data: partitions, and producers that neither reorder nor repeat."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import NamedTuple

from aiokafka.errors import KafkaConnectionError, OutOfOrderSequenceNumber, ProducerClosed

from simulation.line import Line, Neighbour
from stream.kafka.topics import TOPICS
from stream.partitions import home

Place = tuple[str, int]
"""Topic and partition."""
Headers = Sequence[tuple[str, bytes]]


class Logged(NamedTuple):
    """One record, as a consumer sees it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class MemoryLog(Neighbour):
    """The topics of one Kafka.

    Attributes:
        partitions: Of each topic that has more than one.
        places: What each partition holds.
        appended: Told of every record.
    """

    def __init__(self, partitions: int, now: Callable[[], int]) -> None:
        """Begin with empty topics.

        Args:
            partitions: Of each topic that has more than one.
            now: The time that records are given, ms.
        """
        super().__init__("Kafka")
        self.partitions = partitions
        self._now = now
        self.places: dict[Place, list[Logged]] = {
            (plan.name, number): []
            for plan in TOPICS
            for number in range(1 if plan.single else partitions)
        }
        self.appended: list[Callable[[Place, Logged], None]] = []

    def append(self, place: Place, key: bytes | None, value: bytes | None, headers: Headers) -> int:
        """Store a record; its offset."""
        records = self.places[place]
        record = Logged(len(records), self._now(), key, value, headers)
        records.append(record)
        for told in self.appended:
            told(place, record)
        return record.offset

    def end(self, place: Place) -> int:
        """Offset after the last record."""
        return len(self.places[place])

    def read(self, place: Place, offset: int, most: int) -> list[Logged]:
        """Up to so many records from an offset on."""
        return self.places[place][offset : offset + most]

    def topic(self, name: str) -> Mapping[Place, list[Logged]]:
        """All partitions of a topic."""
        return {place: records for place, records in self.places.items() if place[0] == name}


class MemoryProducer:
    """An idempotent producer: what it sends to a partition lies there in order, each once."""

    def __init__(self, log: MemoryLog, line: Line) -> None:
        """Send to a log at the end of a line."""
        self._log = log
        self._line = line
        self._numbers = count()
        self._spoilt: dict[Place, int] = {}
        self._due: dict[Place, float] = defaultdict(float)
        self._flying: set[asyncio.Future[int]] = set()
        self._closed = False

    async def start(self) -> None:
        """Connect."""
        await self._line.ask(self._log, "connects", lambda: None, KafkaConnectionError)

    async def stop(self) -> None:
        """Wait for what was sent, and send nothing any more."""
        self._closed = True
        if self._flying:
            await asyncio.wait(self._flying)

    async def send(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int | None = None,
        *,
        headers: Headers = (),
    ) -> "asyncio.Future[int]":
        """Hand over a record; the future ends when the log holds it."""
        assert key is not None or value is not None
        if self._closed:
            raise ProducerClosed
        await asyncio.sleep(0)
        place = (topic, self._chosen(key) if partition is None else partition)
        number = next(self._numbers)

        def effect() -> int:
            # What comes after a record whose outcome nobody knows is not taken.
            if self._spoilt.get(place, number) != number:
                raise OutOfOrderSequenceNumber
            return self._log.append(place, key, value, headers)

        def lost() -> Exception:
            self._spoilt.setdefault(place, number)
            error: Exception = KafkaConnectionError(f"{topic}-{place[1]}")
            return error

        answer, self._due[place] = self._line.post(
            self._log, f"sends to {topic}.{place[1]}", effect, lost, after=self._due[place]
        )
        self._flying.add(answer)
        answer.add_done_callback(self._flying.discard)
        return answer

    def _chosen(self, key: bytes | None) -> int:
        return home((key or b"").decode("latin-1"), self._log.partitions)
