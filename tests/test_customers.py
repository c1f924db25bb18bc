"""The customers stage: each event once, whatever Kafka, crashes and producers do to it."""

from collections.abc import Sequence
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from making import (
    BEGIN,
    NAMES,
    Event,
    World,
    click,
    counted,
    cut,
    disturb,
    folded,
    purchase,
    recorded,
    refund,
    settled,
)
from strategies import PRODUCTS, USERS, histories, steps, users

from stream import keys
from stream.customers.row import MOST_SEEN, SEEN_SPAN, CustomerRow
from stream.customers.shard import CustomersPlan, CustomersShard
from stream.partitions import home
from stream.shards import Batch, Drop, Memory, Put
from stream.units import DAY, HOUR, MINUTE


def row_of(world: World, user: str) -> bytes:
    """A stored row, less what depends on the batches.

    That is when its profile was last published, and looks that were due before late events came.
    """
    partition = home(user, world.partitions)
    row = CustomerRow.decode("", world.stored["customers", partition].rows.get(NAMES.of(user)))
    row.published = 0
    row.look, row.looks = 0, []
    return row.encode()


@settings(max_examples=60, deadline=None)
@given(histories(), steps, st.sampled_from([1, 3]))
def test_batches_and_crashes_change_nothing(
    events: list[Event], steps: list[tuple[int, int, int]], partitions: int
) -> None:
    """However Kafka cuts the stream and whenever shards crash, the rows come out the same.

    And every event counts once: letters that were sent before a crash are sent again after it.
    """
    quiet = settled(events, partitions)
    world = World(partitions)
    for event in events:
        world.produce(event)
    disturb(world, steps)
    assert [row_of(world, user) for user in USERS] == [row_of(quiet, user) for user in USERS]
    assert world.evidence() == quiet.evidence() == counted(events)


@settings(max_examples=60, deadline=None)
@given(histories(), steps, st.sampled_from([1, 4]), st.lists(st.integers(0, 3), min_size=1))
def test_strays_are_counted_once_where_they_belong(
    events: list[Event], steps: list[tuple[int, int, int]], partitions: int, misplaced: list[int]
) -> None:
    """Wherever producers put the events, totals are those of one partition."""
    world = World(partitions)
    for n, event in enumerate(events):
        world.produce(event, misplaced[n % len(misplaced)] % partitions)
    disturb(world, steps)
    assert world.evidence() == counted(events)


def test_letters_that_come_again_count_once() -> None:
    """Also when the receiver has crashed since it took them the first time."""
    world = World(3)
    for n in range(9):
        world.produce(click(f"e{n}", BEGIN + n, user_id=f"u{n}", product_id=f"p{n % 4}"), n % 3)
    world.settle()
    before = world.evidence()
    sent = sum(map(len, world.kafka.values()))
    for name in reversed(world.names):
        world.wake(name)
    assert sum(map(len, world.kafka.values())) > sent
    world.settle()
    assert world.evidence() == before


def test_rows_that_are_being_written_are_not_read_back_as_they_were() -> None:
    """While a checkpoint is on its way its rows stay in memory, however small that is."""
    world = World(1, rows=0)
    for name in world.names:
        world.wake(name)
    shard = ("customers", 0)
    world.produce(click("a", BEGIN))
    world.produce(click("b", BEGIN + 1, user_id="another"))
    world.produce(click("a", BEGIN + 2))
    world.read(shard, "clicks", 2)
    world.fold(shard, 10)
    world.begin_saving(shard)
    world.read(shard, "clicks", 1)
    world.fold(shard, 10)
    world.save(shard, sent=None)
    world.settle()
    assert world.evidence()["p"]["views"] == 2


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 150), st.integers(-3 * DAY, 3 * DAY)), max_size=400),
    st.integers(0, MOST_SEEN - 1),
)
def test_an_event_that_comes_again_soon_is_dropped(
    drawn: list[tuple[int, int]], within: int
) -> None:
    """Known is what came within the customer's last hundred events, late ones among them."""
    row = CustomerRow()
    latest: list[str] = []
    for number, jitter in drawn:
        time = BEGIN + jitter
        if f"e{number}" in latest[-within - 1 :]:
            assert not row.is_new(f"e{number}", time)
        elif row.is_new(f"e{number}", time):
            row.visit(time, None)
            latest.append(f"e{number}")


