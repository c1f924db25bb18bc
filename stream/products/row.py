"""What is known of one product (or of one category: the same things are counted)."""

from collections.abc import Sequence
from math import log
from operator import attrgetter
from typing import Any, NamedTuple

import orjson

from stream.models.levels import Levels
from stream.models.promotions import UNPROMOTED, Course
from stream.models.rhythm import Rhythm
from stream.rows import stored_values
from stream.units import DAY, HOUR, Millis

VERSION = 3
"""Of the stored form; whoever changes `PLAIN`, or what levels keep, raises it."""
WEEK = 7 * DAY
HALF_LIVES = (Millis(HOUR), Millis(DAY), Millis(WEEK))
KINDS = ("views", "carts", "wishes", "orders", "units")
WIDTH = len(KINDS)
VIEWS, CARTS, WISHES, ORDERS, UNITS = range(WIDTH)
FAR = 20 * DAY
"""Numbers are kept as of a landmark; so long after it, a new one is set."""
_LN2 = log(2)


class Units(NamedTuple):
    """Units sold in the spans before a moment."""

    hour: float
    day: float
    day_before: float
    week: float
    week_before: float


class Foreseen(NamedTuple):
    """What is forecast of a product, as long as nothing is new.

    Attributes:
        basis: What it rests on beside the sales, to be compared.
        models: Those named in it, so that no others can take their names.
        demand: Mean, p10, p50 and p90 by the name of each horizon, as published.
        rising: What `rising_features` says for the horizon of the score.
        expected: Units of that horizon.
        seen: Order lines of late.
    """

    basis: tuple[object, ...]
    models: tuple[object, ...]
    demand: dict[str, dict[str, float]]
    rising: Sequence[float]
    expected: float
    seen: float


PLAIN = (
    "at",
    "brand",
    "category",
    "chance",
    "closed",
    "faded",
    "first",
    "landmark",
    "lead",
    "listed",
    "newcomers",
    "out",
    "price",
    "ranked",
    "score",
    "stock",
    "title",
    "told",
    "totals",
    "usual",
)
"""Attributes that are stored as they are."""
_plain = attrgetter(*PLAIN)


