"""A demo from its first event to its verdict, look by look."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from stream.demo.looks import Look, Window
from stream.demo.player import Player
from stream.demo.source import Source, Truth
from stream.demo.stage import Stage
from stream.demo.verdict import KINDS, Verdict, judge
from stream.errors import StoreDown, StreamError
from stream.units import Millis

EVERY = 0.5
"""Seconds between two looks."""
SPAN = 6
"""Looks over which events a second are averaged."""
MOST_BEHIND = 6_000
"""Entries that may be sent and not counted."""
MOST_UNLEARNED = 30_000
"""Labels that may have settled and not be learned; some are always on their way."""
OPENING = 60.0
"""Seconds that a worker has to take its partitions."""
STILL = 10.0
"""Seconds without progress after which what is not counted will not be."""

Over = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Scene:
    """What there is to see at a moment.

    Attributes:
        reached: Time of the latest event that was sent; None before the first.
        events: Clicks and orders sent.
        rate: Of them a second, of late.
        behind: Entries that are sent and not counted.
        seconds: Since the first event.
        look: What the worker has published.
    """

    reached: Millis | None
    events: int
    rate: float
    behind: int
    seconds: float
    look: Look


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is left when it is over.

    Attributes:
        scene: The last one.
        verdict: Was it right?
        truth: What the products were about to do; None where nobody knows.
        repeated: Events that were sent twice.
        ended: The source was played to its end.
        waited: Seconds for which nothing was sent because the worker was behind.
    """

    scene: Scene
    verdict: Verdict
    truth: Truth | None
    repeated: int
    ended: bool
    waited: float


class Play:
    """Sends a source's events to a stage and watches what comes of them."""

    def __init__(self, stage: Stage, source: Source, window: Window) -> None:
        self._stage = stage
        self._source = source
        self._window = window
        self._player = Player(source, stage.settings)
        self._player.strain = self._strain
        self._began = time.monotonic()
        self._sent: deque[tuple[float, int]] = deque(maxlen=SPAN)
        self._look = Look()
        self._looked = time.monotonic()

    def open(self, over: Over) -> bool:
        """Wait until the worker is ready; False if it was over before."""
        deadline = time.monotonic() + OPENING
        while not self._window.is_open():
            self._stage.see_alive()
            if time.monotonic() > deadline:
                words = self._stage.worker.last_words()
                raise StreamError(f"The worker was not ready after {OPENING:.0f} s. {words}")
            if over():
                return False
            time.sleep(0.05)
        return True

    def scenes(self, seconds: float, over: Over) -> Iterator[Scene]:
        """Play for so many seconds, or until the source ends, or until it is over."""
        self._began = time.monotonic()
        self._player.start()
        try:
            while self._player.is_alive() and not over():
                yield self._seen()
                left = seconds - (time.monotonic() - self._began)
                if left <= 0:
                    break
                self._player.join(min(EVERY, left))
        finally:
            self._player.end()

    def drained(self, over: Over) -> Iterator[Scene]:
        """Let the worker finish what was sent: until it is counted, or nothing moves."""
        books = self._player.books
        due = Counter({kind: books.totals[kind] for kind in KINDS})
        before: object = None
        moved = time.monotonic()
        while time.monotonic() < moved + STILL and not over():
            scene, totals = self._seen(), self._window.totals()
            yield scene
            if totals == due and scene.look.unlearned <= 0:
                return
            now = (totals, scene.look.entered, scene.look.unlearned)
            if now != before:
                before, moved = now, time.monotonic()
            time.sleep(EVERY)

    def outcome(self) -> Outcome:
        """Judge what has come of it."""
        scene, player, source = self._seen(), self._player, self._source
        truth = None
        viewed: list[str] = []
        if player.reached is not None:
            truth = source.truth and source.truth(player.reached)
            viewed = player.books.viewed(player.reached)
        verdict = judge(
            scored=[product for product, _ in scene.look.top],
            viewed=viewed,
            truth=truth and truth.taking_off,
            products=source.products,
            produced=player.books.totals,
            counted=self._window.totals(),
        )
        return Outcome(scene, verdict, truth, player.books.repeated, player.ended, player.waited)

    def _strain(self) -> float:
        """Say how far the worker is behind, of what it may be."""
        behind = self._player.books.entries - self._look.entered
        return max(behind / MOST_BEHIND, self._look.unlearned / MOST_UNLEARNED)

    def _seen(self) -> Scene:
        self._stage.see_alive()
        try:
            self._look = self._window.look()
            self._looked = time.monotonic()
        except StoreDown:
            # A machine that has much to do answers late. What was seen before is shown again.
            if time.monotonic() > self._looked + STILL:
                raise
        now, events = time.monotonic(), self._player.books.events
        self._sent.append((now, events))
        since, before = self._sent[0]
        return Scene(
            reached=self._player.reached,
            events=events,
            rate=(events - before) / (now - since) if now > since else 0.0,
            behind=max(0, self._player.books.entries - self._look.entered),
            seconds=now - self._began,
            look=self._look,
        )
