"""What happens to a product: what is counted, what is predicted, and what waits for its label."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import orjson

from stream.customers.activity import PLAIN_CLICK
from stream.models.linear import probability
from stream.products.candidates import Candidates
from stream.products.categories import CategorySums
from stream.products.features import click_features, rounded
from stream.products.forecasts import ClickPrediction
from stream.products.foresight import WEEK, Foresight, Strides
from stream.products.ledger import Click, Label, Ledger, Sale, Window
from stream.products.row import CARTS, ORDERS, UNITS, VIEWS, WIDTH, WISHES, ProductRow
from stream.products.serving import Serving
from stream.rows import Rows
from stream.units import DAY, HOUR
from stream.wire import Entry

STRIDES = {HOUR: 6 * HOUR, DAY: DAY, WEEK: DAY}
"""How far apart the forecasts of one product lie that are learned from, by horizon."""
QUIET_STRIDES = {HOUR: 36 * HOUR, DAY: 6 * DAY, WEEK: 0}
"""The same of a quiet product: there is little to learn from it. 0: only where weeks begin."""
QUIET_VIEWS = 20.0
"""Faded views of a week under which a product is quiet. Most are."""
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
        foresight: Makes forecasts; it has the models, and the time of the first event.
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
            since: Time of the first event, ms; 0 if there was none.
            counts: See above.
            predicted: Is told each prediction of a conversion.
        """
        self.counts = counts
        self.examples: list[Entry] = []
        self.candidates = Candidates()
        self._sums = CategorySums()
        self._lines: dict[int, float] = {}
        self._rows = rows
        self._ledger = ledger
        self._bucket = bucket
        self.foresight = Foresight("product", rows, ledger, bucket, since, strides=_strides)
        self._predicted = predicted

    @property
    def serving(self) -> Serving:
        """The models."""
        return self.foresight.serving

    def happen(self, entry: Entry) -> None:
        """Count what the customers stage tells."""
        kind = entry[2]
        if kind in SLOTS:
            self._click(entry)
        elif kind == "forget":
            self.candidates.drop(entry[4], entry[5])
        elif kind == "erase":
            for product in sorted(self._ledger.erase(entry[5], entry[3])):
                self.candidates.drop(product, entry[5])
        else:
            self._order(entry)

    def _touched(
        self, product: str, time: int, category: str | None, price: float | None
    ) -> ProductRow:
        """The product's row, when something has happened to it."""
        row = self._rows.change(product)
        self.foresight.happen(product, row, time)
        row.hear(category, price)
        self.counts["events"] += 1
        return row

    def _click(self, entry: Entry) -> None:
        kind, time, product, customer, category, price, first = entry[2:PLAIN_CLICK]
        row = self._touched(product, time, category, price)
        if len(entry) > PLAIN_CLICK and customer:
            self._predict(entry, row)
        slot = SLOTS[kind]
        if slot is not None:
            row.totals[slot] += 1
            row.count(slot, time, 1)
            if first:
                row.welcome(time, 1.0)
        self._sums.click(row.category, time, slot, price, first)

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
        kind, time, product, customer, _, _, _, weight, known = entry[2:]
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

    def settle(self, window: Window) -> None:
        """A horizon has passed: tell the learner what was sold in it."""
        sold = self.foresight.sold(window)
        if sold is None:
            self.counts["sold_out"] += 1
            return
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


def _strides(row: ProductRow) -> Strides:
    quiet = row.faded_at(row.at)[2 * WIDTH + VIEWS] < QUIET_VIEWS
    return QUIET_STRIDES if quiet else STRIDES