class ProductRow:
    """What is known of one product.

    Attributes:
        totals: Exact, since first seen, refunds taken back; one for each of `KINDS`.
        faded: Faded counts, those of `KINDS` for each of `HALF_LIVES`, as of the landmark: what
            comes later weighs more (forward decay).
        at: Time of the latest event.
        buckets: Units by demand bucket (time // bucket length), the last fifteen days.
        levels: What it sells on a usual day; None before the first sale.
        out: Buckets of the last fifteen days at whose close there was nothing left to sell, as
            spans [first, after the last].
        newcomers: Faded count of customers who had not touched the product before, as of the
            landmark, with a half-life of a week.
        chance: Faded sum of predicted conversions, and their number, as of the landmark.
        closed: Latest bucket boundary at which demand was looked at.
        told: Catalogue time of what is known of category, price, title and stock.
        foreseen: What was forecast last; None when something was sold since. Not stored.
        shown: Evidence behind the published score; 0 if that should be renewed. Not stored.
    """

    __slots__ = (*PLAIN, "_sums", "_sums_for", "buckets", "foreseen", "levels", "shown")

    def __init__(self) -> None:
        self.first = 0
        self.at = 0
        self.landmark = 0
        self.totals = [0, 0, 0, 0, 0]
        self.faded = [0.0] * (WIDTH * len(HALF_LIVES))
        self.chance = [0.0, 0.0]
        self.newcomers = 0.0
        self.buckets: dict[int, float] = {}
        self.levels: Levels | None = None
        self.out: list[list[int]] = []
        self.closed = 0
        self.category: str | None = None
        self.price: float | None = None
        self.usual: float | None = None
        self.title: str | None = None
        self.brand: str | None = None
        self.stock: float | None = None
        self.lead: float | None = None
        self.listed: int | None = None
        self.told = 0
        self.ranked: str | None = None
        self.score: float | None = None
        self.foreseen: Foreseen | None = None
        self.shown = 0
        self._sums: Units | None = None
        self._sums_for = (0, 0)

    def count(self, kind: int, time: int, amount: float) -> None:
        """Add to a faded count. Events may come in any order."""
        age = self._age(time)
        faded = self.faded
        faded[kind] += amount * 2.0 ** (age / HOUR)
        faded[kind + WIDTH] += amount * 2.0 ** (age / DAY)
        faded[kind + 2 * WIDTH] += amount * 2.0 ** (age / WEEK)
        if not self.first or time < self.first:
            self.first = time

    def welcome(self, time: int, number: float) -> None:
        """Count customers who had not touched the product before."""
        self.newcomers += number * 2.0 ** (self._age(time) / WEEK)

    def new_share(self, time: int) -> float | None:
        """Share of the week's clicks that were by such customers; None if nobody ever clicked."""
        if not self.totals[VIEWS]:
            return None
        age = max(time, self.at) - self.landmark
        clicks: float = sum(self.faded[2 * WIDTH + VIEWS : 2 * WIDTH + ORDERS])
        worth: float = 0.5 ** (age / WEEK)
        return (self.newcomers * worth + 1.0) / (clicks * worth + 2.0)

    def expect(self, probability: float, time: int) -> None:
        """Take note of the predicted conversion of a click."""
        worth = 2.0 ** (self._age(time) / DAY)
        self.chance[0] += probability * worth
        self.chance[1] += worth

    def expected(self, time: int) -> tuple[float, float]:
        """Faded sum of predicted conversions, and of their number, at a time."""
        worth = 0.5 ** ((max(time, self.at) - self.landmark) / DAY)
        return self.chance[0] * worth, self.chance[1] * worth

    def _age(self, time: int) -> int:
        """Time since the landmark, which moves before numbers grow beyond all bounds."""
        if time > self.at:
            self.at = time
            if time > self.landmark + FAR:
                self.faded = self.faded_at(time)
                self.newcomers *= 0.5 ** ((time - self.landmark) / WEEK)
                self.chance = [c * 0.5 ** ((time - self.landmark) / DAY) for c in self.chance]
                self.landmark = time
        return time - self.landmark

    def sell(
        self,
        units: float,
        time: int,
        length: int,
        lines: float,
        course: Course = UNPROMOTED,
    ) -> None:
        """Add units to the bucket in which they were sold, or take them back out of it.

        Args:
            units: Below 0: taken back.
            time: Of the sale, ms.
            length: Of a bucket, ms.
            lines: Order lines that were sold, or taken back as a whole.
            course: That of the product's promotions.
        """
        bucket = time // length
        self.buckets[bucket] = self.buckets.get(bucket, 0.0) + units
        self._sums = self.foreseen = None
        if units:
            if self.levels is None:
                self.levels = Levels()
            self.levels.sell(
                units,
                bucket=bucket,
                length=length,
                lines=lines,
                strength=course.at(time),
                course=course,
            )

    def sell_out(
        self,
        start: int,
        end: int,
        length: int,
        rhythm: Rhythm,
        *,
        course: Course = UNPROMOTED,
        usual: float = 0.0,
    ) -> None:
        """Take note that there was nothing left to sell in buckets from `start` up to `end`.

        Of a single bucket the level learns what it would have sold.
        """
        self.foreseen = None
        out = self.out
        if out and out[-1][1] >= start:
            out[-1][1] = max(out[-1][1], end)
        else:
            out.append([start, end])
        if self.levels is not None and end == start + 1:
            paces, time = self.levels.paces(start, length, rhythm, course, usual), start * length
            lacking = paces.units[2] * rhythm.usual_days(time, length)
            lacking *= 1.0 + paces.response * course.strength(time, length)
            lacking -= max(0.0, self.buckets.get(start, 0.0))
            self.levels.sold_out(lacking, bucket=start, length=length, course=course)

    def sold_out(self, start: int, end: int) -> bool:
        """Whether there was nothing left at the close of a bucket from `start` up to `end`."""
        return any(first < end and start < after for first, after in self.out)

    def prune(self, oldest: int) -> None:
        """Forget buckets before `oldest`."""
        if self.buckets and next(iter(self.buckets)) < oldest:
            self.buckets = {b: u for b, u in sorted(self.buckets.items()) if b >= oldest}
        if self.out and self.out[0][1] <= oldest:
            self.out = [span for span in self.out if span[1] > oldest]

    def faded_at(self, time: int) -> list[float]:
        """Faded counts as they stand at a time not before `at`."""
        faded, age = self.faded, max(time, self.at) - self.landmark
        hour, day, week = 0.5 ** (age / HOUR), 0.5 ** (age / DAY), 0.5 ** (age / WEEK)
        return [
            *[x * hour for x in faded[:WIDTH]],
            *[x * day for x in faded[WIDTH : 2 * WIDTH]],
            *[x * week for x in faded[2 * WIDTH :]],
        ]

    def paces(self, time: int) -> list[float]:
        """Events a day that a faded count of 1 stands for, one for each of `HALF_LIVES`.

        A product that is younger than the half-life has had less time to count.
        """
        age = max(time - self.first, HOUR) if self.first else HOUR
        return [_LN2 * DAY / (half * (1 - 0.5 ** (age / half))) for half in HALF_LIVES]

    def units(self, bucket: int, length: int) -> Units:
        """Units sold in the spans that end before a bucket.

        Args:
            bucket: The first bucket that does not count.
            length: Of a bucket, ms.
        """
        if self._sums is None or self._sums_for != (bucket, length):
            hour, day, week = (max(1, span // length) for span in HALF_LIVES)
            sums = [0.0] * 5
            for at, units in self.buckets.items():
                age = bucket - at
                if age <= 0:
                    continue
                sums[0] += units if age <= hour else 0.0
                sums[1] += units if age <= day else 0.0
                sums[2] += units if day < age <= 2 * day else 0.0
                sums[3] += units if age <= week else 0.0
                sums[4] += units if week < age <= 2 * week else 0.0
            self._sums = Units(*sums)
            self._sums_for = (bucket, length)
        return self._sums

    def sold(self, start: int, end: int) -> float:
        """Units sold in the buckets from `start` up to, not including, `end`."""
        return sum(units for bucket, units in self.buckets.items() if start <= bucket < end)

    def hear(self, category: str | None, price: float | None) -> None:
        """Take an event's own word for category and price while the catalogue is silent."""
        if category is not None and not self.told:
            self.category = category
        if price is not None:
            if not self.told:
                self.price = price
            self.usual = price if self.usual is None else self.usual + 0.05 * (price - self.usual)

    def hear_listing(self, said: dict[str, Any]) -> bool:
        """Take the catalogue's word; False if it has said something later before."""
        if said["time"] < self.told:
            return False
        self.told, self.shown = said["time"], 0
        self.category = said["category"]
        self.title, self.brand = said.get("title"), said.get("brand")
        self.stock, self.lead = said.get("stock"), said.get("lead_time_days")
        self.listed = said.get("listed_at")
        if said.get("price") is not None:
            self.price = said["price"]
            self.usual = self.usual if self.usual is not None else self.price
        return True

    def encode(self) -> bytes:
        """Write it as plain bytes."""
        levels = None if self.levels is None else self.levels.state
        return orjson.dumps([VERSION, _plain(self), list(self.buckets.items()), levels])

    @classmethod
    def decode(cls, _: str, raw: bytes | None) -> "ProductRow":
        """Read what `encode` wrote, or begin a new row."""
        row = cls()
        if raw is None:
            return row
        plain, buckets, levels = stored_values(raw, VERSION)
        for name, value in zip(PLAIN, plain, strict=True):
            setattr(row, name, value)
        row.buckets = dict(buckets)
        row.levels = None if levels is None else Levels.restored(levels)
        return row
