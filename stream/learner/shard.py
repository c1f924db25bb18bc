"""The learner shard: settled labels in, models and category scores out."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from stream import keys
from stream.clock import Clock
from stream.events.dead_letters import dead_letter
from stream.events.decode import Refused, decode
from stream.learner.market import Market
from stream.learner.models import Models
from stream.models import snapshots
from stream.models.promotions import Promotions
from stream.models.rhythm import RhythmCounts
from stream.models.signals import Signals
from stream.products.forecasting import Noted, forecasts
from stream.products.forecasts import Forecast
from stream.products.row import ORDERS, UNITS, WIDTH, ProductRow
from stream.products.scoring import score
from stream.products.serving import Serving
from stream.rows import Rows
from stream.settings import Stage
from stream.shards import MOST_RENEWED, Batch, Changes, Letter, Memory, Publication, Put, Rank
from stream.units import DAY, MINUTE, SECOND, Millis
from stream.wire import Entry, Inbox

REPORT_EVERY = 5 * SECOND
"""Wall time between two publications of the models' quality."""
PRICES_SEEN = 1_000.0
"""The mean price of a category follows about so many of its latest prices."""
KEPT_BUCKETS = 15 * DAY


@dataclass(frozen=True, slots=True)
class LearnerPlan:
    """What the learner needs to know of the installation.

    Attributes:
        bucket: Length of a demand bucket, ms.
        rows: Most categories kept in memory.
        ahead: How far a signal's time may lie beyond Kafka's, ms.
        stored: Models are stored and reported; False where nobody would read it.
    """

    bucket: int
    rows: int
    ahead: int = 10 * MINUTE
    stored: bool = True


