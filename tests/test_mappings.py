"""Other shops' logs come out as our contract says, row by row and in total."""

import gzip
import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import Misconfigured
from stream.events.decode import Refusal, Refused, decode
from stream.events.logs import BadRow, Event, in_time_order, load_mapping, merged, read_log
from stream.events.logs.gathering import Line, OpenOrders
from stream.events.mappings import known_formats
from stream.events.types import MAX_ITEMS, OrderType
from stream.units import Millis

SHARED = Path(__file__).parents[2] / "shared/data"
MIDNIGHT = 1_569_888_000_000
"""2019-10-01 00:00 UTC."""

REES46 = (
    "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"
)
LINES = "ts,invoice,user_id,product_id,quantity,unit_price,country\n"


def read(folder: Path, name: str, text: str | bytes, mapping: str) -> list[Event | BadRow]:
    """Read what a file of this content says."""
    file = folder / name
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return list(read_log(str(file), load_mapping(mapping)))


def values(said: Sequence[Event | BadRow]) -> list[dict[str, Any]]:
    """The events alone, without the ids that follow from content."""
    made = ("event_id",)
    return [
        {name: value for name, value in event.value.items() if name not in made}
        for event in said
        if isinstance(event, Event)
    ]


def reasons(said: Sequence[Event | BadRow]) -> list[tuple[int, str]]:
    """The bad rows: line and reason."""
    return [(row.line, row.reason) for row in said if isinstance(row, BadRow)]


class Sent(NamedTuple):
    """A record as Kafka would deliver it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


def refused(said: Sequence[Event | BadRow]) -> list[Refusal]:
    """What the worker would refuse of these events."""
    events = [event for event in said if isinstance(event, Event)]
    seen = [
        read
        for event in events
        for _, _, read in decode(
            event.topic, [Sent(0, 2_000_000_000_000, None, orjson.dumps(event.value))], ahead=0
        )
    ]
    assert len(seen) == len(events)
    return [event.refusal for event in seen if isinstance(event, Refused)]


def shared(name: str) -> str:
    """A real log's path."""
    if not (SHARED / name).exists():
        pytest.skip("needs the shop logs in ../shared/data")
    return str(SHARED / name)


# What each built-in mapping makes of a row


@pytest.mark.parametrize("written", ["2019-10-01 00:00:00 UTC", "2019-10-01T00:00:00Z"])
def test_rees46(tmp_path: Path, written: str) -> None:
    """Both forms of the time say the same; a missing category code falls back to the number."""
    said = read(
        tmp_path,
        "log",
        REES46
        + f"{written},view,44,2103,,shiseido,35.79,541,s-1\n"
        + f"{written},cart,39,2053,appliances.water,aqua,33.20,554,s-2\n"
        + f"{written},remove_from_cart,39,2053,appliances.water,aqua,33.20,554,s-2\n"
        + f"{written},purchase,39,2053,appliances.water,aqua,33.20,554,s-2\n",
        "rees46",
    )
    view, cart, removed, order = values(said)
    assert view == {
        "type": "view_item",
        "time": MIDNIGHT,
        "user_id": "541",
        "product_id": "44",
        "category": "2103",
        "session_id": "s-1",
        "price": 35.79,
    }
    assert (cart["type"], cart["category"]) == ("add_to_cart", "appliances.water")
    assert removed["type"] == "remove_from_cart"
    order_id = order.pop("order_id")
    assert order == {
        "type": "purchase",
        "time": MIDNIGHT,
        "user_id": "554",
        "items": [
            {"product_id": "39", "quantity": 1, "price": 33.2, "category": "appliances.water"}
        ],
    }
    told_apart = f"554\x1fs-2\x1f{MIDNIGHT}\x1f39".encode()
    assert order_id == blake2b(told_apart, digest_size=12).hexdigest(), "ids outlive a release"
    assert [event.topic for event in said if isinstance(event, Event)] == ["clicks"] * 3 + [
        "orders"
    ]
    assert refused(said) == []


