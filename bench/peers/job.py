"""The small job that every peer does for each event, so that only their engines differ.

Decode it, fade the counts of its product, predict with River, learn, and keep the score for
Redis. What is learned is of no use: whether an event is a cart or a purchase, from the counts
before it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import orjson
from redis import Redis
from river import linear_model, preprocessing

HALF_LIFE = 3_600_000.0
"""ms."""
FLUSH_EVERY = 500
"""Events between two trips to Redis."""


@dataclass(slots=True)
class Counts:
    """Faded counts of one product, and the time at which they stand, ms."""

    at: float = 0.0
    views: float = 0.0
    carts: float = 0.0
    units: float = 0.0


Sampled = Callable[[str, int, str, str], float]
"""Says whether something that led to nothing is learned from: by type, time, customer, product."""


class Job:
    """Everything between an event's bytes and its product's score."""

    def __init__(self, sampled: Sampled | None = None) -> None:
        self._sampled = sampled
        self._counts: dict[str, Counts] = {}
        self._model = preprocessing.StandardScaler() | linear_model.LogisticRegression()

    def take(self, raw: bytes) -> tuple[str, float]:
        """Count an event and learn from it; give its product and the score."""
        event = orjson.loads(raw)
        kind, items = event["type"], event.get("items")
        what = items[0] if items else event
        product = what["product_id"]
        counts = self._counts.get(product)
        if counts is None:
            counts = self._counts[product] = Counts()
        time = event["time"]
        keep = 0.5 ** (max(0.0, time - counts.at) / HALF_LIFE)
        counts.at = max(float(time), counts.at)
        counts.views *= keep
        counts.carts *= keep
        counts.units *= keep
        x = {
            "views": counts.views,
            "carts": counts.carts,
            "units": counts.units,
            "price": what.get("price") or 0.0,
        }
        score = self._model.predict_proba_one(x)[True]
        positive = kind in ("add_to_cart", "purchase")
        if positive or not self._sampled or self._sampled(kind, time, event["user_id"], product):
            self._model.learn_one(x, positive)
        if items:
            counts.units += what["quantity"]
        elif kind == "add_to_cart":
            counts.carts += 1.0
        else:
            counts.views += 1.0
        return product, score


class Scores:
    """Scores on their way to Redis, many at a time."""

    def __init__(self, address: str) -> None:
        self._redis = Redis.from_url(address)
        self._pending: dict[str, float] = {}
        self._events = 0

    def put(self, product: str, score: float) -> None:
        """Keep a score; now and then, send all that are kept."""
        self._pending[product] = score
        self._events += 1
        if self._events >= FLUSH_EVERY:
            self.flush()

    def flush(self) -> None:
        """Send what is kept."""
        if self._pending:
            pipe = self._redis.pipeline(transaction=False)
            for product, score in self._pending.items():
                pipe.set(f"peer:{product}", score)
            pipe.execute()
        self._pending, self._events = {}, 0
