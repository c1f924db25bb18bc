"""The learner shard: settled labels in, models and category scores out."""

from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from stream import keys
from stream.backlog import Backlog
from stream.clock import Clock
from stream.events.dead_letters import dead_letter
from stream.events.decode import Refused
from stream.learner.categories import Categories
from stream.learner.market import Market
from stream.learner.models import Models
from stream.learner.publishing import models_of, reports, scoring
from stream.models import snapshots
from stream.models.promotions import Promotions
from stream.models.rhythm import RhythmCounts
from stream.models.signals import Signals
from stream.products.forecasting import Noted, forecasts
from stream.products.forecasts import Forecast
from stream.products.ledger import Watch, Window
from stream.products.serving import Serving
from stream.settings import Stage
from stream.shards import (
    MOST_RENEWED,
    Batch,
    Changes,
    Changing,
    Letter,
    Memory,
    Publication,
    Put,
    Shard,
    portions,
)
from stream.units import MINUTE, SECOND, Millis
from stream.wire import Entry, Inbox

REPORT_EVERY = 5 * SECOND
"""Wall time between two publications of the models' quality."""


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


class LearnerShard(Shard):
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
        positions = orjson.loads(notes.get("positions", b"{}"))
        self._backlog = Backlog("market", plan.ahead, positions)
        self._inbox = Inbox(memory.birth, orjson.loads(notes.get("inbox", b"{}")))
        self._clock = Clock(notes.get("clock"))
        self.counts = Counter(orjson.loads(notes.get("counts", b"{}")))
        self._version: int = orjson.loads(notes.get("version", b"0"))
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
        self._categories = Categories(plan.bucket, plan.rows, notes, memory.waiting)
        self._told: list[Window | Watch] = []
        self._work: list[tuple[Millis, Entry]] = []
        self._foreseeing: Serving | None = None
        self._came = True  # something of categories that is not stored
        self._now: Millis | None = None
        self._reported: int | None = None
        self._learned = False
        self._unreported = self._version > 0  # the one before may have had no time for it
        self._stirred = False

    @property
    def watermark(self) -> Millis:
        """Event time up to which everything is believed to be known."""
        return self._clock.watermark

    def positions(self) -> dict[str, int]:
        """Next offset to read, by topic; topics never read are left out."""
        return self._backlog.positions()

    def offer(self, batch: Batch, now: Millis | None) -> None:
        """Queue examples, and read what the market has to say."""
        self._now = now
        self._stirred |= self._backlog.put(batch)

    def due(self, limit: int) -> Sequence[str] | None:
        """Choose what time has told, or examples; name the categories that are not in memory."""
        bucket = self._clock.watermark // self._plan.bucket
        self._told.extend(self._categories.due(self._clock.watermark, limit))
        taken = bool(self._told)
        # What time tells comes between the same two messages, however many are taken at once.
        while (
            self._backlog
            and not self._told
            and len(self._work) < limit
            and self._clock.watermark // self._plan.bucket == bucket
        ):
            taken = True
            topic, _, raw = self._backlog.take()
            if topic == "market":
                self._hear(raw)
            elif raw and (message := self._inbox.open(raw)) is not None:
                if message.mark:  # customers shards tell too rarely to be waited for
                    self._clock.hear(message.sender, message.mark, self._now)
                watermark = self._clock.watermark
                self._work.extend((watermark, entry) for entry in message.entries)
        if not taken:
            return None
        names = [e[3] for _, e in self._work if e[2] == "category"]
        names += [told.product for told in self._told]
        return self._categories.rows.missing(dict.fromkeys(names))

    def _hear(self, said: dict[str, Any] | Refused) -> None:
        if isinstance(said, Refused):
            self._letters.append(dead_letter("market", self.partition, said))
            self.counts[f"refused:{said.refusal.reason}"] += 1
        else:
            self._said.append(said)

    def folding(self, found: Mapping[str, bytes | None]) -> Generator[None, None, None]:
        """Judge what was predicted, then learn."""
        categories = self._categories
        categories.rows.add(found)
        for some in portions(self._told):
            for told in some:
                if isinstance(told, Watch):
                    categories.close(told, self._clock.watermark, self._foreseen_by())
                elif (came := categories.settled(told, self._foreseen_by())) is not None:
                    self.models.categories.learn(told.horizon, *came)
                    self._foreseeing, self._came = None, True
                    self.counts["category_windows"] += 1
            yield
        for examples in portions(self._work):
            for watermark, entry in examples:
                self._learn(entry, watermark)
            yield
        for said in self._said:
            self._market.hear(said)
            self.counts["market"] += 1
            self._announced |= said["type"] == "promotion"
            self._signalled |= said["type"] == "signal"
            self._foreseeing = None
        if self._work or self._said or self._told:
            self._learned = self._unreported = True
        self._said.clear()
        self._work.clear()
        self._told.clear()
        self._stirred = True

    def _learn(self, entry: Entry, watermark: Millis) -> None:
        _source, _serial, kind, *what = entry
        match kind:
            case "click":
                positive, late, delay, tail = what
                self.models.conversion.learn(positive=positive, late=late, delay=delay, tail=tail)
            case "return":
                returned, look = what
                self.models.returning.learn(returned=returned, look=look)
            case "window":
                _product, horizon, sold, tail = what
                self.models.products.learn(horizon, Noted.decoded(tail), sold)
            case "lines":
                self._rhythm.add(*what)
                self._foreseeing = None
            case _:
                category, time, sums = what
                course = self._market.promotions.course("", category)
                self._categories.count(
                    category, time, sums, course, watermark=watermark, serving=self._foreseen_by
                )
        self.counts[kind] += 1

    def _foreseen_by(self) -> Serving:
        """The models by which categories are forecast, as of now."""
        if self._foreseeing is None:
            self._foreseeing = self.models.categories.served(
                Serving(
                    version=self._version,
                    rhythm=self._rhythm.rhythm(),
                    signals=self._market.signals.deviations(),
                    promotions=self._market.promotions,
                )
            )
        return self._foreseeing

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
        return models.products.served(
            Serving(
                version=self._version,
                conversion=models.conversion.judge(),
                returning=models.returning.judge(),
                category_prices={
                    c: round(mean, 4) for c, (_, mean) in self._categories.prices.items()
                },
                rhythm=self._rhythm.rhythm(),
                signals=self._market.signals.deviations(),
                market=self._market_version,
                promotions=self._market.promotions,
            )
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
        serving = self._foreseen_by()
        for category, row in self._categories.held():
            for forecast in forecasts("", row, serving, time, self._plan.bucket):
                yield forecast._replace(category=category)

    def changing(self, renewals: int = MOST_RENEWED) -> Changing:  # noqa: ARG002 (few enough)
        """Gather what has come since the last call, with a snapshot if anything was learned."""
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
            published.extend(models_of(serving))
            yield
            mark, bucket = self._clock.watermark, self._plan.bucket
            foreseeing = self.models.categories.served(serving)
            scores = yield from scoring(self._categories.rows, foreseeing, mark, bucket)
            published.extend(scores)
            categories, self._came = self._came, False
            for name, raw in self.models.snapshots(self._version, categories=categories):
                notes[name] = raw
                yield  # all of them take some 25 ms
            notes["version"] = orjson.dumps(self._version)
            notes["rhythm"] = snapshots.encode("rhythm", self._version, self._rhythm.state())
            notes.update(self._categories.notes())
            yield
        if report:
            self._reported, self._unreported = self._now, False
            market = self._market.report(self._clock.watermark)
            published.extend(reports({**self.models.reports(), "market": market}))
            yield
        self._learned = self._stirred = False
        letters, self._letters = self._letters, []
        return Changes(
            rows=(yield from self._categories.rows.storing()),
            waiting=(yield from self._categories.waiting()),
            notes=notes,
            letters=letters,
            published=published,
        )

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
