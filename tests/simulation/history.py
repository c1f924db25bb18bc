"""One history: what a shop sends, what goes wrong meanwhile, and whether all is well in the end."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, NamedTuple

import orjson
from making import Event, counted

from simulation.faults import KINDS, Fault, Faults, Kind
from simulation.log import Place
from simulation.loop import Loop
from simulation.store import MemoryStore
from simulation.world import (
    BEGIN,
    NAMES,
    PARTITIONS,
    PLAIN,
    SHARDS,
    WINDOW,
    Size,
    World,
    simulated,
)
from stream import keys
from stream.customers.row import CustomerRow
from stream.events.decode import read_time
from stream.partitions import home
from stream.products.row import ProductRow
from stream.products.scoring import score
from stream.shards import Memory
from stream.units import HOUR, MINUTE

TROUBLE = 5.0
"""Seconds in which things go wrong."""
SENDING = 2.5
"""Seconds in which the shop sends."""
BAD: tuple[tuple[str, bytes], ...] = (
    ("not_json", b"{"),
    ("wrong_shape", b'{"event_id":"bad"}'),
    (
        "bad_id",
        b'{"event_id":"","type":"view_item","time":1760000000000,"user_id":"u","product_id":"p"}',
    ),
)


class Arrival(NamedTuple):
    """One record of the shop.

    Attributes:
        at: When it is written to the log, s.
        topic: Where.
        partition: Where.
        value: Its content.
        event: What it says: an event, a listing, an erasure; None if it is to be refused.
    """

    at: float
    topic: str
    partition: int
    value: bytes
    event: Event | None


@dataclass(frozen=True)
class Plan:
    """All that a history follows from.

    Attributes:
        seed: Of the dice.
        arrivals: What the shop sends.
        workers: How many there are.
        rate: Share of the requests of which something becomes.
        kinds: What may go wrong.
        shuffle: Share of the steps that may come out of order.
        size: How large things are.
        script: What goes wrong, by place; None: whatever is drawn.
    """

    seed: int
    arrivals: Sequence[Arrival]
    workers: int
    rate: float
    kinds: Sequence[Kind]
    shuffle: float
    size: Size
    script: Mapping[str, Fault] | None = None


@dataclass
class Verdict:
    """What came of a history.

    Attributes:
        problems: What must not be, each after the name of a check; empty if all is well.
        struck: What went wrong, by place.
        asked: Every place at which something might have.
        lines: The history, if it was to be told.
    """

    problems: list[str]
    struck: dict[str, Fault]
    asked: list[str]
    lines: list[str] = field(default_factory=list)


def drawn(seed: int) -> Plan:
    """Draw a history. Which faults there are, and how many, differs from seed to seed."""
    dice = Random(seed)
    said = list(office(Random(~seed)))
    gone = {a.event["customer"] for a in said if a.event and a.topic == "erasures"}
    sent = [arrival for arrival in shop(dice) if not _is_void(arrival.event, gone)]
    arrivals = sorted([*sent, *said], key=lambda arrival: arrival.at)
    kinds = [kind for kind in KINDS if dice.random() < 0.5]
    size = Size(
        rows=dice.choice([2, 1_000]),
        run=dice.choice([1, 3, 20]),
        limit=dice.choice([1, 4, 500]),
        unsaved=dice.choice([4, 30_000]),
        models=dice.random() < 0.1,
    )
    rate = dice.choice([0.003, 0.01, 0.03, 0.1])
    return Plan(
        seed, arrivals, dice.choice([1, 2, 2, 3]), rate, kinds, dice.choice([0.0, 0.2]), size
    )


def forgetful(plan: Plan) -> Plan:
    """The same history, in which Redis loses its last second, and nothing is sent twice."""
    unique = {arrival.value: arrival for arrival in reversed(plan.arrivals)}
    arrivals = sorted(unique.values(), key=lambda arrival: arrival.at)
    forgets = 1.0 + TROUBLE * Random(plan.seed).random()
    return replace(plan, arrivals=arrivals, size=replace(plan.size, forgets=forgets))


def shop(dice: Random) -> Iterator[Arrival]:
    """Invent half an hour of a small shop: strays, repetitions, refunds and nonsense among it."""
    time, orders = BEGIN, list[Event]()
    number = dice.randrange(12, 36)
    for n in range(number):
        time += dice.randrange(1, 3 * MINUTE)
        event: Event = {
            "event_id": f"e{n}",
            "time": time,
            "user_id": f"u{dice.randrange(4)}",
        }
        product = f"p{dice.randrange(3)}"
        said = dice.random()
        if said < 0.25:
            items = [{"product_id": product, "quantity": dice.randrange(1, 4), "price": 10.0}]
            if dice.random() < 0.3:
                items.append({"product_id": "gift", "quantity": 1, "price": 1.0})
            event |= {"type": "purchase", "order_id": f"o{n}", "items": items}
            orders.append(event)
        elif said < 0.3 and orders:
            order = dice.choice(orders)
            event |= {"type": "refund", "order_id": order["order_id"], "items": order["items"][:1]}
            event["user_id"] = order["user_id"]
        else:
            kinds = ["view_item", "view_item", "add_to_cart", "add_to_wishlist"]
            event |= {"type": dice.choice(kinds), "product_id": product, "category": "mugs"}
        at = SENDING * dice.random() if dice.random() < 0.2 else SENDING * n / number
        for again in range(1 + (dice.random() < 0.15)):
            yield arrival(event, at + again * dice.random(), dice)
    for n in range(dice.randrange(3)):
        place = ("clicks", dice.randrange(PARTITIONS))
        yield Arrival(SENDING * dice.random(), *place, BAD[n][1], None)


def office(dice: Random) -> Iterator[Arrival]:
    """Invent what the shop itself says: its catalogue, and now and then who is to be forgotten."""
    for n in range(dice.randrange(5)):
        product = dice.choice(["p0", "p1", "gift", "never seen"])
        listing = {"product_id": product, "time": BEGIN + n * MINUTE, "category": f"c{n % 2}"}
        listing["title"] = f"title {n}"
        where = dice.choice([home(product, PARTITIONS), dice.randrange(PARTITIONS)])
        yield Arrival(SENDING * dice.random(), "catalog", where, orjson.dumps(listing), listing)
    if dice.random() < 0.3:
        user = f"u{dice.randrange(4)}"
        request = {"customer": NAMES.of(user), "time": BEGIN + 3 * HOUR}
        where = home(user, PARTITIONS)
        yield Arrival(SENDING * dice.random(), "erasures", where, orjson.dumps(request), request)


def _is_void(event: Event | None, gone: Collection[str]) -> bool:
    """Whether it is a refund by who is forgotten: nobody may know any more what was bought."""
    return event is not None and event["type"] == "refund" and NAMES.of(event["user_id"]) in gone


def arrival(event: Event, at: float, dice: Random) -> Arrival:
    """Send an event, mostly where its key belongs."""
    topic = "orders" if event["type"] in ("purchase", "refund") else "clicks"
    where = home(event["user_id"], PARTITIONS)
    if dice.random() < 0.15:
        where = dice.randrange(PARTITIONS)
    return Arrival(at, topic, where, orjson.dumps(event), event)


def run(plan: Plan, *, told: bool = False) -> Verdict:
    """Let a history happen."""
    loop = Loop(plan.seed, shuffle=plan.shuffle)
    faults = Faults(plan.seed, plan.rate, plan.kinds, plan.script)
    try:
        world = loop.run_until_complete(_happen(loop, faults, plan, told=told))
    finally:
        loop.close()
    problems = [*world.problems, *(f"loop: {failure}" for failure in loop.failures)]
    return Verdict(problems, faults.struck, faults.asked, world.lines or [])


async def _happen(loop: Loop, faults: Faults, plan: Plan, *, told: bool) -> World:
    world = World(loop, faults, plan.size, told=told)
    with simulated(world):
        for number in range(plan.workers):
            loop.serve(0.3 * number, world.start, number)
        for arrival in plan.arrivals:
            place: Place = (arrival.topic, arrival.partition)
            loop.serve(1.0 + arrival.at, world.log.append, place, None, arrival.value, ())
        await asyncio.sleep(TROUBLE)
        world.heal()
        await world.rest()
        wrong: list[str] = []
        for time in range(2):  # who finds out only by the first leap that it was shut out needs two
            if (wrong or not time) and not world.problems:
                world.tell("three hours pass")
                world.jumped += WINDOW + HOUR
                await world.rest()
                wrong = list(judged(world, plan))
        world.problems += wrong
        await world.close()
        if not world.problems:
            world.problems += judged(world, plan, ended=True)
        await world.clean()
    return world


def judged(world: World, plan: Plan, *, ended: bool = False) -> Iterator[str]:
    """Compare what is stored and published with what was sent.

    Args:
        world: In which all has come to rest.
        plan: What was sent.
        ended: All workers have ended; what one told with its last checkpoint nobody has read.
    """
    said: dict[str, list[Event]] = defaultdict(list)
    for arrival in plan.arrivals:
        if arrival.event is not None:
            said[arrival.topic].append(arrival.event)
    events = [*said["clicks"], *said["orders"]]
    gone = {request["customer"] for request in said["erasures"]}
    checks = {
        "totals": _totals(world.store, events),
        "catalogue": _catalogue(world.store, said["catalog"]),
        "customers": _customers(world.store, events, gone),
        "refused": _refused(world, plan),
        "lessons": () if ended or world.size.forgets else _lessons(world),
        "labels": () if ended or world.size.forgets else _labels(world, events, gone),
        "scores": _scores(world),
        "waking": _wakes(world),
    }
    for name, found in checks.items():
        yield from (f"{name}: {problem}" for problem in found)


def _rows(store: MemoryStore, stage: str) -> Iterator[tuple[str, bytes]]:
    for (found, _), shard in store.shards.items():
        if found == stage:
            yield from shard.rows.items()


def _totals(store: MemoryStore, events: Iterable[Event]) -> Iterator[str]:
    """Every product's evidence is what was sent of it, each event once."""
    expected = counted(events)
    found = {
        key.removeprefix("score:"): evidence
        for key, raw in store.documents.items()
        if key.startswith("score:") and any((evidence := orjson.loads(raw)["evidence"]).values())
    }
    for product in sorted(expected.keys() | found.keys()):
        if found.get(product) != expected.get(product):
            yield f"{product} has {found.get(product)}, sent was {expected.get(product)}"


