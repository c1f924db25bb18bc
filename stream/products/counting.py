"""What happens to a product: what is counted, what is predicted, and what waits for its label."""

from collections import Counter
from collections.abc import Callable
from typing import Any
from zlib import crc32

import orjson

from stream.customers.activity import PLAIN_CLICK
from stream.models.linear import probability
from stream.products.candidates import Candidates
from stream.products.categories import CategorySums
from stream.products.features import click_features, rounded
from stream.products.forecasting import Prospect, noted
from stream.products.forecasts import ClickPrediction
from stream.products.ledger import Click, Label, Ledger, Sale, Watch, Window
from stream.products.row import CARTS, ORDERS, UNITS, VIEWS, WIDTH, WISHES, ProductRow
from stream.products.serving import Serving
from stream.rows import Rows
from stream.units import DAY, HOUR
from stream.wire import Entry

ACTIVE = 8 * DAY
"""A product is looked at at each bucket's close until it has been quiet for so long."""
WEEK = 7 * DAY
REMEMBERED = 26 * WEEK
"""After that it is dormant: looked at once a week, and no more when it has been quiet so long."""
KEPT_BUCKETS = 15 * DAY
STRIDES = {HOUR: 6 * HOUR, DAY: DAY, WEEK: DAY}
"""How far apart the forecasts of one product lie that are learned from, by horizon."""
QUIET_STRIDES = {HOUR: 36 * HOUR, DAY: 6 * DAY, WEEK: 0}
"""The same of a quiet product: there is little to learn from it. 0: only where weeks begin."""
QUIET_VIEWS = 20.0
"""Faded views of a week under which a product is quiet. Most are."""
WEEKLY, BETWEEN = 4.0, 0.5
"""Weight of a week's forecast that begins where a week of the log begins, and of one between."""
SLOTS = {
    "view_item": VIEWS,
    "select_item": VIEWS,
    "add_to_cart": CARTS,
    "add_to_wishlist": WISHES,
    "remove_from_cart": None,
}
"""What each click counts as; None: as nothing."""


