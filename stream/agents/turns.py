"""The turns of a worker's shards: one decides at a time, and none for long."""

import asyncio
import time
from collections.abc import Generator
from typing import TypeVar

TURN = 0.002
"""Seconds of deciding after which whatever else the process does gets its turn."""

T = TypeVar("T")


class Turns:
    """Lets the shards of a process decide one after the other.

    If they shared the core all of them would be done at the end only, and none of them earlier.
    """

    def __init__(self) -> None:
        self._one = asyncio.Lock()

    async def take(self, steps: Generator[None, None, T]) -> T:
        """Take all steps; give what comes of them."""
        async with self._one:
            until = time.monotonic() + TURN
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    result: T = end.value
                    return result
                if time.monotonic() >= until:
                    await asyncio.sleep(0)
                    until = time.monotonic() + TURN
