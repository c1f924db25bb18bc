"""Events sent when they are due, in a thread; who falls behind is waited for."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator

from stream.demo.books import Books
from stream.demo.source import Source
from stream.events.logs import Event
from stream.events.types import KEYS
from stream.kafka.sending import Tally, send_log
from stream.settings import Settings
from stream.units import Millis

MOST_BEHIND = 4_000
"""Entries that a worker may have before it; then no more are sent until it has caught up."""
GLANCE = 0.02
"""Seconds between two looks at whether it has."""


class Player(threading.Thread):
    """Sends a source's events to Kafka.

    Attributes:
        books: What was sent.
        reached: Time of the latest event; None before the first.
        ended: The source has no more events.
        behind: Entries that are not counted yet, as far as somebody has looked.
        waited: Seconds for which nothing was sent because the worker was behind.
    """

    def __init__(self, source: Source, settings: Settings) -> None:
        super().__init__(name="player", daemon=True)
        self.books = Books()
        self.reached: Millis | None = None
        self.behind: Callable[[], int] = lambda: 0
        self.ended = False
        self.waited = 0.0
        self.failure: BaseException | None = None
        self._source = source
        self._settings = settings
        self._over = threading.Event()

    def run(self) -> None:
        """Send until the source ends or `stop`, and wait until Kafka has it all."""
        # What the client logs, our errors say better.
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
        try:
            asyncio.run(send_log(self._due(), self._settings, Tally(), topics=list(KEYS)))
        except Exception as failure:  # noqa: BLE001 (raised again by whoever waits for the end)
            self.failure = failure

    def stop(self) -> None:
        """Send no more. What has been sent is in the books."""
        self._over.set()

    def end(self) -> None:
        """Stop, and wait until Kafka has all that is in the books."""
        self.stop()
        if self.ident is not None:
            self.join()
        if self.failure:
            raise self.failure

    def _due(self) -> Iterator[Event]:
        began = time.monotonic()
        first: int | None = None
        for event in self._source.events:
            if first is None:
                first = event.time
            began += self._patience()
            early = began + (event.time - first) / 1000 / self._source.speed - time.monotonic()
            if early > 0:
                self._over.wait(early)
            if self._over.is_set():
                return
            self.books.enter(event)
            self.reached = event.time
            yield event
        self.ended = True

    def _patience(self) -> float:
        """Wait for a worker that is behind. Seconds."""
        if self.behind() <= MOST_BEHIND:
            return 0.0
        began = time.monotonic()
        while self.behind() > MOST_BEHIND // 2 and not self._over.wait(GLANCE):
            pass
        waited = time.monotonic() - began
        self.waited += waited
        return waited
