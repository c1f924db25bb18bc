"""What the shop does to sell more, and has announced."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from math import log, sqrt
from typing import Any, NamedTuple, Self

from stream.models.snapshots import readable
from stream.units import DAY

REMEMBERED = 220 * DAY
"""Time after its end at which a promotion has no bearing on what is known of a product, ms."""
UNSAID = 1.0
"""Discount of a promotion that does not say: it is compared with the product's others alone."""
_LN2 = log(2.0)
_NONE = 1e-9
"""Strength that is what rounding has left of promotions that are over."""


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


class Course:
    """How strongly a product is promoted from when to when; promotions that overlap add up.

    >>> course = Course([Promotion("a", 0, 2 * DAY, 0.25), Promotion("b", DAY, 3 * DAY, 0.25)])
    >>> [course.at(day * DAY) for day in range(4)], course.strength(0, 4 * DAY)
    ([0.5, 1.0, 0.5, 0.0], 0.5)
    """

    __slots__ = ("_strengths", "_times")

    def __init__(self, promotions: Iterable[Promotion] = ()) -> None:
        steps: dict[int, float] = {}
        for promotion in promotions:
            steps[promotion.starts] = steps.get(promotion.starts, 0.0) + promotion.strength
            steps[promotion.ends] = steps.get(promotion.ends, 0.0) - promotion.strength
        self._times = sorted(steps)
        self._strengths: list[float] = []
        total = 0.0
        for time in self._times:
            total += steps[time]
            self._strengths.append(total if total > _NONE else 0.0)

    def __bool__(self) -> bool:
        return bool(self._times)

    def at(self, time: int) -> float:
        """Strength at a moment, ms."""
        place = bisect_right(self._times, time) - 1
        return self._strengths[place] if place >= 0 else 0.0

    def strength(self, start: int, length: int) -> float:
        """Mean strength in a span, ms."""
        parts = self._parts(start, start + length)
        return sum(strength * (until - since) for since, until, strength in parts) / max(1, length)

    def faded(
        self, start: int, end: int, seen_from: float, half_lives: Sequence[float]
    ) -> tuple[list[float], float]:
        """Days of a span times their strength, each fading with its distance from a moment.

        Args:
            start: ms.
            end: ms.
            seen_from: The moment, ms.
            half_lives: Days.

        Returns:
            The sum for each half-life, and for the last one that of the strength squared.
        """
        sums, squares = [0.0] * len(half_lives), 0.0
        for since, until, strength in self._parts(start, end):
            young, old = (seen_from - until) / DAY, (seen_from - since) / DAY
            worth = 0.0
            for place, half_life in enumerate(half_lives):
                worth = 0.5 ** (young / half_life) - 0.5 ** (old / half_life)
                worth *= half_life / _LN2
                sums[place] += strength * worth
            squares += strength * strength * worth
        return sums, squares

    def _parts(self, start: int, end: int) -> Iterator[tuple[int, int, float]]:
        times, strengths = self._times, self._strengths
        place = max(0, bisect_right(times, start) - 1)
        while place < len(times) - 1 and times[place] < end:
            since, until = max(start, times[place]), min(end, times[place + 1])
            if strengths[place] and until > since:
                yield since, until, strengths[place]
            place += 1


UNPROMOTED = Course()


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
        self._courses: dict[tuple[tuple[str, str], ...], Course] = {}

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
            self._courses.clear()

    def withdraw(self, promotion_id: str) -> None:
        """Forget a promotion."""
        where = self._where.pop(promotion_id, None)
        if where is not None:
            del self._of[where][promotion_id]
            if not self._of[where]:
                del self._of[where]
            self._courses.clear()

    def prune(self, now: int) -> None:
        """Forget those that ended long ago."""
        for promotion in self.all():
            if promotion.ends < now - REMEMBERED:
                self.withdraw(promotion.id)

    def all(self) -> list[Promotion]:
        """Give every promotion that is remembered."""
        return [promotion for several in self._of.values() for promotion in several.values()]

    def course(self, product: str, category: str | None) -> Course:
        """Add up what promotes a product: its own promotions, its category's, and the shop's.

        Args:
            product: Its id.
            category: Its category, where known.
        """
        if not self._of:
            return UNPROMOTED
        reaches = (("product", product), ("category", category or ""), ("shop", ""))
        reaching = tuple(reach for reach in reaches if reach in self._of)
        if not reaching:
            return UNPROMOTED
        known = self._courses.get(reaching)
        if known is None:
            promotions = [one for reach in reaching for one in self._of[reach].values()]
            known = self._courses[reaching] = Course(promotions)
        return known

    def strength(self, product: str, category: str | None, start: int, length: int) -> float:
        """Mean strength of promotions of a product in a span; see `course` and `Course`."""
        return self.course(product, category).strength(start, length)

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
