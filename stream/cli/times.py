"""Times and spans as options of a command."""

import re
from typing import Any

import click

from stream.events.decode import Refusal, read_time
from stream.units import DAY, HOUR, MINUTE, SECOND

UNITS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}


class Span(click.ParamType):
    """A span of time: `30m`, `24h`, `7d`."""

    name = "span"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002
        """Name the value in the help."""
        return "SPAN"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read what was given."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"([1-9]\d{0,5})([smhd])", str(value))
        if match is None:
            self.fail(f"{value!r} is no span such as 30m, 24h or 7d.", param, ctx)
        return int(match[1]) * UNITS[match[2]]


class Moment(click.ParamType):
    """A point in time, RFC 3339 or epoch milliseconds."""

    name = "time"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002
        """Name the value in the help."""
        return "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read what was given."""
        moment = read_time(int(value) if str(value).isdigit() else value)
        if isinstance(moment, Refusal):
            self.fail(f"{value!r} is no time such as 2010-10-12T00:00:00Z.", param, ctx)
        return moment