def test_a_doubled_purchase_row_of_rees46_is_a_duplicate(tmp_path: Path) -> None:
    """The same row is the same event and order; another second is another order."""
    row = "2019-10-01 00:00:0{} UTC,purchase,39,2053,,aqua,33.20,554,s-2\n"
    said = read(tmp_path, "log", REES46 + row.format(0) * 2 + row.format(1), "rees46")
    first, second, third = (event.value for event in said if isinstance(event, Event))
    assert first == second
    assert first["event_id"] != third["event_id"]
    assert first["order_id"] != third["order_id"]


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("timestamp,visitorid,event,itemid,transactionid", ("view", "addtocart", "transaction")),
        ("ts_ms,user_id,event_type,product_id,order_id", ("view", "cart", "purchase")),
    ],
)
def test_retailrocket(tmp_path: Path, header: str, names: tuple[str, str, str]) -> None:
    """Lines of a transaction are one order, a few ms apart; a log out of order is sorted."""
    view, cart, bought = names
    said = read(
        tmp_path,
        "log",
        f"{header}\n"
        f"{MIDNIGHT + 9},7,{bought},i1,4056\n"
        f"{MIDNIGHT + 25},7,{bought},i2,4056\n"
        f"{MIDNIGHT + 30},8,{bought},i2,4057\n"
        f"{MIDNIGHT + 2},7,{cart},i1,\n"
        f"{MIDNIGHT + 1},7,{view},i1,\n",
        "retailrocket",
    )
    items = [
        {"product_id": "i1", "quantity": 1, "price": 0.0},
        {"product_id": "i2", "quantity": 1, "price": 0.0},
    ]
    assert values(said) == [
        {"type": "view_item", "time": MIDNIGHT + 1, "user_id": "7", "product_id": "i1"},
        {"type": "add_to_cart", "time": MIDNIGHT + 2, "user_id": "7", "product_id": "i1"},
        {
            "type": "purchase",
            "time": MIDNIGHT + 9,
            "order_id": "4056",
            "user_id": "7",
            "items": items,
        },
        {
            "type": "purchase",
            "time": MIDNIGHT + 30,
            "order_id": "4057",
            "user_id": "8",
            "items": items[1:],
        },
    ]
    assert refused(said) == []


@pytest.mark.parametrize(
    ("header", "time"),
    [
        (
            "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country",
            "10/1/2019 0:00",
        ),
        (
            "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country",
            "2019-10-01 00:00:00",
        ),
        ("invoice,product_id,what,quantity,ts,unit_price,user_id,country", "2019-10-01T00:00"),
    ],
)
def test_online_retail(tmp_path: Path, header: str, time: str) -> None:
    """Invoices are orders, negative quantities refunds, and nobody is a customer of one invoice."""
    said = read(
        tmp_path,
        "log",
        f"{header}\n"
        f'489434,85048,"LIGHTS, 15CM",12,{time},6.95,13085,United Kingdom\n'
        f'489434,85048,"LIGHTS, 15CM",12,{time},6.95,13085,United Kingdom\n'
        f"489435,22350,CAT BOWL,1,{time},2.55,,United Kingdom\n"
        f"C489449,22087,PAPER,-12,{time},2.95,16321,Australia\n"
        f"A506401,B,Adjust bad debt,1,{time},-53594.36,,United Kingdom\n",
        "online-retail",
    )
    lights = {"product_id": "85048", "quantity": 12, "price": 6.95}
    bowl = {"product_id": "22350", "quantity": 1, "price": 2.55}
    paper = {"product_id": "22087", "quantity": 12, "price": 2.95}
    assert [(v["type"], v["order_id"], v["user_id"], v["items"]) for v in values(said)] == [
        ("purchase", "489434", "13085", [lights, lights]),
        ("purchase", "489435", "anonymous:489435", [bowl]),
        ("refund", "C489449", "16321", [paper]),
    ]
    assert {value["time"] for value in values(said)} == {MIDNIGHT}
    assert reasons(said) == [(6, "The price '-53594.36' is not a number from 0 up.")]
    assert refused(said) == []


