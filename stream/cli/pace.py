"""How fast recorded or simulated time passes."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import click

from stream.events.logs import Event


class Speed(click.ParamType):
    """How many times faster than the clock: `1x`, `720x`; None is `max`, as fast as possible."""

    name = "speed"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002
        """Name the value in the help."""
        return "FACTORx|max"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | None:
        """Read what was given."""
        if value == "max":
            return None
        try:
            factor = float(str(value).removesuffix("x"))
        except ValueError:
            factor = 0.0
        if not 0 < factor < float("inf"):
            self.fail(f"{value!r} is neither max nor a speed such as 1x or 60x.", param, ctx)
        return factor


def paced(
    events: Iterator[Event],
    speed: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    wait: Callable[[float], object] = time.sleep,
) -> Iterator[Event]:
    """Hand events on when they are due.

    The first event is due at once, each other as much later as its time is later, divided by
    the speed. Whoever falls behind is not slowed down further; nothing is left out.

    Args:
        events: In the order in which they are handed on.
        speed: How many times faster than the clock.
        clock: Seconds that pass.
        wait: Lets seconds pass.
    """
    began = clock()
    first: int | None = None
    for event in events:
        if first is None:
            first = event.time
        early = began + (event.time - first) / 1000 / speed - clock()
        if early > 0:
            wait(early)
        yield event
