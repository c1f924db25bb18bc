"""The rows of a shard that are in memory: the active ones, bounded; changed ones never leave."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from typing import Any, Generic, Protocol, TypeVar

import orjson

from stream.errors import Misconfigured
from stream.memo import trimmed
from stream.shards import at_once, portions

R = TypeVar("R", bound="Row")


def stored_values(raw: bytes, version: int) -> list[Any]:
    """Read the values of a row that was written with its format's version in front.

    Raises:
        Misconfigured: Another release wrote it in another format.
    """
    values: list[Any]
    found, *values = orjson.loads(raw)
    if found != version:
        raise Misconfigured(
            f"Redis holds rows of format {found}, this release reads format {version}. Run the "
            "release that wrote them, or count anew from Kafka with another STREAM_PREFIX."
        )
    return values


class Row(Protocol):
    """What is known of something."""

    def encode(self) -> bytes:
        """Write it as plain bytes."""
        ...


class Rows(ABC, Generic[R]):
    """Rows by id, fetched when needed, forgotten when long unused.

    Those that rest are kept in two generations: what is used moves to the young one, and when that
    is full the old one is forgotten. That costs less than keeping all of them in order of use.

    Attributes:
        held: Those at hand: all that `missing` was asked for of late, and that are there.
        changed: Ids of those that differ from the checkpoint, in order of change.
    """

    def __init__(self, most: int, decode: Callable[[str, bytes | None], R]) -> None:
        """Make it empty.

        Args:
            most: Rows kept when all are stored.
            decode: Makes a row of what is stored, or a new one of None.
        """
        self.held: dict[str, R] = {}
        self.changed: dict[str, None] = {}
        self._most = most
        self._decode = decode

    def missing(self, ids: Iterable[str]) -> list[str]:
        """Name those that would have to be fetched; hold the others."""
        held = self.held
        lacking = []
        for id_ in [id_ for id_ in ids if id_ not in held]:
            row = self._recall(id_)
            if row is None:
                lacking.append(id_)
            else:
                held[id_] = row
        return lacking

    def add(self, found: Mapping[str, bytes | None]) -> None:
        """Take fetched rows in."""
        for id_, raw in found.items():
            self.held[id_] = self._decode(id_, raw)

    def change(self, id_: str) -> R:
        """The row, marked as changed."""
        self.changed[id_] = None
        return self.held[id_]

    def storing(
        self, needed: Collection[str] = ()
    ) -> Generator[None, None, dict[str, bytes | None]]:
        """Write all changes, in steps. Forgets rows that were not used for long.

        What has just changed stays until the next call. It is being written, and would be read
        back as it was before.

        Args:
            needed: Ids that must be held, because work has been planned with them.
        """
        held = self.held
        changed: dict[str, bytes | None] = {}
        for ids in portions(self.changed):
            changed.update({id_: held[id_].encode() for id_ in ids})
            yield
        self.changed = {}
        self._rest(changed, needed)
        return changed

    def stored(self, needed: Collection[str] = ()) -> dict[str, bytes | None]:
        """Write all changes at once."""
        return at_once(self.storing(needed))

    @abstractmethod
    def everything(self) -> Iterator[tuple[str, R]]:
        """All rows in memory, by id."""

    @abstractmethod
    def _recall(self, id_: str) -> R | None:
        """One that rests, or None."""

    @abstractmethod
    def _rest(self, changed: Mapping[str, bytes | None], needed: Collection[str]) -> None:
        """Let rows rest that are not needed, and forget those that were not used for long."""


class WholeRows(Rows[R]):
    """Rows that rest as they are, at hand until their generation is full.

    For rows that are used again and again.
    """

    def __init__(self, most: int, decode: Callable[[str, bytes | None], R]) -> None:
        super().__init__(most, decode)
        self._old: dict[str, R] = {}

    def everything(self) -> Iterator[tuple[str, R]]:
        """All rows in memory, by id."""
        yield from ((id_, row) for id_, row in self._old.items() if id_ not in self.held)
        yield from self.held.items()

    def _recall(self, id_: str) -> R | None:
        return self._old.pop(id_, None)

    def _rest(self, _: Mapping[str, bytes | None], needed: Collection[str]) -> None:
        held = self.held
        if len(held) > self._most // 2:
            self._old = held
            self.held = {id_: held[id_] for id_ in needed if id_ in held}


class PackedRows(Rows[R]):
    """Rows that rest as bytes between two checkpoints, and are read again when they are used.

    For rows of which there are many, each used rarely: bytes take a quarter of the room.
    """

    def __init__(self, most: int, decode: Callable[[str, bytes | None], R]) -> None:
        super().__init__(most, decode)
        self._young: dict[str, bytes] = {}
        self._old: dict[str, bytes] = {}

    def add(self, found: Mapping[str, bytes | None]) -> None:
        """Take fetched rows in."""
        super().add(found)
        self._young.update({id_: raw for id_, raw in found.items() if raw is not None})

    def everything(self) -> Iterator[tuple[str, R]]:
        """All rows in memory, by id."""
        for id_, raw in {**self._old, **self._young}.items():
            if id_ not in self.held:
                yield id_, self._decode(id_, raw)
        yield from self.held.items()

    def _recall(self, id_: str) -> R | None:
        raw = self._young.get(id_) or self._old.get(id_)
        if raw is None:
            return None
        self._young[id_] = raw
        return self._decode(id_, raw)

    def _rest(self, changed: Mapping[str, bytes | None], needed: Collection[str]) -> None:
        # Of what has just changed, the bytes that are being stored.
        self._young.update({id_: trimmed(raw) for id_, raw in changed.items() if raw is not None})
        self.held = {id_: self.held[id_] for id_ in needed if id_ in self.held}
        if len(self._young) > self._most // 2:
            self._young, self._old = {}, self._young
