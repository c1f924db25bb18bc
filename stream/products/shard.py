"""The products shard: what happens to each product, what waits for its label, and the scores."""

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from stream.backlog import Backlog
from stream.clock import Clock
from stream.events.dead_letters import dead_letter
from stream.events.decode import Refused
from stream.partitions import home
from stream.products.counting import Counting
from stream.products.forecasting import forecasts
from stream.products.forecasts import ClickPrediction, Forecast
from stream.products.ledger import Label, Ledger, Watch, Window
from stream.products.publishing import Scores, is_urgent
from stream.products.row import ProductRow
from stream.products.serving import Serving
from stream.renewals import Renewals, without_renewals
from stream.rows import WholeRows
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
from stream.units import Millis
from stream.wire import Entry, Inbox, pack


@dataclass(frozen=True, slots=True)
class ProductsPlan:
    """What a products shard needs to know of the installation. Spans are in ms.

    Attributes:
        partitions: Of every topic that is keyed by user or product.
        ahead: How far an event's time may lie beyond Kafka's.
        bucket: Length of a demand bucket.
        wait: How long a click waits for its order.
        window: How long after a click an order still counts as its.
        rows: Most rows kept in memory.
        predicted: Is told each prediction of a conversion.
    """

    partitions: int
    ahead: int
    bucket: int
    wait: int
    window: int
    rows: int
    predicted: Callable[[ClickPrediction], None] | None = None


