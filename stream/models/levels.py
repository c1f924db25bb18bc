"""What a product sells: a few faded sums, brought up to date by each order line."""

from collections.abc import Sequence
from typing import NamedTuple, Self

from stream.models.promotions import UNPROMOTED, Course
from stream.models.response import Trial, responded
from stream.models.rhythm import Rhythm
from stream.models.snapshots import readable
from stream.units import DAY

UNITS_HALF_LIVES = (3.5, 10.0, 22.0, 45.0, 180.0)
"""Days. Of the capped units; the last one is also that of all units."""
LINES_HALF_LIVES = (3.5, 10.0, 22.0, 45.0)

BULK = 4.0
"""A line of more than so many usual ones is a bulk order: it is no sign that demand has risen."""
SMALLEST_BULK = 6.0
"""A line of so few units never is one."""
LINES_KEPT = 100.0
"""After so many lines, what a usual line is counts half."""
FIRST_LINES = 4.0
"""Lines like the first one that are believed in until others have come."""
FIRST_LINE = 12.0
"""The largest line that is believed in so."""
FIRM_AFTER = 30.0
"""Lines after which the mean of a product's lines is what is usual."""

_AT, _FIRST, _LINES, _SIZES, _ALL, _UNITS = range(6)
_PIECES = _UNITS + len(UNITS_HALF_LIVES)
_FADED = (UNITS_HALF_LIVES[-1], *UNITS_HALF_LIVES, *LINES_HALF_LIVES)
_PROMOTED = _ALL + len(_FADED)
_EXPOSED = _PROMOTED + 1
_SQUARED = _EXPOSED + len(UNITS_HALF_LIVES)
WIDTH = _SQUARED + 1
"""Numbers that are kept of a product."""
_HALF_LIVES = (*_FADED, UNITS_HALF_LIVES[-1], *UNITS_HALF_LIVES, UNITS_HALF_LIVES[-1])
"""Of all the sums that fade, in their order: units and lines; units times the strength of the
promotions in which they were sold; days times strength, days times strength squared."""
_NEVER = -1.0
LEAST_LIVED = 0.1
"""Share of the days lived through that is left at least where promotions take sales."""
_SHORTEST = 0.25
"""Usual days that are taken to lie behind at least, so that a first sale makes no great pace."""


NOT_MOVED = (0.0,) * len(UNITS_HALF_LIVES)


class Paces(NamedTuple):
    """What is sold on a usual day without promotion, by how far one looks back.

    Attributes:
        units: Capped units, one for each of `UNITS_HALF_LIVES`.
        lines: Order lines, one for each of `LINES_HALF_LIVES`.
        bulk: What bulk orders add.
        age: Days since the first sale.
        response: Share by which a promotion of strength 1 lifts sales.
        moved: What promotions have added to units, one for each of `UNITS_HALF_LIVES`.
    """

    units: tuple[float, ...]
    lines: tuple[float, ...]
    bulk: float = 0.0
    age: float = 0.0
    response: float = 0.0
    moved: tuple[float, ...] = NOT_MOVED


