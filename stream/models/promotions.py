"""What the shop does to sell more, and has announced."""

from collections.abc import Iterable
from math import sqrt
from typing import Any, NamedTuple, Self

from stream.models.snapshots import readable
from stream.units import DAY

HALF_LIFE = 22.0
"""Days; that of the level which a promotion is to lift."""
REMEMBERED = 10 * HALF_LIFE * DAY
"""Time after its end at which a promotion has no bearing on a level any more, ms."""
UNSAID = 1.0
"""Discount of a promotion that does not say: it is compared with the product's others alone."""


class Promotion(NamedTuple):
    """A promotion: of a product, or of a category, or of the whole shop if neither is said.

    Attributes:
        starts: ms.
        ends: ms; the first moment that is outside.
        discount: Share of the price, 0 to 1, or the share of stores or of the audience that it
            reaches. The strength of promotions of one kind has to be measured alike.
    """

    id: str
    starts: int
    ends: int
    discount: float | None = None
    product: str | None = None
    category: str | None = None

    @property
    def strength(self) -> float:
        """How much it may do: the root of the discount, for the first per cent do the most."""
        return sqrt(max(0.0, min(1.0, UNSAID if self.discount is None else self.discount)))


class Promotions:
    """The promotion calendar, the past of the last months included.

    >>> calendar = Promotions()
    >>> calendar.announce(Promotion("sale", 0, 2 * DAY, 0.25))
    >>> calendar.strength("mug", None, DAY, 2 * DAY)
    0.25
    """

    def __init__(self) -> None:
        self._of: dict[tuple[str, str], dict[str, Promotion]] = {}
        self._where: dict[str, tuple[str, str]] = {}

    def __len__(self) -> int:
        return len(self._where)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Promotions) and sorted(self.state()) == sorted(other.state())

    __hash__ = None  # type: ignore[assignment]  # it changes

    def announce(self, promotion: Promotion) -> None:
        """Take note of a promotion. What is said later of the same id holds."""
        self.withdraw(promotion.id)
        if promotion.ends > promotion.starts:
            where = _reach(promotion)
            self._of.setdefault(where, {})[promotion.id] = promotion
            self._where[promotion.id] = where

    def withdraw(self, promotion_id: str) -> None:
        """Forget a promotion."""
        where = self._where.pop(promotion_id, None)
        if where is not None:
            del self._of[where][promotion_id]
            if not self._of[where]:
                del self._of[where]

    def prune(self, now: int) -> None:
        """Forget those that ended long ago."""
        for promotion in self.all():
            if promotion.ends < now - REMEMBERED:
                self.withdraw(promotion.id)

    def all(self) -> list[Promotion]:
        """Give every promotion that is remembered."""
        return [promotion for several in self._of.values() for promotion in several.values()]

    def strength(self, product: str, category: str | None, start: int, length: int) -> float:
        """Mean strength of promotions of a product in a span.

        Args:
            product: Its id.
            category: Its category, where known.
            start: ms.
            length: ms.
        """
        end = start + length
        return sum(
            promotion.strength * max(0, min(end, promotion.ends) - max(start, promotion.starts))
            for promotion in self._reaching(product, category)
        ) / max(1, length)

    def exposure(self, product: str, category: str | None, now: int) -> float:
        """Mean strength of promotions before a moment, faded as the level is that saw them."""
        total = 0.0
        for promotion in self._reaching(product, category):
            if promotion.starts < now:
                since = (now - promotion.starts) / DAY
                until = max(0, now - promotion.ends) / DAY
                worth = 0.5 ** (until / HALF_LIFE) - 0.5 ** (since / HALF_LIFE)
                total += promotion.strength * worth
        return total

    def change(self, product: str, category: str | None, start: int, length: int) -> float:
        """Strength of promotions in a span that begins now, less what the level has seen."""
        if not self._of:
            return 0.0
        ahead = self.strength(product, category, start, length)
        return ahead - self.exposure(product, category, start)

    def _reaching(self, product: str, category: str | None) -> Iterable[Promotion]:
        if not self._of:
            return
        yield from self._of.get(("product", product), {}).values()
        if category is not None:
            yield from self._of.get(("category", category), {}).values()
        yield from self._of.get(("shop", ""), {}).values()

    def state(self) -> list[list[Any]]:
        """Write down as plain values."""
        return [list(promotion) for promotion in self.all()]

    @classmethod
    def restored(cls, state: Iterable[Iterable[Any]]) -> Self:
        """Read what `state` has written."""
        with readable("promotion calendar"):
            new = cls()
            for fields in state:
                new.announce(Promotion(*fields))
        return new


def _reach(promotion: Promotion) -> tuple[str, str]:
    if promotion.product is not None:
        return "product", promotion.product
    if promotion.category is not None:
        return "category", promotion.category
    return "shop", ""