def _catalogue(store: MemoryStore, listings: Iterable[Event]) -> Iterator[str]:
    """Of every product the catalogue's latest word is known, wherever it was sent."""
    latest = {said["product_id"]: said for said in sorted(listings, key=lambda said: said["time"])}
    rows = dict(_rows(store, "products"))
    for product, said in latest.items():
        row = ProductRow.decode(product, rows.get(product))
        if (row.title, row.category) != (said["title"], said["category"]):
            yield f"{product} is called {row.title, row.category}, said was {said}"


def _customers(store: MemoryStore, events: Iterable[Event], gone: Collection[str]) -> Iterator[str]:
    """Every customer's row and profile are what was sent of it, each event once.

    Of those who are `gone` nothing is left.
    """
    unique = {event["event_id"]: event for event in events}.values()
    expected: dict[str, list[float]] = defaultdict(lambda: [0, 0])
    for event in unique:
        customer = NAMES.of(event["user_id"])
        if event["type"] != "refund" and customer not in gone:
            expected[customer][event["type"] == "purchase"] += 1
    for name in gone:
        if keys.customer(name) in store.documents:
            yield "one who was forgotten has a profile"
        if any(name in members for key, members in store.rankings.items() if "candidates" in key):
            yield "one who was forgotten is a candidate"
    for name, raw in _rows(store, "customers"):
        row = CustomerRow.decode(name, raw)
        if [row.clicks, row.order_count] != expected[name]:
            yield f"a customer has {row.clicks, row.order_count}, sent was {expected[name]}"
        published = store.documents.get(keys.customer(name))
        if published is None and row.last:
            yield "a customer has no profile"


