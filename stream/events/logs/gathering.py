"""Lines to orders."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import orjson

from stream.events.logs.said import Event
from stream.events.types import MAX_ITEMS, OrderType
from stream.units import Millis


class Line(NamedTuple):
    """A line of an order."""

    time: Millis
    type: OrderType
    order_id: str
    user_id: str
    event_id: str
    """Empty where the log has none."""
    channel: str
    item: dict[str, Any]


def order_event(lines: Sequence[Line]) -> Event:
    """Make one order of its lines. Its time is that of the first."""
    first = lines[0]
    value: dict[str, Any] = {
        "event_id": first.event_id,
        "type": first.type,
        "time": first.time,
        "order_id": first.order_id,
        "user_id": first.user_id,
        "items": [line.item for line in lines],
    }
    if first.channel:
        value["channel"] = first.channel
    if not first.event_id:
        value["event_id"] = content_id(value)
    return Event("orders", first.user_id, first.time, value)


class OpenOrders:
    """Orders whose lines are still being gathered.

    A line joins its order while the order's lines follow each other, and also across other rows
    of the same moment: a log sorted by the minute mixes the orders of that minute.
    """

    def __init__(self) -> None:
        self._open: dict[tuple[str, OrderType, str], list[Line]] = {}

    def __bool__(self) -> bool:
        return bool(self._open)

    def take(self, line: Line) -> list[Event]:
        """Add a line; answer with the orders that are complete now."""
        key = (line.order_id, line.type, line.user_id)
        complete = self.reach(line.time, but=key)
        lines = self._open.setdefault(key, [])
        lines.append(line)
        if len(lines) == MAX_ITEMS:
            complete.append(order_event(self._open.pop(key)))
        return complete

    def reach(self, time: Millis, but: tuple[str, OrderType, str] | None = None) -> list[Event]:
        """Another row has come: close the orders that it ends."""
        ended = [k for k, lines in self._open.items() if k != but and lines[-1].time != time]
        return [order_event(self._open.pop(key)) for key in ended]

    def close(self) -> list[Event]:
        """The log has ended."""
        lines, self._open = self._open, {}
        return [order_event(each) for each in lines.values()]


def content_id(value: dict[str, Any]) -> str:
    """Name an event by what it says, so that the same row has the same id whenever it is read.

    >>> content_id({"type": "view_item"}) == content_id({"type": "view_item"})
    True
    """
    return blake2b(orjson.dumps(value), digest_size=12).hexdigest()


def hashed(text: str) -> str:
    """Make an id of what tells an order apart."""
    return blake2b(text.encode(), digest_size=12).hexdigest()
