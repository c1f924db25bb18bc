"""What is known of a customer and a product at the moment of a click.

Plain facts travel to the product's shard; they become features there, for the clicks that are
learned from.
"""

from typing import NamedTuple

from stream.customers.row import BOUGHT, CARTS, LAST, VIEWS, CustomerRow

_NOTHING = (0, 0, 0, None)


class Known(NamedTuple):
    """Facts from before the click; spans in ms, None where there is nothing to know.

    Attributes:
        views, carts, bought: Of this product by this customer.
        since: Since the customer last touched the product.
        session_events, session_span, session_carts: The visit so far.
        orders, lines, clicks: By this customer, ever.
        since_order: Since the last order.
        share: Of this customer's interest, in the product's category.
    """

    views: int
    carts: int
    bought: int
    since: int | None
    session_events: int
    session_span: int
    session_carts: int
    orders: int
    lines: int
    clicks: int
    since_order: int | None
    share: float | None


def known(row: CustomerRow, product: str, category: str | None, time: int) -> list[float | None]:
    """Take down what is known before the click at `time` is counted, in the order of `Known`."""
    pair = row.pairs.get(product)
    shares = row.shares() if category is not None else {}
    share = round(shares.get(category or "", 0.0), 3) if shares else None
    return [
        *((pair[VIEWS], pair[CARTS], pair[BOUGHT], time - pair[LAST]) if pair else _NOTHING),
        row.session_events,
        time - row.session_since if row.session_events else 0,
        row.session_carts,
        row.order_count,
        row.line_count,
        row.clicks,
        time - row.last_order if row.last_order else None,
        share,
    ]
