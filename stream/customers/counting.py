"""What an event does: to its customer's row, and to what the products stage is told."""

from collections import Counter
from typing import Any

from stream.customers.activity import Activity
from stream.customers.known import known
from stream.customers.looking import Looking
from stream.customers.returning import ANONYMOUS
from stream.customers.row import (
    BOUGHT,
    CARTS,
    LEFT,
    MOST_LINES,
    MOST_ORDERS,
    MOST_PAIRS,
    MOST_REFUNDS,
    PRICE,
    PRODUCT,
    VIEWS,
    CustomerRow,
)
from stream.customers.sampling import BOOST, Sampling

INTEREST = {
    "view_item": 1.0,
    "select_item": 1.0,
    "add_to_wishlist": 3.0,
    "add_to_cart": 5.0,
    "remove_from_cart": -4.0,
}
"""What an event says of the interest in its category."""
BUYING = 10.0


Work = tuple[str, int, str, dict[str, Any]]
"""One event whose turn has come: source and offset where it was read, customer, event."""


class Counting:
    """Counts each event once.

    Attributes:
        counts: What was counted, and what was not, by kind.
    """

    __slots__ = ("_activity", "_looking", "_sampling", "counts")

    def __init__(
        self, activity: Activity, sampling: Sampling, looking: Looking, counts: Counter[str]
    ) -> None:
        self._activity = activity
        self._sampling = sampling
        self._looking = looking
        self.counts = counts

    def count(self, work: Work, row: CustomerRow) -> None:
        """Count an event in its customer's row, unless it was counted before."""
        event = work[3]
        if not row.is_new(event["event_id"], event["time"]):
            self.counts["duplicates"] += 1
            return
        if 0 < row.look <= event["time"]:
            self._looking.look(work[2], row, event["time"])
        kind = event["type"]
        if kind in INTEREST:
            self._click(work, row)
        elif kind == "purchase":
            self._purchase(work, row)
        else:
            self._refund(work, row)

    def _click(self, work: Work, row: CustomerRow) -> None:
        source, offset, customer, event = work
        kind, time, product = event["type"], event["time"], event["product_id"]
        category = event.get("category")
        self.counts["clicks"] += 1
        price, first = event.get("price"), int(product not in row.pairs)
        entry = [source, offset, kind, time, product, customer, category, price, first]
        if time <= row.erased:
            entry[5], entry[8] = "", 0
            self._activity.tell(entry)
            return
        weight = self._sampling.weigh(kind, time, customer, product)
        if weight or kind in BOOST:
            entry += (weight, known(row, product, category, time))
        row.visit(time, event.get("session_id"))
        row.clicks += 1
        if category is not None:
            row.like(category, INTEREST[kind], time)
        pair = row.pair(product, time)
        if kind in ("view_item", "select_item"):
            pair[VIEWS] += 1
        elif kind == "remove_from_cart":
            pair[CARTS] = max(0, pair[CARTS] - 1)
        else:
            pair[CARTS] += 1
            row.session_carts += 1
        self._activity.tell(entry)
        if len(row.pairs) > MOST_PAIRS:
            self._forget_pairs(work, row)

    def _purchase(self, work: Work, row: CustomerRow) -> None:
        source, offset, customer, event = work
        order, time, items = event["order_id"], event["time"], event["items"]
        if order in row.orders:
            self.counts["duplicates"] += 1
            return
        self.counts["purchases"] += 1
        named = time > row.erased
        lines = [[item["product_id"], item["quantity"], item["price"]] for item in items]
        for item in items:
            product = item["product_id"]
            self._activity.tell(
                [
                    *(source, offset, "purchase", time, product, customer if named else ""),
                    *(item.get("category"), item["price"], item["quantity"], 1),
                    self._sampling.keeps("add_to_cart", customer, product),
                ]
            )
        row.orders[order] = (time, lines)
        if named:
            row.visit(time, row.session or None)
            row.order_count += 1
            row.line_count += len(lines)
            row.spend += sum(line[LEFT] * line[PRICE] for line in lines)
            row.last_order = max(row.last_order, time)
            row.published = 0
            if not event["user_id"].startswith(ANONYMOUS):
                self._looking.follow(customer, row, time)
            for item in items:
                if item.get("category") is not None:
                    row.like(item["category"], BUYING, time)
                pair = row.pair(item["product_id"], time)
                pair[BOUGHT] += 1
                pair[CARTS] = 0
            self._forget_pairs(work, row)
        for product, quantity in row.refunds.pop(order, ()):
            self._take_back(work, row, order, product, quantity)
        lines_kept = sum([len(kept) for _, kept in row.orders.values()])
        while len(row.orders) > MOST_ORDERS or lines_kept > MOST_LINES:
            lines_kept -= len(row.orders.pop(next(iter(row.orders)))[1])
            self.counts["orders_forgotten"] += 1

    def _refund(self, work: Work, row: CustomerRow) -> None:
        event = work[3]
        order = event["order_id"]
        self.counts["refunds"] += 1
        for item in event["items"]:
            if order in row.orders:
                self._take_back(work, row, order, item["product_id"], item["quantity"])
            else:
                row.refunds.setdefault(order, []).append((item["product_id"], item["quantity"]))
        waiting = sum(map(len, row.refunds.values()))
        while len(row.refunds) > MOST_REFUNDS or waiting > MOST_LINES:
            waiting -= len(row.refunds.pop(next(iter(row.refunds))))
            self.counts["refunds_forgotten"] += 1

    def _take_back(
        self, work: Work, row: CustomerRow, order: str, product: str, quantity: int
    ) -> None:
        """Take back what a purchase counted: no more than it did, and at its own time."""
        source, offset, _, _ = work
        time, lines = row.orders[order]
        for line in lines:
            back = min(quantity, line[LEFT]) if line[PRODUCT] == product else 0
            if back:
                quantity -= back
                line[LEFT] -= back
                if time > row.erased:
                    row.spend -= back * line[PRICE]
                    row.published = 0
                self._activity.tell(
                    [
                        *(source, offset, "refund", time, product, ""),
                        *(None, None, back, int(line[LEFT] == 0), 0.0),
                    ]
                )

    def _forget_pairs(self, work: Work, row: CustomerRow) -> None:
        for product in row.forgotten_pairs():
            self._forget(work, product)
            self.counts["pairs_forgotten"] += 1

    def _forget(self, work: Work, product: str) -> None:
        source, offset, customer, event = work
        self._activity.tell([source, offset, "forget", event["time"], product, customer])

    def erase(self, work: Work, row: CustomerRow) -> bool:
        """Forget a customer up to the time of the request; False if that has been done."""
        source, offset, customer, event = work
        until = event["time"]
        if until <= row.erased:
            return False
        for product in row.pairs:
            self._forget(work, product)
        self._activity.tell_all([source, offset, "erase", until, "", customer])
        row.forget(until)
        self.counts["erased"] += 1
        return True
