"""The label ledger: what a click comes to, whichever is read first and whenever it is stored."""

from collections import Counter
from typing import Literal, NamedTuple

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from making import BEGIN

from stream.products.ledger import Click, Label, Ledger, Sale, Watch, Window
from stream.shards import at_once
from stream.units import DAY, HOUR, MINUTE

WAIT, WINDOW, BUCKET = HOUR, DAY, HOUR
Told = tuple[int, bool, int, bool]
"""Number of the click, positive, delay in minutes, late."""


class Step(NamedTuple):
    """A click or a purchase that is read, at a minute."""

    kind: Literal["click", "sale"]
    minute: int
    customer: str = "u"
    product: str = "p"


class Book:
    """A ledger, what it is asked to remember, and what it has told."""

    def __init__(self, wait: int = WAIT, window: int = WINDOW) -> None:
        self.spans = (wait, window, BUCKET)
        self.ledger = Ledger(*self.spans, {})
        self.stored: dict[str, bytes] = {}
        self.told: list[Told] = []

    def read(self, *steps: Step) -> None:
        """Read clicks and purchases; a click's tail says which one it is."""
        for step in steps:
            time = BEGIN + step.minute * MINUTE
            if step.kind == "sale":
                self._tell(*self.ledger.sale(Sale(time, step.customer, step.product)))
            else:
                tail = orjson.dumps([step.minute, step.customer, step.product, 0.1])
                self.ledger.click(Click(time, step.customer, step.product, tail))

    def pass_(self, minute: int, limit: int = 10_000) -> None:
        """Let event time reach a minute."""
        told = self.ledger.pop(BEGIN + minute * MINUTE, limit)
        self._tell(*(one for one in told if isinstance(one, Label)))

    def _tell(self, *labels: Label) -> None:
        for click, positive, delay, late in labels:
            minute = orjson.loads(click.tail)[0]
            self.told.append((minute, positive, delay // MINUTE, late))

    def store(self) -> None:
        """Store what has changed, and go on with what was stored."""
        for id_, raw in at_once(self.ledger.storing()).items():
            if raw is None:
                self.stored.pop(id_, None)  # some come and go between two checkpoints
            else:
                self.stored[id_] = raw
        self.ledger = Ledger(*self.spans, self.stored)


def click(minute: int, customer: str = "u", product: str = "p") -> Step:
    """A click at a minute."""
    return Step("click", minute, customer, product)


def sale(minute: int, customer: str = "u", product: str = "p") -> Step:
    """A purchase at a minute."""
    return Step("sale", minute, customer, product)


#   click ──────── wait 1 h ────────┤ positive
#              order at 50 min ✔ nothing is told before the hour is over
def test_an_order_within_the_wait_is_one_positive() -> None:
    """Told when the wait ends, as negatives are, and no negative beside it."""
    book = Book()
    book.read(click(0), sale(50))
    book.pass_(59)
    assert book.told == []
    book.pass_(60)
    assert book.told == [(0, True, 50, False)]
    book.pass_(10_000)
    assert len(book.told) == 1
    assert len(book.ledger) == 0


#   click ──────── wait 1 h ────────┤ negative ──── order at 90 min ✔ late positive
def test_an_order_after_the_wait_is_a_negative_and_a_late_positive() -> None:
    """The learner takes the negative back when it hears of the positive."""
    book = Book()
    book.read(click(0))
    book.pass_(60)
    assert book.told == [(0, False, 0, False)]
    book.read(sale(90))
    assert book.told[1:] == [(0, True, 90, True)]
    book.read(sale(95))
    book.pass_(10_000)
    assert len(book.told) == 2


def test_an_order_that_is_read_before_its_click_is_found() -> None:
    """Purchases wait for clicks that are read after them."""
    book = Book()
    book.read(sale(50), click(0))
    book.pass_(60)
    assert book.told == [(0, True, 50, False)]


def test_a_late_order_that_is_read_before_its_click_tells_both_labels() -> None:
    """The same two as if it had been read in order."""
    book = Book()
    book.read(sale(90), click(0))
    book.pass_(60)
    assert book.told == [(0, False, 0, False), (0, True, 90, True)]


def test_an_order_before_the_click_is_not_its_order() -> None:
    """Nobody clicks because of what comes later."""
    book = Book()
    book.read(sale(0), click(1))
    book.pass_(10_000)
    assert book.told == [(1, False, 0, False)]


def test_when_the_window_is_over_nothing_more_is_told() -> None:
    """The click has got its negative, and is forgotten."""
    book = Book()
    book.read(click(0))
    book.pass_(24 * 60)
    assert len(book.ledger) == 0
    book.read(sale(24 * 60 + 1))
    book.pass_(10_000)
    assert book.told == [(0, False, 0, False)]


def test_bounds_belong_to_their_span() -> None:
    """An order at the very end of the wait, or of the window, is still in it."""
    book = Book()
    book.read(click(0), sale(60), click(0, "v"), sale(24 * 60, "v"), click(7, "w"), sale(7, "w"))
    book.pass_(10_000)
    assert Counter(book.told) == Counter(
        [
            (0, True, 60, False),
            (0, False, 0, False),
            (0, True, 24 * 60, True),
            (7, True, 0, False),
        ]
    )


def test_customers_and_products_are_kept_apart() -> None:
    """An order answers the clicks of its customer on its product, all of them."""
    book = Book()
    book.read(click(0), click(5), click(6, "v"), click(7, "u", "q"), sale(30))
    book.pass_(10_000)
    assert sorted(book.told) == [
        (0, True, 30, False),
        (5, True, 25, False),
        (6, False, 0, False),
        (7, False, 0, False),
    ]


def test_a_window_as_short_as_the_wait_has_no_late_orders() -> None:
    """Every click has one label."""
    book = Book(wait=HOUR, window=HOUR)
    book.read(click(0))
    book.pass_(60)
    book.read(sale(61))
    book.pass_(10_000)
    assert book.told == [(0, False, 0, False)]
    assert len(book.ledger) == 0


pairs = st.tuples(st.sampled_from("uv"), st.sampled_from("pq"))
steps = st.lists(
    st.builds(
        lambda kind, minute, pair: Step(kind, minute, *pair),
        st.sampled_from(["click", "sale"]),
        st.integers(0, 2_000),
        pairs,
    ),
    max_size=25,
)


def expected(steps: list[Step]) -> Counter[Told]:
    """The labels, worked out with all clicks and purchases at hand."""
    labels: Counter[Told] = Counter()
    for one in (s for s in steps if s.kind == "click"):
        delays = [
            s.minute - one.minute for s in steps if s.kind == "sale" and s[2:] == one[2:]
            if 0 <= s.minute - one.minute <= WINDOW // MINUTE
        ]  # fmt: skip
        if not delays or min(delays) > WAIT // MINUTE:
            labels[one.minute, False, 0, False] += 1
        if delays:
            labels[one.minute, True, min(delays), min(delays) > WAIT // MINUTE] += 1
    return labels


@settings(max_examples=150, deadline=None)
@given(steps, st.lists(st.booleans(), min_size=1), st.integers(1, 30))
def test_any_order_of_reading_gives_the_same_labels(
    steps: list[Step], stores: list[bool], limit: int
) -> None:
    """Storing and going on at any point changes nothing either."""
    book = Book()
    for n, step in enumerate(steps):
        book.read(step)
        if stores[n % len(stores)]:
            book.store()
    while book.ledger._entries:
        book.pass_(10_000, limit)
        book.store()
    assert Counter(book.told) == expected(steps)
    assert book.stored == {}


@settings(max_examples=150, deadline=None)
@given(steps, st.lists(st.tuples(st.integers(0, 300), st.booleans()), min_size=1))
def test_time_that_passes_while_reading_changes_no_label(
    steps: list[Step], lags: list[tuple[int, bool]]
) -> None:
    """As long as the watermark does not overtake what is still to be read."""
    steps = sorted(steps, key=lambda step: step.minute)
    book = Book()
    for n, step in enumerate(steps):
        lag, store = lags[n % len(lags)]
        book.pass_(step.minute - 1 - lag)
        book.read(step)
        if store:
            book.store()
    book.pass_(10_000)
    assert Counter(book.told) == expected(steps)
    book.store()
    assert book.stored == {}


@settings(max_examples=100, deadline=None)
@given(steps, st.integers(0, 2_000), st.booleans())
def test_erasing_removes_a_customer_and_nobody_else(
    steps: list[Step],
    until: int,
    store: bool,  # noqa: FBT001 (drawn)
) -> None:
    """Of what was done up to that time nothing waits any more, here or in what is stored."""
    book = Book()
    book.read(*steps)
    book.store()
    gone = book.ledger.erase("u", BEGIN + until * MINUTE)
    assert gone <= {s.product for s in steps if s.customer == "u" and s.minute <= until}
    if store:
        book.store()
    book.pass_(10_000)
    left = [s for s in steps if s.customer != "u" or s.minute > until]
    assert Counter(book.told) == expected(left)


def test_forecasts_and_watches_come_when_they_are_due() -> None:
    """A forecast waits for its horizon, a watched product for its bucket, over a restart too."""
    book = Book()
    bucket = BEGIN // BUCKET
    book.ledger.forecast(Window("p", bucket, DAY, b"[1,2.5]"))
    book.ledger.watch("p", BEGIN + HOUR)
    book.ledger.watch("p", BEGIN + 2 * HOUR)
    book.store()
    assert list(book.ledger.pop(BEGIN + HOUR - 1, 9)) == []
    assert list(book.ledger.pop(BEGIN + HOUR, 9)) == [Watch("p", BEGIN + HOUR)]
    book.store()
    assert list(book.ledger.pop(BEGIN + DAY - 1, 9)) == []
    (window,) = book.ledger.pop(BEGIN + DAY, 9)
    assert window == Window("p", bucket, DAY, b"[1,2.5]", BEGIN + DAY)
    book.store()
    assert book.stored == {}


def test_no_more_than_asked_for_is_handed_out() -> None:
    """After a long silence much is due at once; it is handed out in portions, oldest first."""
    book = Book()
    book.read(*(click(minute) for minute in range(9, -1, -1)))
    book.pass_(1_000, limit=4)
    assert [told[0] for told in book.told] == [0, 1, 2, 3]


def test_whether_a_purchase_is_known() -> None:
    """At or after a time, by this customer and of this product."""
    book = Book()
    book.read(sale(5))
    time = BEGIN + 5 * MINUTE
    assert book.ledger.bought_since("u", "p", time)
    assert not book.ledger.bought_since("u", "p", time + 1)
    assert not book.ledger.bought_since("v", "p", time)
