"""However large a customer, a product or an order gets, what is kept of it stays within bounds.

The bounds are those of docs/security.md. SIZES=1000000 makes it as large as a hostile shop would.
"""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from making import BEGIN, Event, click, purchase, refund, topic_of

from stream.customers.row import (
    MOST_CATEGORIES,
    MOST_LINES,
    MOST_ORDERS,
    MOST_PAIRS,
    MOST_REFUNDS,
    CustomerRow,
)
from stream.customers.sampling import CAPACITY
from stream.events.types import MAX_ID, MAX_ITEMS
from stream.kafka.clients import LARGEST_REQUEST
from stream.learner.categories import MOST_WAITING
from stream.products.candidates import MOST_CANDIDATES
from stream.products.row import ProductRow
from stream.replay import Replay
from stream.settings import Settings
from stream.shards import Changes
from stream.units import SECOND

SIZE = int(os.environ.get("SIZES", "10000"))
ROWS = 1_000
"""Kept in memory, of customers and of products each: the fewest that can be set."""
LARGEST_CUSTOMER = 2_000_000
"""Bytes of a customer's row, with ids as long as they may be."""
LARGEST_PRODUCT = 65_536
SMALL_CUSTOMER = 400
"""Bytes of a customer who was seen once."""
SMALL_PRODUCT = 1_500
SERVED = 1_000_000
"""Bytes of all models together, whatever there is in the shop."""


class Weighed(Replay):
    """A replay that keeps account of what is stored and sent.

    Attributes:
        waiting: What waits, by id, as the hashes in Redis hold it.
        most_waiting: Of any moment.
        largest_letter: Bytes.
    """

    def __init__(self) -> None:
        """Make the smallest installation."""
        settings = Settings(rows=ROWS, partitions=1, _env_file=None)  # type: ignore[call-arg]
        self.waiting: dict[str, bytes] = {}
        self.most_waiting = 0
        self.largest_letter = 0
        super().__init__(settings, "a secret of this test")

    def _deliver(self, changes: Changes) -> None:
        for id_, raw in changes.waiting.items():
            if raw is None:
                self.waiting.pop(id_, None)
            else:
                self.waiting[id_] = raw
        self.most_waiting = max(self.most_waiting, len(self.waiting))
        sizes = [len(letter.value or b"") for letter in changes.letters]
        self.largest_letter = max([self.largest_letter, *sizes])
        super()._deliver(changes)

    def play(self, events: Iterator[Event]) -> "Weighed":
        """Let events go through, and be over."""
        for event in events:
            self.feed(topic_of(event), event)
        self.finish()
        return self

    @property
    def counts(self) -> Counter[str]:
        """What the first stage has counted."""
        return self.customers[0].counts

    def rows(self, stage: str) -> dict[str, bytes]:
        """Rows as they are stored."""
        return self._stored[stage, 0]

    def in_memory(self) -> int:
        """Rows of customers, of products and of categories in memory: the most of the three."""
        rows = (
            self.customers[0]._rows,
            self.products[0]._rows,
            self.learner._categories.rows,
        )
        return max(len(dict(some.everything())) for some in rows)


def one_customer(number: int) -> Iterator[Event]:
    """Somebody who does everything, all the time, with everything, and takes back what was not."""
    dice = Random(1)
    for n in range(number):
        time = BEGIN + n * SECOND
        product = f"p{dice.randrange(5_000)}"
        lines = [(f"p{dice.randrange(5_000)}", 1) for _ in range(dice.choice([1, 3, 30]))]
        match n % 20:
            case 0:
                yield purchase(f"e{n}", time, *lines, order_id=f"o{n}")
            case 1:
                yield refund(f"e{n}", time, *lines, order_id=f"never {n % 4}")
            case 2:
                yield refund(f"e{n}", time, *lines, order_id=f"never {n}")
            case _:
                yield click(f"e{n}", time, product_id=product, category=f"c{dice.randrange(99)}")


def test_one_customer_with_all_events() -> None:
    """Kept are the latest; what is dropped is counted, and every click counts."""
    run = Weighed().play(one_customer(SIZE))
    ((_, raw),) = run.rows("customers").items()
    row = CustomerRow.decode("", raw)
    assert len(raw) <= LARGEST_CUSTOMER
    assert len(row.pairs) <= MOST_PAIRS
    assert len(row.orders) <= MOST_ORDERS
    assert len(row.refunds) <= MOST_REFUNDS
    assert sum(len(lines) for _, lines in row.orders.values()) <= MOST_LINES
    assert sum(map(len, row.refunds.values())) <= MOST_LINES
    assert len(row.categories) <= MOST_CATEGORIES
    counts = run.counts
    assert counts["clicks"] == SIZE * 17 // 20
    assert counts["orders_forgotten"] == counts["purchases"] - len(row.orders) > 0
    assert counts["refunds_forgotten"] > 0
    assert counts["pairs_forgotten"] > 0
    assert run.in_memory() <= 2 * max(ROWS, 5_000)


