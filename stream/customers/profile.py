"""The public profile of a customer."""

import orjson

from stream.customers.returning import ReturnPrediction
from stream.customers.row import CustomerRow
from stream.customers.segments import segment
from stream.units import DAY, HOUR, Millis, rfc3339

REFRESH = HOUR
"""A profile that only aged is published again after this much event time."""
FAVOURITES = 3


def worth_a_profile(row: CustomerRow) -> bool:
    """Whether what has changed is worth another publication."""
    if not row.last:
        return False
    urgent = not row.published or row.session_carts > 0
    return urgent or row.last >= row.published + REFRESH


def profile(
    pseudonym: str, row: CustomerRow, now: int, returning: ReturnPrediction | None
) -> bytes:
    """Write the document behind `customer:<pseudonym>`."""
    shares = row.shares()
    favourites = sorted(shares, key=lambda c: (-shares[c], c))[:FAVOURITES]
    return orjson.dumps(
        {
            "customer": pseudonym,
            "first_seen": rfc3339(Millis(row.first)),
            "last_seen": rfc3339(Millis(row.last)),
            "recency_days": round(max(0, now - row.last) / DAY, 3),
            "frequency": row.order_count,
            "spend": round(row.spend, 2),
            "events": row.clicks,
            "segment": segment(row, now),
            "favourite_categories": [
                {"category": c, "share": round(shares[c], 3)} for c in favourites
            ],
            "return_probability": None if returning is None else round(returning.p, 4),
            "last_order": rfc3339(Millis(row.last_order)) if row.last_order else None,
            "as_of": rfc3339(Millis(now)),
        }
    )
