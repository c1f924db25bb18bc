"""What is known of one customer."""

from binascii import b2a_base64
from collections.abc import Sequence
from hashlib import blake2b
from itertools import islice
from operator import attrgetter
from typing import Any

import orjson

from stream.rows import stored_values
from stream.units import DAY, MINUTE

VERSION = 4
"""Of the stored form; whoever changes `STORED` raises it."""
INTEREST = 30 * DAY
"""Half-life of a customer's interest in a category, ms."""
MOST_HALF_LIVES = 500
"""Interest grows no further so many half-lives after the first, or numbers would overflow."""
SESSION_GAP = 30 * MINUTE
"""Silence after which a new visit begins, where the shop names no sessions."""

MOST_SEEN = 100
"""Fingerprints in one generation: what comes again within a customer's next hundred is known."""
SEEN_SPAN = 7 * DAY
"""A generation of fingerprints is closed after this time, too; two are kept."""
MOST_PAIRS = 50
MOST_ORDERS = 100
MOST_REFUNDS = 20
MOST_LINES = 2_000
"""Lines of all orders together, and of all refunds that wait, whatever their number."""
MOST_CATEGORIES = 12


LAST, VIEWS, CARTS, BOUGHT = range(4)
"""Places in what is kept of a customer and a product: time of the last touch, three counts."""
Pair = list[int]

PRODUCT, LEFT, PRICE = range(3)
"""Places in an order line: its product, the units that were not refunded, the price of one."""
Line = list[Any]

STORED = (
    "before",
    "categories",
    "clicks",
    "erased",
    "first",
    "last",
    "last_order",
    "liked_since",
    "line_count",
    "look",
    "looks",
    "now",
    "now_since",
    "order_count",
    "orders",
    "pairs",
    "published",
    "refunds",
    "session",
    "session_carts",
    "session_events",
    "session_since",
    "spend",
)
_stored = attrgetter(*STORED)


class CustomerRow:
    """What is known of one customer: plain values, lists and dicts, stored as they are.

    Attributes:
        now, before: Fingerprints of the events counted, one after the other, in two generations.
            As text, because a hundred numbers take long to write, to read and to look through.
        orders: Order id → [time, lines], the latest `MOST_ORDERS`.
        refunds: Order id → [[product, quantity]] of refunds that came before their purchase, the
            latest `MOST_REFUNDS`. Of these and of orders no more than `MOST_LINES` lines each.
        categories: Category → faded interest as it stands at `liked_since`, the time of the
            first: what comes later weighs more (forward decay). Only ratios mean anything.
        pairs: Product → what this customer did with it, the latest `MOST_PAIRS`.
        erased: Events up to this time are counted without a name; 0 if never erased.
        look: When to look next whether the customer comes back; 0 while there is nothing to come
            back from, -1 when that has been given up.
        looks: What was predicted, and is not over yet: [time, model, rule, features].
        published: Event time of the last published profile; 0 if another is to follow at once.
    """

    __slots__ = STORED

    def __init__(self) -> None:
        self.first = 0
        self.last = 0
        self.clicks = 0
        self.order_count = 0
        self.line_count = 0
        self.spend = 0.0
        self.last_order = 0
        self.session = ""
        self.session_since = 0
        self.session_events = 0
        self.session_carts = 0
        self.now = ""
        self.now_since = 0
        self.before = ""
        self.orders: dict[str, tuple[int, list[Line]]] = {}
        self.refunds: dict[str, list[tuple[str, int]]] = {}
        self.categories: dict[str, float] = {}
        self.liked_since = 0
        self.pairs: dict[str, Pair] = {}
        self.erased = 0
        self.look = 0
        self.looks: list[list[Any]] = []
        self.published = 0

    def is_new(self, event_id: str, time: int) -> bool:
        """Take note of an event; False if it was counted before."""
        digest = blake2b(event_id.encode(), digest_size=6).digest()
        print_ = b2a_base64(digest).decode()  # ends with a line break, as no other part does
        if print_ in self.now or print_ in self.before:
            return False
        if len(self.now) >= MOST_SEEN * len(print_) or time > self.now_since + SEEN_SPAN:
            self.before, self.now = self.now, ""
            # A late event must not age its generation: the next one would close it at once.
            self.now_since = max(time, self.last, self.now_since)
        self.now += print_
        return True

    def visit(self, time: int, session: str | None) -> None:
        """Count an event to the present visit, or begin a new one."""
        if session is not None:
            new = session != self.session
        else:
            new = abs(time - self.last) > SESSION_GAP
        if new:
            self.session = session or ""
            self.session_since = time
            self.session_events = 0
            self.session_carts = 0
        self.session_events += 1
        if not self.first or time < self.first:
            self.first = time
        self.last = max(self.last, time)

    def like(self, category: str, amount: float, time: int) -> None:
        """Add to the interest in a category."""
        categories = self.categories
        if not categories:
            self.liked_since = time
        worth = 2.0 ** min((time - self.liked_since) / INTEREST, MOST_HALF_LIVES)
        categories[category] = categories.get(category, 0.0) + amount * worth
        if len(categories) > MOST_CATEGORIES:
            del categories[min(categories, key=lambda c: (categories[c], c))]

    def shares(self) -> dict[str, float]:
        """Share of this customer's interest that each category has, where there is any."""
        liked = {c: interest for c, interest in self.categories.items() if interest > 0}
        whole = sum(liked.values())
        return {category: interest / whole for category, interest in liked.items()}

    def pair(self, product: str, time: int) -> Pair:
        """What this customer did with a product; begun if need be."""
        pair = self.pairs.pop(product, None) or [time, 0, 0, 0]
        self.pairs[product] = pair
        pair[LAST] = max(pair[LAST], time)
        return pair

    def forgotten_pairs(self) -> Sequence[str]:
        """Drop the products that this customer has not touched for longest; name them."""
        forgotten = list(islice(self.pairs, max(0, len(self.pairs) - MOST_PAIRS)))
        for product in forgotten:
            del self.pairs[product]
        return forgotten

    def forget(self, until: int) -> None:
        """Drop everything but what keeps an event from being counted twice."""
        now, since, before = self.now, self.now_since, self.before
        self.__init__()  # type: ignore[misc]
        self.now, self.now_since, self.before, self.erased = now, since, before, until

    def encode(self) -> bytes:
        """Write it as plain bytes."""
        return orjson.dumps((VERSION, *_stored(self)))

    @classmethod
    def decode(cls, _: str, raw: bytes | None) -> "CustomerRow":
        """Read what `encode` wrote, or begin a new row."""
        if raw is None:
            return cls()
        row = cls.__new__(cls)
        for name, value in zip(STORED, stored_values(raw, VERSION), strict=True):
            setattr(row, name, value)
        return row