class ProductsShard(Shard):
    """Everything known of the products of one partition."""

    stage: Stage = "products"

    def __init__(self, partition: int, plan: ProductsPlan, memory: Memory) -> None:
        """Wake up where the checkpoint says."""
        notes = memory.notes
        self.partition = partition
        self._name = f"products.{partition}"
        self._plan = plan
        self._birth = memory.birth
        positions = orjson.loads(notes.get("positions", b"{}"))
        self._backlog = Backlog("catalog", plan.ahead, positions)
        self._inbox = Inbox(memory.birth, orjson.loads(notes.get("inbox", b"{}")))
        senders = [f"customers.{sender}" for sender in range(plan.partitions)]
        self._clock = Clock(notes.get("clock"), senders)
        self.counts = Counter(orjson.loads(notes.get("counts", b"{}")))
        self._serial: int = orjson.loads(notes.get("serial", b"0"))
        self._rows = WholeRows(plan.rows, ProductRow.decode)
        self._ledger = Ledger(plan.wait, plan.window, plan.bucket, without_renewals(memory.waiting))
        since = orjson.loads(notes.get("since", b"0"))
        self._counting = Counting(
            self._rows, self._ledger, plan.bucket, since, self.counts, predicted=plan.predicted
        )
        self._stale = Renewals(memory.waiting)
        self._work: list[Entry | Window | Watch] = []
        self._heard: list[tuple[str, int]] = []
        self._letters: list[Letter] = []
        self._now: Millis | None = None
        self._stirred = False

    @property
    def watermark(self) -> Millis:
        """Event time up to which everything is believed to be known."""
        return self._clock.watermark

    def serve(self, serving: Serving) -> None:
        """Use these models from now on."""
        self._counting.foresight.serving = serving

    def positions(self) -> dict[str, int]:
        """Next offset to read, by topic; topics never read are left out."""
        return self._backlog.positions()

    def offer(self, batch: Batch, now: Millis | None) -> None:
        """Read a batch and queue what it says."""
        self._now = now
        self._stirred |= self._backlog.put(batch)

    def due(self, limit: int) -> Sequence[str] | None:
        """Choose what time has told, then what was read; name the rows missing for it."""
        work = self._work
        taken = False
        for told in self._ledger.pop(self._clock.watermark, limit):
            taken = True
            if isinstance(told, Label):
                self._counting.label(told)
            else:
                work.append(told)
        while self._backlog and len(work) < limit:
            taken = True
            topic, offset, said = self._backlog.take()
            if topic == "catalog":
                self._plan_listing(offset, said)
            elif said and (message := self._inbox.open(said)) is not None:
                work.extend(message.entries)
                self._heard.append((message.sender, message.mark))
        products = dict.fromkeys(map(_product, work))
        products.pop("", None)  # an erasure is no product's
        products.update(dict.fromkeys(self._stale.next(limit // 4 if taken else limit)))
        missing = self._rows.missing(products)
        return missing if taken or missing else None

    def _plan_listing(self, offset: int, said: dict[str, Any] | Refused) -> None:
        if isinstance(said, Refused):
            self._letters.append(dead_letter("catalog", self.partition, said))
            self.counts[f"refused:{said.refusal.reason}"] += 1
        else:
            source, product = f"catalog.{self.partition}", said["product_id"]
            self._work.append([source, offset, "catalog", said["time"], product, said])

    def folding(self, found: Mapping[str, bytes | None]) -> Generator[None, None, None]:
        """Fold the chosen work into the products' rows, in order."""
        self._rows.add(found)
        counting = self._counting
        for some in portions(self._work):
            for work in some:
                if isinstance(work, list):
                    if work[2] == "catalog":
                        self._list(work)
                    else:
                        counting.happen(work)
                elif isinstance(work, Window):
                    counting.settle(work)
                else:
                    counting.foresight.close(work, self._clock.watermark)
            yield
        self._work.clear()
        for sender, mark in self._heard:
            if mark:
                self._clock.hear(sender, mark, self._now)
        self._heard.clear()
        self._stirred = True

    def _list(self, entry: Entry) -> None:
        """Take the catalogue's word for a product, or hand it on to where the product belongs."""
        said = entry[5]
        product = said["product_id"]
        where = home(product, self._plan.partitions)
        if where != self.partition:
            for value in pack(self._name, self._birth, 0, [entry]):
                self._letters.append(Letter("activity", where, None, value))
            self.counts["strays"] += 1
            return
        self.counts["listings"] += 1
        if self._rows.held[product].hear_listing(said):
            self._rows.change(product)

    def tick(self, now: Millis) -> None:
        """Let time pass, also in a quiet shop."""
        self._now = now
        self._clock.tick(now)

    def full(self) -> Iterable[str]:
        """Nothing here waits for another topic."""
        return ()

    def changing(self, renewals: int = MOST_RENEWED) -> Changing:
        """Gather what has come since the last call; products that have changed are scored."""
        if not (self._stirred or self._stale):
            return None
        held = self._rows.held
        self._stale.add(self._rows.changed)
        urgent = [product for product in self._rows.changed if is_urgent(held[product])]
        scores = Scores(self._counting.serving, self._clock.watermark, self._plan.bucket)
        for products in portions(self._stale.turn(urgent, renewals)):
            for product in [product for product in products if product in held]:
                self._stale.remove(product)
                scores.add(product, self._rows.change(product))
            yield
        letters, self._letters = [*self._letters, *self._lessons(), *scores.letters], []
        changes = Changes(
            rows=(yield from self._rows.storing(set(self._stale.next(MOST_RENEWED)))),
            waiting={**(yield from self._ledger.storing()), **self._stale.changes()},
            notes=self._notes(),
            letters=letters,
            published=[*scores.publications(), *self._counting.candidates.publications()],
            more=len(self._stale) > 0,
        )
        self._stirred = False
        return changes

    def forecasts(self, time: int) -> Iterator[Forecast]:
        """Say what would be served now of each product in memory, for each horizon.

        Args:
            time: A bucket boundary at or after everything that was folded, ms.
        """
        for product, row in self._rows.held.items():
            yield from forecasts(product, row, self._counting.serving, time, self._plan.bucket)

    def _lessons(self) -> list[Letter]:
        """What the learner is told, each under a number of its own."""
        entries: list[Entry] = []
        for example in self._counting.take_examples():
            self._serial += 1
            entries.append([self._name, self._serial, *example])
        if not entries:
            return []
        values = pack(self._name, self._birth, self._clock.watermark, entries)
        return [Letter("examples", 0, None, value) for value in values]

    def _notes(self) -> dict[str, bytes]:
        return {
            "positions": orjson.dumps(self.positions()),
            "inbox": self._inbox.state(),
            "clock": self._clock.state(),
            "counts": orjson.dumps(self.counts),
            "serial": orjson.dumps(self._serial),
            "since": orjson.dumps(self._counting.foresight.since),
            "stale": orjson.dumps(len(self._stale)),
        }


def _product(work: Entry | Window | Watch) -> str:
    if isinstance(work, list):
        product: str = work[4]
        return product
    return work.product