def test_a_late_event_does_not_make_the_latest_hundred_forgotten() -> None:
    """The one that opens a generation may be a month late; the one before is still kept."""
    row = CustomerRow()
    for number in range(MOST_SEEN):
        row.is_new(f"e{number}", BEGIN)
        row.visit(BEGIN, None)
    row.is_new("late", BEGIN - 30 * DAY)
    row.is_new("next", BEGIN + 1)
    assert not row.is_new(f"e{MOST_SEEN - 1}", BEGIN + 2)


def test_fingerprints_are_kept_for_a_week_of_events() -> None:
    """An event that comes again within seven days of event time is dropped."""
    row = CustomerRow()
    assert row.is_new("a", BEGIN)
    assert row.is_new("b", BEGIN + SEEN_SPAN - 1)
    assert row.is_new("c", BEGIN + SEEN_SPAN + 1)
    assert not row.is_new("a", BEGIN + SEEN_SPAN + 2)
    assert not row.is_new("b", BEGIN + 2 * SEEN_SPAN)


def test_the_same_event_id_of_two_customers_is_two_events() -> None:
    """Ids need only be a customer's own."""
    assert settled([click("a"), click("a", user_id="another")]).evidence()["p"]["views"] == 2


def test_a_purchase_told_twice_under_two_event_ids_counts_once() -> None:
    """An order is known by its number, too."""
    events = [purchase("a", BEGIN, ("p", 2)), purchase("b", BEGIN + 1, ("p", 2))]
    assert settled(events).evidence()["p"] == {
        "views": 0, "carts": 0, "wishes": 0, "orders": 1, "units": 2,
    }  # fmt: skip


def test_a_refund_takes_back_no_more_than_was_bought() -> None:
    """Partial, repeated and too large: the line goes when its last unit does."""
    events = [purchase("a", BEGIN, ("p", 3), ("q", 1)), refund("b", BEGIN + 1, ("p", 2))]
    assert settled(events).evidence()["p"]["units"] == 1
    assert settled(events).evidence()["p"]["orders"] == 1
    more = settled([*events, refund("c", BEGIN + 2, ("p", 9), ("x", 1))]).evidence()
    assert list(more) == ["q"]


def test_a_refund_is_counted_at_the_time_of_its_purchase() -> None:
    """It takes back what was counted then, not what is sold today."""
    world = settled([purchase("a", BEGIN, ("p", 3)), refund("b", BEGIN + 30 * DAY, ("p", 1))])
    assert [(e[2], e[3], e[8], e[9]) for e in world.entries()] == [
        ("purchase", BEGIN, 3, 1),
        ("refund", BEGIN, 1, 0),
    ]


def test_spend_follows_purchases_and_refunds() -> None:
    """The profile tells what the customer has paid, refunds taken back."""
    world = settled([purchase("a", BEGIN, ("p", 3)), refund("b", BEGIN + 1, ("p", 1)), click("c")])
    document = orjson.loads(world.documents[keys.customer(NAMES.of("u"))])
    assert (document["spend"], document["frequency"]) == (20.0, 1)


def test_a_profile_is_published_at_once_when_its_orders_change() -> None:
    """Also by an order of the same second as the last click, a late one, or a refund."""
    world = World(1)
    key = keys.customer(NAMES.of("u"))
    for said, spend in (
        (click("a"), 0.0),
        (purchase("b", BEGIN, ("p", 3)), 30.0),
        (purchase("c", BEGIN - 1, ("p", 1), order_id="late"), 40.0),
        (refund("d", BEGIN + 1, ("p", 2)), 20.0),
    ):
        world.produce(said)
        world.settle()
        assert orjson.loads(world.documents[key])["spend"] == spend


# erasure


def told_of(world: World, user: str) -> list[list[Any]]:
    """What the products stage has heard about a customer by name."""
    return [entry for entry in world.entries() if entry[5] == NAMES.of(user)]


def without_parted_refunds(events: Sequence[Event], user: str, until: int) -> list[Event]:
    """All but refunds that an erasure parts from their purchase."""
    bought = {e["order_id"]: e["time"] for e in events if e["type"] == "purchase"}
    return [
        e
        for e in events
        if e["type"] != "refund"
        or e["user_id"] != user
        or (e["time"] <= until) == (bought[e["order_id"]] <= until)
    ]


