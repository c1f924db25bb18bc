"""Bytes to events. What cannot be read is refused with a reason that stays the same for good."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

import orjson
from pydantic import TypeAdapter, ValidationError

from stream.events.types import MAX_ID, MAX_ITEMS, MAX_QUANTITY, MAX_RECORD, PUBLIC, Topic
from stream.shards import Record
from stream.units import Millis

Reason = Literal[
    "not_json",
    "wrong_shape",
    "unknown_type",
    "unreadable_time",
    "seconds_for_milliseconds",
    "too_far_ahead",
    "bad_number",
    "bad_quantity",
    "bad_id",
    "record_too_large",
    "too_many_items",
]

EARLIEST_MS = 100_000_000_000
"""1973-03-03. A smaller number is a time in seconds."""
LATEST_MS = 253_370_764_800_000
"""9999-01-01. What is later cannot be written as RFC 3339."""
EARLIEST_S = 100_000_000
_OPEN, _CLOSE = b"{}"
IDS = (
    "event_id",
    "user_id",
    "product_id",
    "order_id",
    "category",
    "session_id",
    "promotion_id",
    "name",
)
TIMES = ("time", "listed_at", "starts", "ends")
_PLAIN_TIMES = ("clicks", "orders")
"""Topics of which each event has a time, and no other than that."""
_TAGS = ("promotion", "signal")


class Refusal(NamedTuple):
    """Why a record is not an event, and what its sender can do about it."""

    reason: Reason
    detail: str


_TOO_FAR_AHEAD = Refusal(
    "too_far_ahead", "The event's time lies beyond Kafka's; mend the sender's clock, or send ms."
)


class Refused(NamedTuple):
    """A record that is not an event."""

    record: Record
    refusal: Refusal


Decoded = tuple[int, int, dict[str, Any] | Refused]
"""One record, read: its event time in ms, its offset, its event.

