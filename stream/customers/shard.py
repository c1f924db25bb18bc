"""The customers shard: each event once, by whom, in event-time order, under a pseudonym."""

from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from sys import maxsize

import orjson

from stream.clock import Clock, Frontier
from stream.customers.activity import Activity
from stream.customers.counting import Counting, Work
from stream.customers.looking import Looking
from stream.customers.merge import Item, Merge
from stream.customers.pseudonyms import Pseudonyms
from stream.customers.publishing import Profiles
from stream.customers.returning import ANONYMOUS, ReturnPrediction, ReturnServing
from stream.customers.row import CustomerRow
from stream.customers.sampling import CAPACITY, Sampling
from stream.events.dead_letters import dead_letter
from stream.events.decode import Refused, decode
from stream.events.types import Topic
from stream.memo import Memo
from stream.partitions import home
from stream.rows import PackedRows
from stream.settings import Stage
from stream.shards import (
    MOST_RENEWED,
    Batch,
    Changes,
    Changing,
    Letter,
    Memory,
    Shard,
    portions,
)
from stream.units import MINUTE, Millis
from stream.wire import Entry, Inbox, pack

TOPICS = ("clicks", "orders", "strays", "erasures")
NUDGE = MINUTE
"""Event time after which a partition without events is told how far this one has come."""
ORDERED = ("purchase", "refund")
ERASURE = "erasure"


@dataclass(frozen=True, slots=True)
class CustomersPlan:
    """What a customers shard needs to know of the installation.

    Attributes:
        partitions: Of every topic that is keyed by user or product.
        pseudonyms: Names for user ids.
        ahead: How far an event's time may lie beyond Kafka's, ms.
        rows: Most rows kept in memory.
        window: How long after a click an order still counts as its, ms.
        sample: Keep only a sample of a busy shop's clicks.
    """

    partitions: int
    pseudonyms: Pseudonyms
    ahead: int
    rows: int
    window: int
    sample: bool = True


