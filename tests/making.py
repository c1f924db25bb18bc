"""Events and records for tests, and a world in which shards meet: Kafka and Redis as plain data."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from stream.customers.pseudonyms import Pseudonyms
from stream.customers.shard import TOPICS, CustomersPlan, CustomersShard
from stream.partitions import home
from stream.products.shard import ProductsPlan, ProductsShard
from stream.shards import Batch, Changes, Drop, Letter, Memory, Put, Rank, Unrank
from stream.units import DAY, HOUR, Millis

BEGIN = 1_569_888_000_000
KAFKA_TIME = BEGIN + 10_000 * DAY
NAMES = Pseudonyms(b"a secret of these tests")
Event = dict[str, Any]
Name = tuple[str, int]
"""Of a shard (stage and partition) or of a partition (topic and number)."""


class Recorded(NamedTuple):
    """One Kafka message."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


def recorded(values: Iterable[bytes | Event | None], first: int = 0) -> list[Recorded]:
    """Values as a partition holds them, from an offset on."""
    raw = (orjson.dumps(value) if isinstance(value, dict) else value for value in values)
    return [Recorded(offset, KAFKA_TIME, None, value) for offset, value in enumerate(raw, first)]


def click(event_id: str, time: int = BEGIN, **more: object) -> Event:
    """A view by `u` of `p`, unless more is said."""
    fixed = {"event_id": event_id, "type": "view_item", "time": time}
    return {**fixed, "user_id": "u", "product_id": "p", **more}


def purchase(event_id: str, time: int = BEGIN, *lines: tuple[str, int], **more: object) -> Event:
    """A purchase by `u` of some of each product, at 10 a unit; one `p`, unless more is said."""
    items = [{"product_id": p, "quantity": q, "price": 10.0} for p, q in lines or (("p", 1),)]
    fixed = {"event_id": event_id, "type": "purchase", "time": time, "order_id": "o"}
    return {**fixed, "user_id": "u", "items": items, **more}


def refund(event_id: str, time: int = BEGIN, *lines: tuple[str, int], **more: object) -> Event:
    """A refund of such a purchase."""
    return {**purchase(event_id, time, *lines), "type": "refund", **more}


def topic_of(event: Event) -> str:
    """Where a producer sends it."""
    return "orders" if event["type"] in ("purchase", "refund") else "clicks"


@dataclass
class Stored:
    """What Redis holds of a shard."""

    notes: dict[str, bytes] = field(default_factory=dict)
    rows: dict[str, bytes] = field(default_factory=dict)
    waiting: dict[str, bytes] = field(default_factory=dict)
    outbox: list[Letter] = field(default_factory=list)


