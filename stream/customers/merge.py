"""Several topics read as one, in event-time order, as Kafka Streams does with task idling.

Read as fast as they come, a month's orders (few) would all be known before its clicks (many).
So while a topic is known to hold more than was read, the others wait for its next event.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from math import inf
from typing import Any

from stream.clock import PATIENCE

MOST_QUEUED = 5_000
"""Items of one topic that may wait for another before reading it pauses."""


Item = tuple[int, int, Any]
"""One record that waits for its turn: time, offset, content."""


class _Source:
    __slots__ = ("end", "heard", "items", "read")

    def __init__(self, position: int) -> None:
        self.items: deque[Item] = deque()
        self.read = position
        self.end = position
        self.heard: int | None = None


class Merge:
    """Items of several topics, each in its own order, all by event time."""

    def __init__(self, positions: dict[str, int]) -> None:
        """Begin where the checkpoint says.

        Args:
            positions: Next offset to read, by topic.
        """
        self._sources = {topic: _Source(position) for topic, position in positions.items()}

    def put(self, topic: str, items: Iterable[Item], read: int, end: int, now: int | None) -> None:
        """Take what was read of a topic.

        Args:
            topic: Where it was read.
            items: By offset.
            read: Offset after the last record that was read, item or not.
            end: Offset after the last record that the topic is known to hold.
            now: Wall clock; None in a replay.
        """
        source = self._sources[topic]
        source.items.extend(items)
        source.read = max(source.read, read)
        source.end = max(source.end, end)
        source.heard = now

    def take(self, most: int, now: int | None) -> Iterator[tuple[str, list[Item]]]:
        """Hand out runs of what is next, oldest first; stop where a topic has to be waited for."""
        while most > 0:
            heads = [(s.items[0][0], topic) for topic, s in self._sources.items() if s.items]
            if not heads or any(
                not s.items and self._behind(s, now) for s in self._sources.values()
            ):
                return
            heads.sort()
            topic = heads[0][1]
            end = inf
            if len(heads) > 1:  # of two items of the same time, that of the first topic
                time, other = heads[1]
                end = time + (topic < other)
            items = self._sources[topic].items
            run: list[Item] = []
            while items and items[0][0] < end and len(run) < most:
                run.append(items.popleft())
            most -= len(run)
            yield topic, run

    def _behind(self, source: _Source, now: int | None) -> bool:
        """Whether a topic holds more than was read, and is still likely to deliver it."""
        if source.read >= source.end:
            return False
        if now is None:
            return True
        if source.heard is None:  # what is left may be a transaction's marker, which nobody reads
            source.heard = now
        return now - source.heard < PATIENCE

    def position(self, topic: str) -> int:
        """Offset of the next record of a topic that was not handed out."""
        source = self._sources[topic]
        return source.items[0][1] if source.items else source.read

    def full(self) -> list[str]:
        """Topics of which enough is waiting."""
        return [topic for topic, s in self._sources.items() if len(s.items) >= MOST_QUEUED]
