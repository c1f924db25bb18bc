"""An event loop without a clock or a network: what comes next is drawn, and time leaps."""

import asyncio
import heapq
from asyncio import Handle, TimerHandle
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from itertools import count
from random import Random
from typing import Any, Protocol


class Actor(Protocol):
    """Somebody whose steps are counted, and who may be stopped in the middle of anything."""

    asleep: bool
    """It does nothing now: frozen, or dead."""
    kept: list[Handle]
    """What it would have done meanwhile."""

    def step(self) -> bool:
        """Take note that it is about to go on; False if it is stopped just here."""
        ...


ACTOR: ContextVar[Actor | None] = ContextVar("actor", default=None)
"""Who is at work. Tasks and callbacks inherit it from whoever began them."""


class _Task(asyncio.Task[Any]):
    """A task that takes the same place in a set in every run: sets of tasks are walked through."""

    def __init__(self, work: Coroutine[Any, Any, Any], loop: "Loop", **options: Any) -> None:
        self._number = next(loop.numbers)  # first: it is put into a set at once
        super().__init__(work, loop=loop, **options)

    def __hash__(self) -> int:
        return self._number


class Loop(asyncio.BaseEventLoop):
    """Runs callbacks one at a time, most in order, some out of it; time leaps to the next timer.

    Attributes:
        failures: What callbacks and forgotten tasks have raised.
    """

    def __init__(self, seed: int, *, shuffle: float = 0.0) -> None:
        """Begin at time 0.

        Args:
            seed: Of the order.
            shuffle: Share of the steps at which any of the callbacks that are ready may be next.
        """
        super().__init__()
        self._ready: list[Handle] = []
        self._scheduled: list[TimerHandle] = []
        self._now = 0.0
        self._random = Random(seed).random
        self._shuffle = shuffle
        self.failures: list[str] = []
        self.numbers = count()
        self.set_task_factory(_made_task)  # type: ignore[arg-type]
        self.set_exception_handler(self._note)

    def time(self) -> float:
        """Seconds since the beginning."""
        return self._now

    def serve(self, delay: float, callback: Callable[..., object], *args: Any) -> None:
        """Call back after some time, on nobody's behalf."""
        self.call_at(self._now + delay, callback, *args, context=Context())

    def go(self, work: Coroutine[Any, Any, Any], context: Context) -> "asyncio.Task[Any]":
        """Begin a piece of work."""
        return self.create_task(work, context=context)

    def wake(self, actor: Actor) -> None:
        """Let somebody go on."""
        actor.asleep = False
        kept, actor.kept = actor.kept, []
        self._ready += kept

    def _run_once(self) -> None:
        ready = self._ready
        if not ready:
            self._leap()
        place = 0
        if self._shuffle and len(ready) > 1 and self._random() < self._shuffle:
            place = int(self._random() * len(ready))
        handle = ready.pop(place)
        if handle._cancelled:
            return
        actor = handle._context.get(ACTOR)  # type: ignore[attr-defined]
        if actor is not None and (actor.asleep or not actor.step()):
            actor.kept.append(handle)
        else:
            handle._run()

    def _leap(self) -> None:
        """Go on to the next moment at which something is to happen."""
        scheduled, ready = self._scheduled, self._ready
        while not ready:
            if not scheduled:
                raise AssertionError("Nothing will ever happen again.")
            timer = heapq.heappop(scheduled)
            if not timer._cancelled:
                self._now = max(self._now, timer._when)  # type: ignore[attr-defined]
                ready.append(timer)
            timer._scheduled = False  # type: ignore[attr-defined]

    def _note(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.failures.append(f"{context['message']}: {context.get('exception')!r}")

    def _write_to_self(self) -> None:
        """No other thread is there to be woken by."""

    def _process_events(self, event_list: object) -> None:
        """There is no network."""


def _made_task(loop: Any, work: Coroutine[Any, Any, Any], **options: Any) -> "asyncio.Task[Any]":
    return _Task(work, loop, **options)