class World:
    """Customers shards and products shards between a Kafka and a Redis made of dictionaries.

    Letters are sent after the checkpoint that decided them, and again after a crash.

    Attributes:
        kafka: What each partition holds.
        stored: What Redis holds of each shard.
        documents: What Redis shows: JSON by key.
        history: Every document that was ever put, in order.
        rankings: What Redis shows: scores by member by key.
    """

    def __init__(self, partitions: int, *, rows: int = 1_000) -> None:
        self.partitions = partitions
        numbers = range(partitions)
        self.kafka: dict[Name, list[Recorded]] = defaultdict(list)
        self.stored: dict[Name, Stored] = defaultdict(Stored)
        self.documents: dict[str, bytes] = {}
        self.history: list[Put] = []
        self.rankings: dict[str, dict[str, float]] = defaultdict(dict)
        self._customers = CustomersPlan(partitions, NAMES, 0, rows, DAY)
        self._products = ProductsPlan(partitions, 0, HOUR, HOUR, DAY, rows)
        self._read: dict[tuple[Name, str], int] = {}
        self._flying: dict[Name, Changes] = {}
        self.shards: dict[Name, CustomersShard | ProductsShard] = {}
        self.names: list[Name] = [(s, p) for s in ("customers", "products") for p in numbers]

    def produce(self, event: Event, partition: int | None = None) -> None:
        """Append to a topic, where its key belongs or elsewhere."""
        where = home(event["user_id"], self.partitions) if partition is None else partition
        self._append(topic_of(event), where, orjson.dumps(event))

    def erase(self, user: str, time: int) -> None:
        """Ask for a customer to be forgotten."""
        request = {"customer": NAMES.of(user), "time": time}
        self._append("erasures", home(user, self.partitions), orjson.dumps(request))

    def _append(self, topic: str, partition: int, value: bytes | None) -> None:
        log = self.kafka[topic, partition]
        log.append(Recorded(len(log), KAFKA_TIME, None, value))

    def wake(self, name: Name) -> None:
        """Make a shard of what is stored, as after a crash: its letters are sent once more."""
        stage, partition = name
        stored = self.stored[name]
        self._flying.pop(name, None)
        memory = Memory(dict(stored.notes), dict(stored.waiting), "birth")
        shard: CustomersShard | ProductsShard
        if stage == "customers":
            shard = CustomersShard(partition, self._customers, memory)
        else:
            shard = ProductsShard(partition, self._products, memory)
        self.shards[name] = shard
        for topic in self._topics(name):
            self._read[name, topic] = shard.positions().get(topic, 0)
            end = len(self.kafka[topic, partition])
            shard.offer(Batch(topic, partition, [], end), None)
        self._send(stored.outbox)

    @staticmethod
    def _topics(name: Name) -> Sequence[str]:
        return TOPICS if name[0] == "customers" else ("activity", "catalog")

    def read(self, name: Name, topic: str, most: int) -> int:
        """Let Kafka deliver up to so many records."""
        log, position = self.kafka[topic, name[1]], self._read[name, topic]
        run = log[position : position + most]
        if run:
            self._read[name, topic] = position + len(run)
            self.shards[name].offer(Batch(topic, name[1], run, len(log)), None)
        return len(run)

    def fold(self, name: Name, limit: int) -> bool:
        """Fold up to so many entries; False if there was nothing to fold."""
        shard, rows = self.shards[name], self.stored[name].rows
        missing = shard.due(limit)
        if missing is None:
            return False
        shard.fold({id_: rows.get(id_) for id_ in missing})
        return True

    def begin_saving(self, name: Name) -> None:
        """Let a checkpoint be on its way."""
        self.save(name, sent=None)
        changes = self.shards[name].changes()
        if changes is not None:
            self._flying[name] = changes

    def save(self, name: Name, sent: int | None) -> None:
        """Let a checkpoint that is on its way arrive.

        Args:
            name: Of the shard.
            sent: How many of its letters are sent before the crash; None: all.
        """
        changes = self._flying.pop(name, None)
        if changes is None:
            return
        stored = self.stored[name]
        stored.notes.update(changes.notes)
        for old, new in ((stored.rows, changes.rows), (stored.waiting, changes.waiting)):
            for id_, raw in new.items():
                if raw is None:
                    old.pop(id_, None)
                else:
                    old[id_] = raw
        stored.outbox = changes.letters
        self._publish(changes)
        self._send(changes.letters[:sent])

    def _send(self, letters: Iterable[Letter]) -> None:
        for letter in letters:
            self._append(letter.topic, letter.partition or 0, letter.value)

    def _publish(self, changes: Changes) -> None:
        for publication in changes.published:
            match publication:
                case Put(key, value):
                    self.documents[key] = value
                    self.history.append(publication)
                case Drop(key):
                    self.documents.pop(key, None)
                case Rank(key, scores, _):
                    self.rankings[key].update(scores)
                case Unrank(key, members):
                    for member in members:
                        self.rankings[key].pop(member, None)
                case _:
                    pass

    def settle(self, *, run: int = 1_000) -> None:
        """Let everything be read, folded and stored, and nothing crash."""
        for name in self.names:
            if name not in self.shards:
                self.wake(name)
        stirred = True
        while stirred:
            stirred = False
            for name in self.names:
                for topic in self._topics(name):
                    while self.read(name, topic, run):
                        stirred = True
                while self.fold(name, run):
                    stirred = True
                self.begin_saving(name)
                stirred |= name in self._flying
                self.save(name, sent=None)

    def evidence(self) -> dict[str, dict[str, int]]:
        """Totals by product, as they are published."""
        return {
            key.removeprefix("score:"): evidence
            for key, raw in self.documents.items()
            if key.startswith("score:")
            and any((evidence := orjson.loads(raw)["evidence"]).values())
        }

    def entries(self) -> list[list[Any]]:
        """Everything that was ever sent from customers to products."""
        return [
            entry
            for (topic, _), log in self.kafka.items()
            if topic == "activity"
            for record in log
            for entry in orjson.loads(record.value or b"")[3]
        ]


