"""Histories of a small shop for hypothesis: few customers and products, all that can happen."""

from typing import Any

from hypothesis import strategies as st
from making import BEGIN, Event, click, purchase, refund

from stream.units import MINUTE

USERS = ("u0", "u1", "u2", "u3", "u4")
PRODUCTS = ("p0", "p1", "p2", "p3")
SPAN = 3 * 24 * 60
"""Minutes of a history."""

users = st.sampled_from(USERS)
products = st.sampled_from(PRODUCTS)
times = st.integers(0, SPAN).map(lambda minute: BEGIN + minute * MINUTE)
kinds = st.sampled_from(
    ["view_item", "view_item", "select_item", "add_to_cart", "add_to_wishlist", "remove_from_cart"]
)
lines = st.lists(st.tuples(products, st.integers(1, 4)), min_size=1, max_size=3)


@st.composite
def clicks(draw: st.DrawFn, most: int = 30) -> list[Event]:
    """Clicks, each with an id of its own."""
    drawn = draw(st.lists(st.tuples(users, products, times, kinds), max_size=most))
    return [
        click(f"c{n}", time, user_id=user, product_id=product, type=kind, category="mugs")
        for n, (user, product, time, kind) in enumerate(drawn)
    ]


@st.composite
def orders(draw: st.DrawFn, most: int = 8) -> list[Event]:
    """Purchases, and refunds: partial, repeated, too large, too early, of what was not bought."""
    events: list[Event] = []
    for n, (user, time, bought) in enumerate(
        draw(st.lists(st.tuples(users, times, lines), max_size=most))
    ):
        order: dict[str, Any] = {"user_id": user, "order_id": f"o{n}"}
        events.append(purchase(f"b{n}", time, *bought, **order))
        for m, (later, back) in enumerate(draw(st.lists(st.tuples(times, lines), max_size=2))):
            events.append(refund(f"r{n}.{m}", later, *back, **order))
    return events


@st.composite
def histories(draw: st.DrawFn, *, repeated: bool = True) -> list[Event]:
    """Clicks and orders as they arrive: in order of time or not, some of them more than once."""
    events = draw(clicks()) + draw(orders())
    if repeated and events:
        events += draw(st.lists(st.sampled_from(events), max_size=6))
    if draw(st.booleans()):
        return sorted(events, key=lambda e: int(e["time"]))
    return draw(st.permutations(events))


steps = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 99), st.integers(1, 40)), max_size=60)
"""What happens to whom, and how much of it: see `making.disturb`."""