def _refused(world: World, plan: Plan) -> Iterator[str]:
    """What cannot be read lies among the dead letters as it came, and nothing else does."""
    expected = Counter(
        (arrival.topic, arrival.partition, arrival.value)
        for arrival in plan.arrivals
        if arrival.event is None
    )
    letters = {
        (headers["topic"], headers["partition"], headers["offset"]): record.value
        for records in world.log.topic("dead-letters").values()
        for record in records
        for headers in [dict(record.headers)]
    }
    found = Counter(
        (topic.decode(), int(partition), value) for (topic, partition, _), value in letters.items()
    )
    if found != expected:
        yield f"refused was {found}, bad was {expected}"
    counts = _counts(world, "customers")
    number = sum(n for name, n in counts.items() if name.startswith("refused:"))
    if number != expected.total():
        yield f"{number} were counted as refused, bad were {expected.total()}"


def _counts(world: World, stage: str) -> Counter[str]:
    total = Counter[str]()
    for name, shard in world.store.shards.items():
        if name[0] == stage:
            total.update(orjson.loads(shard.notes.get("counts", b"{}")))
    return total


def _lessons(world: World) -> Iterator[str]:
    """Whatever the learner was told, it was told the same each time, and it learned it once."""
    told = _told(world)
    for (source, serial), contents in told.items():
        if any(content != contents[0] for content in contents):
            yield f"lesson {serial} of {source} has two contents"
    learned = _counts(world, "learner")
    for kind, number in Counter(contents[0][0] for contents in told.values()).items():
        if learned[kind] != number:
            yield f"{learned[kind]} lessons of kind {kind} were learned, told were {number}"


