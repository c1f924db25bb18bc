"""The rows of a shard that are in memory: the active ones, bounded; changed ones never leave."""

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from typing import Any, Generic, Protocol, TypeVar

import orjson

from stream.errors import Misconfigured
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
        if len(held) > self._most // 2:
            self._old = held
            self.held = {id_: held[id_] for id_ in needed if id_ in held}
        return changed

    def stored(self, needed: Collection[str] = ()) -> dict[str, bytes | None]:
        """Write all changes at once."""
        return at_once(self.storing(needed))
