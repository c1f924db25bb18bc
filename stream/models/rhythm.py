"""When a shop sells: the day of the week and the hour of the day, learned from its order lines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from stream.models.linear import LIMIT
from stream.models.snapshots import readable
from stream.units import DAY, HOUR

WEEK = 7 * DAY
HALF_LIFE = 56.0
"""Days after which a sale counts half."""
PRIOR = 2.0
"""Days of sales at the mean pace that are believed in at each hour or weekday at first."""
LONGEST_GAP = 100 * DAY
"""Time without news that is taken to have been lived through, hour by hour."""


def weekday(time: int) -> int:
    """Day of the week, in UTC. Monday is 0; 1970-01-01 was a Thursday."""
    return (time // DAY + 3) % 7


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How much busier an hour is than the mean one.

    A *usual day* is the unit of time here: what a mean day sells. A busy Monday lasts longer
    than one, a night shorter than its hours.

    Attributes:
        days: Pace of each weekday, Monday first; 1 on the mean.
        hours: Pace of each hour of the day; 1 on the mean.

    >>> Rhythm().usual_days(0, 7 * DAY)
    7.0
    """

    days: tuple[float, ...] = (1.0,) * 7
    hours: tuple[float, ...] = (1.0,) * 24
    _spans: dict[tuple[int, int], float] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _past: dict[tuple[int, int, float], float] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def usual_days(self, start: int, length: int) -> float:
        """Usual days that a span lasts.

        Args:
            start: Time, ms; taken to the hour.
            length: ms.
        """
        key = start % WEEK // HOUR, length
        known = self._spans.get(key)
        if known is None:
            known = self._spans[key] = self._lasting(start - start % HOUR, length)
        return known

    def _lasting(self, start: int, length: int) -> float:
        weeks, rest = divmod(length, WEEK)
        total = weeks * sum(self.days) * sum(self.hours) / 24
        if rest % DAY == 0 and start % DAY == 0:
            day = sum(self.hours) / 24
            return total + sum(self.days[weekday(start + at)] * day for at in range(0, rest, DAY))
        for at in range(start, start + rest, HOUR):
            part = min(HOUR, start + rest - at) / DAY
            total += part * self.days[weekday(at)] * self.hours[at % DAY // HOUR]
        return total

    def faded(self, boundary: int, bucket: int, half_life: float) -> float:
        """Usual days of all the past, faded as `Levels` fades what was sold in it.

        Args:
            boundary: Time at which the latest bucket has ended, ms.
            bucket: Length of a bucket, ms.
            half_life: Days.
        """
        key = boundary % WEEK, bucket, half_life
        known = self._past.get(key)
        if known is None:
            keep = 0.5 ** (bucket / (half_life * DAY))
            worth, total = 1.0, 0.0
            for steps in range(1, max(1, WEEK // bucket) + 1):
                worth *= keep
                total += worth * self.usual_days(boundary - steps * bucket, bucket)
            known = self._past[key] = total / (1.0 - worth)
        return known

    def state(self) -> list[list[float]]:
        """Write down as plain numbers."""
        return [list(self.days), list(self.hours)]

    @classmethod
    def restored(cls, state: Sequence[Sequence[float]]) -> Self:
        """Read what `state` has written."""
        with readable("rhythm"):
            days, hours = state
            return cls(tuple(map(float, days)), tuple(map(float, hours)))


class RhythmCounts:
    """Order lines by weekday and by hour, faded, and how often each of them has been lived through.

    The rhythm is reckoned when an hour begins: forecasts rest on it, and those of a busy shop
    would have to be made anew with each order.

    >>> counts = RhythmCounts()
    >>> for hour in range(24 * 28):
    ...     counts.add(hour * HOUR, 10.0 if weekday(hour * HOUR) < 5 else 0.0)
    >>> rhythm = counts.rhythm()
    >>> rhythm.days[0] > 1.2, rhythm.days[6] < 0.5
    (True, True)
    """

    def __init__(self) -> None:
        self._sold = [0.0] * 31
        self._lived = [0.0] * 31
        self._until: int | None = None
        self._rhythm = Rhythm()

    def add(self, time: int, lines: float) -> None:
        """Count order lines (fewer than none, when they are taken back) at a time, ms."""
        if not abs(lines) <= LIMIT:
            return
        hour = time - time % HOUR
        if self._until is None or hour > self._until + LONGEST_GAP:
            self._until = hour
        if self._until <= hour:
            self._rhythm = self._reckoned()
        while self._until <= hour:
            self._live(self._until)
            self._until += HOUR
        late = 0.5 ** ((self._until - HOUR - hour) / DAY / HALF_LIFE)
        self._sold[weekday(hour)] += lines * late
        self._sold[7 + hour % DAY // HOUR] += lines * late

    def _live(self, hour: int) -> None:
        if hour % DAY == 0:
            keep = 0.5 ** (1.0 / HALF_LIFE)
            self._sold = [sold * keep for sold in self._sold]
            self._lived = [lived * keep for lived in self._lived]
        self._lived[weekday(hour)] += 1.0
        self._lived[7 + hour % DAY // HOUR] += 1.0

    def rhythm(self) -> Rhythm:
        """Give the rhythm as known when the latest hour of sales began: even at first."""
        return self._rhythm

    def _reckoned(self) -> Rhythm:
        return Rhythm(
            _paces(self._sold[:7], self._lived[:7], PRIOR * 24.0),
            _paces(self._sold[7:], self._lived[7:], PRIOR),
        )

    def state(self) -> dict[str, Any]:
        """Write down as plain numbers."""
        return {
            "sold": list(self._sold),
            "lived": list(self._lived),
            "until": self._until,
            "rhythm": self._rhythm.state(),
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Self:
        """Read what `state` has written."""
        with readable("rhythm"):
            new = cls()
            sold, lived = list(map(float, state["sold"])), list(map(float, state["lived"]))
            if len(sold) != 31 or len(lived) != 31:
                raise ValueError("a rhythm has seven days and 24 hours")
            new._sold, new._lived = sold, lived
            until = state["until"]
            new._until = None if until is None else int(until)
            new._rhythm = Rhythm.restored(state["rhythm"])
        return new


def _paces(sold: Sequence[float], lived: Sequence[float], prior: float) -> tuple[float, ...]:
    total, time = sum(sold), sum(lived)
    if total <= 0.0 or time <= 0.0:
        return (1.0,) * len(sold)
    mean = total / time
    paces = [max(0.0, s + prior * mean) / (t + prior) for s, t in zip(sold, lived, strict=True)]
    middle = sum(paces) / len(paces)
    if middle <= 0.0:  # so little that dividing has lost it
        return (1.0,) * len(sold)
    return tuple(round(pace / middle, 4) for pace in paces)
