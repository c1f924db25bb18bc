"""Waiting for a neighbour that is down."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeVar

from stream.errors import NeighbourDown

RETRY = 0.5
"""Seconds between two tries while a neighbour is down."""

log = logging.getLogger("stream")
T = TypeVar("T")


def at_leisure() -> bool:
    """Say that there is all the time in the world."""
    return False


class Patience:
    """Waits for neighbours that are down, on behalf of many, and says so once for all."""

    def __init__(self) -> None:
        self._waiting: Counter[type[NeighbourDown]] = Counter()

    async def out(
        self, work: Callable[[], Awaitable[T]], hurried: Callable[[], bool] = at_leisure
    ) -> T:
        """Do a piece of work, again and again until it succeeds.

        Args:
            work: Raises `NeighbourDown` when it is to be tried again.
            hurried: Whether there is no more time to wait; then `NeighbourDown` is passed on.
        """
        try:
            return await work()
        except NeighbourDown as error:
            if hurried():
                raise
            kind = type(error)
            if not self._waiting[kind]:
                text = str(error)
                log.warning("%s%s Waiting.", text, "" if text.endswith((".", "?", "!")) else ".")
        self._waiting[kind] += 1
        try:
            result = await self._again(work, hurried)
        except BaseException:
            self._waiting[kind] -= 1
            raise
        self._waiting[kind] -= 1
        if not self._waiting[kind]:
            log.warning("Going on.")
        return result

    async def _again(self, work: Callable[[], Awaitable[T]], hurried: Callable[[], bool]) -> T:
        while True:
            await asyncio.sleep(RETRY)
            try:
                return await work()
            except NeighbourDown:
                if hurried():
                    raise


async def patiently(work: Callable[[], Awaitable[T]]) -> T:
    """Do a single piece of work; wait out a neighbour that is down, and say so once."""
    return await Patience().out(work)
