"""Categories, which span partitions: what happened in each, what is forecast, what came of it."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

import orjson

from stream.models.promotions import Course
from stream.products.forecasting import Noted
from stream.products.foresight import KEPT_BUCKETS, WEEK, Foresight
from stream.products.ledger import Ledger, Watch, Window
from stream.products.row import ORDERS, UNITS, WIDTH, ProductRow
from stream.products.serving import Serving
from stream.rows import WholeRows
from stream.units import DAY, HOUR

PRICES_SEEN = 1_000.0
"""The mean price of a category follows about so many of its latest prices."""
STRIDES = {HOUR: 6 * HOUR, DAY: DAY, WEEK: DAY}
"""How far apart the forecasts of one category lie that are learned from, by horizon."""
MOST_WAITING = 20_000
"""Forecasts that wait at most: those of some 2,000 categories. Others are not learned from."""


class Categories:
    """The categories' rows, their prices, and their forecasts that wait.

    Attributes:
        rows: By category.
        prices: By category, number of the prices seen and mean of their logarithms.
    """

    def __init__(
        self, bucket: int, most: int, notes: Mapping[str, bytes], waiting: Mapping[str, bytes]
    ) -> None:
        """Wake up where the checkpoint says.

        Args:
            bucket: Length of a demand bucket, ms.
            most: Rows kept in memory.
            notes: What `notes` gave out, among others.
            waiting: What `waiting` gave out.
        """
        self._bucket = bucket
        self.rows = WholeRows(most, ProductRow.decode)
        self.prices: dict[str, tuple[float, float]] = {
            c: (n, mean) for c, (n, mean) in orjson.loads(notes.get("prices", b"{}")).items()
        }
        self._ledger = Ledger(0, 0, bucket, waiting)
        self._foresight = Foresight(
            "category",
            self.rows,
            self._ledger,
            bucket,
            orjson.loads(notes.get("since", b"0")),
            strides=lambda _: STRIDES,
            most=MOST_WAITING,
        )

    def due(self, watermark: int, limit: int) -> Sequence[Window | Watch]:
        """Hand out what time has told: nothing else waits here."""
        told = self._ledger.pop(watermark, limit)
        return [one for one in told if isinstance(one, Window | Watch)]

    def count(
        self,
        category: str,
        time: int,
        sums: list[float],
        course: Course,
        *,
        watermark: int,
        serving: Callable[[], Serving],
    ) -> None:
        """Add what products shards have counted.

        Args:
            category: Its name.
            time: Begin of the slot in which it happened, ms.
            sums: See `CategorySums`.
            course: Of its promotions.
            watermark: Event time up to which everything is believed to be known, ms.
            serving: The models; asked for only where something may be forecast.
        """
        row = self.rows.change(category)
        row.category = category
        if row.closed < time // self._bucket:
            self._foresight.serving = serving()
        # No bucket is closed for what lies far ahead: a wrong clock tells it, or a partition
        # that is read before the others.
        self._foresight.happen(category, row, time, latest=watermark + self._bucket)
        for kind in range(WIDTH):
            if sums[kind]:
                row.totals[kind] += round(sums[kind])
                row.count(kind, time, sums[kind])
        if sums[UNITS]:
            row.sell(sums[UNITS], time, self._bucket, max(0.0, sums[ORDERS]), course)
            row.prune((time - KEPT_BUCKETS) // self._bucket)
        newcomers, seen, logs = sums[WIDTH:]
        if newcomers:
            row.welcome(time, newcomers)
        if seen:
            number, mean = self.prices.get(category, (0.0, 0.0))
            number = min(number + seen, PRICES_SEEN)
            self.prices[category] = (number, mean + (logs / seen - mean) * min(1.0, seen / number))

    def close(self, watch: Watch, watermark: int, serving: Serving) -> None:
        """Look at a category whose bucket has closed."""
        self._foresight.serving = serving
        self._foresight.close(watch, watermark)

    def settled(self, window: Window, serving: Serving) -> tuple[Noted, float] | None:
        """What was forecast of a horizon that has passed, and what was sold in it.

        What was sold before is counted anew: partitions that were read later have told of it.
        """
        self._foresight.serving = serving
        sold = self._foresight.sold(window)
        if sold is None:
            return None
        row, length = self.rows.held[window.product], window.horizon // self._bucket
        last = row.sold(window.bucket - length, window.bucket)
        return Noted.decoded(orjson.loads(window.tail))._replace(last=last), sold

    def waiting(self) -> Generator[None, None, dict[str, bytes | None]]:
        """Write what has changed of forecasts since the last call, by id, in steps."""
        return self._ledger.storing()

    def notes(self) -> dict[str, bytes]:
        """What else is to be stored."""
        return {
            "since": orjson.dumps(self._foresight.since),
            "prices": orjson.dumps(self.prices),
        }

    def held(self) -> Iterator[tuple[str, ProductRow]]:
        """Rows in memory."""
        yield from self.rows.held.items()
