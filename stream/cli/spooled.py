"""A recorded log put in order, on disk."""

from collections.abc import Iterator
from contextlib import ExitStack
from tempfile import TemporaryFile
from typing import IO, NamedTuple

import orjson

from stream.errors import StreamError
from stream.evaluation.runs import Run, Runs
from stream.events.logs import BadRow, Event, in_time_order, merged, read_log
from stream.events.mappings import Mapping

FIRST = 0.7
"""Share of the clicks that come before those that are counted."""


class Spooled(NamedTuple):
    """A log in the order of event time, on disk, so that it can be read again.

    Attributes:
        times: Of all clicks, and of all order lines, 8 bytes each.
        run: The part of it that is evaluated; the rest are bad rows.
    """

    file: IO[bytes]
    times: tuple[IO[bytes], IO[bytes]]
    events: int
    run: Run
    bad_rows: int
    notices: list[str]

    @classmethod
    def of(cls, files: list[tuple[str, Mapping]], stack: ExitStack) -> "Spooled":
        """Read files."""
        file, clicks, lines = _temporary(stack), _temporary(stack), _temporary(stack)
        events = bad = 0
        runs = Runs()
        for said in in_time_order(merged([read_log(path, meaning) for path, meaning in files])):
            if isinstance(said, BadRow):
                bad += 1
                continue
            events += 1
            file.write(orjson.dumps(said[:]) + b"\n")
            if said.topic == "clicks":
                clicks.write(said.time.to_bytes(8))
                runs.take(said.time, clicks=1)
            elif said.topic == "orders":
                items = said.value.get("items")
                number = len(items) if isinstance(items, list) else 1
                lines.write(said.time.to_bytes(8) * number)
                runs.take(said.time, lines=number)
        if runs.main is None:
            raise StreamError(
                "The log holds no click and no order that can be read. Check --format."
            )
        bad += runs.strays
        return cls(file, (clicks, lines), events, runs.main, bad, runs.notices())

    def default_start(self) -> int:
        """Time after 70 % of the clicks; of the order lines where there are none."""
        numbers = self.run.clicks, self.run.lines
        for times, before, number in zip(self.times, self.run.before, numbers, strict=True):
            if number:
                times.seek((before + int(FIRST * number)) * 8)
                return int.from_bytes(times.read(8))
        return self.run.first

    def __iter__(self) -> Iterator[Event]:  # type: ignore[override]
        self.file.seek(0)
        for line in self.file:
            event = Event(*orjson.loads(line))
            if event.time > self.run.last:
                return
            if event.time >= self.run.first or event.topic in ("catalog", "market"):
                yield event


def _temporary(stack: ExitStack) -> IO[bytes]:
    return stack.enter_context(TemporaryFile())