def test_otto(tmp_path: Path) -> None:
    """The rows of all sessions come in the order of time; one moment's orders are one order."""
    sessions = [
        {
            "session": 0,
            "events": [
                {"aid": 1, "ts": MIDNIGHT, "type": "clicks"},
                {"aid": 1, "ts": MIDNIGHT + 7, "type": "orders"},
                {"aid": 2, "ts": MIDNIGHT + 7, "type": "orders"},
            ],
        },
        {"session": 1, "events": [{"aid": 3, "ts": MIDNIGHT + 5, "type": "carts"}]},
    ]
    said = read(tmp_path, "log", "\n".join(map(json.dumps, sessions)), "otto")
    click, cart, order = values(said)
    assert click == {"type": "view_item", "time": MIDNIGHT, "user_id": "0", "product_id": "1"}
    assert (cart["type"], cart["user_id"], cart["time"]) == ("add_to_cart", "1", MIDNIGHT + 5)
    assert [item["product_id"] for item in order["items"]] == ["1", "2"]
    assert refused(said) == []


def test_complete_journey(tmp_path: Path) -> None:
    """A line's value is shared by its units; a household's lines at one till are one order."""
    said = read(
        tmp_path,
        "log",
        "ts,week,user_id,store_id,product_id,quantity,sales_value,retail_disc,coupon_disc\n"
        "2019-10-01T00:00,1,900,330,a,2,3.00,0.0,0.0\n"
        "2019-10-01T00:00,1,900,330,b,1,1.99,0.0,0.0\n"
        "2019-10-01T00:00,1,900,331,b,1,1.99,0.0,0.0\n",
        "complete-journey",
    )
    assert [value["items"] for value in values(said)] == [
        [
            {"product_id": "a", "quantity": 2, "price": 1.5},
            {"product_id": "b", "quantity": 1, "price": 1.99},
        ],
        [{"product_id": "b", "quantity": 1, "price": 1.99}],
    ]
    assert refused(said) == []


def test_native_tells_the_topic_from_the_fields(tmp_path: Path) -> None:
    """An event is handed on as it was written, to the topic that its fields speak of."""
    events = [
        {"type": "view_item", "time": "2019-10-01T02:00:00+02:00", "user_id": 7, "product_id": "p"},
        {"type": "refund", "time": MIDNIGHT, "user_id": "u", "order_id": "o", "items": []},
        {"time": MIDNIGHT, "user_id": "u", "items": [{"product_id": "p"}]},
        {"time": MIDNIGHT, "product_id": "p", "category": "c", "extra": [1]},
        {"time": MIDNIGHT, "user_id": "u", "product_id": "p", "type": "misspelt"},
    ]
    said = read(tmp_path, "log", "\n".join(map(json.dumps, events)) + "\n\n", "native")
    assert said == [
        Event("clicks", "7", Millis(MIDNIGHT), events[0]),
        Event("orders", "u", Millis(MIDNIGHT), events[1]),
        Event("orders", "u", Millis(MIDNIGHT), events[2]),
        Event("catalog", "p", Millis(MIDNIGHT), events[3]),
        Event("clicks", "u", Millis(MIDNIGHT), events[4]),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        "null",
        '{"time": 1569888000000}',
        '{"time": 1569888000000, "user_id": ""}',
        '{"time": 1569888000000, "user_id": true, "type": []}',
        '{"time": 1569888000, "user_id": "u"}',
        '{"time": "2019-10-01T00:00:00", "user_id": "u"}',
        '{"time": 1e300, "user_id": "u"}',
        '{"time": null, "user_id": "u"}',
        '{"user_id": "u"}',
        '{"time": NaN, "user_id": "u"}',
    ],
)
def test_native_lines_without_key_or_time_are_bad(tmp_path: Path, line: str) -> None:
    """What could not be sent or ordered is refused, with the line as it stands."""
    (said,) = read(tmp_path, "log", line + "\n", "native")
    assert isinstance(said, BadRow)
    assert (said.line, said.text) == (1, line)
    assert said.reason.endswith(".")


