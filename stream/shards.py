"""What a shard is given and what it answers: plain data, so that deciding stays apart from doing.

A shard is the synchronous owner of one partition's state in one stage. The shell (an agent, a
replay, a test) offers it batches, fetches the rows it misses, and carries out its `Changes`.
"""

from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple, Protocol, TypeVar

from stream.settings import Stage
from stream.units import Millis

T = TypeVar("T")


class Record(Protocol):
    """One Kafka message."""

    @property
    def offset(self) -> int:
        """Where it lies in its partition."""
        ...

    @property
    def timestamp(self) -> int:
        """Kafka time, ms."""
        ...

    @property
    def key(self) -> bytes | None:
        """What it was keyed by."""
        ...

    @property
    def value(self) -> bytes | None:
        """Its content; None for a tombstone."""
        ...


class Batch(NamedTuple):
    """The run of records of one partition that Kafka delivered together, by offset."""

    topic: str
    partition: int
    records: Sequence[Record]
    end: int
    """Offset after the last record that the partition is known to hold."""
    passed: int = 0
    """Offset after what else was passed over: aborted records, and the markers of transactions."""

    @property
    def read(self) -> int:
        """Offset of the next record to read; 0 if nothing was."""
        return max(self.passed, self.records[-1].offset + 1 if self.records else 0)


class Letter(NamedTuple):
    """A message to be sent, once, when the checkpoint holds the decision that led to it."""

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class Put(NamedTuple):
    """Set a public document."""

    key: str
    value: bytes


class Drop(NamedTuple):
    """Remove a public key."""

    key: str


class Rank(NamedTuple):
    """Set scores in a ranking; keep only its best `most` members, where given."""

    key: str
    scores: Mapping[str, float]
    most: int | None = None


class Unrank(NamedTuple):
    """Take members out of a ranking."""

    key: str
    members: Sequence[str]


class Say(NamedTuple):
    """Append to a trimmed stream."""

    key: str
    fields: Mapping[str, str]
    most: int


Publication = Put | Drop | Rank | Unrank | Say


@dataclass(slots=True)
class Changes:
    """What has come of a shard since its last checkpoint. One transaction writes all of it.

    Attributes:
        rows: New content of rows by id; None deletes.
        waiting: New content of what waits for its time, by id; None deletes.
        notes: The shard's own small state: positions, clocks, counts.
        letters: To be sent once this is stored, in order, again after a crash.
        published: To the public keys, in order.
        more: There are public documents left to be renewed.
    """

    rows: dict[str, bytes | None] = field(default_factory=dict)
    waiting: dict[str, bytes | None] = field(default_factory=dict)
    notes: dict[str, bytes] = field(default_factory=dict)
    letters: list[Letter] = field(default_factory=list)
    published: list[Publication] = field(default_factory=list)
    more: bool = False


class Memory(NamedTuple):
    """What a shard wakes up with: its last checkpoint."""

    notes: Mapping[str, bytes] = {}
    waiting: Mapping[str, bytes] = {}
    birth: str = ""
    """Name of the Redis contents. Internal messages of another birth are void."""


MOST_RENEWED = 1_000
"""Public documents of which one checkpoint renews so many at most; the others follow."""
FEW_RENEWED = 50
"""So many while a shard is behind: its scores get older, not its counts."""


class Shard(Protocol):
    """One partition of one stage.

    Attributes:
        counts: Everything it has counted, by name, since its first checkpoint.
    """

    stage: Stage
    partition: int
    counts: Counter[str]

    @property
    def watermark(self) -> Millis:
        """Event time up to which everything is believed to be known; 0 before the first event."""
        ...

    def positions(self) -> Mapping[str, int]:
        """Next offset to read, by topic."""
        ...

    def offer(self, batch: Batch, now: Millis | None) -> None:
        """Take a batch in. Nothing is folded yet. `now` is the wall clock; a replay has none."""
        ...

    def due(self, limit: int) -> Sequence[str] | None:
        """Choose what is folded next and name the rows that are missing for it.

        Returns:
            Ids of rows to fetch, perhaps none; None when nothing can be folded now.
        """
        ...

    def folding(self, found: Mapping[str, bytes | None]) -> Generator[None, None, None]:
        """Fold what `due` chose, given the rows that it asked for, in steps.

        Others get their turn between two steps, but nothing may be asked of the shard before the
        end that changes it.
        """
        ...

    def fold(self, found: Mapping[str, bytes | None]) -> None:
        """Fold it in one go."""
        at_once(self.folding(found))

    def tick(self, now: Millis) -> None:
        """Let time pass. `now` is the wall clock."""
        ...

    def full(self) -> Iterable[str]:
        """Topics that should not be read for now, because they wait for another."""
        ...

    def changing(self, renewals: int = MOST_RENEWED) -> "Changing":
        """Gather what has come since the last call, in steps; None in the end if nothing has.

        A busy shard has thousands of rows to write. Nothing may be folded before the end.

        Args:
            renewals: Public documents that are renewed at most.
        """
        ...

    def changes(self, renewals: int = MOST_RENEWED) -> Changes | None:
        """Gather it in one go."""
        return at_once(self.changing(renewals))


Changing = Generator[None, None, Changes | None]


def at_once(steps: Generator[None, None, T]) -> T:
    """Take all steps one after the other; give what comes of them."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


STEP = 20
"""Entries, rows or documents that are seen to in one step: some milliseconds at most."""


def portions(things: Iterable[T], most: int | None = None) -> Iterator[list[T]]:
    """Cut what there is into lists of so many at most, those of a step if nothing is said.

    >>> list(portions("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    rest = iter(things)
    while portion := list(islice(rest, most or STEP)):
        yield portion
