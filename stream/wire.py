"""Messages between stages: many entries in one, each with its source position.

A receiver keeps the highest offset it has seen of each source and skips what is not above it,
so that a message that comes again counts once, however it was cut.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

LARGEST = 1 << 16
"""Bytes after which a message is cut, at the next record: what is folded in one go."""

Entry = list[Any]
"""[source, offset, kind, …]; what follows is the stage's own."""


class Message(NamedTuple):
    """What one shard tells another."""

    sender: str
    mark: int
    entries: list[Entry]


def pack(
    sender: str, birth: str, mark: int, entries: list[Entry], *, begun: int = 0
) -> list[bytes]:
    """Write entries as one message, or several where one would be too large.

    All entries of one source position stay in one message, or the receiver would take the
    second half for a repetition.

    Args:
        sender: The shard that tells.
        birth: Of the Redis contents.
        mark: Event time up to which the receiver has been told everything, when it has read all.
        entries: What is told.
        begun: Stands in place of the mark in all messages but the last.
    """
    whole = orjson.dumps([sender, birth, mark, entries])
    if len(whole) <= LARGEST or len(entries) == 1:
        return [whole]
    middle = len(entries) // 2
    for cut in (*range(middle, len(entries)), *range(middle, 0, -1)):
        if cut and entries[cut - 1][:2] != entries[cut][:2]:
            return pack(sender, birth, begun, entries[:cut], begun=begun) + pack(
                sender, birth, mark, entries[cut:], begun=begun
            )
    return [whole]


class Inbox:
    """What has been taken from each source."""

    __slots__ = ("_birth", "_seen")

    def __init__(self, birth: str, seen: Mapping[str, int] | None = None) -> None:
        self._birth = birth
        self._seen = dict(seen or {})

    def open(self, raw: bytes) -> Message | None:
        """Read a message without what was taken before; None if it is void altogether."""
        sender, birth, mark, entries = orjson.loads(raw)
        if birth != self._birth:
            return None
        seen, highest, fresh = self._seen, {}, []
        for entry in entries:
            source, offset = entry[0], entry[1]
            if offset > seen.get(source, -1):
                fresh.append(entry)
                highest[source] = offset
        for source, offset in highest.items():
            seen[source] = max(offset, seen.get(source, -1))
        return Message(sender, mark, fresh)

    def state(self) -> bytes:
        """Plain bytes to rebuild it from."""
        return orjson.dumps(self._seen)
