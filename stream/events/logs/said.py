"""What a log says: events, and rows that say none."""

from typing import Any, NamedTuple

from stream.events.types import Topic
from stream.units import Millis

LATEST_MS = 253_402_300_800_000
"""The year 10000; later times cannot be written as text."""


class Event(NamedTuple):
    """One event of a log."""

    topic: Topic
    key: str
    time: Millis
    value: dict[str, Any]
    """The contract's JSON object."""


class BadRow(NamedTuple):
    """A row that says no event, as it stands in the log, and why in a sentence."""

    line: int
    text: str
    reason: str


class UnreadableError(ValueError):
    """A row cannot be mapped. The text is the reason."""
