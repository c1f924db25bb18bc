"""What a product sells: a few faded sums, brought up to date by each order line."""

from collections.abc import Sequence
from typing import NamedTuple, Self

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

RESPONSE_KEPT = 0.98
"""Share of what is known of the response to promotions that is left after another observation."""
RESPONSE_PRIOR = 5.0
"""How firmly the shop's response is believed in for a product."""
RESPONSE_WEIGHT = 20.0
"""Units beyond which more units make an observation no surer."""
LEAST_CHANGE, MOST_CHANGE = -1.0, 4.0
"""A promotion explains between no sales at all and five times the usual ones."""

_AT, _FIRST, _LINES, _SIZES, _RESPONSE, _TRIED, _ALL, _UNITS = range(8)
_PIECES = _UNITS + len(UNITS_HALF_LIVES)
_FADED = (UNITS_HALF_LIVES[-1], *UNITS_HALF_LIVES, *LINES_HALF_LIVES)
WIDTH = _ALL + len(_FADED)
"""Numbers that are kept of a product."""
_NEVER = -1.0
_SHORTEST = 0.25
"""Usual days that are taken to lie behind at least, so that a first sale makes no great pace."""


class Paces(NamedTuple):
    """What is sold on a usual day, by how far one looks back.

    Attributes:
        units: Capped units, one for each of `UNITS_HALF_LIVES`.
        lines: Order lines, one for each of `LINES_HALF_LIVES`.
        bulk: What bulk orders add.
        age: Days since the first sale.
    """

    units: tuple[float, ...]
    lines: tuple[float, ...]
    bulk: float
    age: float


class Levels:
    """Exponential smoothing at several rates, of units, of order lines, and of bulk orders.

    Sums fade with time and are told in which bucket a line was sold: lines may come in any
    order, and an empty bucket costs nothing, as the pace is the sum over the time lived
    through, both faded. With it, simple exponential smoothing (Brown 1956) and that of Teunter,
    Syntetos and Babai for what sells seldom (EJOR 214, 2011) are the same thing.

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

    def sell(self, quantity: float, *, bucket: int, length: int, lines: float = 1.0) -> None:
        """Count order lines; what is of a negative quantity takes back what others have counted.

        Args:
            quantity: Units. Not 0.
            bucket: Number of the bucket in which it was sold (time // length).
            length: Of a bucket, ms.
            lines: Number of lines. 0 if units are taken back of a line that stands.
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
        late = self._turn_to(bucket, length)
        for place, half_life in enumerate(_FADED, _ALL):
            amount = quantity if place == _ALL else sign * (size if place < _PIECES else lines)
            state[place] += amount * 0.5 ** (late / half_life) if late else amount

    def sold_out(self, expected: float, *, bucket: int, length: int) -> None:
        """Let a bucket in which there was nothing to sell count as what it would have sold.

        Args:
            expected: Units that it would have sold beside those that it has.
            bucket: Its number.
            length: Of a bucket, ms.
        """
        state = self.state
        if not self.known or not expected > 0.0:
            return
        lines = expected / self._usual() if self._usual() > 0.0 else 0.0
        late = self._turn_to(bucket, length)
        for place, half_life in enumerate(_FADED, _ALL):
            state[place] += (expected if place < _PIECES else lines) * 0.5 ** (late / half_life)

    def _turn_to(self, bucket: int, length: int) -> float:
        """Let sums fade up to a bucket; say how many days too late it comes, if it does."""
        state = self.state
        passed = (bucket - state[_AT]) * length / DAY
        if passed > 0.0:
            for place, half_life in enumerate(_FADED, _ALL):
                state[place] *= 0.5 ** (passed / half_life)
            state[_AT] = float(bucket)
            return 0.0
        return -passed

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

    def paces(self, boundary: int, length: int, rhythm: Rhythm) -> Paces:
        """Say what is sold on a usual day, as known when all buckets before `boundary` are over.

        Args:
            boundary: Number of the first bucket that does not count; none after has sold yet.
            length: Of a bucket, ms.
            rhythm: When the shop sells.
        """
        state = self.state
        time = boundary * length
        age = max(0.0, (boundary - state[_FIRST]) * length / DAY) if self.known else 0.0
        passed = max(0.0, (boundary - state[_AT]) * length / DAY) if self.known else 0.0
        paces: list[float] = []
        for place, half_life in enumerate(_FADED, _ALL):
            lived = rhythm.faded(time, length, half_life) * (1.0 - 0.5 ** (age / half_life))
            faded = state[place] * 0.5 ** (passed / half_life)
            paces.append(max(0.0, faded) / max(_SHORTEST, lived))
        units = tuple(paces[1 : 1 + len(UNITS_HALF_LIVES)])
        return Paces(
            units,
            tuple(paces[1 + len(UNITS_HALF_LIVES) :]),
            max(0.0, paces[0] - units[-1]),
            age,
        )

    def respond(self, change: float, sold: float, expected: float) -> None:
        """Take note of what a promotion that has begun or ended did to sales.

        Args:
            change: Strength of promotions in a span, less what the level had seen of them.
            sold: Units in the span.
            expected: Units by the level, without promotion. Not negative.
        """
        if change:
            state, (risen, tried) = self.state, observed(change, sold, expected)
            state[_RESPONSE] = state[_RESPONSE] * RESPONSE_KEPT + risen
            state[_TRIED] = state[_TRIED] * RESPONSE_KEPT + tried

    def response(self, usual: float) -> float:
        """Say by which share a promotion of strength 1 lifts sales: the shop's usual at first."""
        return (self.state[_RESPONSE] + RESPONSE_PRIOR * usual) / (
            self.state[_TRIED] + RESPONSE_PRIOR
        )

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


def observed(change: float, sold: float, expected: float) -> tuple[float, float]:
    """What a span tells of the response to promotions: two sums of a regression through 0.

    Args:
        change: Strength of promotions in the span, less what the level had seen of them.
        sold: Units in the span.
        expected: Units by the level, without promotion. Not negative.

    Returns:
        Change times rise, and change squared, both weighted. Their ratio is the response.
    """
    weight = min(expected + 1.0, RESPONSE_WEIGHT)
    rise = max(LEAST_CHANGE, min(MOST_CHANGE, (sold - expected) / (expected + 1.0)))
    return weight * change * rise, weight * change * change
