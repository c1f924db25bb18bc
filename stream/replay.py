"""A recorded log through the very shards that run live: no Kafka, no Redis, no waiting."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import orjson

from stream.customers.pseudonyms import Pseudonyms
from stream.customers.shard import CustomersPlan, CustomersShard
from stream.events.types import KEYS
from stream.learner.shard import LearnerPlan, LearnerShard
from stream.memo import trimmed
from stream.partitions import home
from stream.products.forecasts import ClickPrediction
from stream.products.serving import Serving
from stream.products.shard import ProductsPlan, ProductsShard
from stream.settings import Settings
from stream.shards import MOST_RENEWED, Batch, Changes, Drop, Memory, Put, Rank, Say, Shard, Unrank
from stream.units import Millis

RUN = 1_000
"""Records that go through the stages together."""
LIMIT = 2_000


class Recorded(NamedTuple):
    """One record of a log."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


class Replay:
    """All shards of all stages in one process, fed by hand.

    Attributes:
        documents: What would be in Redis: JSON by key.
        rankings: What would be in Redis: scores by member by key.
        refused: Records that were refused, by reason.
        now: What the shards are told of the time, ms; None: there is no clock.
    """

    def __init__(
        self,
        settings: Settings,
        secret: str,
        *,
        renewals: int = MOST_RENEWED,
        sample: bool = True,
        predicted: Callable[[ClickPrediction], None] | None = None,
    ) -> None:
        """Begin with nothing known.

        Args:
            settings: Of the installation.
            secret: Key of the pseudonyms.
            renewals: Public documents that a run renews at most; with 0, nothing is published.
            sample: Learn from a sample only if the shop is busy, as live.
            predicted: Is told each prediction of a conversion.
        """
        self.now: Millis | None = None
        self._renewals = renewals
        self._partitions = settings.partitions
        memory = Memory(birth="replay")
        names = Pseudonyms(secret.encode())
        customers = CustomersPlan(
            settings.partitions, names, settings.ahead, settings.rows, settings.window, sample
        )
        products = ProductsPlan(
            settings.partitions,
            settings.ahead,
            settings.bucket,
            settings.wait,
            settings.window,
            settings.rows,
            predicted,
        )
        self.customers = [CustomersShard(p, customers, memory) for p in range(settings.partitions)]
        self.products = [ProductsShard(p, products, memory) for p in range(settings.partitions)]
        self.learner = LearnerShard(
            0,
            LearnerPlan(settings.bucket, settings.rows, settings.ahead, stored=renewals > 0),
            memory,
        )
        self._serving = Serving()
        self._offsets: dict[tuple[str, int], int] = defaultdict(int)
        self._stored: dict[tuple[str, int], dict[str, bytes]] = defaultdict(dict)
        self._pending: dict[tuple[str, int], list[Recorded]] = defaultdict(list)
        self._held = 0
        self.documents: dict[str, bytes] = {}
        self.rankings: dict[str, dict[str, float]] = defaultdict(dict)
        self.refused: dict[str, int] = defaultdict(int)

    def feed(
        self, topic: str, value: Mapping[str, object], *, kafka_time: Millis | None = None
    ) -> None:
        """Add one event. Those of one topic come in the order in which they were recorded."""
        key = str(value[KEYS[topic]])  # type: ignore[index]
        raw = orjson.dumps(value)
        if topic == "market" and self._held and ("market", 0) not in self._pending:
            self.run()  # what came before knows nothing of it
        where = (topic, 0 if topic == "market" else home(key, self._partitions))
        record = Recorded(self._offsets[where], kafka_time or Millis(1 << 52), key.encode(), raw)
        self._offsets[where] += 1
        self._pending[where].append(record)
        self._held += 1
        if self._held >= RUN:
            self.run()

    def run(self) -> None:
        """Let everything that was fed go through all stages."""
        pending, self._pending, self._held = self._pending, defaultdict(list), 0
        if market := pending.pop(("market", 0), None):
            self.learner.offer(Batch("market", 0, market, market[-1].offset + 1), None)
            self._work(self.learner)
            self._serve()
        for (topic, partition), records in sorted(pending.items()):
            shards = self.products if topic == "catalog" else self.customers
            batch = Batch(topic, partition, records, records[-1].offset + 1)
            shards[partition].offer(batch, self.now)
        for customers in self.customers:
            self._work(customers)
        for products in self.products:
            self._work(products)
        self._work(self.learner)
        self._serve()

    def _serve(self) -> None:
        if self.learner.version != self._serving.version:
            self._serving = self.learner.serving()
            for products in self.products:
                products.serve(self._serving)
            for customers in self.customers:
                customers.serve(self._serving.returning)

    def tick(self, now: Millis) -> None:
        """Let time pass without an event."""
        self.now = now
        shards: list[Shard] = [*self.customers, *self.products, self.learner]
        for shard in shards:
            shard.tick(now)

    def finish(self) -> None:
        """Let everything go through, and publish what is known at the end of the log."""
        self.run()
        self.run()
        shards: list[Shard] = [*self.customers, *self.products]
        for shard in shards:
            while self._work(shard):
                pass

    def _work(self, shard: Shard) -> bool:
        """Do all that a shard has to do; say whether anything came of it."""
        rows = self._stored[shard.stage, shard.partition]
        while (missing := shard.due(LIMIT)) is not None:
            shard.fold({id_: rows.get(id_) for id_ in missing})
        changes = shard.changes(self._renewals)
        if changes is None:
            return False
        for id_, raw in changes.rows.items():
            if raw is not None:
                rows[id_] = trimmed(raw)
        self._publish(changes)
        self._deliver(changes)
        return True

    def _deliver(self, changes: Changes) -> None:
        runs: dict[tuple[str, int], deque[Recorded]] = defaultdict(deque)
        for letter in changes.letters:
            if letter.topic == "dead-letters":
                self.refused[dict(letter.headers)["reason"].decode()] += 1
            elif letter.topic != "scores":
                where = (letter.topic, letter.partition or 0)
                runs[where].append(Recorded(self._offsets[where], 0, letter.key, letter.value))
                self._offsets[where] += 1
        for (topic, partition), records in runs.items():
            shard: Shard
            match topic:
                case "activity":
                    shard = self.products[partition]
                case "examples":
                    shard = self.learner
                case _:
                    shard = self.customers[partition]
            batch = Batch(topic, partition, list(records), records[-1].offset + 1)
            shard.offer(batch, self.now)

    def _publish(self, changes: Changes) -> None:
        for publication in changes.published:
            match publication:
                case Put(key, value):
                    self.documents[key] = value
                case Drop(key):
                    self.documents.pop(key, None)
                case Rank(key, scores, most):
                    ranking = self.rankings[key]
                    ranking.update(scores)
                    if most is not None and len(ranking) > most:
                        best = sorted(ranking.items(), key=lambda pair: (pair[1], pair[0]))[-most:]
                        self.rankings[key] = dict(best)
                case Unrank(key, members):
                    for member in members:
                        self.rankings[key].pop(member, None)
                case Say():
                    pass

    def totals(self) -> dict[str, int]:
        """Evidence over all products."""
        totals: dict[str, int] = defaultdict(int)
        for key, raw in self.documents.items():
            if key.startswith("score:"):
                for kind, total in orjson.loads(raw)["evidence"].items():
                    totals[kind] += total
        return dict(totals)

    def top(self, n: int) -> list[tuple[str, float]]:
        """The products with the highest scores."""
        ranking = self.rankings["top:products"]
        return sorted(ranking.items(), key=lambda pair: (-pair[1], pair[0]))[:n]


def counts(shards: Iterable[Shard]) -> dict[str, int]:
    """What shards have counted, added up."""
    total: dict[str, int] = defaultdict(int)
    for shard in shards:
        for name, count in shard.counts.items():
            total[name] += count
    return dict(total)