def test_refunds_of_one_order_that_never_comes_do_not_pile_up() -> None:
    """Each names a thousand products; only so many wait, and those given up are counted."""
    lines = [(f"p{n}", 1) for n in range(MAX_ITEMS)]
    run = Weighed().play(refund(f"r{n}", BEGIN, *lines, order_id="never") for n in range(50))
    ((_, raw),) = run.rows("customers").items()
    row = CustomerRow.decode("", raw)
    assert sum(map(len, row.refunds.values())) <= MOST_LINES
    assert run.counts["refunds_forgotten"] > 0


def test_one_product_with_all_events() -> None:
    """Its row, its candidates and what waits do not grow with them; its totals are exact."""
    events = (
        purchase(f"e{n}", BEGIN + n * SECOND, ("p", 1), user_id=f"u{n}", order_id=f"o{n}")
        if n % 20 == 0
        else click(f"e{n}", BEGIN + n * SECOND, user_id=f"u{n % (SIZE // 2)}", product_id="p")
        for n in range(SIZE)
    )
    run = Weighed().play(events)
    raw = run.rows("products")["p"]
    totals = ProductRow.decode("p", raw).totals
    assert len(raw) <= LARGEST_PRODUCT
    assert totals == [SIZE - SIZE // 20, 0, 0, SIZE // 20, SIZE // 20]
    assert len(run.rankings["candidates:p"]) <= MOST_CANDIDATES
    clicks = [id_ for id_ in run.waiting if id_.startswith("c")]
    assert len(clicks) <= 2 * CAPACITY


def test_many_customers_with_one_event_each() -> None:
    """Redis grows with their number, by so much each; memory does not."""
    events = (
        click(f"e{n}", BEGIN + n * 10, user_id=f"u{n}", product_id=f"p{n % 50}")
        for n in range(SIZE)
    )
    run = Weighed().play(events)
    stored = run.rows("customers")
    assert len(stored) == SIZE
    assert sum(map(len, stored.values())) <= SMALL_CUSTOMER * SIZE
    assert run.in_memory() <= 2 * ROWS
    assert run.counts["clicks"] == SIZE


def test_many_categories() -> None:
    """Each has its documents; models do not grow with them, nor does what waits or is in memory."""
    number = SIZE // 10
    events = (
        made
        for n in range(number)
        for made in (
            click(f"c{n}", BEGIN + n * SECOND, product_id=f"p{n}", category=f"c{n}"),
            purchase(f"o{n}", BEGIN + n * SECOND, (f"p{n}", 1), order_id=f"o{n}"),
        )
    )
    run = Weighed().play(events)
    names = [key for key in run.documents if key.startswith("category:")]
    assert len(names) <= number
    assert len([id_ for id_ in run.waiting if id_.startswith("f")]) <= MOST_WAITING + number * 3
    assert sum(map(len, run.rows("products").values())) <= SMALL_PRODUCT * number
    models = [raw for key, raw in run.documents.items() if key.startswith("model:")]
    assert sum(map(len, models)) <= SERVED
    assert run.in_memory() <= 2 * ROWS


@pytest.mark.parametrize("id_", ["p{:04}", "{:04}" + "x" * (MAX_ID - 4), "{:04}" + "\x01" * 100])
def test_orders_of_a_thousand_lines(id_: str) -> None:
    """All lines count; the customer's row and each message stay within what Kafka takes."""
    number = max(5, SIZE // 1_000)
    lines = [(id_.format(n), 2) for n in range(MAX_ITEMS)]
    run = Weighed().play(
        purchase(f"e{n}", BEGIN + n, *lines, order_id=f"o{n}") for n in range(number)
    )
    ((_, raw),) = run.rows("customers").items()
    assert len(raw) <= LARGEST_CUSTOMER
    assert run.largest_letter < LARGEST_REQUEST
    totals = [ProductRow.decode("", row).totals for row in run.rows("products").values()]
    assert totals == [[0, 0, 0, number, 2 * number]] * MAX_ITEMS
    assert run.counts["orders_forgotten"] == number - MOST_LINES // MAX_ITEMS


def test_the_bounds_are_those_that_are_documented() -> None:
    """Whoever changes one finds it in the documents."""
    text = (Path(__file__).resolve().parents[1] / "docs/security.md").read_text("utf-8")
    bounds: dict[str, Any] = {
        "products of a customer": MOST_PAIRS,
        "orders of a customer": MOST_ORDERS,
        "refunds that wait for their order": MOST_REFUNDS,
        "lines of these orders, and of these refunds": MOST_LINES,
        "categories of a customer": MOST_CATEGORIES,
        "candidates of a product": MOST_CANDIDATES,
        "clicks of a partition that wait for their label": 2 * CAPACITY,
        "forecasts of categories that wait": MOST_WAITING,
        "bytes of a customer's row": LARGEST_CUSTOMER,
        "bytes of a product's row": LARGEST_PRODUCT,
        "bytes of all models": SERVED,
    }
    missing = {n: b for n, b in bounds.items() if f"| {n} | {b:,} |" not in text}
    assert missing == {}
