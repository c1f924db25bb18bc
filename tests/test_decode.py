"""Bytes to events: a batch reads as its records would one by one, and what is refused says why."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from making import BEGIN, KAFKA_TIME, Event, click, purchase, recorded

from stream.events.decode import Reason, Refused, decode, read_time
from stream.events.types import MAX_ID, MAX_ITEMS, MAX_PRICE, MAX_QUANTITY, MAX_RECORD, Topic
from stream.units import DAY, HOUR, MINUTE, Millis, rfc3339

PRODUCT = {"product_id": "p", "time": BEGIN, "category": "mugs"}
PROMOTION = {
    "type": "promotion",
    "promotion_id": "sale",
    "starts": BEGIN,
    "ends": BEGIN + 7 * DAY,
    "time": BEGIN,
}
SIGNAL = {"type": "signal", "name": "rain", "time": BEGIN, "value": 4.5}
EURO = "€"
"""Three bytes."""


def raw(event: Event, **written: bytes) -> bytes:
    """An event as JSON, with fields written as they stand here."""
    text = orjson.dumps({**event, **dict.fromkeys(written, "@@")})
    for value in written.values():
        text = text.replace(b'"@@"', value, 1)
    return text


def order(**item: bytes) -> bytes:
    """A purchase whose item has fields written as they stand here."""
    whole = {"product_id": b'"p"', "quantity": b"1", "price": b"10", **item}
    fields = b",".join(b'"%s":%s' % (name.encode(), value) for name, value in whole.items())
    return raw(purchase("e"), items=b"[{%s}]" % fields)


def read(topic: Topic, *values: bytes | Event | None, ahead: int = 0) -> list[Event | str]:
    """Events, and the reasons of those that are none."""
    return [
        event.refusal.reason if isinstance(event, Refused) else event
        for _, _, event in decode(topic, recorded(values), ahead)
    ]


# every reason: what a producer may send, and what is said of it

REFUSED: list[tuple[Topic, bytes, str]] = [
    ("clicks", b"view", "not_json"),
    ("clicks", b"{", "not_json"),
    ("clicks", b"\xff\xfe", "not_json"),
    ("clicks", b'{"event_id":"\xc3"}', "not_json"),
    ("clicks", b" ", "not_json"),
    ("clicks", raw(click("e")) + raw(click("f")), "not_json"),
    ("clicks", raw(click("e")) + b"," + raw(click("f")), "not_json"),
    ("clicks", raw(click("e"), user_id=b'"\\ud800"'), "not_json"),
    ("clicks", b"[]", "wrong_shape"),
    ("clicks", b"null", "wrong_shape"),
    ("clicks", b"[%s]" % raw(click("e")), "wrong_shape"),
    ("clicks", b"{}", "wrong_shape"),
    ("clicks", raw(click("e"), user_id=b"null"), "wrong_shape"),
    ("clicks", raw(click("e"), user_id=b"true"), "wrong_shape"),
    ("clicks", raw(click("e"), user_id=b"{}"), "wrong_shape"),
    ("clicks", raw(click("e"), channel=b'"%s"' % (b"x" * 1_001)), "wrong_shape"),
    ("orders", raw(purchase("e"), items=b"[]"), "wrong_shape"),
    ("orders", raw(purchase("e"), items=b"{}"), "wrong_shape"),
    ("orders", raw(purchase("e"), items=b"[7]"), "wrong_shape"),
    ("orders", raw(purchase("e"), items=b'[{"product_id":"p","quantity":1}]'), "wrong_shape"),
    ("clicks", raw(click("e"), type=b'"purchase"'), "unknown_type"),
    ("clicks", raw(click("e"), type=b"5"), "unknown_type"),
    ("orders", raw(purchase("e"), type=b'"view_item"'), "unknown_type"),
    ("clicks", raw(click("e"), time=b'"yesterday"'), "unreadable_time"),
    ("clicks", raw(click("e"), time=b'""'), "unreadable_time"),
    ("clicks", raw(click("e"), time=b'"2019-10-01"'), "unreadable_time"),
    ("clicks", raw(click("e"), time=b'"2019-10-01T00:00:00"'), "unreadable_time"),
    ("clicks", raw(click("e"), time=b'"0001-01-01T00:00:00+14:00"'), "unreadable_time"),
    ("clicks", raw(click("e"), time=b"true"), "unreadable_time"),
    ("clicks", raw(click("e"), time=b"null"), "unreadable_time"),
    ("clicks", raw(click("e"), time=b"NaN"), "unreadable_time"),
    ("clicks", raw(click("e"), time=b"-Infinity"), "unreadable_time"),
    ("clicks", raw(click("e"), time=b"1e400"), "unreadable_time"),
    ("clicks", raw(click("e"), time=b"0"), "unreadable_time"),
    ("clicks", raw(click("e"), time=b"-1569888000000"), "unreadable_time"),
    ("clicks", raw(click("e"), time=b"-1" + b"0" * 400), "unreadable_time"),
    ("catalog", raw(PRODUCT, listed_at=b'"soon"'), "unreadable_time"),
    ("clicks", raw(click("e"), time=b"1569888000"), "seconds_for_milliseconds"),
    ("clicks", raw(click("e"), time=b"1569888000.25"), "seconds_for_milliseconds"),
    ("clicks", raw(click("e"), time=b"%d" % (KAFKA_TIME + 1)), "too_far_ahead"),
    ("clicks", raw(click("e"), time=b'"9999-12-31T23:59:59-14:00"'), "too_far_ahead"),
    ("clicks", raw(click("e"), time=b"1569888000000000"), "too_far_ahead"),
    ("clicks", raw(click("e"), time=b"1" + b"0" * 400), "too_far_ahead"),
    ("catalog", raw(PRODUCT, listed_at=b"1e300"), "too_far_ahead"),
    ("clicks", raw(click("e"), price=b"-0.01"), "bad_number"),
    ("clicks", raw(click("e"), price=b"NaN"), "bad_number"),
    ("clicks", raw(click("e"), price=b"Infinity"), "bad_number"),
    ("clicks", raw(click("e"), price=b"1e400"), "bad_number"),
    ("clicks", raw(click("e"), price=b"%d" % (MAX_PRICE + 1)), "bad_number"),
    ("clicks", raw(click("e"), price=b'"cheap"'), "bad_number"),
    ("orders", order(price=b"-1"), "bad_number"),
    ("orders", order(price=b"null"), "bad_number"),
    ("catalog", raw(PRODUCT, stock=b"-1"), "bad_number"),
    ("catalog", raw(PRODUCT, stock=b"1e999"), "bad_number"),
    ("catalog", raw(PRODUCT, lead_time_days=b"NaN"), "bad_number"),
    ("orders", order(quantity=b"0"), "bad_quantity"),
    ("orders", order(quantity=b"-2"), "bad_quantity"),
    ("orders", order(quantity=b"2.5"), "bad_quantity"),
    ("orders", order(quantity=b"null"), "bad_quantity"),
    ("orders", order(quantity=b"%d" % (MAX_QUANTITY + 1)), "bad_quantity"),
    ("orders", order(quantity=b"1" + b"0" * 400), "bad_quantity"),
    ("clicks", raw(click("")), "bad_id"),
    ("clicks", raw(click("e", user_id="x" * (MAX_ID + 1))), "bad_id"),
    ("clicks", raw(click("e", user_id=EURO * 85 + "xx")), "bad_id"),
    ("clicks", raw(click("e", category=EURO * 86)), "bad_id"),
    ("clicks", raw(click("e", session_id="")), "bad_id"),
    ("orders", order(product_id=orjson.dumps(EURO * 86)), "bad_id"),
    ("orders", order(category=orjson.dumps(EURO * 86)), "bad_id"),
    ("market", raw(PROMOTION, type=b'"party"'), "unknown_type"),
    ("market", raw(PROMOTION, type=b"5"), "unknown_type"),
    ("market", b"{}", "wrong_shape"),
    ("market", b"[]", "wrong_shape"),
    ("market", b'{"type":"promotion"}', "wrong_shape"),
    ("market", raw(PROMOTION, starts=b'"soon"'), "unreadable_time"),
    ("market", raw(PROMOTION, ends=b"true"), "unreadable_time"),
    ("market", raw(PROMOTION, time=b'""'), "unreadable_time"),
    ("market", raw(PROMOTION, ends=b"1569888000"), "seconds_for_milliseconds"),
    ("market", raw(PROMOTION, ends=b"1e300"), "too_far_ahead"),
    ("market", raw(PROMOTION, discount=b"1.01"), "bad_number"),
    ("market", raw(PROMOTION, discount=b"NaN"), "bad_number"),
    ("market", raw(PROMOTION, promotion_id=b'""'), "bad_id"),
    ("market", raw(PROMOTION, promotion_id=orjson.dumps(EURO * 86)), "bad_id"),
    ("market", raw(PROMOTION, category=orjson.dumps(EURO * 86)), "bad_id"),
    ("market", raw(SIGNAL, name=b'""'), "bad_id"),
    ("market", raw(SIGNAL, name=orjson.dumps(EURO * 86)), "bad_id"),
    ("market", raw(SIGNAL, value=b"Infinity"), "bad_number"),
    ("market", raw(SIGNAL, value=b'"much"'), "bad_number"),
    ("market", raw(SIGNAL, time=b"%d" % (KAFKA_TIME + 1)), "too_far_ahead"),
    ("clicks", raw(click("e", more="x" * MAX_RECORD)), "record_too_large"),
    ("orders", raw(purchase("e", BEGIN, *[("p", 1)] * (MAX_ITEMS + 1))), "too_many_items"),
]


@pytest.mark.parametrize(("topic", "value", "reason"), REFUSED)
def test_what_is_refused_and_why(topic: Topic, value: bytes, reason: str) -> None:
    """By itself and between good neighbours, which survive; with a sentence of what to do."""
    good = {
        "clicks": click("g"),
        "orders": purchase("g"),
        "catalog": PRODUCT,
        "market": PROMOTION,
    }[topic]
    assert read(topic, value) == [reason]
    assert read(topic, good, value, good, value) == [good, reason, good, reason]
    ((_, _, refused),) = decode(topic, recorded([value]), 0)
    assert isinstance(refused, Refused)
    assert refused.record.value == value
    assert refused.refusal.detail.endswith(".")


def test_every_reason_can_be_reached() -> None:
    """No reason is only on paper."""
    assert {reason for _, _, reason in REFUSED} == set(get_args(Reason))


READ: list[tuple[Topic, bytes, str, object]] = [
    ("clicks", raw(click("e", user_id="x" * MAX_ID)), "user_id", "x" * MAX_ID),
    ("clicks", raw(click("e", user_id=EURO * 85 + "x")), "user_id", EURO * 85 + "x"),
    ("clicks", raw(click("e"), user_id=b"17"), "user_id", "17"),
    ("clicks", raw(click("e"), price=b"0"), "price", 0.0),
    ("clicks", raw(click("e"), price=b"null"), "price", None),
    ("clicks", raw(click("e"), price=b"1e12"), "price", MAX_PRICE),
    ("clicks", raw(click("e"), time=b"1569888000000.4"), "time", BEGIN),
    ("clicks", raw(click("e"), time=b'"2019-10-01t00:00:00z"'), "time", BEGIN),
    ("clicks", raw(click("e"), time=b'"2019-10-01T05:30:00.000+05:30"'), "time", BEGIN),
    ("clicks", raw(click("e"), time=b"%d" % KAFKA_TIME), "time", KAFKA_TIME),
    ("clicks", raw(click("e"), channel=b'"}{"'), "channel", "}{"),
    ("catalog", raw(PRODUCT, stock=b"0"), "stock", 0.0),
    ("catalog", raw(PRODUCT, listed_at=b'"2019-10-01T00:00:00Z"'), "listed_at", BEGIN),
]


@pytest.mark.parametrize(("topic", "value", "field", "expected"), READ)
def test_what_is_still_accepted(topic: Topic, value: bytes, field: str, expected: object) -> None:
    """The last that is inside a bound, and what other tools write for the same."""
    (event,) = read(topic, value)
    assert isinstance(event, dict)
    assert event[field] == expected


def test_unknown_fields_are_ignored() -> None:
    """Producers may say more than we ask for."""
    assert read("clicks", click("e", colour="red", nested={"a": [{}]})) == [click("e")]


numbers = st.one_of(
    st.integers(), st.floats(), st.booleans(), st.sampled_from([10**400, -(10**400), 1e308, 5e-324])
)
anything: st.SearchStrategy[Any] = st.one_of(
    numbers, st.none(), st.text(max_size=5), st.just([]), st.just({})
)
clicks = st.one_of(st.just(click("e")), st.floats(0, 1e6).map(lambda p: click("e", price=p)))
broken = st.builds(
    lambda event, field, value: {**event, field: value},
    clicks,
    st.sampled_from(["event_id", "type", "time", "user_id", "product_id", "price", "channel"]),
    anything,
)
lines = st.fixed_dictionaries({"product_id": anything, "quantity": anything, "price": anything})
values = st.one_of(
    clicks.map(orjson.dumps),
    st.one_of(clicks, broken).map(lambda e: json_of(e).encode()),
    st.lists(lines, max_size=2).map(lambda i: json_of({**purchase("e"), "items": i}).encode()),
    st.none(),
    st.binary(max_size=8),
    # Pieces that are JSON only together, or are more than one.
    st.sampled_from(
        [
            raw(click("e"))[:-1] + b',"x":[{}',
            raw(click("e"))[:-1] + b',"x":"}',
            b"{}]}",
            b'{"}',
            raw(click("e")) + b"," + raw(click("f")),
            raw(click("e")) + b",{}",
        ]
    ),
)


def json_of(value: Any) -> str:
    """JSON as careless producers write it: with NaN, and numbers of any size."""
    match value:
        case dict():
            return "{" + ",".join(f'"{k}":{json_of(v)}' for k, v in value.items()) + "}"
        case list():
            return "[" + ",".join(map(json_of, value)) + "]"
        case bool() | None | str():
            return orjson.dumps(value).decode()
        case _:
            return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(str(value)) or str(
                value
            )


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["clicks", "orders", "catalog", "market"]), st.lists(values, max_size=6))
def test_a_batch_reads_as_its_records_one_by_one(topic: Topic, values: list[bytes | None]) -> None:
    """Whatever else is in it; nothing that a producer sends raises."""
    whole = decode(topic, recorded(values), 0, since=7)
    alone = [one for record in recorded(values) for one in decode(topic, [record], 0)]
    assert [one[1:] for one in whole] == [one[1:] for one in alone]
    latest = 7
    for time, _, event in whole:
        latest = latest if isinstance(event, Refused) else event["time"]
        assert time == latest


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["clicks", "orders", "catalog", "market"]), st.lists(values, max_size=6))
def test_what_was_accepted_can_be_written_again(topic: Topic, values: list[bytes | None]) -> None:
    """Every number fits: an event that is read is an event that is stored and published."""
    for event in read(topic, *values):
        if isinstance(event, dict):
            assert orjson.loads(orjson.dumps(event)) == event
            assert rfc3339(event["time"])


def test_records_that_are_json_only_together_are_refused() -> None:
    """Two that join to one object, and a third that makes up for it."""
    left, right = raw(click("e"))[:-1] + b',"x":[{}', b"{}]}"
    double = raw(click("f")) + b"," + raw(click("g"))
    assert read("clicks", left, right) == ["not_json"] * 2
    assert read("clicks", left, right, double) == ["not_json"] * 3
    assert read("clicks", raw(click("e"))[:-1] + b',"x":"}', b'{"}', double) == ["not_json"] * 3


def test_tombstones_are_left_out() -> None:
    """An empty record deletes something elsewhere and is no event."""
    found = decode("clicks", recorded([None, click("a"), b"", click("b"), None], 5), 0)
    assert [offset for _, offset, _ in found] == [6, 8]
    assert decode("clicks", recorded([None]), 0) == []
    assert decode("clicks", [], 0) == []


def test_an_event_may_be_ahead_of_kafka_by_so_much() -> None:
    """Clocks differ a little."""
    early = click("e", KAFKA_TIME + MINUTE)
    assert read("clicks", early, ahead=MINUTE) == [early]
    assert read("clicks", early, ahead=MINUTE - 1) == ["too_far_ahead"]


def test_kafka_s_own_time_may_be_wrong_too() -> None:
    """A time that no calendar knows is refused even then."""
    (record,) = recorded([click("e", 10**16)])
    ((_, _, refused),) = decode("clicks", [record._replace(timestamp=10**16)], 0)
    assert isinstance(refused, Refused)
    assert refused.refusal.reason == "too_far_ahead"


@settings(max_examples=200, deadline=None)
@given(
    st.integers(DAY * 1_200, BEGIN + 10_000 * DAY),
    st.integers(-14 * 60, 14 * 60),
    st.sampled_from(["T", " ", "t"]),
)
def test_rfc_3339_and_milliseconds_say_the_same(time: int, offset: int, between: str) -> None:
    """Whatever the offset in which a time is written, to the millisecond."""
    zone = timezone(timedelta(minutes=offset))
    moment = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=time)
    text = moment.astimezone(zone).isoformat(between, timespec="milliseconds")
    assert read_time(text) == read_time(time) == time
    assert read_time(rfc3339(Millis(time))) == time
    assert read_time(rfc3339(Millis(time)).lower()) == time
    assert read_time(time + 0.25) == time


def test_a_time_is_rounded_to_its_millisecond() -> None:
    """Microseconds are more than we keep."""
    assert read_time("2019-10-01T00:00:00.000400Z") == BEGIN
    assert read_time("2019-10-01T01:00:00.0006+00:00") == BEGIN + HOUR + 1
