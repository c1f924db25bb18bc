"""Logs in the order of event time."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from operator import itemgetter
from tempfile import TemporaryFile
from typing import IO, TypeVar

import orjson

from stream.events.logs.said import BadRow, Event
from stream.memo import trimmed

S = TypeVar("S", bound=Event | BadRow)

RUN = 200_000
"""Events that are sorted in memory; more are sorted on disk."""


def merged(logs: Sequence[Iterator[S]]) -> Iterator[S]:
    """Make one log of several, by event time. A bad row stays behind the event before it."""
    if len(logs) == 1:
        return logs[0]
    return map(itemgetter(1), heapq.merge(*map(_timed, logs), key=itemgetter(0)))


def in_time_order(log: Iterable[Event | BadRow], run: int = RUN) -> Iterator[Event | BadRow]:
    """Sort a log by event time; bad rows come first. What memory should not hold goes to disk.

    What the shop says at a moment comes before what its customers do at it.

    Args:
        log: All of it is read before the first event comes out.
        run: Events to hold in memory.
    """
    with ExitStack() as runs:
        written: list[IO[bytes]] = []
        held: list[tuple[int, bytes]] = []
        for item in log:
            if isinstance(item, BadRow):
                yield item
                continue
            held.append((_place(item), trimmed(orjson.dumps(item[:]))))
            if len(held) == run:
                written.append(runs.enter_context(TemporaryFile()))
                _write(held, written[-1])
                held = []
        held.sort(key=itemgetter(0))
        for _, packed in heapq.merge(*map(_packed, written), held, key=itemgetter(0)):
            yield Event(*orjson.loads(packed))


def _place(event: Event) -> int:
    """Twice the time, and one more for what customers do: a single number is sorted by."""
    return 2 * event.time + (event.topic in ("clicks", "orders"))


def _write(held: list[tuple[int, bytes]], file: IO[bytes]) -> None:
    held.sort(key=itemgetter(0))
    for place, packed in held:
        file.write(b"%d %b\n" % (place, packed))
    file.seek(0)


def _packed(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    for line in file:
        place, _, packed = line.partition(b" ")
        yield int(place), packed


def _timed(log: Iterator[S]) -> Iterator[tuple[int, S]]:
    # How far the log has come, not the event's own time: merging wants each log in order, and a
    # late event belongs right behind the one before it.
    reached = 0
    for item in log:
        if isinstance(item, Event) and item.time > reached:
            reached = item.time
        yield reached, item