@settings(max_examples=50, deadline=None)
@given(histories(), users, st.integers(0, 3 * DAY), st.sampled_from([1, 3]))
def test_an_erasure_that_is_read_first_leaves_only_the_totals(
    events: list[Event], user: str, after: int, partitions: int
) -> None:
    """A replay from the beginning publishes nothing of what the customer did before.

    All is counted nevertheless.
    """
    until = BEGIN + after
    world = World(partitions)
    world.erase(user, until)
    for event in events:
        world.produce(event)
    world.settle()
    assert world.evidence() == counted(events)
    assert all(entry[3] > until for entry in told_of(world, user) if entry[2] != "erase")
    key = keys.customer(NAMES.of(user))
    profiles = [orjson.loads(put.value) for put in world.history if put.key == key]
    own = [e["time"] for e in events if e["user_id"] == user and e["time"] > until]
    assert all(p["events"] + p["frequency"] <= len(own) for p in profiles)
    assert bool(profiles) <= any(t > until for t in own)


@settings(max_examples=50, deadline=None)
@given(histories(), users, st.integers(0, 3 * DAY))
def test_an_erasure_in_the_midst_changes_no_totals(
    events: list[Event], user: str, after: int
) -> None:
    """What was read before it and what is read after it are counted once.

    A refund that it parts from its purchase is left out here: one of the two is forgotten.
    """
    until = BEGIN + after
    in_order = sorted(events, key=lambda e: int(e["time"]))
    events = without_parted_refunds(in_order, user, until)
    world = World(1)
    for event in events:
        if event["time"] <= until:
            world.produce(event)
    world.settle()
    world.erase(user, until)
    world.settle()
    assert keys.customer(NAMES.of(user)) not in world.documents
    pairs = {entry[4] for entry in told_of(world, user) if entry[2] != "erase"}
    forgotten = {entry[4] for entry in told_of(world, user) if entry[2] == "forget"}
    assert pairs == forgotten
    assert all(NAMES.of(user) not in world.rankings[keys.candidates(p)] for p in PRODUCTS)
    for event in events:
        if event["time"] > until:
            world.produce(event)
    world.settle()
    assert world.evidence() == counted(events)


def test_after_an_erasure_a_customer_begins_anew() -> None:
    """Neither profile nor features know of what was erased."""
    world = settled([purchase("a", BEGIN, ("p", 3)), click("b", BEGIN + 1)])
    world.erase("u", BEGIN + HOUR)
    world.settle()
    world.produce(click("c", BEGIN + 2 * HOUR))
    world.settle()
    document = orjson.loads(world.documents[keys.customer(NAMES.of("u"))])
    assert (document["events"], document["frequency"], document["spend"]) == (1, 0, 0.0)
    fresh = settled([click("c", BEGIN + 2 * HOUR)])
    assert told_of(world, "u")[-1][-1] == told_of(fresh, "u")[-1][-1]


def test_what_was_not_spent_by_name_is_not_taken_back_by_name() -> None:
    """The refund of a purchase from before an erasure leaves the new spend alone."""
    world = World(1)
    world.erase("u", BEGIN + HOUR)
    world.produce(purchase("a", BEGIN, ("p", 3)))
    world.produce(purchase("b", BEGIN + 2 * HOUR, ("p", 1), order_id="new"))
    world.produce(refund("c", BEGIN + 3 * HOUR, ("p", 3)))
    world.settle()
    document = orjson.loads(world.documents[keys.customer(NAMES.of("u"))])
    assert document["spend"] == 10.0
    assert world.evidence()["p"]["units"] == 1


def test_an_erasure_that_comes_twice_erases_once() -> None:
    """The second one does not take what came since."""
    world = settled([click("a", BEGIN)])
    world.erase("u", BEGIN + 1)
    world.settle()
    world.produce(click("b", BEGIN + 2))
    world.erase("u", BEGIN + 1)
    world.settle()
    assert orjson.loads(world.documents[keys.customer(NAMES.of("u"))])["events"] == 1


# what a shard answers


def make_shard(memory: Memory | None = None, partitions: int = 1) -> CustomersShard:
    """A customers shard by itself."""
    return CustomersShard(0, CustomersPlan(partitions, NAMES, 0, 1_000, DAY), memory or Memory())


def test_user_ids_do_not_leave_the_stage() -> None:
    """Neither rows nor letters nor documents hold one, strays apart."""
    shard = make_shard()
    for topic, event in (("clicks", click("e1", user_id="jane@shop")),
                         ("orders", purchase("e2", user_id="jane@shop"))):  # fmt: skip
        folded(shard, Batch(topic, 0, recorded([event]), 1))
    changes = shard.changes()
    assert changes is not None
    assert b"jane" not in repr(changes).encode()


