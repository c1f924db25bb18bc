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

EASED = 0.5
"""Strain at which events are sent again, once they were held back."""
GLANCE = 0.02
"""Seconds between two looks at whether it has."""


class Player(threading.Thread):
    """Sends a source's events to Kafka.

    Attributes:
        books: What was sent.
        reached: Time of the latest event; None before the first.
        ended: The source has no more events.
        strain: Says how far the worker is behind, as far as somebody has looked; beyond 1 it
            gets no more until it has caught up.
        waited: Seconds for which nothing was sent because the worker was behind.
    """

    def __init__(self, source: Source, settings: Settings) -> None:
        super().__init__(name="player", daemon=True)
        self.books = Books()
        self.reached: Millis | None = None
        self.strain: Callable[[], float] = lambda: 0.0
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
            self._wait_for_worker()
            early = began + (event.time - first) / 1000 / self._source.speed - time.monotonic()
            if early > 0:
                self._over.wait(early)
            if self._over.is_set():
                return
            self.books.enter(event)
            self.reached = event.time
            yield event
        self.ended = True

    def _wait_for_worker(self) -> None:
        """Let a worker that is far behind catch up. What is late by then is sent at once."""
        if self.strain() <= 1.0:
            return
        began = time.monotonic()
        while self.strain() > EASED and not self._over.wait(GLANCE):
            pass
        self.waited += time.monotonic() - began
