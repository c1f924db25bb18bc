"""What a shard has read and not folded yet, where topics need not be put in order of time."""

from collections import deque
from collections.abc import Mapping
from typing import Any

from stream.events.decode import decode
from stream.events.types import Topic
from stream.shards import Batch


class Backlog:
    """Entries in the order in which they were read.

    Only what waits in memory is in it: a checkpoint holds positions, and the rest is read again.
    """

    def __init__(self, public: Topic, ahead: int, positions: Mapping[str, int]) -> None:
        """Go on where the checkpoint says.

        Args:
            public: The topic that producers write. All others hold messages of other stages.
            ahead: How far an event's time may lie beyond Kafka's, ms.
            positions: Next offset to read, by topic.
        """
        self._public: Topic = public
        self._ahead = ahead
        self._read = dict(positions)
        self._waiting: deque[tuple[str, int, Any]] = deque()

    def __len__(self) -> int:
        """How many entries wait."""
        return len(self._waiting)

    def positions(self) -> dict[str, int]:
        """Offset of the first that waits, or else the next to read; without topics never read."""
        waiting: dict[str, int] = {}
        for topic, offset, _ in self._waiting:
            waiting.setdefault(topic, offset)
        return {**self._read, **waiting}

    def put(self, batch: Batch) -> bool:
        """Take a batch in; False if it says nothing but where its topic ends."""
        self._read.setdefault(batch.topic, 0)
        if not batch.read:
            return False
        if batch.topic == self._public:
            decoded = decode(self._public, batch.records, self._ahead)
            self._waiting.extend((self._public, offset, event) for _, offset, event in decoded)
        else:
            self._waiting.extend((batch.topic, r.offset, r.value) for r in batch.records)
        self._read[batch.topic] = batch.read
        return True

    def take(self) -> tuple[str, int, Any]:
        """The next entry: its topic, its offset, and an event, a refusal, or a message as bytes."""
        return self._waiting.popleft()