# What is wrong in a row


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("1 Oct,view,1,2,,,1.0,u,s", "The time '1 Oct' is not as the mapping says: iso."),
        (",view,1,2,,,1.0,u,s", "The time '' is not as the mapping says: iso."),
        ("1970-01-02 00:00:00 UTC,view,1,2,,,1.0,u,s", "The time"),
        (
            "2019-10-01,look,1,2,,,1.0,u,s",
            "The mapping does not know the event type 'look'; it has view, cart, remove_from",
        ),
        ("2019-10-01,view,1,2,,,1.0,,s", "The user id is empty."),
        ("2019-10-01,view,,2,,,1.0,u,s", "The product id is empty."),
        ("2019-10-01,view,1,2,,,free,u,s", "The price 'free' is not a number."),
        ("2019-10-01,view,1,2,,,nan,u,s", "The price 'nan' is not a number from 0 up."),
        ("2019-10-01,purchase,1,2,,,inf,u,s", "The price 'inf' is not a number from 0 up."),
        ("2019-10-01,view,1,2,,,-1,u,s", "The price '-1' is not a number from 0 up."),
        ("2019-10-01,view,1,2", "The row has 4 columns, the header 9."),
        ("2019-10-01,view,1,2,,,1.0,u,s,", "The row has 10 columns, the header 9."),
    ],
)
def test_a_bad_row_says_why_and_costs_itself_only(tmp_path: Path, row: str, reason: str) -> None:
    """Line, text and reason are kept, and the rows around it are read."""
    good = "2019-10-01,view,1,2,,,1.0,u,s\n"
    first, bad, last = read(tmp_path, "log", REES46 + good + row + "\n" + good, "rees46")
    assert isinstance(first, Event)
    assert first == last
    assert isinstance(bad, BadRow)
    assert (bad.line, bad.text) == (3, row)
    assert bad.reason.startswith(reason)


@pytest.mark.parametrize("quantity", ["0", "", "1.5", "many", "nan", "1e300", "-inf"])
def test_a_quantity_is_a_whole_number(tmp_path: Path, quantity: str) -> None:
    """A line without units is refused, and its order goes on without it."""
    text = LINES + f"2019-10-01T00:00,1,u,p,{quantity},1.0,x\n2019-10-01T00:00,1,u,q,3.0,1.0,x\n"
    bad, order = read(tmp_path, "log", text, "online-retail")
    assert isinstance(bad, BadRow)
    assert "quantity" in bad.reason
    assert isinstance(order, Event)
    assert [item["quantity"] for item in order.value["items"]] == [3]


def test_json_rows_that_are_none_are_bad(tmp_path: Path) -> None:
    """A line without its list, or with something else in it, does not stop the others."""
    good = {"aid": 3, "ts": MIDNIGHT, "type": "carts"}
    lines = [
        '{"session": 1}',
        '{"session": 1, "events": {"aid": 3}}',
        json.dumps({"session": 1, "events": [7, good, {**good, "aid": [3]}]}),
        "x",
    ]
    said = read(tmp_path, "log", "\n".join(lines), "otto")
    assert [line for line, _ in reasons(said)] == [1, 2, 3, 3, 4]
    assert len(values(said)) == 1


def test_bytes_that_are_no_text_keep_ids_apart(tmp_path: Path) -> None:
    """Two ids that differ in unreadable bytes do not become one."""
    rows = b"2019-10-01,view,a\xff,2,,,1.0,u,s\n2019-10-01,view,a\xfe,2,,,1.0,u,s\n"
    said = read(tmp_path, "log", REES46.encode() + rows, "rees46")
    assert len({value["product_id"] for value in values(said)}) == 2


# Orders of several lines


def test_lines_that_are_mixed_within_a_moment_join_their_orders(tmp_path: Path) -> None:
    """A log that is sorted by the minute mixes the invoices of that minute."""
    mixed = [(0, "a"), (0, "b"), (0, "a"), (1, "b"), (1, "b"), (2, "a")]
    text = LINES + "".join(
        f"2019-10-01T00:0{minute},{invoice},u,p{n},1,1.0,x\n"
        for n, (minute, invoice) in enumerate(mixed)
    )
    orders = [
        (value["order_id"], [item["product_id"] for item in value["items"]])
        for value in values(read(tmp_path, "log", text, "online-retail"))
    ]
    assert orders == [("a", ["p0", "p2"]), ("b", ["p1", "p3", "p4"]), ("a", ["p5"])]


