"""The products shard: what happens to each product, what waits for its label, and the scores."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any
from zlib import crc32

import orjson

from stream import keys
from stream.clock import Clock
from stream.events.dead_letters import dead_letter
from stream.events.decode import Refused, decode
from stream.models.linear import probability, units
from stream.partitions import home
from stream.products.candidates import Candidates
from stream.products.categories import CategorySums
from stream.products.features import click_features, features, rounded
from stream.products.ledger import Click, Label, Ledger, Sale, Watch, Window
from stream.products.row import CARTS, ORDERS, UNITS, VIEWS, WIDTH, WISHES, ProductRow
from stream.products.scoring import score
from stream.products.serving import POTENTIAL_HORIZONS, Serving, corrected
from stream.rows import Rows
from stream.settings import Stage
from stream.shards import (
    MOST_RENEWED,
    Batch,
    Changes,
    Letter,
    Memory,
    Publication,
    Put,
    Rank,
    Say,
    Unrank,
)
from stream.units import DAY, HOUR, Millis, rfc3339
from stream.wire import Entry, Inbox, pack

ACTIVE = 8 * DAY
"""A product is looked at at each bucket's close until it has been quiet for so long."""
KEPT_BUCKETS = 15 * DAY
STRIDES = {HOUR: 4 * HOUR, DAY: 6 * HOUR, 7 * DAY: DAY}
"""How far apart the forecasts of one product lie that are learned from, by horizon."""
QUIET_VIEWS = 20.0
"""Faded views of a week under which a product is quiet, and forecast …"""
QUIET_RARER = 6
"""… so many times more rarely: most products are, and there is little to learn from them."""
TOLD_AT = 0.005
"""Change of a score that is worth an entry in the score streams."""
MOST_SAID = 10_000
SLOTS = {"view_item": VIEWS, "select_item": VIEWS, "add_to_cart": CARTS, "add_to_wishlist": WISHES}


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
    """

    partitions: int
    ahead: int
    bucket: int
    wait: int
    window: int
    rows: int


class ProductsShard:
    """Everything known of the products of one partition."""

    stage: Stage = "products"

    def __init__(self, partition: int, plan: ProductsPlan, memory: Memory) -> None:
        """Wake up where the checkpoint says."""
        notes = memory.notes
        self.partition = partition
        self._name = f"products.{partition}"
        self._plan = plan
        self._birth = memory.birth
        self._read: dict[str, int] = orjson.loads(notes.get("positions", b"{}"))
        self._queue: deque[tuple[str, int, Any]] = deque()
        self._inbox = Inbox(memory.birth, orjson.loads(notes.get("inbox", b"{}")))
        self._clock = Clock(notes.get("clock"))
        self.counts = Counter(orjson.loads(notes.get("counts", b"{}")))
        self._serial: int = orjson.loads(notes.get("serial", b"0"))
        self._since: int = orjson.loads(notes.get("since", b"0"))
        self._ledger = Ledger(plan.wait, plan.window, plan.bucket, memory.waiting)
        self._rows: Rows[ProductRow] = Rows(plan.rows, ProductRow.decode)
        self._serving = Serving()
        self._sums = CategorySums()
        self._candidates = Candidates()
        self._now: Millis | None = None
        self._work: list[Entry | Window | Watch] = []
        self._heard: list[tuple[str, int]] = []
        self._letters: list[Letter] = []
        self._examples: list[Entry] = []
        self._stale: dict[str, None] = dict.fromkeys(orjson.loads(notes.get("stale", b"[]")))
        self._stirred = False

    @property
    def watermark(self) -> Millis:
        """Event time up to which everything is believed to be known."""
        return self._clock.watermark

    def serve(self, serving: Serving) -> None:
        """Use these models from now on."""
        self._serving = serving

    def positions(self) -> dict[str, int]:
        """Next offset to read, by topic; topics never read are left out."""
        waiting: dict[str, int] = {}
        for topic, offset, _ in self._queue:
            waiting.setdefault(topic, offset)
        return {**self._read, **waiting}

    def offer(self, batch: Batch, now: Millis | None) -> None:
        """Read a batch and queue what it says."""
        self._now = now
        self._read.setdefault(batch.topic, 0)
        if not batch.records:
            return
        if batch.topic == "catalog":
            decoded = decode("catalog", batch.records, self._plan.ahead)
            self._queue.extend(("catalog", offset, event) for _, offset, event in decoded)
        else:
            self._queue.extend((batch.topic, r.offset, r.value) for r in batch.records)
        self._read[batch.topic] = batch.records[-1].offset + 1
        self._stirred = True

    def due(self, limit: int) -> Sequence[str] | None:
        """Choose what time has told, then what was read; name the rows missing for it."""
        work = self._work
        labels = False
        for told in self._ledger.pop(self._clock.watermark, limit):
            if isinstance(told, Label):
                self._label(told)
                labels = True
            else:
                work.append(told)
        while self._queue and len(work) < limit:
            topic, offset, said = self._queue.popleft()
            if isinstance(said, Refused):
                self._letters.append(dead_letter("catalog", self.partition, said))
                self.counts[f"refused:{said.refusal.reason}"] += 1
            elif topic == "catalog":
                work.append(
                    [
                        f"catalog.{self.partition}",
                        offset,
                        "catalog",
                        said["time"],
                        said["product_id"],
                        said,
                    ]
                )
            elif said and (message := self._inbox.open(said)) is not None:
                work.extend(message.entries)
                self._heard.append((message.sender, message.mark))
        products = dict.fromkeys(_product(w) for w in work)
        products.pop("", None)  # an erasure is no product's
        missing = self._rows.missing({**products, **dict.fromkeys(self._next_scored())})
        return missing if work or labels or missing or self._heard else None

    def _next_scored(self) -> list[str]:
        """Products that are scored next: those that have waited for it longest."""
        return list(islice(self._stale, MOST_RENEWED))

    def fold(self, found: Mapping[str, bytes | None]) -> None:
        """Fold the chosen work into the products' rows, in order."""
        self._rows.add(found)
        for work in self._work:
            match work:
                case Window():
                    self._settle(work)
                case Watch():
                    self._close(work, self._clock.watermark)
                case _:
                    self._happen(work)
        self._work.clear()
        self._hear()
        self._stirred = True

    def _hear(self) -> None:
        for sender, mark in self._heard:
            if mark:
                self._clock.hear(sender, mark, self._now)
        self._heard.clear()

    def _happen(self, entry: Entry) -> None:
        _source, _offset, kind, time, product, *more = entry
        if kind == "erase":
            self._ledger.erase(more[0], time)
            return
        if kind == "catalog":
            self._list(entry, more[0])
            return
        if kind == "forget":
            self._candidates.drop(product, more[0])
            return
        customer, _event_id, category, price, quantity, lines, weight, known = more
        row = self._rows.change(product)
        self._since = min(self._since or time, time)
        self._look(product, row, time)
        row.hear(category, price)
        self.counts["events"] += 1
        if kind == "purchase":
            self._count(row, ORDERS, time, lines)
            self._count(row, UNITS, time, quantity)
            row.sell(quantity, time // self._plan.bucket)
            self._sell(product, customer, time, keep=weight > 0)
        elif kind == "refund":
            self._count(row, ORDERS, time, -lines)
            self._count(row, UNITS, time, -quantity)
            row.sell(-quantity, time // self._plan.bucket)
        else:
            if known is not None and customer:
                self._click(entry, row)
            if kind in SLOTS:
                self._count(row, SLOTS[kind], time, 1)
            self._sums.price(row.category, time, price)

    def _count(self, row: ProductRow, kind: int, time: int, amount: int) -> None:
        if amount:
            row.totals[kind] += amount
            row.count(kind, time, amount)
            self._sums.add(row.category, time, kind, amount)

    def _look(self, product: str, row: ProductRow, time: int) -> None:
        """Close the buckets that end before this event, so that forecasts know nothing of it."""
        bucket = self._plan.bucket
        if not row.closed:
            row.closed = time // bucket
        elif time // bucket > row.closed:
            self._forecast(product, row, time // bucket)
        self._ledger.watch(product, (row.closed + 1) * bucket)

    def _close(self, watch: Watch, watermark: int) -> None:
        """Look at a product whose bucket has closed; keep looking while it is alive."""
        product, bucket = watch.product, self._plan.bucket
        row = self._rows.change(product)
        self._forecast(product, row, watermark // bucket)
        # Not by the watermark: where it has leapt, forecasts of before are still to be told.
        row.prune((watch.due - KEPT_BUCKETS) // bucket)
        if row.at > watermark - ACTIVE:
            self._ledger.watch(product, (row.closed + 1) * bucket)

    def _forecast(self, product: str, row: ProductRow, until: int) -> None:
        """Let forecasts made at bucket boundaries wait for their horizon.

        None for when the product was quiet: made because it sells again, they would all come true.
        """
        bucket = self._plan.bucket
        offset = crc32(product.encode())
        rarer = QUIET_RARER if row.faded_at(row.at)[2 * WIDTH + VIEWS] < QUIET_VIEWS else 1
        for boundary in range(row.closed + 1, min(until, (row.at + ACTIVE) // bucket) + 1):
            for horizon, stride in STRIDES.items():
                if (
                    horizon >= bucket
                    and (boundary + offset) % max(1, rarer * stride // bucket) == 0
                ):
                    self._ledger.forecast(
                        Window(product, boundary, horizon, self._tail(row, boundary, horizon))
                    )
        row.closed = max(row.closed, until)

    def _tail(self, row: ProductRow, boundary: int, horizon: int) -> bytes:
        """Note what is predicted at a boundary, and from what."""
        serving, bucket = self._serving, self._plan.bucket
        time = boundary * bucket
        x = features(row, time, bucket, self._category_price(row))
        # Whether demand rises can be told once a whole horizon lies behind: before that, all does.
        told = horizon in POTENTIAL_HORIZONS and time - horizon >= self._since
        chances = [probability(v) for v in serving.potential[horizon].both(x)] if told else []
        model, rule = serving.demand[horizon].both(x)
        spread = serving.spread[horizon]
        expected = [units(model), units(rule), units(model + spread.p10), units(model + spread.p90)]
        last = row.sold(boundary - horizon // bucket, boundary)
        return orjson.dumps([time, last, rounded(chances), rounded(expected), rounded(x)])

    def _settle(self, window: Window) -> None:
        """A horizon has passed: tell the learner what was sold in it."""
        row = self._rows[window.product]
        sold = row.sold(window.bucket, window.bucket + window.horizon // self._plan.bucket)
        self._example(
            "window", window.product, window.horizon, max(0.0, sold), orjson.Fragment(window.tail)
        )
        self.counts["windows"] += 1

    def _click(self, entry: Entry, row: ProductRow) -> None:
        """Predict a conversion, and let the click wait for its label if it is in the sample."""
        _, _, kind, time, product, customer, *_, weight, known = entry
        serving = self._serving
        x = click_features(known, kind, row, time, self._category_price(row))
        model, rule = (probability(v) for v in serving.conversion.both(x))
        model = corrected(model, serving.in_time)
        served = model if serving.conversion.trusted else rule
        row.expect(served, time)
        if kind != "remove_from_cart" and not self._ledger.bought_since(customer, product, time):
            self._candidates.put(product, customer, served)
        if weight:
            tail = orjson.dumps(
                [time, weight, round(model, 6), round(rule, 6), row.category, rounded(x)]
            )
            self._ledger.click(Click(time, customer, product, tail))

    def _sell(self, product: str, customer: str, time: int, *, keep: bool) -> None:
        if not customer:
            return
        self._candidates.drop(product, customer)
        for label in self._ledger.sale(Sale(time, customer, product), keep=keep):
            self._label(label)

    def _label(self, label: Label) -> None:
        self.counts["positives" if label.positive else "negatives"] += 1
        self._example(
            "click", label.positive, label.late, label.delay, orjson.Fragment(label.click.tail)
        )

    def _example(self, kind: str, *what: Any) -> None:
        self._serial += 1
        self._examples.append([self._name, self._serial, kind, *what])

    def _list(self, entry: Entry, said: dict[str, Any]) -> None:
        """Take the catalogue's word for a product, or hand it on to where the product belongs."""
        product = said["product_id"]
        where = home(product, self._plan.partitions)
        if where != self.partition:
            for value in pack(self._name, self._birth, 0, [entry]):
                self._letters.append(Letter("activity", where, None, value))
            self.counts["strays"] += 1
            return
        row = self._rows[product]
        self.counts["listings"] += 1
        if said["time"] < row.told:
            return
        self._rows.change(product)
        row.told = said["time"]
        row.category = said["category"]
        row.title, row.brand = said.get("title"), said.get("brand")
        row.stock, row.lead, row.listed = (
            said.get("stock"),
            said.get("lead_time_days"),
            said.get("listed_at"),
        )
        if said.get("price") is not None:
            row.price = said["price"]
            row.usual = row.usual if row.usual is not None else row.price

    def _category_price(self, row: ProductRow) -> float | None:
        return None if row.category is None else self._serving.category_prices.get(row.category)

    def tick(self, now: Millis) -> None:
        """Let time pass, also in a quiet shop."""
        self._now = now
        self._clock.tick(now)

    def full(self) -> Iterable[str]:
        """Nothing here waits for another topic."""
        return ()

    def changes(self) -> Changes | None:
        """Everything since the last call; the changed products are scored."""
        if not (self._stirred or self._stale):
            return None
        self._stale.update(self._rows.changed)
        published = self._published()
        rows: dict[str, bytes | None] = {
            id_: self._rows[id_].encode() for id_ in self._rows.changed
        }
        for entry in self._sums.entries():
            self._example("category", *entry)
        examples, self._examples = self._examples, []
        letters, self._letters = self._letters, []
        if examples:
            mark = self._clock.watermark
            letters.extend(
                Letter("examples", 0, None, v)
                for v in pack(self._name, self._birth, mark, examples)
            )
        changes = Changes(
            rows=rows,
            waiting=self._ledger.changes(),
            notes=self._notes(),
            letters=letters,
            published=published,
        )
        self._rows.stored(self._stale)
        self._stirred = False
        return changes

    def _notes(self) -> dict[str, bytes]:
        return {
            "positions": orjson.dumps(self.positions()),
            "inbox": self._inbox.state(),
            "clock": self._clock.state(),
            "counts": orjson.dumps(self.counts),
            "serial": orjson.dumps(self._serial),
            "since": orjson.dumps(self._since),
            "stale": orjson.dumps(list(self._stale)),
        }

    def _published(self) -> list[Publication]:
        published: list[Publication] = []
        ranks: dict[str, dict[str, float]] = {}
        for product in self._next_scored():
            if product in self._rows:
                del self._stale[product]
                published.extend(self._scored(product, self._rows.change(product), ranks))
        published.extend(Rank(key, scores) for key, scores in ranks.items())
        published.extend(self._candidates.publications())
        return published

    def _scored(
        self, product: str, row: ProductRow, ranks: dict[str, dict[str, float]]
    ) -> Iterable[Publication]:
        document = score(
            row, self._serving, self._clock.watermark, self._plan.bucket, {"product": product}
        )
        value, before = document["score"], row.score
        raw = orjson.dumps(document)
        yield Put(keys.score(product), raw)
        if not row.at:
            return  # listed, but nobody has looked at it yet
        if row.ranked is not None and row.ranked != row.category:
            yield Unrank(keys.top_products(row.ranked), [product])
        row.ranked = row.category
        ranks.setdefault(keys.top_products(), {})[product] = value
        if row.category is not None:
            ranks.setdefault(keys.top_products(row.category), {})[product] = value
        if before is None or abs(value - before) >= TOLD_AT:
            row.score = value
            self._letters.append(Letter("scores", None, product.encode(), raw))
            yield Say(
                keys.SCORE_CHANGES,
                {
                    "product": product,
                    "score": str(value),
                    "previous": "" if before is None else str(before),
                    "as_of": rfc3339(self._clock.watermark),
                },
                MOST_SAID,
            )


def _product(work: Entry | Window | Watch) -> str:
    if isinstance(work, Window | Watch):
        return work.product
    product: str = work[4]
    return product
