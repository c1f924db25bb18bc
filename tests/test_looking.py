"""Looks at customers: told once, without a future, and forgotten with the customer."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from making import BEGIN, NAMES, Event, World, click, disturb, purchase, refund, settled
from strategies import steps

from stream import keys
from stream.customers.looking import Looking
from stream.customers.returning import EVERY, FOLLOWED, HORIZON, RETURN_NAMES, return_features
from stream.customers.row import CustomerRow
from stream.customers.shard import CustomersShard
from stream.learner.shard import LearnerPlan, LearnerShard
from stream.models.linear import probability
from stream.products.serving import Judge, rule
from stream.shards import Batch, Memory
from stream.units import DAY, HOUR

USERS = ("u0", "u1", "u2")
END = BEGIN + 300 * DAY

days = st.integers(0, 260 * 24).map(lambda hour: BEGIN + hour * HOUR)
buys = st.lists(st.tuples(st.sampled_from(USERS), days), max_size=12)


def shop(bought: list[tuple[str, int]], end: int = END) -> list[Event]:
    """Orders, views and refunds in order of time, and what lets time come to an end."""
    events: list[Event] = []
    for n, (user, time) in enumerate(bought):
        order = {"user_id": user, "order_id": f"o{n}"}
        events.append(purchase(f"b{n}", time, ("p", 2), **order))
        events.append(refund(f"r{n}", time + 20 * DAY, ("p", 1), **order))
        events.append(click(f"c{n}", time + 9 * DAY, user_id=user))
    for n in range(30):  # so many that every partition has witnesses
        events.append(click(f"e{n}", end, user_id=f"anonymous:{n}"))
        events.append(purchase(f"f{n}", end, user_id=f"anonymous:{n}", order_id="z"))
    return sorted(events, key=lambda event: int(event["time"]))


def open_looks(world: World) -> list[list[Any]]:
    """Looks whose horizon is not over."""
    rows = world.stored["customers", 0].rows
    return [
        look for user in USERS for look in CustomerRow.decode("", rows.get(NAMES.of(user))).looks
    ]


def told(world: World) -> list[list[Any]]:
    """What the learner has been told of returns, each once, in order of time."""
    unique: dict[tuple[str, int], list[Any]] = {}
    for record in world.kafka["examples", 0]:
        for sender, serial, kind, *what in orjson.loads(record.value or b"")[3]:
            if kind == "return":
                assert unique.setdefault((sender, serial), what) == what
    return sorted(unique.values(), key=lambda what: (what[1][0], what[1][3]))


def expected(bought: list[tuple[str, int]]) -> list[tuple[int, bool]]:
    """Times and labels, worked out with all orders at hand."""
    found = []
    for user in USERS:
        times = sorted(time for buyer, time in bought if buyer == user)
        if not times:
            continue
        row = CustomerRow()
        Looking({}).follow(NAMES.of(user), row, times[0])
        for look in range(row.look, END - HORIZON + 1, EVERY):
            back = [look <= time < look + HORIZON for time in times]
            found.append((look, any(back)))
    return sorted(found)


@settings(max_examples=30, deadline=None)
@given(buys, steps, st.sampled_from([1, 2]))
def test_each_look_is_told_once(
    bought: list[tuple[str, int]], steps: list[tuple[int, int, int]], partitions: int
) -> None:
    """However the stream is cut, and whenever shards crash, in between or not."""
    quiet, world = settled(shop(bought), partitions), World(partitions)
    for event in shop(bought):
        world.produce(event)
    disturb(world, steps)
    assert told(world) == told(quiet)
    assert [(look[0], back) for back, look in told(world)] == expected(bought)


@settings(max_examples=30, deadline=None)
@given(buys, st.integers(60, 250))
def test_a_look_knows_nothing_of_what_comes_after_it(
    bought: list[tuple[str, int]], day: int
) -> None:
    """Without everything after a moment, what was seen before it is the same."""
    until = BEGIN + day * DAY
    whole = settled(shop(bought))
    short = [event for event in shop(bought) if event["time"] < until]
    cut = settled([*short, *shop([], until)])
    seen, known = ([look for _, look in told(w)] + open_looks(w) for w in (cut, whole))
    assert sorted(seen) == sorted(look for look in known if look[0] <= until)


def test_looks_end_a_year_after_the_last_order() -> None:
    """And begin anew with the next one."""
    row, looking = CustomerRow(), Looking({})
    row.orders["a"] = (BEGIN, [["p", 1, 8.0]])
    row.last_order = BEGIN
    looking.follow("u", row, BEGIN)
    first = row.look
    assert BEGIN < first <= BEGIN + EVERY
    assert looking.look("u", row, BEGIN + 1_000 * DAY)
    times = [look[0] for _, look in looking.take()]
    assert times == list(range(first, BEGIN + FOLLOWED + 1, EVERY))
    assert (row.look, row.looks, looking.reminders.changes()) == (-1, [], {"bu": None})
    looking.follow("u", row, BEGIN + 1_000 * DAY)
    assert looking.reminders.pop(BEGIN + 1_000 * DAY + EVERY, 9) == ["u"]


def buyer(**more: Any) -> World:
    """A world with a single order, and time to look at it."""
    return settled([purchase("a", BEGIN, **more), *shop([], BEGIN + 20 * DAY)])


def profile(world: World, user: str = "u") -> dict[str, Any]:
    """What is published of a customer."""
    found: dict[str, Any] = orjson.loads(world.documents[keys.customer(NAMES.of(user))])
    return found


def test_the_probability_is_published_of_those_who_have_ordered() -> None:
    """Not of those who only look, and not of those whom the shop does not know."""
    assert profile(buyer())["return_probability"] == 0.2
    assert profile(settled([click("a")]))["return_probability"] is None
    unknown = buyer(user_id="anonymous:7")
    assert profile(unknown, "anonymous:7")["return_probability"] is None
    row = unknown.stored["customers", 0].rows[NAMES.of("anonymous:7")]
    assert CustomerRow.decode("", row).looks == []


def test_an_erased_customer_is_not_looked_at_any_more() -> None:
    """No label is told of what was predicted before, and nothing is remembered."""
    world = buyer()
    row = world.stored["customers", 0].rows[NAMES.of("u")]
    assert CustomerRow.decode("", row).looks
    world.erase("u", BEGIN + 20 * DAY)
    world.settle()
    assert f"b{NAMES.of('u')}" not in world.stored["customers", 0].waiting
    world.produce(click("later", BEGIN + 21 * DAY))
    for event in shop([]):
        world.produce(event)
    world.settle()
    assert profile(world)["return_probability"] is None
    assert told(world) == []


def shard_of(world: World) -> CustomersShard:
    """The customers shard of a world with one."""
    shard = world.shards["customers", 0]
    assert isinstance(shard, CustomersShard)
    return shard


def test_what_would_be_served_at_a_moment() -> None:
    """Of each customer with an order before it; nothing comes of having asked."""
    world = settled([purchase("a", BEGIN), purchase("b", BEGIN + DAY, user_id="v"), click("c")])
    shard = shard_of(world)
    judge = Judge(
        rule(RETURN_NAMES, -1.0, {}), rule(RETURN_NAMES, -2.0, {"recency": 0.5}), trusted=True
    )
    shard.serve(judge)
    (one,) = shard.returns(BEGIN + DAY)
    row = CustomerRow.decode("", world.stored["customers", 0].rows[NAMES.of("u")])
    assert one.x == return_features(row, BEGIN + DAY)
    assert one[:2] == (NAMES.of("u"), BEGIN + DAY)
    assert judge.model is not None
    assert one.p == probability(judge.model.value(one.x))
    assert one.rule == probability(-1.0)
    assert len(list(shard.returns(BEGIN + DAY + 1))) == 2
    shard.serve(Judge(judge.rule, judge.model, trusted=False))
    assert [p.p for p in shard.returns(BEGIN + DAY)] == [one.rule]
    assert shard.changes() is None


def test_the_learner_learns_returns_and_its_clock_waits_for_no_customers_shard() -> None:
    """Customers shards tell too rarely: time goes by what products shards say."""
    bought = [(user, BEGIN + n * 17 * DAY) for n in range(12) for user in USERS]
    world = settled(shop(bought))
    learner = LearnerShard(0, LearnerPlan(HOUR, 1_000), Memory(birth="birth"))
    log = world.kafka["examples", 0]
    learner.offer(Batch("examples", 0, log, len(log)), None)
    while (missing := learner.due(1_000)) is not None:
        learner.fold(dict.fromkeys(missing))
    report = learner.models.reports()["return"]
    assert report["n"] == len(told(world)) == learner.counts["return"]
    assert report["positives"] == sum(back for back, _ in told(world))
    assert learner.serving().returning.model is not None
    products = world.shards["products", 0]
    changes = learner.changes()
    assert changes is not None
    assert orjson.loads(changes.notes["clock"])[0] == products.watermark
    assert keys.metrics("return") in [getattr(p, "key", "") for p in changes.published]


@pytest.mark.parametrize("partitions", [1, 3])
def test_looks_wait_over_a_restart(partitions: int) -> None:
    """What is due is known from what was stored alone."""
    world = World(partitions)
    for event in [purchase("a", BEGIN), *shop([], BEGIN + 20 * DAY)]:
        world.produce(event)
    world.settle()
    for name in world.names:
        world.wake(name)
    for event in shop([]):
        world.produce(event)
    world.settle()
    looks = [(look[0], back) for back, look in told(world)]
    assert BEGIN < looks[0][0] <= BEGIN + EVERY
    assert {back for _, back in looks} == {False}
    assert looks[-1][0] <= END - HORIZON < looks[-1][0] + EVERY