A refused record has the time of the record before it.
"""


_one: dict[str, TypeAdapter[Any]] = {t: TypeAdapter(model) for t, model in PUBLIC.items()}
_many: dict[str, TypeAdapter[Any]] = {t: TypeAdapter(list[model]) for t, model in PUBLIC.items()}  # type: ignore[valid-type]


def decode(topic: Topic, records: Sequence[Record], ahead: int, since: int = 0) -> list[Decoded]:
    """Read a batch. Empty records (tombstones) are left out.

    Args:
        topic: Which kind of event to expect.
        records: By offset.
        ahead: How far an event's time may lie beyond the record's Kafka time, ms.
        since: Event time of the record before the first.
    """
    present = [record for record in records if record.value]
    values = [record.value or b"" for record in present]
    joined = b"[" + b",".join(values) + b"]"
    events = _all_at_once(topic, values, joined)
    if events and topic in _PLAIN_TIMES and joined.isascii() and b"\\" not in joined:
        # No id is longer in bytes than in letters. Where the times are plain, nothing is left.
        times = [event["time"] for event in events]
        latest = min(min([record.timestamp for record in present]) + ahead, LATEST_MS)
        if set(map(type, times)) == {int} and min(times) >= EARLIEST_MS and max(times) <= latest:
            return list(zip(times, [record.offset for record in present], events, strict=True))
    decoded: list[Decoded] = []
    time = since
    for index, record in enumerate(present):
        event = events[index] if events else _one_by_one(topic, values[index])
        if not isinstance(event, Refusal):
            event = _settled(event, min(record.timestamp + ahead, LATEST_MS))
        if isinstance(event, Refusal):
            decoded.append((time, record.offset, Refused(record, event)))
        else:
            time = event["time"]
            decoded.append((time, record.offset, event))
    return decoded


def _all_at_once(
    topic: Topic, values: Sequence[bytes], joined: bytes
) -> list[dict[str, Any]] | None:
    # Each must be an object of its own: `{},{` and `}` are two records, and joined two objects.
    if not values or max(map(len, values)) > MAX_RECORD:
        return None
    if not all(value[0] == _OPEN and value[-1] == _CLOSE for value in values):
        return None
    # With one brace a record, as many objects as records are those records. With more, some may
    # make up for others: `{"x":[{}` and `{}]}` and `{},{}` are three objects when joined.
    if joined.count(b"{") != len(values) and not all(map(_is_json, values)):
        return None
    try:
        events: list[dict[str, Any]] = _many[topic].validate_json(joined)
    except ValidationError:
        return None
    return events if len(events) == len(values) else None


def _is_json(value: bytes) -> bool:
    try:
        orjson.loads(value)
    except orjson.JSONDecodeError:
        return False
    return True


def _one_by_one(topic: Topic, value: bytes) -> dict[str, Any] | Refusal:
    if len(value) > MAX_RECORD:
        return Refusal("record_too_large", f"{len(value):,} bytes; send at most {MAX_RECORD:,}.")
    try:
        event: dict[str, Any] = _one[topic].validate_json(value)
    except ValidationError as error:
        return _refusal(error)
    return event


def _refusal(error: ValidationError) -> Refusal:
    problems = error.errors(include_url=False, include_context=False)
    problem = problems[0]
    place = [str(part) for part in problem["loc"]]
    if place and place[0] in _TAGS:  # which of the two market events it is
        del place[0]
    field = ".".join(part for part in place if not part.startswith("constrained"))
    names = set(place)
    kind = problem["type"]
    said = problem["msg"].lower()
    if kind == "json_invalid":
        return Refusal("not_json", f"Send one JSON object in UTF-8; {said}.")
    if kind in ("missing", "union_tag_not_found"):
        return Refusal("wrong_shape", f"Add the field {field or 'type'}.")
    if kind == "union_tag_invalid":
        return Refusal("unknown_type", "Type should be 'promotion' or 'signal'.")
    if names & set(TIMES):
        return Refusal(
            "unreadable_time",
            f"Give {field.split('.')[0]} as RFC 3339 text with an offset or as epoch ms.",
        )
    if "type" in names and kind == "literal_error":
        return Refusal(
            "unknown_type", f"{problem['msg'].replace('Input should be', 'type should be')}."
        )
    if kind == "too_long" and "items" in names:
        return Refusal("too_many_items", f"Send at most {MAX_ITEMS:,} items in one order.")
    length = kind in {"string_too_short", "string_too_long"}
    if length and not names & {"channel", "title", "brand"}:
        return Refusal("bad_id", f"Give {field} from 1 to {MAX_ID} bytes.")
    return _number(names, field, said) or Refusal(
        "wrong_shape", f"Mend {field or 'the record'}: {said}."
    )


def _number(names: set[str], field: str, said: str) -> Refusal | None:
    """Refuse a number that is none, or is too small or too large."""
    if "quantity" in names:
        return Refusal(
            "bad_quantity", f"Give {field} as a whole number from 1 to {MAX_QUANTITY:,}."
        )
    if names & {"price", "stock", "lead_time_days"}:
        return Refusal("bad_number", f"Give {field} as a finite number, not negative; {said}.")
    if "discount" in names:
        return Refusal("bad_number", f"Give {field} as a number from 0 to 1.")
    if "value" in names:
        return Refusal("bad_number", f"Give {field} as a finite number; {said}.")
    return None


def _settled(event: dict[str, Any], latest: int) -> dict[str, Any] | Refusal:
    """Make the time a number of milliseconds and check what the schema cannot say."""
    if event.get("type") == "promotion":
        return _promotion(event)
    time = event["time"]
    if type(time) is not int or not EARLIEST_MS <= time <= latest:
        read = read_time(time)
        if isinstance(read, Refusal):
            return read
        if read > latest:
            return _TOO_FAR_AHEAD
        event["time"] = read
    if event.get("listed_at") is not None:
        listed = read_time(event["listed_at"])
        if isinstance(listed, Refusal):
            return listed
        event["listed_at"] = listed
    if wrong := _id_too_long(event):
        return wrong
    for item in event.get("items", ()):
        if not (_fits(item["product_id"]) and _fits(item.get("category") or "")):
            return Refusal("bad_id", f"Give product_id and category from 1 to {MAX_ID} bytes.")
    return event


def _promotion(event: dict[str, Any]) -> dict[str, Any] | Refusal:
    """Settle a promotion, whose times may lie far ahead."""
    if event.get("time") is None:
        event["time"] = event["starts"]
    for name in ("starts", "ends", "time"):
        moment = read_time(event[name])
        if isinstance(moment, Refusal):
            return moment
        event[name] = moment
    return _id_too_long(event) or event


def _id_too_long(event: dict[str, Any]) -> Refusal | None:
    for name in IDS:
        id_ = event.get(name)
        if id_ is not None and not id_.isascii() and len(id_.encode()) > MAX_ID:
            return Refusal("bad_id", f"Give {name} from 1 to {MAX_ID} bytes.")
    return None


def _fits(id_: str) -> bool:
    return id_.isascii() or len(id_.encode()) <= MAX_ID


def read_time(value: float | str) -> Millis | Refusal:
    """Read a time as the contract allows it.

    >>> read_time("2019-10-01T02:00:00+02:00")
    1569888000000
    >>> read_time(1_569_888_000).reason
    'seconds_for_milliseconds'
    """
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.upper())  # RFC 3339 allows `t` and `z`
            if moment.tzinfo is None or len(value) < len("2019-10-01T00:00Z"):
                return Refusal(
                    "unreadable_time", "Give the time with its offset, as 2019-10-01T00:00:00Z."
                )
            value = moment.timestamp() * 1000
        except (ValueError, OverflowError):
            return Refusal(
                "unreadable_time", "Give the time as RFC 3339 text with an offset or as epoch ms."
            )
    if not value >= EARLIEST_S:  # so that NaN is refused
        return Refusal(
            "unreadable_time", "Give the time as RFC 3339 text with an offset or as epoch ms."
        )
    if value < EARLIEST_MS:
        return Refusal("seconds_for_milliseconds", "The time is in seconds; send milliseconds.")
    if value > LATEST_MS:
        return _TOO_FAR_AHEAD
    return Millis(round(value))