class LearnerShard:
    """All models, and what is known of categories, which span partitions."""

    stage: Stage = "learner"

    def __init__(self, partition: int, plan: LearnerPlan, memory: Memory) -> None:
        """Wake up where the checkpoint says.

        Raises:
            BadSnapshot: A stored model cannot be read.
        """
        notes = memory.notes
        self.partition = partition
        self._plan = plan
        self._read: dict[str, int] = orjson.loads(notes.get("positions", b"{}"))
        self._queue: deque[tuple[str, int, Any]] = deque()
        self._inbox = Inbox(memory.birth, orjson.loads(notes.get("inbox", b"{}")))
        self._clock = Clock(notes.get("clock"))
        self.counts = Counter(orjson.loads(notes.get("counts", b"{}")))
        self._version: int = orjson.loads(notes.get("version", b"0"))
        self._prices: dict[str, tuple[float, float]] = {
            c: (n, mean) for c, (n, mean) in orjson.loads(notes.get("prices", b"{}")).items()
        }
        self._rhythm = (
            RhythmCounts.restored(snapshots.decode(notes["rhythm"], "rhythm")[1])
            if "rhythm" in notes
            else RhythmCounts()
        )
        self._market = Market()
        self._market_version: int = 0
        if "market" in notes:
            self._market_version, state = snapshots.decode(notes["market"], "market")
            self._market.promotions = Promotions.restored(state["promotions"])
        if "signals" in notes:
            told = snapshots.decode(notes["signals"], "signals")[1]
            self._market.signals = Signals.restored(told["signals"])
        self._said: list[dict[str, Any]] = []
        self._announced = self._signalled = False
        self._letters: list[Letter] = []
        self.models = Models()
        self.models.restore(notes)
        self._rows: Rows[ProductRow] = Rows(plan.rows, ProductRow.decode)
        self._work: list[Entry] = []
        self._now: Millis | None = None
        self._reported: int | None = None
        self._learned = False
        self._unreported = self._version > 0  # the one before may have had no time for it
        self._stirred = False

    def positions(self) -> dict[str, int]:
        """Next offset to read, by topic; topics never read are left out."""
        waiting: dict[str, int] = {}
        for topic, offset, _ in self._queue:
            waiting.setdefault(topic, offset)
        return {**self._read, **waiting}

    def offer(self, batch: Batch, now: Millis | None) -> None:
        """Queue examples, and read what the market has to say."""
        self._now = now
        self._read.setdefault(batch.topic, 0)
        if batch.records:
            if batch.topic == "market":
                decoded = decode("market", batch.records, self._plan.ahead)
                self._queue.extend(("market", offset, said) for _, offset, said in decoded)
            else:
                self._queue.extend((batch.topic, r.offset, r.value) for r in batch.records)
            self._read[batch.topic] = batch.records[-1].offset + 1
            self._stirred = True

    def due(self, limit: int) -> Sequence[str] | None:
        """Choose examples; name the categories that are not in memory."""
        taken = False
        while self._queue and len(self._work) < limit:
            taken = True
            topic, _, raw = self._queue.popleft()
            if topic == "market":
                self._hear(raw)
            elif raw and (message := self._inbox.open(raw)) is not None:
                self._work.extend(message.entries)
                if message.mark:  # customers shards tell too rarely to be waited for
                    self._clock.hear(message.sender, message.mark, self._now)
        if not taken:
            return None
        return self._rows.missing(dict.fromkeys(e[3] for e in self._work if e[2] == "category"))

    def _hear(self, said: dict[str, Any] | Refused) -> None:
        if isinstance(said, Refused):
            self._letters.append(dead_letter("market", self.partition, said))
            self.counts[f"refused:{said.refusal.reason}"] += 1
        else:
            self._said.append(said)

    def fold(self, found: Mapping[str, bytes | None]) -> None:
        """Judge what was predicted, then learn."""
        self._rows.add(found)
        for _source, _serial, kind, *what in self._work:
            match kind:
                case "click":
                    positive, late, delay, tail = what
                    self.models.conversion.learn(
                        positive=positive, late=late, delay=delay, tail=tail
                    )
                case "return":
                    returned, look = what
                    self.models.returning.learn(returned=returned, look=look)
                case "window":
                    self._window(*what)
                case "lines":
                    self._rhythm.add(*what)
                case _:
                    self._category(*what)
            self.counts[kind] += 1
        for said in self._said:
            self._market.hear(said)
            self.counts["market"] += 1
            self._announced |= said["type"] == "promotion"
            self._signalled |= said["type"] == "signal"
        if self._work or self._said:
            self._learned = self._unreported = True
        self._said.clear()
        self._work.clear()
        self._stirred = True

    def _window(self, _product: str, horizon: int, sold: float, tail: list[Any]) -> None:
        made = Noted.decoded(tail)
        self.models.demand[Millis(horizon)].learn(made, sold)
        if made.chances:
            self.models.potential[Millis(horizon)].learn(made, sold)

    def _category(self, category: str, time: int, sums: list[float]) -> None:
        row = self._rows.change(category)
        row.category = category
        for kind in range(WIDTH):
            if sums[kind]:
                row.totals[kind] += round(sums[kind])
                row.count(kind, time, sums[kind])
        if sums[UNITS]:
            course = self._market.promotions.course("", category)
            lines = max(0.0, sums[ORDERS])
            row.sell(sums[UNITS], time, self._plan.bucket, lines, course)
            row.prune((time - KEPT_BUCKETS) // self._plan.bucket)
        seen, logs = sums[WIDTH:]
        if seen:
            number, mean = self._prices.get(category, (0.0, 0.0))
            number = min(number + seen, PRICES_SEEN)
            self._prices[category] = (number, mean + (logs / seen - mean) * min(1.0, seen / number))

    def tick(self, now: Millis) -> None:
        """Let time pass."""
        self._now = now
        self._clock.tick(now)

    def full(self) -> Iterable[str]:
        """Nothing here waits for another topic."""
        return ()

    def serving(self) -> Serving:
        """What products shards are to serve."""
        models = self.models
        return Serving(
            version=self._version,
            conversion=models.conversion.judge(),
            returning=models.returning.judge(),
            potential={h: m.judge() for h, m in models.potential.items()},
            demand={h: m.forecaster() for h, m in models.demand.items()},
            category_prices={c: round(mean, 4) for c, (_, mean) in self._prices.items()},
            rhythm=self._rhythm.rhythm(),
            signals=self._market.signals.deviations(),
            market=self._market_version,
            promotions=self._market.promotions,
        )

    @property
    def version(self) -> int:
        """Of what products shards are to serve."""
        return self._version

    def category_forecasts(self, time: int) -> Iterator[Forecast]:
        """Say what would be served now of each category in memory, for each horizon.

        Args:
            time: A bucket boundary at or after everything that was folded, ms.
        """
        serving = self.serving()
        for category, row in self._rows.held.items():
            for forecast in forecasts("", row, serving, time, self._plan.bucket):
                yield forecast._replace(category=category)

    def changes(self, renewals: int = MOST_RENEWED) -> Changes | None:  # noqa: ARG002 (few enough)
        """Everything since the last call, with a new snapshot if anything was learned."""
        stored = self._plan.stored
        report = stored and self._unreported and self._is_time_to_report()
        if not (self._stirred or report):
            return None
        published: list[Publication] = []
        notes = {
            "positions": orjson.dumps(self.positions()),
            "inbox": self._inbox.state(),
            "clock": self._clock.state(),
            "counts": orjson.dumps(self.counts),
        }
        if self._learned:
            self._version += 1
            if self._announced:
                published.append(self._announce(notes))
            if self._signalled:
                self._signalled = False
                signals = {"signals": self._market.signals.state()}
                notes["signals"] = snapshots.encode("signals", self._version, signals)
        if self._learned and stored:
            serving = self.serving()
            published.append(
                Put(keys.SERVING, snapshots.encode("serving", self._version, serving.state()))
            )
            published.append(Put(keys.VERSION, str(self._version).encode()))
            published.extend(self._scored(serving))
            notes.update(self.models.snapshots(self._version))
            notes["version"] = orjson.dumps(self._version)
            notes["rhythm"] = snapshots.encode("rhythm", self._version, self._rhythm.state())
            notes["prices"] = orjson.dumps(self._prices)
        if report:
            self._reported, self._unreported = self._now, False
            published.extend(
                Put(keys.metrics(kind), orjson.dumps(said))
                for kind, said in self.models.reports().items()
            )
            known = self._market.report(self._clock.watermark)
            published.append(Put(keys.metrics("market"), orjson.dumps(known)))
        self._learned = self._stirred = False
        letters, self._letters = self._letters, []
        return Changes(rows=self._rows.stored(), notes=notes, letters=letters, published=published)

    def _announce(self, notes: dict[str, bytes]) -> Publication:
        """Store what has been announced, and let products shards know."""
        self._announced = False
        self._market.prune(self._clock.watermark)
        self._market_version = self._version
        promotions = {"promotions": self._market.promotions.state()}
        raw = snapshots.encode("market", self._version, promotions)
        notes["market"] = raw
        return Put(keys.MARKET, raw)

    def _is_time_to_report(self) -> bool:
        if self._now is None or self._reported is None:
            return True
        return self._now >= self._reported + REPORT_EVERY

    def _scored(self, serving: Serving) -> Iterable[Publication]:
        ranks: dict[str, float] = {}
        for category in self._rows.changed:
            row = self._rows.held[category]
            document = score(row, serving, self._clock.watermark, self._plan.bucket, {})
            ranks[category] = document["score"]
            yield Put(keys.category(category), orjson.dumps(document))
        if ranks:
            yield Rank(keys.TOP_CATEGORIES, ranks)
