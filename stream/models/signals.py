"""Signals from outside: how far the latest value of each lies from its usual one."""

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite, sqrt
from typing import Any, NamedTuple, Self

from stream.models.linear import FLAT
from stream.models.snapshots import readable
from stream.units import DAY

MOST_SIGNALS = 1_000
HALF_LIFE = 28.0
"""Days after which a value counts half in the usual one."""
FEW = 3.0
"""Values before which nothing is called unusual."""
FURTHEST = 4.0
"""Deviations that are told from larger ones."""
STALE = 2.0
"""Days after which a value has lost half of its meaning."""
SHOP = ""
"""Stands for the whole shop where a category is named."""


class Signal(NamedTuple):
    """The latest of a signal.

    Attributes:
        category: Which it speaks of; None: of the whole shop.
        usual: Faded mean of its values.
        squares: Faded sum of the squared distances from it.
        weight: How many values stand behind both.
    """

    name: str
    category: str | None
    time: int
    value: float
    usual: float
    squares: float
    weight: float

    def next(self, time: int, value: float) -> "Signal":
        """Take a later value in.

        Source:
            West, "Updating Mean and Variance Estimates", CACM 22, 1979, with weights that fade.
        """
        keep = 0.5 ** ((time - self.time) / DAY / HALF_LIFE)
        weight = self.weight * keep + 1.0
        usual = self.usual + (value - self.usual) / weight
        squares = self.squares * keep + (value - self.usual) * (value - usual)
        if not isfinite(squares):
            return self
        return self._replace(time=time, value=value, usual=usual, squares=squares, weight=weight)

    @property
    def deviation(self) -> float:
        """Of the latest value from the usual one, in standard deviations; -4 to 4."""
        variance = self.squares / self.weight
        if self.weight < FEW or variance <= FLAT * (1.0 + self.usual * self.usual):
            return 0.0
        return max(-FURTHEST, min(FURTHEST, (self.value - self.usual) / sqrt(variance)))


class Unusual(NamedTuple):
    """What is out of the ordinary, in deviations from the usual; 0 where nothing is known.

    Attributes:
        category: Mean of the signals that speak of the category.
        shop: Mean of those that speak of the whole shop.
    """

    category: float
    shop: float


NOTHING_UNUSUAL = Unusual(0.0, 0.0)


class Deviations:
    """What of the signals is served: a deviation and its time for each, by category.

    >>> served = Deviations({"mugs": [[0, 2.0], [0, 3.0]]})
    >>> served.of("mugs", 0), served.of("mugs", 2 * DAY).category, served.of(None, 0).category
    (Unusual(category=2.5, shop=0.0), 1.25, 0.0)
    """

    __slots__ = ("told",)

    def __init__(self, told: Mapping[str, Sequence[Sequence[float]]] | None = None) -> None:
        self.told = {category: list(pairs) for category, pairs in (told or {}).items()}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Deviations) and self.told == other.told

    __hash__ = None  # type: ignore[assignment]  # nothing needs it

    def of(self, category: str | None, time: int) -> Unusual:
        """Say what is unusual at a time for products of a category."""
        if not self.told:
            return NOTHING_UNUSUAL
        own = 0.0 if category is None else self._mean(category, time)
        return Unusual(own, self._mean(SHOP, time))

    def _mean(self, category: str, time: int) -> float:
        pairs = self.told.get(category, ())
        faded = [d * 0.5 ** (max(0.0, time - at) / DAY / STALE) for at, d in pairs]
        return sum(faded) / len(faded) if faded else 0.0


class Signals:
    """All signals, bounded: those that spoke last are kept.

    >>> signals = Signals()
    >>> for day, value in enumerate([10.0, 12.0, 11.0, 30.0]):
    ...     signals.hear("rain", None, day * DAY, value)
    >>> round(signals.deviations().of("mugs", 3 * DAY).shop, 2)
    1.68
    """

    def __init__(self) -> None:
        self._signals: dict[tuple[str, str | None], Signal] = {}

    def __iter__(self) -> Iterator[Signal]:
        return iter(self._signals.values())

    def __len__(self) -> int:
        return len(self._signals)

    def hear(self, name: str, category: str | None, time: int, value: float) -> None:
        """Take note of a value; one that is older than the latest changes nothing."""
        known = self._signals.get((name, category))
        if known is None:
            self._signals[name, category] = Signal(name, category, time, value, value, 0.0, 1.0)
        elif time >= known.time:
            self._signals[name, category] = known.next(time, value)
        if len(self._signals) > MOST_SIGNALS:
            del self._signals[min(self._signals, key=lambda which: self._signals[which].time)]

    def deviations(self) -> Deviations:
        """Copy out what is served."""
        told: dict[str, list[list[float]]] = {}
        for signal in self:
            pair = [signal.time, round(signal.deviation, 4)]
            told.setdefault(signal.category or SHOP, []).append(pair)
        return Deviations(told)

    def state(self) -> list[list[Any]]:
        """Write down as plain values."""
        return [list(signal) for signal in self]

    @classmethod
    def restored(cls, state: Sequence[Sequence[Any]]) -> Self:
        """Read what `state` has written."""
        with readable("signals"):
            new = cls()
            for fields in state:
                signal = Signal(*fields)
                new._signals[signal.name, signal.category] = signal
        return new