class Counting:
    """Counts what happened, and notes what is to be learned from it.

    Attributes:
        serving: The models.
        since: Time of the first event.
        counts: How much was counted, by kind.
        examples: What the learner is to be told: [kind, …].
    """

    def __init__(
        self,
        rows: Rows[ProductRow],
        ledger: Ledger,
        bucket: int,
        since: int,
        counts: Counter[str],
        *,
        predicted: Callable[[ClickPrediction], None] | None = None,
    ) -> None:
        """Work on a shard's rows and ledger.

        Args:
            rows: Those of the work that will be handed over are in memory.
            ledger: What waits for its label.
            bucket: Length of a demand bucket, ms.
            since: See above; 0 if there was none.
            counts: See above.
            predicted: Is told each prediction of a conversion.
        """
        self.serving = Serving()
        self.since = since
        self.counts = counts
        self.examples: list[Entry] = []
        self.candidates = Candidates()
        self._sums = CategorySums()
        self._lines: dict[int, float] = {}
        self._rows = rows
        self._ledger = ledger
        self._bucket = bucket
        self._predicted = predicted

    def happen(self, entry: Entry) -> None:
        """Count what the customers stage tells."""
        kind = entry[2]
        if kind in SLOTS:
            self._click(entry)
        elif kind == "forget":
            self.candidates.drop(entry[4], entry[5])
        elif kind == "erase":
            self._ledger.erase(entry[5], entry[3])
        else:
            self._order(entry)

    def _touched(
        self, product: str, time: int, category: str | None, price: float | None
    ) -> ProductRow:
        """The product's row, when something has happened to it."""
        row = self._rows.change(product)
        if not self.since or time < self.since:
            self.since = time
        bucket = time // self._bucket
        # What ends before this event is closed first, so that forecasts know nothing of it.
        if not row.closed:
            row.closed = bucket
        elif bucket > row.closed:
            self._forecast(product, row, bucket, self._ledger.followed(product))
        self._ledger.watch(product, (row.closed + 1) * self._bucket)
        row.hear(category, price)
        self.counts["events"] += 1
        return row

    def _click(self, entry: Entry) -> None:
        kind, time, product, customer, category, price = entry[2:PLAIN_CLICK]
        row = self._touched(product, time, category, price)
        if len(entry) > PLAIN_CLICK and customer:
            self._predict(entry, row)
        slot = SLOTS[kind]
        if slot is not None:
            row.totals[slot] += 1
            row.count(slot, time, 1)
        self._sums.click(row.category, time, slot, price)

    def _order(self, entry: Entry) -> None:
        _, _, kind, time, product, customer, category, price, quantity, lines, weight = entry
        row = self._touched(product, time, category, price)
        sign = 1 if kind == "purchase" else -1
        for slot, amount in ((ORDERS, sign * lines), (UNITS, sign * quantity)):
            if amount:
                row.totals[slot] += amount
                row.count(slot, time, amount)
                self._sums.order(row.category, time, slot, amount)
        course = self.serving.promotions.course(product, row.category)
        row.sell(sign * quantity, time, self._bucket, lines, course)
        hour = time // HOUR
        self._lines[hour] = self._lines.get(hour, 0.0) + sign * lines
        if kind == "purchase" and customer:
            self.candidates.drop(product, customer)
            for label in self._ledger.sale(Sale(time, customer, product), keep=weight > 0):
                self.label(label)

    def _predict(self, entry: Entry, row: ProductRow) -> None:
        """Predict a conversion, and let the click wait for its label if it is in the sample."""
        kind, time, product, customer, _, _, weight, known = entry[2:]
        serving = self.serving
        x = click_features(known, kind, row, time, self._category_price(row))
        model, rule = (probability(v) for v in serving.conversion.both(x))
        served = model if serving.conversion.trusted else rule
        row.expect(served, time)
        if self._predicted is not None:
            self._predicted(ClickPrediction(time, customer, product, kind, served, model, rule, x))
        if kind != "remove_from_cart" and not self._ledger.bought_since(customer, product, time):
            self.candidates.put(product, customer, served)
        if weight:
            tail = orjson.dumps(
                [time, weight, round(model, 6), round(rule, 6), row.category, rounded(x)]
            )
            self._ledger.click(Click(time, customer, product, tail))

    def close(self, watch: Watch, watermark: int) -> None:
        """Look at a product whose bucket has closed; keep looking while it is alive."""
        product, bucket = watch.product, self._bucket
        row = self._rows.change(product)
        look = watch.due if watch.dormant else self._ledger.followed(product)
        self._forecast(product, row, watermark // bucket, look)
        # Not by the watermark: where it has leapt, forecasts of before are still to be told.
        row.prune((watch.due - KEPT_BUCKETS) // bucket)
        if row.at > watermark - ACTIVE:
            self._ledger.watch(product, (row.closed + 1) * bucket)
        elif row.at > watermark - REMEMBERED:
            self._ledger.follow(product, self._next_look(product, row.closed) * bucket)

    def _next_look(self, product: str, boundary: int) -> int:
        """Say when to look at a dormant product: all of them at once would be a burden."""
        week = WEEK // self._bucket
        return boundary + week - (boundary + crc32(product.encode())) % week

    def _forecast(self, product: str, row: ProductRow, until: int, look: int) -> None:
        """Let forecasts made at bucket boundaries wait for their horizon.

        Args:
            product: Its id.
            row: What is known of it.
            until: The last boundary.
            look: When it is to be looked at if it is dormant, ms; 0 if it is not followed.
        """
        bucket = self._bucket
        active = (row.at + ACTIVE) // bucket
        for boundary in range(row.closed + 1, min(until, active) + 1):
            self._close(product, row, boundary)
            if due := self._due(product, row, boundary):
                self._note(product, row, boundary, due, weekly=self._begins_week(boundary))
        if row.closed <= active and self._ledger.has_room:
            look = self._next_look(product, active) * bucket
        # Not looked at because it sells again: forecasts made for that would all come true.
        last = min(until, (row.at + REMEMBERED) // bucket)
        while look and look // bucket <= last:
            if look // bucket > row.closed:
                self._close(product, row, look // bucket)
                self._note(product, row, look // bucket, [WEEK], weekly=True)
            look += WEEK
        if until > row.closed:
            self._close(product, row, until)

    def _close(self, product: str, row: ProductRow, boundary: int) -> None:
        """What has come before a boundary is known."""
        if row.stock == 0.0:
            serving = self.serving
            course = serving.promotions.course(product, row.category)
            row.sell_out(
                row.closed,
                boundary,
                self._bucket,
                serving.rhythm,
                course=course,
                usual=serving.response,
            )
        row.closed = boundary

    def _due(self, product: str, row: ProductRow, boundary: int) -> list[int]:
        """Horizons that are forecast at a boundary, to be learned from."""
        bucket = self._bucket
        quiet = row.faded_at(row.at)[2 * WIDTH + VIEWS] < QUIET_VIEWS
        offset = crc32(product.encode())
        due = [
            horizon
            for horizon, stride in (QUIET_STRIDES if quiet else STRIDES).items()
            if horizon >= bucket and stride and (boundary + offset) % max(1, stride // bucket) == 0
        ]
        if self._begins_week(boundary) and WEEK not in due:
            due.append(WEEK)
        return due

    def _begins_week(self, boundary: int) -> bool:
        """Whether a week of the log begins there."""
        first = self.since // DAY * DAY // self._bucket
        return (boundary - first) % (WEEK // self._bucket) == 0

    def _note(
        self, product: str, row: ProductRow, boundary: int, horizons: list[int], *, weekly: bool
    ) -> None:
        """Note what is predicted at a boundary, and from what."""
        serving, bucket = self.serving, self._bucket
        time = boundary * bucket
        prospect = Prospect(product, row, serving, time=time, boundary=boundary, bucket=bucket)
        for horizon in horizons:
            # Whether demand rises can be told once a whole horizon lies behind: before, all does.
            told = time - horizon >= self.since
            made = noted(prospect, serving, time=time, horizon=horizon, told=told)
            if horizon == WEEK:
                made = made._replace(weight=WEEKLY if weekly else BETWEEN)
            self._ledger.forecast(Window(product, boundary, horizon, made.encode()))

    def settle(self, window: Window) -> None:
        """A horizon has passed: tell the learner what was sold in it.

        Not if there was nothing to sell: what would have been is not known.
        """
        row, end = self._rows.held[window.product], window.bucket + window.horizon // self._bucket
        if row.sold_out(window.bucket, end):
            self.counts["sold_out"] += 1
            return
        sold = max(0.0, row.sold(window.bucket, end))
        self._tell("window", window.product, window.horizon, sold, orjson.Fragment(window.tail))
        self.counts["windows"] += 1

    def label(self, label: Label) -> None:
        """Time has told of a click: tell the learner."""
        self.counts["positives" if label.positive else "negatives"] += 1
        self._tell(
            "click", label.positive, label.late, label.delay, orjson.Fragment(label.click.tail)
        )

    def _tell(self, *example: Any) -> None:
        self.examples.append(list(example))

    def _category_price(self, row: ProductRow) -> float | None:
        return None if row.category is None else self.serving.category_prices.get(row.category)

    def take_examples(self) -> list[Entry]:
        """What the learner is to be told, once; sums by hour and by category at the end."""
        for hour, lines in self._lines.items():
            self._tell("lines", hour * HOUR, lines)
        self._lines.clear()
        for entry in self._sums.entries():
            self._tell("category", *entry)
        examples, self.examples = self.examples, []
        return examples
