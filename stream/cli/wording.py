"""The documents of Redis in words, for people at a terminal."""

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from stream.redis.documents import Assessment, CategoryScore, Customer, Score
from stream.units import Millis, rfc3339

Line = tuple[str, str]
"""A label, empty where it is that of the line above, and what there is to say."""

WIDE = 10_000
"""Columns of a file or a pipe: there, nothing is cut short."""


def make_console() -> Console:
    """Make a console that prints text as it is."""
    width = None if sys.stdout.isatty() else WIDE
    return Console(width=width, markup=False, highlight=False, emoji=False)


def clean(text: str) -> Text:
    """Take what could steer a terminal out of a text that came from outside.

    >>> clean("mug" + chr(27) + "[2J").plain
    'mug�[2J'
    """
    return Text("".join(letter if letter.isprintable() else "�" for letter in text))


def number(value: float) -> str:
    """Write a number of units as short as it can be read.

    >>> number(12_000.0), number(2.5), number(0.04), number(0.0)
    ('12,000', '2.5', '0.04', '0')
    """
    if 0 < abs(value) < 1:
        return f"{value:.1g}"
    return f"{value:,.1f}".removesuffix(".0")


def counted(many: float, one: str, more: str) -> str:
    """Write a number with its noun.

    >>> counted(1, "order", "orders"), counted(0, "order", "orders")
    ('1 order', '0 orders')
    """
    return f"{number(many)} {one if many == 1 else more}"


def pace(trend: float) -> str:
    """Say how fast something sells, against its usual pace.

    >>> pace(1.02), pace(2.0), pace(0.5)
    ('its usual pace', '2 times its usual pace', '0.5 times its usual pace')
    """
    times = number(round(trend, 1))
    return "its usual pace" if times == "1" else f"{times} times its usual pace"


def moment(time: datetime) -> str:
    """Write a point in time as the documents do, to the second.

    >>> from datetime import UTC, datetime
    >>> moment(datetime(2019, 10, 1, 12, tzinfo=UTC))
    '2019-10-01T12:00:00Z'
    """
    return rfc3339(Millis(int(time.timestamp()) * 1000)).replace(".000", "")


def score_lines(document: Score | CategoryScore) -> list[Line]:
    """Say all that is known of a product's or a category's score."""
    return [
        *_name_lines(document),
        ("Score", f"{document.score:.2f}, the probability that demand is about to rise"),
        ("Conversion", f"{document.conversion:.1%} of the clicks that come now lead to an order"),
        ("Trend", pace(document.trend)),
        *_labelled("Demand", _demand(document)),
        ("Evidence", _evidence(document)),
        *_labelled("Reasons", _reasons(document)),
        ("Model", document.model),
        *([("Cold", "yes: little has been seen, similar products speak")] if document.cold else []),
        ("As of", moment(document.as_of)),
    ]


def customer_lines(customer: Customer) -> list[Line]:
    """Say all that is known of a customer."""
    orders = counted(customer.frequency, "order", "orders")
    last = f", the last {moment(customer.last_order)}" if customer.last_order else ""
    days = counted(customer.recency_days, "day", "days")
    likes = (f"{liked.category} ({liked.share:.0%})" for liked in customer.favourite_categories)
    returning = customer.return_probability
    return [
        ("Customer", customer.customer),
        ("Segment", customer.segment),
        ("First seen", moment(customer.first_seen)),
        ("Last seen", f"{moment(customer.last_seen)}, {days} before"),
        ("Orders", f"{orders} of {customer.spend:,.2f} in all{last}"),
        ("Events", number(customer.events)),
        ("Likes", ", ".join(likes) or "nothing in particular"),
        *([] if returning is None else [("Returns", f"{returning:.0%} within 28 days")]),
        ("As of", moment(customer.as_of)),
    ]


def print_lines(lines: Iterable[Line]) -> None:
    """Print labels and texts in two columns."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column()
    for label, text in lines:
        grid.add_row(label, clean(text))
    make_console().print(grid)


def _name_lines(document: Score | CategoryScore) -> list[Line]:
    if isinstance(document, CategoryScore):
        return [("Category", document.category)]
    known = {
        "Title": document.title,
        "Category": document.category,
        "Price": None if document.price is None else f"{document.price:,.2f}",
        "Stock": None if document.stock is None else counted(document.stock, "unit", "units"),
    }
    named = [(label, text) for label, text in known.items() if text is not None]
    return [("Product", document.product), *named]


def _demand(document: Assessment) -> list[str]:
    return [
        f"next {horizon}: {counted(units.p50, 'unit', 'units')}, "
        f"{number(units.p10)} to {number(units.p90)} in 8 cases of 10"
        for horizon, units in document.demand.items()
    ]


def _evidence(document: Assessment) -> str:
    seen = document.evidence
    return ", ".join(
        [
            counted(seen.views, "view", "views"),
            counted(seen.carts, "cart", "carts"),
            counted(seen.wishes, "wish", "wishes"),
            counted(seen.orders, "order", "orders"),
            counted(seen.units, "unit", "units"),
        ]
    )


def _reasons(document: Assessment) -> list[str]:
    return [f"{reason.effect:+.2f}  {reason.text or reason.feature}" for reason in document.reasons]


def _labelled(label: str, texts: Sequence[str]) -> list[Line]:
    """Set the label before the first text only."""
    return [("" if place else label, text) for place, text in enumerate(texts)]
