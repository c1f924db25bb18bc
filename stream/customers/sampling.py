"""Which clicks wait for their label: all of them in a small shop, a sample in a busy one."""

from zlib import crc32

import orjson

from stream.fading import fold
from stream.units import HOUR, MINUTE, Millis

CAPACITY = 80_000
"""Clicks of one partition that should wait for their label at the same time."""
SPARE = CAPACITY // 4
"""So many are kept in any case, before a passing burst is taken for a busy shop."""
FLOOD = 10
"""A pace that would fill the ledger so many times over is no passing burst."""
LOOK_EVERY = 64
"""Clicks between two looks at the pace."""
BOOST = {"add_to_cart": 16, "add_to_wishlist": 16}
"""Carts and wishes are rarer and tell more: so many times likelier to be in the sample."""


class Sampling:
    """The sample, chosen by customer and product: a click and its order are in it together."""

    __slots__ = ("_at", "_clicks", "_first", "_total", "_window", "share")

    def __init__(self, window: int, state: bytes | None = None) -> None:
        """Begin, or go on.

        Args:
            window: How long a click may wait, ms.
            state: What `state` wrote.
        """
        self._window = window
        total, at, first, clicks = orjson.loads(state) if state else (0.0, 0, 0, 0)
        self._total: float = total
        self._clicks: int = clicks
        self._at: int = at
        self._first: int = first
        self.share = self._fitting()

    def weigh(self, kind: str, time: int, customer: str, product: str) -> float:
        """Take note of a click; say its weight in the sample, or 0 if it is not kept."""
        self._clicks += 1
        self._first = self._first or time
        if self._clicks % LOOK_EVERY == 0:
            self._look(time)
        return self.keeps(kind, customer, product)

    def _look(self, time: int) -> None:
        """See how busy the shop is."""
        self._total, self._at = fold(self._total, self._at, float(LOOK_EVERY), time, Millis(HOUR))
        self.share = self._fitting()

    def _fitting(self) -> float:
        age = min(max(self._at - self._first, MINUTE), HOUR)
        expected = self._total / age * self._window
        share = 1.0
        if min(self._clicks, expected) > SPARE or expected > FLOOD * CAPACITY:
            while share * expected > CAPACITY:
                share /= 2
        return share

    def keeps(self, kind: str, customer: str, product: str) -> float:
        """Weight of such a click among those that are kept, or 0 if it is not kept.

        A view counts 1; what is likelier to be kept counts less.
        """
        if self.share == 1.0:
            return 1.0
        share = min(1.0, self.share * BOOST.get(kind, 1))
        if share < 1.0 and crc32(product.encode(), crc32(customer.encode())) >= share * 2**32:
            return 0.0
        return self.share / share

    def state(self) -> bytes:
        """Plain bytes to go on from."""
        return orjson.dumps([self._total, self._at, self._first, self._clicks])
