"""Event time: how far the sources have come, and how time goes on when they fall silent."""

from collections.abc import Iterable, Mapping

import orjson

from stream.units import SECOND, Millis

PATIENCE = 15 * SECOND
"""How long a source without news holds the watermark back, in wall time.

Some checkpoints of a worker that is behind: what a source tells comes with them.
"""
WITNESSES = 3
"""So many customers must have reached a time before a source's mark does."""


class Frontier:
    """How far one source has come, in event time: the third-latest customer's latest event.

    A single customer whose clock is wrong cannot move it.
    """

    __slots__ = ("_latest",)

    def __init__(self, latest: Mapping[str, int] | None = None) -> None:
        self._latest: dict[str, int] = dict(latest or {})

    def see(self, events: Iterable[tuple[int, str]]) -> None:
        """Take note of times and who reported them. The order does not matter."""
        latest: dict[str, int] = {}
        known = [(time, who) for who, time in self._latest.items()]
        for time, who in sorted([*known, *events], reverse=True):
            latest.setdefault(who, time)
            if len(latest) == WITNESSES:
                break
        self._latest = latest

    @property
    def mark(self) -> Millis:
        """Event time that this source is believed to have reached; 0 before the first event."""
        return Millis(min(self._latest.values(), default=0))

    def state(self) -> dict[str, int]:
        """Plain data to rebuild it from."""
        return self._latest


class Clock:
    """The watermark: the least of its sources' marks.

    A source without news counts for `PATIENCE` only. When none has news, time goes on at the
    wall clock's pace from where it stood; it does not jump to now, so that a replayed year
    stays in its year.
    """

    __slots__ = ("_awaited", "_heard", "_marks", "_now", "_since", "watermark")

    def __init__(self, state: bytes | None = None, awaited: Iterable[str] = ()) -> None:
        """Begin, or go on.

        Args:
            state: What `state` wrote.
            awaited: Sources that are waited for though they have never been heard; or the first
                one that is would drag the watermark along. Not in a replay, which knows no silence.
        """
        self._awaited = dict.fromkeys(awaited, 0)
        watermark, marks = orjson.loads(state) if state else (0, {})
        self.watermark = Millis(watermark)
        self._marks: dict[str, int] = marks
        self._heard: dict[str, int] = {}
        self._since: int | None = None
        self._now: int | None = None

    def hear(self, source: str, mark: int, now: Millis | None) -> None:
        """Take note of a source's mark. Without a wall clock (a replay) no source falls silent."""
        self._marks[source] = mark
        if now is not None:
            if not self._heard:
                self._since = now  # the first to be heard does not drag time along
            self._heard[source] = now
        self._advance(now)

    def tick(self, now: Millis) -> None:
        """Let wall time pass."""
        self._advance(now)

    def _advance(self, now: int | None) -> None:
        marks = self._marks
        if now is not None:
            # A source known from before a restart is waited for, too.
            since = self._since = now if self._since is None else self._since
            marks = {
                source: mark
                for source, mark in {**self._awaited, **marks}.items()
                if now - self._heard.get(source, since) < PATIENCE
            }
        if marks:
            self.watermark = Millis(max(self.watermark, min(marks.values())))
        elif now is not None and self._now is not None:
            # Whoever fell silent while others were awaited has told something all the same.
            told = max(self.watermark, min(self._marks.values(), default=0))
            self.watermark = Millis(told and told + max(0, now - self._now))
        self._now = now

    def state(self) -> bytes:
        """Plain bytes to rebuild it from."""
        return orjson.dumps([self.watermark, self._marks])
