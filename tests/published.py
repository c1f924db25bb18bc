"""What a scorer would have published: the keys and documents of the Redis contract, by example."""

import json
from typing import Any

from redis import Redis

from stream.customers.pseudonyms import Pseudonyms

SECRET = "a secret of this test"  # noqa: S105 (it keeps nothing secret)
USER = "user-1"
PSEUDONYM = Pseudonyms(SECRET.encode()).of(USER)
AS_OF = "2019-10-01T12:00:00.250Z"

ASSESSMENT: dict[str, Any] = {
    "score": 0.83,
    "interval": [0.71, 0.91],
    "conversion": 0.041,
    "demand": {
        "1h": {"mean": 0.7, "p10": 0.0, "p50": 0.4, "p90": 2.0},
        "1d": {"mean": 8.6, "p10": 3.0, "p50": 8.0, "p90": 15.0},
    },
    "trend": 2.0,
    "reasons": [
        {"feature": "carts_1h", "value": 4.0, "effect": 0.42, "text": "4 carts in the last hour"},
        {"feature": "price", "value": 12.5, "effect": -0.1, "text": "dearer than its category"},
    ],
    "evidence": {"views": 1203, "carts": 44, "wishes": 1, "orders": 20, "units": 31},
    "as_of": AS_OF,
    "model": "potential-12",
    "cold": False,
}
SCORE: dict[str, Any] = {
    **ASSESSMENT,
    "product": "P-1",
    "category": "mugs",
    "price": 12.5,
    "title": "Blue mug",
    "stock": 40.0,
}
CATEGORY: dict[str, Any] = {**ASSESSMENT, "category": "mugs"}
CUSTOMER: dict[str, Any] = {
    "customer": PSEUDONYM,
    "first_seen": "2019-09-01T08:00:00.000Z",
    "last_seen": "2019-09-30T12:00:00.000Z",
    "recency_days": 1.0,
    "frequency": 2,
    "spend": 61.5,
    "events": 57,
    "segment": "regular",
    "favourite_categories": [
        {"category": "mugs", "share": 0.6},
        {"category": "plates", "share": 0.4},
    ],
    "return_probability": 0.31,
    "last_order": "2019-09-28T10:00:00.000Z",
    "as_of": AS_OF,
}
CHANGE: dict[Any, Any] = {"product": "P-1", "score": "0.83", "previous": "0.5", "as_of": AS_OF}


def publish(redis: Redis, prefix: str = "") -> None:
    """Write a small shop: three ranked products, the first with a document."""
    documents = {
        "score:P-1": SCORE,
        "category:mugs": CATEGORY,
        f"customer:{PSEUDONYM}": CUSTOMER,
        "metrics:conversion": {"auc": 0.72, "baseline": {"auc": 0.5}},
    }
    rankings: dict[str, dict[str, float]] = {
        "top:products": {"P-1": 0.83, "P-2": 0.5, "P-3": 0.91},
        "top:products:mugs": {"P-1": 0.83},
        "top:categories": {"mugs": 0.83, "plates": 0.2},
        "candidates:P-1": {PSEUDONYM: 0.3, "another": 0.1},
        "similar:P-1": {"P-2": 0.9, "P-3": 0.95},
    }
    for name, document in documents.items():
        redis.set(prefix + name, json.dumps(document))
    for name, ranking in rankings.items():
        redis.zadd(prefix + name, ranking)
