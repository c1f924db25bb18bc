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
    if len(whole) <= LARGEST:
        return [whole]
    # Half full, so that few have to be written a third time.
    *first, last = _cut(entries, len(entries) * LARGEST // (2 * len(whole)))
    if not first:
        return [whole]
    cut = [raw for part in first for raw in pack(sender, birth, begun, part, begun=begun)]
    return cut + pack(sender, birth, mark, last, begun=begun)


def _cut(entries: list[Entry], size: int) -> list[list[Entry]]:
    """Cut into parts of about so many entries, between source positions."""
    parts = [entries[:1]]
    for entry in entries[1:]:
        part = parts[-1]
        if len(part) >= size and entry[:2] != part[-1][:2]:
            parts.append([entry])
        else:
            part.append(entry)
    return parts


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