def test_an_order_too_long_for_one_event_becomes_several(tmp_path: Path) -> None:
    """No event holds more items than the worker takes, and no line is lost."""
    row = "2019-10-01T00:00,1,u,p,1,1.0,x\n"
    said = read(tmp_path, "log", LINES + row * (MAX_ITEMS + 1), "online-retail")
    assert [len(value["items"]) for value in values(said)] == [MAX_ITEMS, 1]
    assert refused(said) == []


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from("abc"), st.integers(-3, 3).filter(bool))
    )
)
def test_units_are_neither_lost_nor_made_by_gathering(rows: list[tuple[int, str, int]]) -> None:
    """However lines follow each other, each is one item of an order of its id, type and time."""
    rows.sort(key=lambda row: row[0])
    orders = OpenOrders()
    events: list[Event] = []
    for time, order_id, quantity in rows:
        kind: OrderType = "purchase" if quantity > 0 else "refund"
        item = {"product_id": "p", "quantity": abs(quantity)}
        line = Line(Millis(MIDNIGHT + time), kind, order_id, "u", "", "", item)
        events += orders.take(line)
    events += orders.close()
    gathered = Counter(
        (event.value["order_id"], event.value["type"], item["quantity"])
        for event in events
        for item in event.value["items"]
    )
    assert gathered == Counter(
        (order_id, "purchase" if quantity > 0 else "refund", abs(quantity))
        for _, order_id, quantity in rows
    )
    assert not orders


# Mappings of one's own


OWN = """
input = "csv"
delimiter = ";"
encoding = "latin-1"
times = ["s", "%d.%m.%Y %H:%M"]
[fields]
event_id = "nr"
time = "zeit"
type = "art"
user_id = "kunde"
product_id = "artikel"
channel = "kanal"
[types]
gesehen = "view_item"
gesucht = "ignore"
"""


