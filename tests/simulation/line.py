"""A worker's connections: where a request may be delayed, lost, or done and not heard of."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from typing import Any, Protocol, TypeVar

from simulation.faults import Fate, Faults

T = TypeVar("T")
Effect = Callable[[], T]
"""Does at once what was asked for, whoever hears of it."""
Lost = Callable[[], Exception]
"""Makes what is raised when the answer does not come."""


class Neighbour:
    """Kafka or Redis, as far as it may be down.

    Attributes:
        name: What it is called.
        down: Until when it answers nobody, s.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.down = 0.0


class Line(Protocol):
    """Carries requests to a neighbour."""

    def post(
        self, to: Neighbour, what: str, effect: Effect[T], lost: Lost, *, after: float = 0.0
    ) -> tuple["asyncio.Future[T]", float]:
        """Have something done.

        Args:
            to: By whom.
            what: Its name.
            effect: Does it.
            lost: Called when the answer does not come.
            after: It arrives later than this, s.

        Returns:
            The answer to come, and when the request arrives.
        """
        ...

    async def ask(self, to: Neighbour, what: str, effect: Effect[T], lost: Lost) -> T:
        """Have something done, and wait for the answer."""
        ...


class DirectLine:
    """A line on which nothing happens but what is asked for."""

    def post(
        self,
        to: Neighbour,  # noqa: ARG002
        what: str,  # noqa: ARG002
        effect: Effect[T],
        lost: Lost,  # noqa: ARG002
        *,
        after: float = 0.0,
    ) -> tuple["asyncio.Future[T]", float]:
        """Have it done at once."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        _settle(answer, effect)
        return answer, after

    async def ask(self, to: Neighbour, what: str, effect: Effect[T], lost: Lost) -> T:
        """Have it done at once, and let others have their turn."""
        await asyncio.sleep(0)
        return await self.post(to, what, effect, lost)[0]


class Bearer(Protocol):
    """Whom a fault befalls: the worker at the near end of a line."""

    name: str

    def crash(self) -> None:
        """End here and now."""
        ...

    def freeze(self, span: float) -> None:
        """Do nothing for some seconds, and go on as if nothing had been."""
        ...

    def move(self, span: float) -> None:
        """Lose the partitions to others, and hear of it after some seconds."""
        ...

    def tell(self, text: str) -> None:
        """Write a line of the history."""
        ...


class WorkerLine:
    """The line of one worker, on which faults lie in wait."""

    def __init__(self, loop: asyncio.AbstractEventLoop, faults: Faults, bearer: Bearer) -> None:
        self._loop = loop
        self._faults = faults
        self._bearer = bearer

    def post(
        self, to: Neighbour, what: str, effect: Effect[T], lost: Lost, *, after: float = 0.0
    ) -> tuple["asyncio.Future[T]", float]:
        """Send a request on its way."""
        fate = self._faults.of(self._bearer.name, what)
        answer: asyncio.Future[T] = self._loop.create_future()
        when = max(self._loop.time() + fate.delay, after + 1e-6)
        self._loop.call_at(when, self._arrive, fate, to, answer, effect, lost, context=Context())
        return answer, when

    async def ask(self, to: Neighbour, what: str, effect: Effect[T], lost: Lost) -> T:
        """Send a request, and wait for the answer."""
        return await self.post(to, what, effect, lost)[0]

    def _arrive(
        self,
        fate: Fate,
        to: Neighbour,
        answer: "asyncio.Future[Any]",
        effect: Effect[Any],
        lost: Lost,
    ) -> None:
        bearer, now = self._bearer, self._loop.time()
        kind, span = fate.fault or (None, 0.0)
        if kind is not None:
            bearer.tell(f"{fate.place}: {kind}")
        if kind == "down":
            to.down = max(to.down, now + span)
        if to.down > now:
            _fail(answer, lost)
            return
        if kind in ("refused", "unheard", "late"):
            _fail(answer, lost)
            if kind != "refused":
                late = span if kind == "late" else 0.0
                self._loop.call_at(now + late, _quietly, effect, context=Context())
        elif kind == "crash before":
            bearer.crash()
        else:
            if kind == "moved":
                bearer.move(span)
            _settle(answer, effect)
            if kind == "freeze":
                bearer.freeze(span)
            elif kind == "crash after":
                bearer.crash()


def _settle(answer: "asyncio.Future[Any]", effect: Effect[Any]) -> None:
    """Do it, and tell whoever still waits."""
    try:
        result = effect()
    except Exception as error:  # noqa: BLE001 (told to whoever has asked)
        if not answer.done():
            answer.set_exception(error)
    else:
        if not answer.done():
            answer.set_result(result)


def _fail(answer: "asyncio.Future[Any]", lost: Lost) -> None:
    """Tell whoever still waits that it went wrong."""
    error = lost()
    if not answer.done():
        answer.set_exception(error)


def _quietly(effect: Effect[Any]) -> None:
    """Do it, though nobody hears of it."""
    with suppress(Exception):
        effect()
