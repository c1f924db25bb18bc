"""The small job that every peer does for each event, so that only their engines differ.

Decode it, fade the counts of its product, predict with River, learn, and keep the score for
Redis. What is learned is of no use: whether an event is a cart or a purchase, from the counts
before it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import exp

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
        score = self.predict(x)
        positive = kind in ("add_to_cart", "purchase")
        if positive or not self._sampled or self._sampled(kind, time, event["user_id"], product):
            self.learn(x, positive=positive)
        if items:
            counts.units += what["quantity"]
        elif kind == "add_to_cart":
            counts.carts += 1.0
        else:
            counts.views += 1.0
        return product, score

    def predict(self, x: Mapping[str, float]) -> float:
        """Probability by the model as it is."""
        return float(self._model.predict_proba_one(x)[True])

    def learn(self, x: Mapping[str, float], *, positive: bool) -> None:
        """Learn whether it was a cart or a purchase."""
        self._model.learn_one(x, positive)


class ServedJob(Job):
    """The same job as the product does it: River learns, and plain numbers predict.

    What has been learned is written down as a factor and a mean for each feature, and that is
    what is served until something more is learned. It gives the same scores.
    """

    def __init__(self, sampled: Sampled | None = None) -> None:
        super().__init__(sampled)
        self._terms: list[tuple[str, float, float]] | None = []
        self._intercept = 0.0

    def predict(self, x: Mapping[str, float]) -> float:
        """Probability by what was written down."""
        if self._terms is None:
            self._terms = self._written()
        value = self._intercept
        for name, factor, mean in self._terms:
            value += factor * (x[name] - mean)
        return 1.0 / (1.0 + exp(-value))

    def learn(self, x: Mapping[str, float], *, positive: bool) -> None:
        """Learn, and write it down when it is asked for."""
        super().learn(x, positive=positive)
        self._terms = None

    def _written(self) -> list[tuple[str, float, float]]:
        scaler, model = self._model["StandardScaler"], self._model["LogisticRegression"]
        self._intercept = model.intercept
        return [
            (name, weight / scaler.vars[name] ** 0.5, scaler.means[name])
            for name, weight in model.weights.items()
            if scaler.vars[name]
        ]


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
