"""Lines in our own contract to events."""

from typing import Any, get_args

from stream.events.decode import Refusal, read_time
from stream.events.logs.said import LATEST_MS, BadRow, Event, UnreadableError
from stream.events.logs.tables import is_number, object_in, standing
from stream.events.types import KEYS, MAX_RECORD, ClickType, OrderType, Topic

_CLICKS = get_args(ClickType)
_ORDERS = get_args(OrderType)
_MARKET = ("promotion", "signal")


def native_event(number: int, line: bytes) -> Event | BadRow:
    """Read an event of our own contract; the worker checks the rest of it."""
    try:
        return _event(line)
    except UnreadableError as error:
        return BadRow(number, standing(line), str(error))


def _event(line: bytes) -> Event:
    if len(line) > MAX_RECORD:
        raise UnreadableError(f"The line is longer than {MAX_RECORD:,} bytes.")
    value = object_in(line)
    topic = _topic(value)
    key = value.get(KEYS[topic])
    if not (isinstance(key, str) or is_number(key)) or key == "":
        raise UnreadableError(f"{KEYS[topic]} is empty, or neither text nor a number.")
    time = value.get("time")
    if topic == "market" and time is None:
        time = value.get("starts")
    if not (isinstance(time, str) or is_number(time)):
        raise UnreadableError("The time is missing, or neither text nor a number.")
    moment = read_time(time)
    if isinstance(moment, Refusal):
        raise UnreadableError(moment.detail)
    if moment >= LATEST_MS:
        raise UnreadableError("The time is too large; give epoch milliseconds.")
    return Event(topic, str(key), moment, value)


def _topic(value: dict[str, Any]) -> Topic:
    said = value.get("type")
    if said in _MARKET:
        return "market"
    if said not in _CLICKS and (said in _ORDERS or "items" in value or "order_id" in value):
        return "orders"
    if said in _CLICKS or "user_id" in value:
        return "clicks"
    if "product_id" in value:
        return "catalog"
    raise UnreadableError("The fields are those of no event: an order has items, a click user_id.")
