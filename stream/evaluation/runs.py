"""Which part of a log is the log: what lies far from all the rest has a wrong time."""

from dataclasses import dataclass

from stream.units import DAY, Millis, rfc3339

SILENCE = 180 * DAY
"""So long without a click or an order, and what comes next is taken for another log, ms."""


@dataclass(slots=True)
class Run:
    """Clicks and orders without a long silence between them. Times are in ms.

    Attributes:
        first: Time of the first of them.
        last: Time of the last of them.
        before: Clicks, and order lines, of the log that come before the run.
        events: Clicks and orders in it.
        clicks: In it.
        lines: Order lines in it.
    """

    first: int
    last: int
    before: tuple[int, int]
    events: int = 0
    clicks: int = 0
    lines: int = 0


class Runs:
    """The runs of a log, of which the one with most events is evaluated.

    Without this, a single event of the year 2199 would have every window up to then walked
    through, and one of 1990 would have every window since.

    >>> runs = Runs()
    >>> for day in (1, 2, 3, 70_000):
    ...     runs.take(day * DAY, clicks=1)
    >>> runs.main.last // DAY, runs.strays
    (3, 1)
    """

    def __init__(self) -> None:
        self._runs: list[Run] = []
        self._counted = (0, 0)

    def take(self, time: int, *, clicks: int = 0, lines: int = 0) -> None:
        """Take note of the next event.

        Args:
            time: Of it, not before the one before it, ms.
            clicks: 1 if it is one.
            lines: Order lines of it.
        """
        if not self._runs or time > self._runs[-1].last + SILENCE:
            self._runs.append(Run(time, time, self._counted))
        run = self._runs[-1]
        run.last = time
        run.events += 1
        run.clicks += clicks
        run.lines += lines
        self._counted = self._counted[0] + clicks, self._counted[1] + lines

    @property
    def main(self) -> Run | None:
        """The one with most events, the first of several; None if the log has no event."""
        return max(self._runs, key=lambda run: run.events, default=None)

    @property
    def strays(self) -> int:
        """Events of all other runs."""
        return sum(run.events for run in self._runs) - (self.main.events if self.main else 0)

    def notices(self) -> list[str]:
        """Say what is refused, in a sentence; nothing if nothing is."""
        main = self.main
        if main is None or not self.strays:
            return []
        reach = " to ".join(rfc3339(Millis(time)) for time in (main.first, main.last))
        sentence = (
            f"{self.strays:,} clicks and orders were refused, and are among the bad rows: they lie "
            f"more than {SILENCE // DAY} days from the rest of the log, {reach}."
        )
        return [sentence]
