"""Segments: named rules over orders and recency. The first that fits gives the name."""

from collections.abc import Callable
from typing import NamedTuple

from stream.customers.row import CARTS, CustomerRow
from stream.units import DAY


class Segment(NamedTuple):
    """A name, whom it is for in words, and the rule."""

    name: str
    meaning: str
    fits: Callable[[CustomerRow, int], bool]


def _lapsed(row: CustomerRow, now: int) -> bool:
    return row.order_count > 0 and now - row.last_order > 90 * DAY


def _bought(times: int) -> Callable[[CustomerRow, int], bool]:
    return lambda row, _now: row.order_count >= times


def _wants(row: CustomerRow, _now: int) -> bool:
    return any(pair[CARTS] for pair in row.pairs.values())


SEGMENTS = (
    Segment("lapsed", "has bought, but not for 90 days", _lapsed),
    Segment("loyal", "four orders or more, the last within 90 days", _bought(4)),
    Segment("regular", "two or three orders, the last within 90 days", _bought(2)),
    Segment("first_order", "one order, within 90 days", _bought(1)),
    Segment("interested", "no order, but something in the cart or on the wish list", _wants),
    Segment("visitor", "has only looked", lambda _row, _now: True),
)


def segment(row: CustomerRow, now: int) -> str:
    """Name the first segment whose rule fits."""
    return next(s.name for s in SEGMENTS if s.fits(row, now))
