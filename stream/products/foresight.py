"""Forecasts made at bucket boundaries, which wait until their horizon has passed."""

from collections.abc import Callable, Mapping
from typing import Literal
from zlib import crc32

from stream.products.forecasting import Prospect, noted
from stream.products.ledger import Ledger, Watch, Window
from stream.products.row import ProductRow
from stream.products.serving import Serving
from stream.rows import Rows
from stream.units import DAY

ACTIVE = 8 * DAY
"""A row is looked at at each bucket's close until it has been quiet for so long."""
WEEK = 7 * DAY
REMEMBERED = 26 * WEEK
"""A row that has been quiet for longer than `ACTIVE` is dormant: it is looked at once a week, and
no more when it has been quiet for so long."""
KEPT_BUCKETS = 15 * DAY
WEEKLY, BETWEEN = 4.0, 0.5
"""Weight of a week's forecast that begins where a week of the log begins, and of one between."""
Strides = Mapping[int, int]
"""How far apart the forecasts of a row lie, by horizon, ms. 0: only where weeks begin."""


class Foresight:
    """Lets forecasts of products, or of categories, wait, and says what came of them.

    Attributes:
        serving: The models.
        since: Time of the first event; 0 if there was none.
    """

    def __init__(
        self,
        kind: Literal["product", "category"],
        rows: Rows[ProductRow],
        ledger: Ledger,
        bucket: int,
        since: int,
        *,
        strides: Callable[[ProductRow], Strides],
        most: int | None = None,
    ) -> None:
        """Work on a shard's rows and ledger.

        Args:
            kind: What has a row.
            rows: Those of which something is said or asked are in memory.
            ledger: Where forecasts wait.
            bucket: Length of a demand bucket, ms.
            since: See above.
            strides: How often a row is forecast.
            most: While so many forecasts wait, no others are made; None: always.
        """
        self.serving = Serving()
        self.since = since
        self._kind = kind
        self._rows = rows
        self._ledger = ledger
        self._bucket = bucket
        self._strides = strides
        self._most = most

    def happen(self, name: str, row: ProductRow, time: int, latest: int | None = None) -> None:
        """Something is about to be counted: what ends before it is closed first.

        So forecasts know nothing of it.

        Args:
            name: Of the product, or of the category.
            row: Its row.
            time: When it happened, ms.
            latest: Time up to which buckets may be closed for it, ms; None: any.
        """
        if not self.since or time < self.since:
            self.since = time
        bucket = time // self._bucket
        if not row.closed:
            row.closed = bucket
        elif bucket > row.closed and (latest is None or bucket <= latest // self._bucket):
            self._forecast(name, row, bucket, self._ledger.followed(name))
        self._ledger.watch(name, (row.closed + 1) * self._bucket)

    def close(self, watch: Watch, watermark: int) -> None:
        """Look at a row whose bucket has closed; keep looking while it is alive."""
        name, bucket = watch.product, self._bucket
        row = self._rows.change(name)
        look = watch.due if watch.dormant else self._ledger.followed(name)
        self._forecast(name, row, watermark // bucket, look)
        # Not by the watermark: where it has leapt, forecasts of before are still to be told.
        row.prune((watch.due - KEPT_BUCKETS) // bucket)
        if row.at > watermark - ACTIVE:
            self._ledger.watch(name, (row.closed + 1) * bucket)
        elif row.at > watermark - REMEMBERED:
            self._ledger.follow(name, self._next_look(name, row.closed) * bucket)

    def _next_look(self, name: str, boundary: int) -> int:
        """Say when to look at a dormant row: all of them at once would be a burden."""
        week = WEEK // self._bucket
        return boundary + week - (boundary + crc32(name.encode())) % week

    def _forecast(self, name: str, row: ProductRow, until: int, look: int) -> None:
        """Let forecasts made at bucket boundaries wait for their horizon.

        Args:
            name: Of the product, or of the category.
            row: What is known of it.
            until: The last boundary.
            look: When it is to be looked at if it is dormant, ms; 0 if it is not followed.
        """
        bucket = self._bucket
        active = (row.at + ACTIVE) // bucket
        # Where time has leapt by years, nobody would be helped by forecasts of all of them.
        first = max(row.closed + 1, until - REMEMBERED // bucket)
        for boundary in range(first, min(until, active) + 1):
            self._close(name, row, boundary)
            if due := self._due(name, row, boundary):
                self._note(name, row, boundary, due, weekly=self._begins_week(boundary))
        if row.closed <= active and self._ledger.has_room:
            look = self._next_look(name, active) * bucket
        # Not looked at because it sells again: forecasts made for that would all come true.
        last = min(until, (row.at + REMEMBERED) // bucket)
        while look and look // bucket <= last:
            if look // bucket > row.closed:
                self._close(name, row, look // bucket)
                self._note(name, row, look // bucket, [WEEK], weekly=True)
            look += WEEK
        if until > row.closed:
            self._close(name, row, until)

    def _close(self, name: str, row: ProductRow, boundary: int) -> None:
        """What has come before a boundary is known."""
        if row.stock == 0.0:
            serving = self.serving
            row.sell_out(
                row.closed,
                boundary,
                self._bucket,
                serving.rhythm,
                course=serving.promotions.course(self._product(name), row.category),
                usual=serving.response,
            )
        row.closed = boundary

    def _due(self, name: str, row: ProductRow, boundary: int) -> list[int]:
        """Horizons that are forecast at a boundary, to be learned from."""
        bucket = self._bucket
        offset = crc32(name.encode())
        due = [
            horizon
            for horizon, stride in self._strides(row).items()
            if horizon >= bucket and stride and (boundary + offset) % max(1, stride // bucket) == 0
        ]
        if self._begins_week(boundary) and WEEK not in due:
            due.append(WEEK)
        return due

    def _begins_week(self, boundary: int) -> bool:
        """Whether a week of the log begins there."""
        first = self.since // DAY * DAY // self._bucket
        return (boundary - first) % (WEEK // self._bucket) == 0

    def _note(
        self, name: str, row: ProductRow, boundary: int, horizons: list[int], *, weekly: bool
    ) -> None:
        """Note what is predicted at a boundary, and from what."""
        if self._most is not None and self._ledger.forecasts >= self._most:
            return
        serving, bucket = self.serving, self._bucket
        time = boundary * bucket
        prospect = Prospect(
            self._product(name), row, serving, time=time, boundary=boundary, bucket=bucket
        )
        for horizon in horizons:
            # Whether demand rises can be told once a whole horizon lies behind: before, all does.
            told = time - horizon >= self.since
            made = noted(prospect, serving, time=time, horizon=horizon, told=told)
            if horizon == WEEK:
                made = made._replace(weight=WEEKLY if weekly else BETWEEN)
            self._ledger.forecast(Window(name, boundary, horizon, made.encode()))

    def _product(self, name: str) -> str:
        """Whose promotions count beside those of the category."""
        return name if self._kind == "product" else ""

    def sold(self, window: Window) -> float | None:
        """Units of a horizon that has passed.

        None if there was nothing to sell: what would have been is not known.
        """
        row, end = self._rows.held[window.product], window.bucket + window.horizon // self._bucket
        if row.sold_out(window.bucket, end):
            return None
        return max(0.0, row.sold(window.bucket, end))
