"""Which clicks wait for their label: all of them while there is room, a sample when it is full."""

from zlib import crc32

import orjson

from stream.fading import fold
from stream.units import Millis

CAPACITY = 5_000
"""Clicks of one partition that should wait for their label at the same time.

What is learned from each costs more than all the counting of it, and the models remember 50,000
labels: a busy shop fills that within days.
"""
SLOTS = 64
"""Parts of the window by which those that wait are counted."""
PACES = 24
"""The pace fades with a half-life of the window by so much."""
LOOK_EVERY = 64
"""Clicks between two looks at what waits."""
BOOST = {"add_to_cart": 16, "add_to_wishlist": 16}
"""Carts and wishes are rarer and tell more: so many times likelier to be in the sample."""


class Sampling:
    """The sample, chosen by customer and product: a click and its order are in it together.

    All clicks are kept until `capacity` of them wait. Then the share is halved until what the
    latest pace brings in a window fits, and doubled again when less than a quarter waits. What
    was kept before goes on waiting, so that twice the capacity may wait for a while.

    Attributes:
        share: Of the views that are kept.
        waiting: Clicks that were kept and are younger than the window, by event time.
    """

    __slots__ = (
        "_at", "_capacity", "_clicks", "_half_life", "_kept", "_latest", "_slot", "_total",
        "share", "waiting",
    )  # fmt: skip

    def __init__(self, window: int, state: bytes | None = None, capacity: int = CAPACITY) -> None:
        """Begin, or go on.

        Args:
            window: How long a click may wait, ms.
            state: What `state` wrote.
            capacity: Clicks that should wait at the same time.
        """
        self._capacity = capacity
        self._slot = max(1, window // SLOTS)
        self._half_life = Millis(max(1, window // PACES))
        share, total, at, clicks, kept = orjson.loads(state) if state else (1.0, 0.0, 0, 0, [])
        self.share: float = share
        self._total: float = total
        self._at: int = at
        self._clicks: int = clicks
        self._kept: dict[int, int] = dict(kept)
        self._latest = max(self._kept, default=0)
        self.waiting = sum(self._kept.values())

    def weigh(self, kind: str, time: int, customer: str, product: str) -> float:
        """Take note of a click; say its weight in the sample, or 0 if it is not kept."""
        self._clicks += 1
        if self._clicks % LOOK_EVERY == 0:
            self._look(time)
        weight = self.keeps(kind, customer, product)
        if weight:
            slot = time // self._slot
            if slot > self._latest:
                self._pass(slot)
            if slot >= self._latest - SLOTS:
                self._kept[slot] = self._kept.get(slot, 0) + 1
                self.waiting += 1
        return weight

    def _pass(self, slot: int) -> None:
        """Time has come to a slot: what lies a window before it waits no longer."""
        self._latest = slot
        for old in [old for old in self._kept if old < slot - SLOTS]:
            self.waiting -= self._kept.pop(old)

    def _look(self, time: int) -> None:
        """Make the share fit what waits, and what the latest pace would bring."""
        self._total, self._at = fold(
            self._total, self._at, float(LOOK_EVERY), time, self._half_life
        )
        expected = PACES * self._total  # by 1.4 times too many, in case that the pace grows
        slot = time // self._slot
        if slot > self._latest:
            self._pass(slot)
        if self.waiting > self._capacity:
            while self.share * expected > self._capacity:
                self.share /= 2
        elif self.share < 1.0 and self.waiting < self._capacity / 4:
            fits = 2 * self.share * expected <= self._capacity
            self.share *= 2 if fits else 1

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
        return orjson.dumps(
            [self.share, self._total, self._at, self._clicks, list(self._kept.items())]
        )
