"""Units of measure, so that a signature says what a number means."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import NewType

Millis = NewType("Millis", int)
"""A point in time: milliseconds since 1970-01-01 UTC. Also a span, where a name says so."""

Seconds = NewType("Seconds", float)
"""A span of time."""

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


@lru_cache(maxsize=256)
def rfc3339(time: Millis) -> str:
    """Write a point in time the way the public documents do.

    >>> rfc3339(Millis(1_569_888_000_123))
    '2019-10-01T00:00:00.123Z'
    """
    moment = datetime.fromtimestamp(time / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def span_name(span: Millis) -> str:
    """Name a span by its largest whole unit, as horizons are named in the documents.

    >>> span_name(Millis(7 * DAY)), span_name(Millis(HOUR)), span_name(Millis(90 * MINUTE))
    ('7d', '1h', '90m')
    """
    for unit, letter in ((DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (SECOND, "s")):
        if span % unit == 0:
            return f"{span // unit}{letter}"
    return f"{span}ms"
