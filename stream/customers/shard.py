"""The customers shard: each event once, by whom, in event-time order, under a pseudonym."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

import orjson

from stream import keys
from stream.clock import Clock, Frontier
from stream.customers.known import known
from stream.customers.merge import Item, Merge
from stream.customers.profile import REFRESH, profile
from stream.customers.pseudonyms import Pseudonyms
from stream.customers.row import (
    BOUGHT,
    CARTS,
    LEFT,
    PRICE,
    PRODUCT,
    VIEWS,
    CustomerRow,
)
from stream.customers.sampling import BOOST, Sampling
from stream.events.dead_letters import dead_letter
from stream.events.decode import Refused, decode
from stream.events.types import Topic
from stream.partitions import home
from stream.rows import Rows
from stream.settings import Stage
from stream.shards import MOST_RENEWED, Batch, Changes, Drop, Letter, Memory, Publication, Put
from stream.units import MINUTE, Millis
from stream.wire import Entry, Inbox, pack

TOPICS = ("clicks", "orders", "strays", "erasures")
NUDGE = MINUTE
"""Event time after which a partition without events is told how far this one has come."""
INTEREST = {
    "view_item": 1.0,
    "select_item": 1.0,
    "add_to_wishlist": 3.0,
    "add_to_cart": 5.0,
    "remove_from_cart": -4.0,
}
BUYING = 10.0


@dataclass(frozen=True, slots=True)
class CustomersPlan:
    """What a customers shard needs to know of the installation.

    Attributes:
        partitions: Of every topic that is keyed by user or product.
        pseudonyms: Names for user ids.
        ahead: How far an event's time may lie beyond Kafka's, ms.
        rows: Most rows kept in memory.
        window: How long after a click an order still counts as its, ms.
    """

    partitions: int
    pseudonyms: Pseudonyms
    ahead: int
    rows: int
    window: int


@dataclass(slots=True)
class _Work:
    """One event that is about to be folded."""

    source: str
    offset: int
    topic: str
    customer: str
    event: dict[str, Any]


class CustomersShard:
    """Everything known of the customers of one partition."""

    stage: Stage = "customers"

    def __init__(self, partition: int, plan: CustomersPlan, memory: Memory) -> None:
        """Wake up where the checkpoint says."""
        notes = memory.notes
        self.partition = partition
        self._name = f"customers.{partition}"
        self._plan = plan
        self._birth = memory.birth
        self._name_of = lru_cache(maxsize=2 * plan.rows)(plan.pseudonyms.of)
        positions = orjson.loads(notes.get("positions", b"{}"))
        self._merge = Merge({topic: positions.get(topic, 0) for topic in TOPICS})
        self._known = dict.fromkeys(positions)
        self._inbox = Inbox(memory.birth, orjson.loads(notes.get("inbox", b"{}")))
        self._frontiers = {
            t: Frontier(f) for t, f in orjson.loads(notes.get("frontiers", b"{}")).items()
        }
        self._clock = Clock(notes.get("clock"))
        self._told = [0] * plan.partitions
        self.counts = Counter(orjson.loads(notes.get("counts", b"{}")))
        self._rows: Rows[CustomerRow] = Rows(plan.rows, CustomerRow.decode)
        self._times = dict.fromkeys(TOPICS, 0)
        self._now: Millis | None = None
        self._sampling = Sampling(plan.window, notes.get("sampling"))
        self._work: list[_Work] = []
        self._entries: list[list[Entry]] = [[] for _ in range(plan.partitions)]
        self._strays: list[list[Entry]] = [[] for _ in range(plan.partitions)]
        self._letters: list[Letter] = []
        self._erased: dict[str, None] = {}
        self._unprofiled: dict[str, None] = dict.fromkeys(
            orjson.loads(notes.get("unprofiled", b"[]"))
        )
        self._stirred = False

    def positions(self) -> dict[str, int]:
        """Next offset to read, by topic; topics never read are left out."""
        return {topic: self._merge.position(topic) for topic in self._known}

    def offer(self, batch: Batch, now: Millis | None) -> None:
        """Read a batch and queue its events."""
        self._now = now
        self._known[batch.topic] = None
        records = batch.records
        if batch.topic in ("strays", "erasures"):
            items = [Item(_handed_on(batch.topic, r.value), r.offset, r.value) for r in records]
        else:
            topic: Topic = "clicks" if batch.topic == "clicks" else "orders"
            decoded = decode(topic, records, self._plan.ahead, self._times[topic])
            items = [Item(*one) for one in decoded]
            self._times[topic] = items[-1].time if items else self._times[topic]
            self.counts["tombstones"] += len(records) - len(items)
        read = records[-1].offset + 1 if records else 0
        self._stirred |= bool(records)
        self._merge.put(batch.topic, items, read, batch.end, now)

    def due(self, limit: int) -> Sequence[str] | None:
        """Choose the next events in event-time order and name the rows missing for them."""
        work = self._work
        taken = False
        for topic, item in self._merge.take(limit, self._now):
            taken = True
            if isinstance(item.content, Refused):
                self._letters.append(dead_letter(topic, self.partition, item.content))
                self.counts[f"refused:{item.content.refusal.reason}"] += 1
            elif topic == "erasures":
                self._plan_erasure(item)
            elif topic == "strays":
                self._plan_strays(item)
            else:
                self._plan_event(topic, item)
        customers = dict.fromkeys([w.customer for w in work] + self._next_profiled())
        missing = self._rows.missing(customers)
        return missing if taken or missing else None

    def _plan_event(self, topic: str, item: Item) -> None:
        event = item.content
        user = event["user_id"]
        where = home(user, self._plan.partitions)
        source = f"{topic}.{self.partition}"
        if where != self.partition:
            self._strays[where].append([source, item.offset, topic, event])
            self.counts["strays"] += 1
            return
        self._work.append(_Work(source, item.offset, topic, self._name_of(user), event))

    def _plan_strays(self, item: Item) -> None:
        message = self._inbox.open(item.content) if item.content else None
        for _source, _offset, topic, event in message.entries if message else ():
            customer = self._name_of(event["user_id"])
            self._work.append(
                _Work(f"strays.{self.partition}", item.offset, topic, customer, event)
            )

    def _plan_erasure(self, item: Item) -> None:
        if item.content:
            request = orjson.loads(item.content)
            source = f"erasures.{self.partition}"
            self._work.append(_Work(source, item.offset, "erasures", request["customer"], request))

    def fold(self, found: Mapping[str, bytes | None]) -> None:
        """Fold the chosen events into their customers' rows."""
        self._rows.add(found)
        seen: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
        for work in self._work:
            if work.topic == "erasures":
                self._erase(work)
            else:
                self._count(work)
                seen[work.topic].append((work.event["time"], work.customer))
        for topic, times in seen.items():
            frontier = self._frontiers.setdefault(topic, Frontier())
            frontier.see(times)
            self._clock.hear(topic, frontier.mark, self._now)
        self._work.clear()
        self._stirred = True

    def _count(self, work: _Work) -> None:
        row, event = self._rows[work.customer], work.event
        if not row.is_new(event["event_id"], event["time"]):
            self.counts["duplicates"] += 1
            return
        self._rows.changed[work.customer] = None
        anonymous = event["time"] <= row.erased
        match event["type"]:
            case "purchase":
                self._purchase(work, row, anonymous=anonymous)
            case "refund":
                self._refund(work, row)
            case _:
                self._click(work, row, anonymous=anonymous)

    def _click(self, work: _Work, row: CustomerRow, *, anonymous: bool) -> None:
        event = work.event
        kind, time, product = event["type"], event["time"], event["product_id"]
        category = event.get("category")
        self.counts["clicks"] += 1
        if anonymous:
            self._tell(
                work, kind, time, product, customer="", category=category, price=event.get("price")
            )
            return
        self._sampling.click(time)
        weight = self._sampling.keeps(kind, work.customer, product)
        facts = known(row, product, category, time) if weight or kind in BOOST else None
        row.visit(time, event.get("session_id"))
        row.clicks += 1
        row.like(category, INTEREST[kind], time)
        pair = row.pair(product, time)
        if kind in ("view_item", "select_item"):
            pair[VIEWS] += 1
        elif kind == "remove_from_cart":
            pair[CARTS] = max(0, pair[CARTS] - 1)
        else:
            pair[CARTS] += 1
            row.session_carts += 1
        self._tell(
            work,
            kind,
            time,
            product,
            category=category,
            price=event.get("price"),
            weight=weight,
            known=facts,
        )
        self._forget_pairs(work, row)

    def _purchase(self, work: _Work, row: CustomerRow, *, anonymous: bool) -> None:
        event = work.event
        order, time = event["order_id"], event["time"]
        if order in row.orders:
            self.counts["duplicates"] += 1
            return
        self.counts["purchases"] += 1
        lines = [[i["product_id"], i["quantity"], i["price"]] for i in event["items"]]
        for item in event["items"]:
            self._tell(
                work,
                "purchase",
                time,
                item["product_id"],
                customer="" if anonymous else None,
                category=item.get("category"),
                price=item["price"],
                quantity=item["quantity"],
                lines=1,
                weight=self._sampling.keeps("add_to_cart", work.customer, item["product_id"]),
            )
        row.orders[order] = (time, lines)
        if not anonymous:
            row.visit(time, None if not row.session else row.session)
            row.order_count += 1
            row.line_count += len(lines)
            row.spend += sum(line[LEFT] * line[PRICE] for line in lines)
            row.last_order = max(row.last_order, time)
            row.published = 0
            for item in event["items"]:
                row.like(item.get("category"), BUYING, time)
                pair = row.pair(item["product_id"], time)
                pair[BOUGHT] += 1
                pair[CARTS] = 0
            self._forget_pairs(work, row)
        for product, quantity in row.refunds.pop(order, ()):
            self._take_back(work, row, order, product, quantity)
        while len(row.orders) > 100:
            del row.orders[next(iter(row.orders))]

    def _refund(self, work: _Work, row: CustomerRow) -> None:
        order = work.event["order_id"]
        self.counts["refunds"] += 1
        for item in work.event["items"]:
            if order in row.orders:
                self._take_back(work, row, order, item["product_id"], item["quantity"])
            else:
                row.refunds.setdefault(order, []).append((item["product_id"], item["quantity"]))
        while len(row.refunds) > 20:
            del row.refunds[next(iter(row.refunds))]
            self.counts["refunds_forgotten"] += 1

    def _take_back(
        self, work: _Work, row: CustomerRow, order: str, product: str, quantity: int
    ) -> None:
        """Take back what a purchase counted: no more than it did, and at its own time."""
        time, lines = row.orders[order]
        for line in lines:
            back = min(quantity, line[LEFT]) if line[PRODUCT] == product else 0
            if back:
                quantity -= back
                line[LEFT] -= back
                if time > row.erased:
                    row.spend -= back * line[PRICE]
                    row.published = 0
                self._tell(
                    work,
                    "refund",
                    time,
                    product,
                    customer="",
                    quantity=back,
                    lines=int(line[LEFT] == 0),
                )

    def _forget_pairs(self, work: _Work, row: CustomerRow) -> None:
        for product in row.forgotten_pairs():
            self._tell(work, "forget", work.event["time"], product)

    def _erase(self, work: _Work) -> None:
        row = self._rows.change(work.customer)
        until = work.event["time"]
        if until <= row.erased:
            return
        for product in row.pairs:
            self._tell(work, "forget", until, product)
        for partition in range(self._plan.partitions):
            self._tell(work, "erase", until, "", partition=partition)
        row.forget(until)
        self._unprofiled.pop(work.customer, None)
        self._erased[work.customer] = None
        self.counts["erased"] += 1

    def _tell(
        self,
        work: _Work,
        kind: str,
        time: int,
        product: str,
        *,
        customer: str | None = None,
        category: str | None = None,
        price: float | None = None,
        quantity: int = 0,
        lines: int = 0,
        weight: float = 0.0,
        known: list[float | None] | None = None,
        partition: int | None = None,
    ) -> None:
        """Leave word for the shard of a product."""
        where = home(product, self._plan.partitions) if partition is None else partition
        who = work.customer if customer is None else customer
        event_id = work.event.get("event_id", "")
        self._entries[where].append(
            [
                work.source,
                work.offset,
                kind,
                time,
                product,
                who,
                event_id,
                category,
                price,
                quantity,
                lines,
                weight,
                known,
            ]
        )

    def tick(self, now: Millis) -> None:
        """Let time pass: a topic that was waited for in vain is waited for no longer."""
        self._now = now

    def full(self) -> Iterable[str]:
        """Topics of which enough is queued."""
        return self._merge.full()

    def changes(self) -> Changes | None:
        """Everything since the last call."""
        if not (self._stirred or self._unprofiled):
            return None
        published = self._published()
        rows: dict[str, bytes | None] = {
            id_: self._rows[id_].encode() for id_ in self._rows.changed
        }
        changes = Changes(
            rows=rows, notes=self._notes(), letters=self._outgoing(), published=published
        )
        self._rows.stored({w.customer for w in self._work} | self._unprofiled.keys())
        self._stirred = False
        return changes

    def _notes(self) -> dict[str, bytes]:
        return {
            "positions": orjson.dumps(self.positions()),
            "inbox": self._inbox.state(),
            "frontiers": orjson.dumps({t: f.state() for t, f in self._frontiers.items()}),
            "clock": self._clock.state(),
            "counts": orjson.dumps(self.counts),
            "sampling": self._sampling.state(),
            "unprofiled": orjson.dumps(list(self._unprofiled)),
        }

    def _outgoing(self) -> list[Letter]:
        letters, self._letters = self._letters, []
        mark = self._clock.watermark
        for partition in range(self._plan.partitions):
            entries, self._entries[partition] = self._entries[partition], []
            if entries or mark >= self._told[partition] + NUDGE:
                self._told[partition] = mark
                for value in pack(self._name, self._birth, mark, entries):
                    letters.append(Letter("activity", partition, None, value))
            strays, self._strays[partition] = self._strays[partition], []
            if strays:
                first = strays[0][3]["time"]
                for value in pack(self._name, self._birth, first, strays):
                    letters.append(Letter("strays", partition, None, value))
        return letters

    def _published(self) -> list[Publication]:
        """Profiles that have changed, and those that must go."""
        published: list[Publication] = []
        for customer in self._rows.changed:
            if _worth_a_profile(self._rows[customer]):
                self._unprofiled[customer] = None
        for customer in self._next_profiled():
            if customer in self._rows:
                del self._unprofiled[customer]
                row = self._rows.change(customer)
                row.published = row.last
                document = profile(customer, row, max(self._clock.watermark, row.last))
                published.append(Put(keys.customer(customer), document))
        published.extend(
            Drop(keys.customer(customer))
            for customer in self._erased
            if not self._rows[customer].last
        )
        self._erased.clear()
        return published

    def _next_profiled(self) -> list[str]:
        return list(islice(self._unprofiled, MOST_RENEWED))


def _worth_a_profile(row: CustomerRow) -> bool:
    if not row.last:
        return False
    urgent = not row.published or row.session_carts > 0
    return urgent or row.last >= row.published + REFRESH


def _handed_on(topic: str, value: bytes | None) -> int:
    """Time at which an internal message takes its turn."""
    if topic == "erasures" or not value:
        return 0  # before everything, so that a replay does not bring anybody back
    time: int = orjson.loads(value)[2]
    return time