class Levels:
    """Exponential smoothing at several rates, of units, of order lines, and of bulk orders.

    Sums fade with time and are told in which bucket a line was sold: lines may come in any
    order, and an empty bucket costs nothing, as the pace is the sum over the time lived
    through, both faded. With it, simple exponential smoothing (Brown 1956) and that of Teunter,
    Syntetos and Babai for what sells seldom (EJOR 214, 2011) are the same thing.

    A day on which promotions have sold twice as much counts as two days lived through, so that
    no level is taken for higher than it is once they are over. How much they do sell is told by
    the share of the units that were sold in them.

    Attributes:
        state: All there is, as plain numbers. Shape (WIDTH,).

    >>> from stream.models.rhythm import Rhythm
    >>> levels = Levels()
    >>> for day in range(400):
    ...     levels.sell(3.0, bucket=day, length=DAY)
    >>> paces = levels.paces(400, DAY, Rhythm())
    >>> [round(pace, 3) for pace in paces.units], round(paces.bulk, 3)
    ([3.0, 3.0, 3.0, 3.0, 3.0], 0.0)
    """

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = [0.0] * WIDTH
        self.state[_AT] = self.state[_FIRST] = _NEVER

    @property
    def known(self) -> bool:
        """Has anything ever been sold?"""
        return self.state[_AT] != _NEVER

    @property
    def latest(self) -> int:
        """Number of the latest bucket in which something was sold; -1 if nothing ever was."""
        return round(self.state[_AT])

    def sell(
        self,
        quantity: float,
        *,
        bucket: int,
        length: int,
        lines: float = 1.0,
        strength: float = 0.0,
        course: Course = UNPROMOTED,
    ) -> None:
        """Count order lines; what is of a negative quantity takes back what others have counted.

        Args:
            quantity: Units. Not 0.
            bucket: Number of the bucket in which it was sold (time // length).
            length: Of a bucket, ms.
            lines: Number of lines. 0 if units are taken back of a line that stands.
            strength: That of promotions at the moment of the sale.
            course: That of the product's promotions.
        """
        state = self.state
        several = max(1.0, lines)
        size = self._capped(abs(quantity) / several)
        if quantity > 0.0:
            self._remember(size)
        sign = 1.0 if quantity > 0.0 else -1.0
        size *= several
        if state[_AT] == _NEVER:
            state[_AT] = state[_FIRST] = float(bucket)
        state[_FIRST] = min(state[_FIRST], float(bucket))
        late = self._turn_to(bucket, length, course)
        amounts = (quantity, sign * size, sign * lines)
        self._count(amounts, strength, late)

    def _count(self, amounts: tuple[float, float, float], strength: float, late: float) -> None:
        """Add units, capped units, and lines, of so many days ago."""
        units, size, lines = amounts
        state = self.state
        for place, half_life in enumerate(_FADED, _ALL):
            amount = units if place == _ALL else size if place < _PIECES else lines
            state[place] += amount * 0.5 ** (late / half_life) if late else amount
        if strength:
            state[_PROMOTED] += strength * size * 0.5 ** (late / _HALF_LIVES[_PROMOTED - _ALL])

    def sold_out(
        self, expected: float, *, bucket: int, length: int, course: Course = UNPROMOTED
    ) -> None:
        """Let a bucket in which there was nothing to sell count as what it would have sold.

        Args:
            expected: Units that it would have sold beside those that it has.
            bucket: Its number.
            length: Of a bucket, ms.
            course: That of the product's promotions.
        """
        if not self.known or not expected > 0.0:
            return
        lines = expected / self._usual() if self._usual() > 0.0 else 0.0
        late = self._turn_to(bucket, length, course)
        self._count((expected, expected, lines), course.strength(bucket * length, length), late)

    def _turn_to(self, bucket: int, length: int, course: Course) -> float:
        """Let sums fade up to a bucket; say how many days too late it comes, if it does."""
        state = self.state
        passed = (bucket - state[_AT]) * length / DAY
        if passed > 0.0:
            for place, half_life in enumerate(_FADED, _ALL):
                state[place] *= 0.5 ** (passed / half_life)
            if course or state[_SQUARED] or state[_PROMOTED]:
                state[_PROMOTED] *= 0.5 ** (passed / UNITS_HALF_LIVES[-1])
                state[_EXPOSED:] = self._exposed(bucket, length, course)
            state[_AT] = float(bucket)
            return 0.0
        return -passed

    def _exposed(self, bucket: int, length: int, course: Course) -> list[float]:
        """Faded days times the strength of promotions, as they stand when a bucket begins.

        Reckoned once a bucket is over, so that what is announced while it lasts counts in it.
        """
        state, start = self.state, bucket * length
        passed = max(0.0, (bucket - state[_AT]) * length / DAY)
        sums, squares = course.faded(
            round(state[_AT]) * length, start, start + length / 2, UNITS_HALF_LIVES
        )
        return [
            state[place] * 0.5 ** (passed / _HALF_LIVES[place - _ALL]) + more
            for place, more in enumerate((*sums, squares), _EXPOSED)
        ]

    def _usual(self) -> float:
        state = self.state
        return state[_SIZES] / state[_LINES] if state[_LINES] else 0.0

    def _capped(self, quantity: float) -> float:
        lines, sizes = self.state[_LINES], self.state[_SIZES]
        if lines < FIRM_AFTER:
            sizes += FIRST_LINES * min(quantity, FIRST_LINE)
            lines += FIRST_LINES
        return min(quantity, max(SMALLEST_BULK, BULK * sizes / lines))

    def _remember(self, size: float) -> None:
        state = self.state
        state[_LINES] += 1.0
        state[_SIZES] += size
        if state[_LINES] > LINES_KEPT:
            state[_LINES] /= 2.0
            state[_SIZES] /= 2.0

    def paces(
        self,
        boundary: int,
        length: int,
        rhythm: Rhythm,
        course: Course = UNPROMOTED,
        usual: float = 0.0,
    ) -> Paces:
        """Say what is sold on a usual day, as known when all buckets before `boundary` are over.

        Args:
            boundary: Number of the first bucket that does not count; none after has sold yet.
            length: Of a bucket, ms.
            rhythm: When the shop sells.
            course: That of the product's promotions.
            usual: Response to promotions in the shop.
        """
        if not self.known:
            return Paces(
                (0.0,) * len(UNITS_HALF_LIVES), (0.0,) * len(LINES_HALF_LIVES), response=usual
            )
        state, time = self.state, boundary * length
        age = max(0.0, (boundary - state[_FIRST]) * length / DAY)
        passed = max(0.0, (boundary - state[_AT]) * length / DAY)
        lived = [
            max(_SHORTEST, rhythm.faded(time, length, half_life) * (1.0 - 0.5 ** (age / half_life)))
            for half_life in UNITS_HALF_LIVES
        ]
        faded = [
            max(0.0, state[place] * 0.5 ** (passed / half_life))
            for place, half_life in enumerate(_FADED, _ALL)
        ]
        every, units, lines = faded[0], faded[1 : _PIECES - _ALL], faded[_PIECES - _ALL :]
        bulk = max(0.0, every - units[-1]) / lived[-1]
        plain = _shared(units, lived)
        if not (course or state[_SQUARED]):
            return Paces(plain, _shared(lines, lived), bulk, age, usual)
        exposed = self._exposed(boundary, length, course)
        promoted = max(0.0, state[_PROMOTED] * 0.5 ** (passed / UNITS_HALF_LIVES[-1]))
        response = responded(Trial(units[-1], promoted, lived[-1], *exposed[-2:]), usual)
        days = [
            max(_SHORTEST, LEAST_LIVED * each, each + response * seen)
            for each, seen in zip(lived, exposed, strict=False)
        ]
        paces = _shared(units, days)
        moved = tuple(one - own for one, own in zip(plain, paces, strict=True))
        return Paces(paces, _shared(lines, days), bulk, age, response, moved)

    @classmethod
    def restored(cls, state: Sequence[float]) -> Self:
        """Read what stood in `state`."""
        with readable("levels"):
            new = cls()
            numbers = [float(number) for number in state]
            if len(numbers) != WIDTH:
                raise ValueError(f"{len(numbers)} numbers instead of {WIDTH}")
            new.state = numbers
        return new


def _shared(sold: Sequence[float], days: Sequence[float]) -> tuple[float, ...]:
    return tuple([one / each for one, each in zip(sold, days, strict=False)])