def disturb(world: World, steps: Iterable[tuple[int, int, int]]) -> None:
    """Let shards read, fold, store and crash in any order."""
    for name in world.names:
        world.wake(name)
    for act, who, much in steps:
        name = world.names[who % len(world.names)]
        match act:
            case 0 | 1:
                topics = ("clicks", "orders", "strays") if name[0] == "customers" else ("activity",)
                world.read(name, topics[much % len(topics)], much)
            case 2:
                world.fold(name, much)
            case 3:
                world.begin_saving(name)
            case 4:
                world.save(name, sent=None)
            case 5:  # a crash after the checkpoint, before all letters are sent
                world.save(name, sent=much % 4)
                world.wake(name)
            case _:  # a crash that loses what was not stored
                world.wake(name)
    world.settle()


def settled(events: Iterable[Event], partitions: int = 1) -> World:
    """A world in which these events have come to rest."""
    world = World(partitions)
    for event in events:
        world.produce(event)
    world.settle()
    return world


KINDS = {
    "view_item": "views",
    "select_item": "views",
    "add_to_cart": "carts",
    "add_to_wishlist": "wishes",
}


def counted(events: Iterable[Event]) -> dict[str, dict[str, int]]:
    """Totals by product, counted another way: all events at hand, refunds after everything."""
    unique = {(e["user_id"], e["event_id"]): e for e in events}.values()
    lines: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    back: Counter[tuple[str, str, str]] = Counter()
    totals: dict[str, Counter[str]] = defaultdict(Counter)
    for event in unique:
        for item in event.get("items", ()):
            line = (event["user_id"], event["order_id"], item["product_id"])
            if event["type"] == "refund":
                back[line] += item["quantity"]
            else:
                lines[line].append(item["quantity"])
        if kind := KINDS.get(event["type"]):
            totals[event["product_id"]][kind] += 1
    for line, quantities in lines.items():
        left = back[line]
        for quantity in quantities:
            taken = min(left, quantity)
            left -= taken
            totals[line[2]]["units"] += quantity - taken
            totals[line[2]]["orders"] += taken < quantity
    kinds = ("views", "carts", "wishes", "orders", "units")
    everything = {p: {kind: total[kind] for kind in kinds} for p, total in totals.items()}
    return {p: total for p, total in everything.items() if any(total.values())}


def cut(values: Sequence[Any], lengths: Iterable[int]) -> list[Sequence[Any]]:
    """Cut a sequence into runs of these lengths; the rest is the last one."""
    runs, at = [], 0
    for length in lengths:
        runs.append(values[at : at + length])
        at += length
    return [run for run in (*runs, values[at:]) if run]


def folded(shard: Any, batch: Batch, *, limit: int = 1_000, now: int | None = None) -> None:
    """Let a shard that has all its rows in memory take a batch in."""
    shard.offer(batch, None if now is None else Millis(now))
    while (missing := shard.due(limit)) is not None:
        shard.fold(dict.fromkeys(missing))