def _told(world: World) -> dict[tuple[str, int], list[list[Any]]]:
    """What the learner was told, perhaps more than once, by source and serial number."""
    told: dict[tuple[str, int], list[list[Any]]] = defaultdict(list)
    for record in world.log.places["examples", 0]:
        for source, serial, *lesson in orjson.loads(record.value or b"")[3]:
            told[source, serial].append(lesson)
    return told


class _Label(NamedTuple):
    """What was told of a click: labels when its wait was over, late ones, and was one positive?"""

    first: int
    late: int
    positive: bool


def _told_labels(world: World) -> dict[int, _Label]:
    """What the learner was told of clicks, by their times."""
    found: dict[int, _Label] = {}
    for contents in _told(world).values():
        kind, *what = contents[0]
        if kind == "click":
            positive, late, _, tail = what
            before = found.get(tail[0], _Label(0, 0, positive=False))
            found[tail[0]] = _Label(
                before.first + (not late), before.late + late, positive=before.positive or positive
            )
    return found


def _labels(world: World, events: Iterable[Event], gone: Collection[str]) -> Iterator[str]:
    """Every click has one label, and a late positive at most; the last word is the truth.

    Those of customers who are `gone` may have been told before they were forgotten.
    """
    found = _told_labels(world)
    unique = {event["event_id"]: event for event in events}.values()
    bought: dict[tuple[str, str], list[int]] = defaultdict(list)
    for event in unique:
        if event["type"] == "purchase":
            for item in event["items"]:
                bought[event["user_id"], item["product_id"]].append(event["time"])
    clicks = {event["time"]: event for event in unique if "product_id" in event}
    for time in [time for time, e in clicks.items() if NAMES.of(e["user_id"]) in gone]:
        clicks.pop(time)
        found.pop(time, None)
    for time in sorted(clicks.keys() - found.keys()):
        yield f"the click at {time} has no label"
    for time in sorted(found.keys() - clicks.keys()):
        yield f"there is a label of {time}, and no click"
    for time in sorted(found.keys() & clicks.keys()):
        label = found[time]
        pair = (clicks[time]["user_id"], clicks[time]["product_id"])
        expected = any(0 <= sold - time <= WINDOW for sold in bought[pair])
        if label.first != 1 or label.late > 1 or label.positive != expected:
            yield f"the click at {time} has {label}, bought: {expected}"


def _scores(world: World) -> Iterator[str]:
    """Every document is what the stored row gives, and the ranking says the same."""
    if world.size.models:
        return
    store = world.store
    for product, raw in _rows(store, "products"):
        row = ProductRow.decode(product, raw)
        document = store.documents.get(keys.score(product))
        if document is None:
            yield f"{product} has no document"
            continue
        said = orjson.loads(document)
        again = score(row, PLAIN, _millis(said["as_of"]), HOUR, {"product": product})
        if orjson.dumps(again) != document:
            yield f"{product} was published as {said}, its row gives {again}"
        ranked = store.rankings[keys.top_products()].get(product)
        if row.at and ranked != said["score"]:
            yield f"{product} is ranked by {ranked}, its score is {said['score']}"


def _millis(time: str) -> int:
    found = read_time(time)
    assert isinstance(found, int)
    return found


def _wakes(world: World) -> Iterator[str]:
    """Every checkpoint can be opened."""
    for stage, number in SHARDS:
        shard = world.store.shards[stage, number]
        memory = Memory(shard.notes, shard.waiting, world.store.birth)
        woken = world.waking(stage)(number, memory)
        if dict(woken.positions()) != world.positions((stage, number)):
            yield f"{stage}.{number} wakes up at {woken.positions()}"