def test_what_is_refused_ends_in_the_dead_letters_as_it_came() -> None:
    """With where it stood and why; its neighbours are counted."""
    shard = make_shard()
    values = [click("a"), b"{broken", None, click("b")]
    folded(shard, Batch("clicks", 0, recorded(values, 7), 11))
    changes = shard.changes()
    assert changes is not None
    (letter,) = [x for x in changes.letters if x.topic == "dead-letters"]
    assert letter.value == b"{broken"
    headers = dict(letter.headers)
    assert [headers[h] for h in ("topic", "partition", "offset", "reason")] == [
        b"clicks", b"0", b"8", b"not_json",
    ]  # fmt: skip
    assert (shard.counts["clicks"], shard.counts["tombstones"]) == (2, 1)
    assert shard.positions() == {"clicks": 11}


@given(st.lists(st.integers(1, 9), max_size=9))
@settings(max_examples=20, deadline=None)
def test_positions_never_pass_what_was_not_folded(lengths: list[int]) -> None:
    """Whatever was folded before a crash, the rest is read again."""
    values = [click(f"e{n}", BEGIN + n * MINUTE) for n in range(30)]
    shard = make_shard()
    shard.offer(Batch("orders", 0, [], 1), None)  # so that clicks have to wait
    for run in cut(recorded(values), lengths):
        shard.offer(Batch("clicks", 0, run, 30), None)
        assert shard.due(100) is None
    assert shard.positions()["clicks"] == 0
    shard.offer(Batch("orders", 0, recorded([purchase("o", BEGIN + 10 * MINUTE)]), 1), None)
    assert shard.due(4) is not None
    assert shard.positions() == {"clicks": 4, "orders": 0}


def test_nothing_new_is_no_change() -> None:
    """A checkpoint that would say nothing is not written."""
    shard = make_shard()
    assert shard.changes() is None
    folded(shard, Batch("clicks", 0, recorded([click("a")]), 1))
    assert shard.changes() is not None
    assert shard.changes() is None


def test_a_row_survives_being_stored() -> None:
    """All that is known of a customer is read back."""
    row = CustomerRow()
    for n in range(150):
        row.is_new(f"e{n}", BEGIN)
        row.visit(BEGIN + n * MINUTE, None if n % 2 else f"s{n}")
        row.like(f"category {n}", 1.5, BEGIN)
        row.pair(f"p{n}", BEGIN)
    assert list(row.forgotten_pairs()) == [f"p{n}" for n in range(100)]
    again = CustomerRow.decode("", row.encode())
    assert again.encode() == row.encode()
    assert (again.now, again.before) == (row.now, row.before)


def test_messages_from_before_redis_was_lost_are_void() -> None:
    """A stray that was sent under another birth is read again from its source, not from there."""
    world = World(4)
    wrong = next(p for p in range(4) if p != home("u", 4))
    world.produce(click("a"), wrong)
    world.settle()
    stray = world.kafka["strays", home("u", 4)][0].value
    assert stray is not None
    message = orjson.loads(stray)
    message[1] = "another birth"
    shard = CustomersShard(home("u", 4), CustomersPlan(4, NAMES, 0, 10, DAY), Memory(birth="birth"))
    folded(shard, Batch("strays", home("u", 4), recorded([orjson.dumps(message)]), 1))
    assert shard.counts["clicks"] == 0
    folded(shard, Batch("strays", home("u", 4), recorded([stray], 1), 2))
    assert shard.counts["clicks"] == 1


def test_profiles_are_published_and_dropped_by_key() -> None:
    """A document a customer, none for one who was erased."""
    world = settled([click("a"), purchase("b", BEGIN + 1)])
    key = keys.customer(NAMES.of("u"))
    assert [put.key for put in world.history if put.key == key]
    shard = make_shard()
    folded(shard, Batch("clicks", 0, recorded([click("a")]), 1))
    shard.changes()
    request = {"customer": NAMES.of("u"), "time": BEGIN + 1}
    folded(shard, Batch("erasures", 0, recorded([request]), 1))
    changes = shard.changes()
    assert changes is not None
    assert changes.published == [Drop(key)]
    assert not [p for p in changes.published if isinstance(p, Put)]