def test_a_mapping_of_your_own(tmp_path: Path) -> None:
    """Delimiter, encoding, two ways to write a time, ids of one's own, and types left out."""
    (tmp_path / "own.toml").write_text(OWN)
    text = (
        "nr;zeit;art;kunde;artikel;kanal\n"
        "1;1569888000.5;gesehen;7;Schlüssel;App\n"
        ";01.10.2019 00:00;gesehen;7;p;\n"
        "3;01.10.2019 00:00;gesucht;7;;\n"
    )
    said = read(tmp_path, "log", text.encode("latin-1"), str(tmp_path / "own.toml"))
    first, second = (event.value for event in said if isinstance(event, Event))
    assert (first["event_id"], first["time"], first["product_id"], first["channel"]) == (
        "1",
        MIDNIGHT + 500,
        "Schlüssel",
        "App",
    )
    assert (len(second["event_id"]), second["time"]) == (24, MIDNIGHT)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("kunde", "{wer}"), "user_id names wer, which is no field"),
        (('user_id = "kunde"', ""), "must say where user_id is"),
        (('type = "art"', ""), "give either type"),
        (('"view_item"', '"purchase"'), "orders need"),
        (('"view_item"', '"seen"'), "types.gesehen"),
        (('"s"', '"soon"'), "times holds 'soon'"),
        (("latin-1", "klingon"), "encoding 'klingon'"),
        (("channel", "chanel"), "fields.chanel"),
        (('";"', '"; "'), "delimiter"),
        (("input", "= input"), "is not TOML"),
    ],
)
def test_a_mapping_that_cannot_be_is_explained(
    tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    """Each mistake in a declaration is named with its place."""
    file = tmp_path / "own.toml"
    file.write_text(OWN.replace(*change, 1))
    with pytest.raises(Misconfigured, match=re.escape(said)):
        load_mapping(str(file))


def test_an_unknown_format_names_the_known_ones() -> None:
    """Who misspells a name sees which there are; all of those can be loaded."""
    with pytest.raises(Misconfigured, match="rees46"):
        load_mapping("rees47")
    assert {"native", "online-retail", "otto", "rees46", "retailrocket"} <= set(known_formats())
    for name in known_formats():
        load_mapping(name)


# Files


def test_gzip_is_told_by_the_first_bytes(tmp_path: Path) -> None:
    """The name does not matter; neither does a byte order mark."""
    text = ("\ufeff" + REES46 + "2019-10-01,view,1,2,,,1.0,u,s\n").encode()
    assert read(tmp_path, "a.csv", gzip.compress(text), "rees46") == read(
        tmp_path, "b.gz", text, "rees46"
    )


def test_files_that_cannot_be_read_are_said_so(tmp_path: Path) -> None:
    """Absent, empty, cut short, an Excel file, another's: a sentence with the file's name."""
    whole = gzip.compress((REES46 + "2019-10-01,view,1,2,,,1.0,u,s\n" * 99).encode())
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("x", "x")
    for content, sentence in {
        b"": "empty",
        whole[:-9]: "cut short",
        archive.getvalue(): "Excel",
        b"a,b\n1,2\n": "no column for time: the mapping looks for event_time, the log has a, b",
    }.items():
        with pytest.raises(Misconfigured, match=f"log: .*{sentence}"):
            read(tmp_path, "log", content, "rees46")
    with pytest.raises(Misconfigured, match="absent: No such file"):
        list(read_log(str(tmp_path / "absent"), load_mapping("native")))


# The order of time


def event(time: int) -> Event:
    """An event at a time."""
    return Event("clicks", "u", Millis(time), {"time": time})


@given(times=st.lists(st.integers(0, 9)), run=st.integers(1, 4))
def test_sorting_on_disk_is_sorting(times: list[int], run: int) -> None:
    """Whether runs go to disk or not, equal times keep their order."""
    events = [Event("clicks", str(n), Millis(time), {}) for n, time in enumerate(times)]
    assert list(in_time_order(iter(events), run)) == sorted(events, key=lambda e: e.time)


def test_merging_takes_the_earliest_and_leaves_bad_rows_in_place() -> None:
    """A late event or a bad row comes right behind what stood before it."""
    bad = BadRow(3, "?", "No.")
    left: list[Event | BadRow] = [event(1), event(5), bad, event(2), event(9)]
    right: list[Event | BadRow] = [event(3), event(6)]
    said = list(merged([iter(left), iter(right)]))
    assert said == [event(1), event(3), event(5), bad, event(2), event(6), event(9)]
    assert list(merged([iter(left)])) == left


# Real logs, to the last row


@pytest.mark.parametrize(
    ("name", "log", "expected", "items", "bad"),
    [
        (
            "rees46",
            "rees46_2019-10-01_first_2h50.csv.gz",
            {"view_item": 17_055, "add_to_cart": 165, "purchase": 214},
            214,
            0,
        ),
        (
            "retailrocket",
            "retailrocket_5k_visitors.csv.gz",
            {"view_item": 9_076, "add_to_cart": 263, "purchase": 40},
            46,
            0,
        ),
        (
            "otto",
            "otto_20_sessions.jsonl.gz",
            {"view_item": 800, "add_to_cart": 52, "purchase": 5},
            10,
            0,
        ),
        (
            "online-retail",
            "online_retail_2009_10.csv.gz",
            {"purchase": 22_103, "refund": 6_712},
            525_458,
            3,
        ),
    ],
)
def test_real_logs_come_out_whole(
    name: str, log: str, expected: dict[str, int], items: int, bad: int
) -> None:
    """Every row is an event, an item of an order, or a bad row; events come in order of time."""
    types: Counter[str] = Counter()
    lines = refused_rows = latest = 0
    for said in read_log(shared(log), load_mapping(name)):
        if isinstance(said, BadRow):
            refused_rows += 1
            continue
        assert said.time >= latest
        latest = said.time
        types[said.value["type"]] += 1
        lines += len(said.value.get("items", ()))
    assert (types, lines, refused_rows) == (expected, items, bad)


def test_a_real_log_read_twice_has_the_same_ids() -> None:
    """Ids follow from the content: 5 of the 17,434 rows are exact copies of another."""
    path = shared("rees46_2019-10-01_first_2h50.csv.gz")
    first, second = (
        [
            e.value["event_id"]
            for e in read_log(path, load_mapping("rees46"))
            if isinstance(e, Event)
        ]
        for _ in range(2)
    )
    assert first == second
    assert len(set(first)) == 17_429


def test_the_worker_takes_what_real_logs_say() -> None:
    """No event of a built-in mapping is refused for its form."""
    for name, log in {
        "rees46": "rees46_2019-10-01_first_2h50.csv.gz",
        "retailrocket": "retailrocket_5k_visitors.csv.gz",
        "otto": "otto_20_sessions.jsonl.gz",
    }.items():
        assert refused(list(islice(read_log(shared(log), load_mapping(name)), 2_000))) == []
