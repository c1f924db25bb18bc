"""The rows of a shard that are in memory: the active ones, bounded; changed ones never leave."""

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from typing import Any, Generic, Protocol, TypeVar

import orjson

from stream.errors import Misconfigured
from stream.memo import trimmed
from stream.shards import at_once, portions

R = TypeVar("R", bound="Row")
WRITTEN = 500
"""Rows that are written in one step: some milliseconds."""


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


class Rows(Generic[R]):
    """Rows by id, fetched when needed, forgotten when long unused.

    They are kept in two generations: what is used moves to the young one, and when that is full
    the old one is forgotten. That costs less than keeping all of them in order of use.

    Attributes:
        held: The young rows: all that `missing` was asked for of late, and that are there.
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
        self._old: dict[str, R] = {}
        self._most = most
        self._decode = decode

    def missing(self, ids: Iterable[str]) -> list[str]:
        """Name those that would have to be fetched; hold the others."""
        held, old = self.held, self._old
        lacking = []
        for id_ in [id_ for id_ in ids if id_ not in held]:
            row = old.pop(id_, None)
            if row is None:
                lacking.append(id_)
            else:
                held[id_] = row
        return lacking

    def add(self, found: Mapping[str, bytes | None]) -> None:
        """Take fetched rows in."""
        for id_, raw in found.items():
            self.held[id_] = self._decode(id_, raw)

    def everything(self) -> Iterator[tuple[str, R]]:
        """All rows in memory, by id."""
        yield from ((id_, row) for id_, row in self._old.items() if id_ not in self.held)
        yield from self.held.items()

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
        for ids in portions(self.changed, WRITTEN):
            changed.update({id_: held[id_].encode() for id_ in ids})
            yield
        self.changed = {}
        self._rest(changed, needed)
        return changed

    def _rest(self, _: Mapping[str, bytes | None], needed: Collection[str]) -> None:
        """Forget rows that were not used for long."""
        held = self.held
        if len(held) > self._most // 2:
            self._old = held
            self.held = {id_: held[id_] for id_ in needed if id_ in held}

    def stored(self, needed: Collection[str] = ()) -> dict[str, bytes | None]:
        """Write all changes at once."""
        return at_once(self.storing(needed))


class PackedRows(Rows[R]):
    """Rows that are kept as bytes between two checkpoints, and read again when they are used.

    For rows of which there are many, each used rarely: bytes take a quarter of the room.
    """

    def __init__(self, most: int, decode: Callable[[str, bytes | None], R]) -> None:
        super().__init__(most, decode)
        self._packed: dict[str, bytes] = {}
        self._long_packed: dict[str, bytes] = {}

    def missing(self, ids: Iterable[str]) -> list[str]:
        """Name those that would have to be fetched; hold the others."""
        held, packed = self.held, self._packed
        lacking = []
        for id_ in [id_ for id_ in ids if id_ not in held]:
            raw = packed.get(id_) or self._long_packed.get(id_)
            if raw is None:
                lacking.append(id_)
            else:
                packed[id_] = raw
                held[id_] = self._decode(id_, raw)
        return lacking

    def add(self, found: Mapping[str, bytes | None]) -> None:
        """Take fetched rows in."""
        super().add(found)
        self._packed.update({id_: raw for id_, raw in found.items() if raw is not None})

    def everything(self) -> Iterator[tuple[str, R]]:
        """All rows in memory, by id."""
        for id_, raw in {**self._long_packed, **self._packed}.items():
            if id_ not in self.held:
                yield id_, self._decode(id_, raw)
        yield from self.held.items()

    def _rest(self, changed: Mapping[str, bytes | None], needed: Collection[str]) -> None:
        """Pack what is not needed. Of what has just changed, the bytes that are being stored."""
        self._packed.update({id_: trimmed(raw) for id_, raw in changed.items() if raw is not None})
        self.held = {id_: self.held[id_] for id_ in needed if id_ in self.held}
        if len(self._packed) > self._most // 2:
            self._packed, self._long_packed = {}, self._packed