class CustomersShard(Shard):
    """Everything known of the customers of one partition."""

    stage: Stage = "customers"

    def __init__(self, partition: int, plan: CustomersPlan, memory: Memory) -> None:
        """Wake up where the checkpoint says."""
        notes = memory.notes
        self.partition = partition
        self._name = f"customers.{partition}"
        self._plan = plan
        self._birth = memory.birth

        self._whose = Memo(
            lambda user: (home(user, plan.partitions), plan.pseudonyms.of(user)),
            most=4 * plan.rows,
        )
        positions = orjson.loads(notes.get("positions", b"{}"))
        self._merge = Merge({topic: positions.get(topic, 0) for topic in TOPICS})
        self._read = dict.fromkeys(positions)
        self._inbox = Inbox(memory.birth, orjson.loads(notes.get("inbox", b"{}")))
        self._frontiers = {
            t: Frontier(f) for t, f in orjson.loads(notes.get("frontiers", b"{}")).items()
        }
        self._clock = Clock(notes.get("clock"))
        self._told = [0] * plan.partitions
        self.counts = Counter(orjson.loads(notes.get("counts", b"{}")))
        self._rows = PackedRows(plan.rows, CustomerRow.decode)
        self._times = dict.fromkeys(TOPICS, 0)
        self._now: Millis | None = None
        capacity = CAPACITY if plan.sample else maxsize
        self._sampling = Sampling(plan.window, notes.get("sampling"), capacity)
        self._activity = Activity(plan.partitions)
        self._looking = Looking(memory.waiting)
        self._counting = Counting(self._activity, self._sampling, self._looking, self.counts)
        self._looks: list[str] = []
        self._serial: int = orjson.loads(notes.get("serial", b"0"))
        self._work: list[Work] = []
        self._strays: list[list[Entry]] = [[] for _ in range(plan.partitions)]
        self._letters: list[Letter] = []
        self._profiles = Profiles(memory.waiting)
        self._stirred = False

    def serve(self, returning: ReturnServing) -> None:
        """Use this model of returns from now on."""
        self._looking.serving = returning

    def returns(self, time: int) -> Iterator[ReturnPrediction]:
        """Predict the return of every customer in memory who has ordered before a time."""
        for customer, row in self._rows.everything():
            prediction = self._looking.predict(customer, row, time)
            if prediction is not None:
                yield prediction

    @property
    def watermark(self) -> Millis:
        """Event time up to which everything is believed to be known."""
        return self._clock.watermark

    def positions(self) -> dict[str, int]:
        """Next offset to read, by topic; topics never read are left out."""
        return {topic: self._merge.position(topic) for topic in self._read}

    def offer(self, batch: Batch, now: Millis | None) -> None:
        """Read a batch and queue its events."""
        self._now = now
        self._read[batch.topic] = None
        records = batch.records
        items: list[Item]
        if batch.topic in ("strays", "erasures"):
            items = [(_handed_on(batch.topic, r.value), r.offset, r.value) for r in records]
        else:
            topic: Topic = "clicks" if batch.topic == "clicks" else "orders"
            items = list(decode(topic, records, self._plan.ahead, self._times[topic]))
            self._times[topic] = items[-1][0] if items else self._times[topic]
            self.counts["tombstones"] += len(records) - len(items)
        self._stirred |= bool(batch.read)
        self._merge.put(batch.topic, items, batch.read, batch.end, now)

    def due(self, limit: int) -> Sequence[str] | None:
        """Choose the next events in event-time order and name the rows missing for them."""
        self._looks += self._looking.reminders.pop(self._clock.watermark, limit)
        taken = bool(self._looks)
        for topic, items in self._merge.take(limit, self._now):
            taken = True
            match topic:
                case "erasures":
                    self._plan_erasures(items)
                case "strays":
                    self._plan_strays(items)
                case _:
                    self._plan_events(topic, items)
        customers = dict.fromkeys([customer for _, _, customer, _ in self._work])
        customers.update(dict.fromkeys(self._looks))
        customers.update(dict.fromkeys(self._profiles.next(limit // 4 if taken else limit)))
        missing = self._rows.missing(customers)
        return missing if taken or missing else None

    def _plan_events(self, topic: str, items: Iterable[Item]) -> None:
        source, whose = f"{topic}.{self.partition}", self._whose
        for _, offset, event in items:
            if isinstance(event, Refused):
                self._letters.append(dead_letter(topic, self.partition, event))
                self.counts[f"refused:{event.refusal.reason}"] += 1
                continue
            partition, customer = whose[event["user_id"]]
            if partition == self.partition:
                self._work.append((source, offset, customer, event))
            else:
                event["user_id"] = _unnamed(event["user_id"], customer)
                self._strays[partition].append([source, offset, topic, event])
                self.counts["strays"] += 1

    def _plan_strays(self, items: Iterable[Item]) -> None:
        source = f"strays.{self.partition}"
        for _, offset, raw in items:
            message = self._inbox.open(raw) if raw else None
            for _source, _offset, _topic, event in message.entries if message else ():
                customer = event["user_id"].removeprefix(ANONYMOUS)
                self._work.append((source, offset, customer, event))

    def _plan_erasures(self, items: Iterable[Item]) -> None:
        source = f"erasures.{self.partition}"
        for _, offset, raw in items:
            if raw:
                request = {**orjson.loads(raw), "type": ERASURE}
                self._work.append((source, offset, request["customer"], request))

    def folding(self, found: Mapping[str, bytes | None]) -> Generator[None, None, None]:
        """Fold the chosen events into their customers' rows."""
        self._rows.add(found)
        held, count = self._rows.held, self._counting.count
        self._rows.changed.update(dict.fromkeys([customer for _, _, customer, _ in self._work]))
        heard: dict[str, list[tuple[int, str]]] = {"clicks": [], "orders": []}
        for some in portions(self._work):
            for work in some:
                _, _, customer, event = work
                kind = event["type"]
                if kind == ERASURE:
                    if self._counting.erase(work, held[customer]):
                        self._profiles.erase(customer)
                        self._looking.reminders.remove(customer)
                    continue
                count(work, held[customer])
                heard["orders" if kind in ORDERED else "clicks"].append((event["time"], customer))
            yield
        for looks in portions(self._looks):
            for customer in looks:
                if self._looking.look(customer, self._rows.change(customer), self._clock.watermark):
                    self._profiles.add([customer])
            yield
        self._looks.clear()
        for topic, times in heard.items():
            if times:
                frontier = self._frontiers.setdefault(topic, Frontier())
                frontier.see(times)
                self._clock.hear(topic, frontier.mark, self._now)
        self._work.clear()
        self._stirred = True

    def tick(self, now: Millis) -> None:
        """Let time pass: a topic that was waited for in vain is waited for no longer."""
        self._now = now

    def full(self) -> Iterable[str]:
        """Topics of which enough is queued."""
        return self._merge.full()

    def changing(self, renewals: int = MOST_RENEWED) -> Changing:
        """Gather what has come since the last call; profiles that have changed are written."""
        if not (self._stirred or self._profiles):
            return None
        mark = self._clock.watermark
        published = yield from self._profiles.publishing(self._rows, self._looking, mark, renewals)
        needed = {customer for _, _, customer, _ in self._work}
        needed.update(self._looks)
        needed.update(self._profiles.next(MOST_RENEWED))
        letters = [*(yield from self._outgoing()), *self._lessons()]
        changes = Changes(
            rows=(yield from self._rows.storing(needed)),
            waiting={**self._profiles.changes(), **self._looking.reminders.changes()},
            notes=self._notes(),
            letters=letters,
            published=published,
            more=len(self._profiles) > 0,
        )
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
            "serial": orjson.dumps(self._serial),
            "stale": orjson.dumps(len(self._profiles)),
        }

    def _outgoing(self) -> Generator[None, None, list[Letter]]:
        letters, self._letters = self._letters, []
        mark = self._clock.watermark
        for partition in range(self._plan.partitions):
            entries = self._activity.take(partition)
            if entries or mark >= self._told[partition] + NUDGE:
                self._told[partition] = mark
                for value in pack(self._name, self._birth, mark, entries):
                    letters.append(Letter("activity", partition, None, value))
            strays, self._strays[partition] = self._strays[partition], []
            if strays:
                first = strays[0][3]["time"]
                for value in pack(self._name, self._birth, first, strays, begun=first):
                    letters.append(Letter("strays", partition, None, value))
            yield
        return letters

    def _lessons(self) -> list[Letter]:
        """What the learner is told, each under a number of its own.

        Without a mark: how far event time has come it hears from the products stage.
        """
        entries: list[Entry] = []
        for returned, look in self._looking.take():
            self._serial += 1
            entries.append([self._name, self._serial, "return", returned, look])
        if not entries:
            return []
        self.counts["returns"] += len(entries)
        values = pack(self._name, self._birth, 0, entries)
        return [Letter("examples", 0, None, value) for value in values]


def _unnamed(user: str, customer: str) -> str:
    """What a stray says of its customer: no user id, but whether the shop knows who it is."""
    return f"{ANONYMOUS}{customer}" if user.startswith(ANONYMOUS) else customer


def _handed_on(topic: str, value: bytes | None) -> int:
    """Time at which an internal message takes its turn."""
    if topic == "erasures" or not value:
        return 0  # before everything, so that a replay does not bring anybody back
    time: int = orjson.loads(value)[2]
    return time
