"""`stream produce`: a recorded log to Kafka."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import IO, Any

import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from stream.cli.formats import chosen, log_format
from stream.cli.pace import Speed
from stream.errors import Misconfigured, StreamError
from stream.events.logs import BadRow, Event, merged, read_log
from stream.events.types import KEYS
from stream.kafka.sending import Tally, send_log
from stream.settings import read_settings
from stream.units import rfc3339

INTERRUPTED = 130
"""What shells expect of a command that ended by Ctrl-C."""
PLAIN = 5.0
"""Seconds between two lines of progress where there is no terminal."""
FRAME = 0.2
"""Seconds between two looks at a progress bar."""


class Refused:
    """The rows that say no event, written aside with their reasons.

    Attributes:
        counts: Rows by the file that they were written to.
    """

    def __init__(self, path: Path | None) -> None:
        self.counts: Counter[Path] = Counter()
        self._path = path
        self._open: dict[Path, IO[bytes]] = {}

    def out_of(self, file: str, log: Iterator[Event | BadRow]) -> Iterator[Event]:
        """Let a log's events pass and keep its bad rows."""
        aside = self._path or Path("stdin.refused" if file == "-" else f"{file}.refused")
        for said in log:
            if isinstance(said, Event):
                yield said
            else:
                self._write(aside, {"file": file, **said._asdict()})

    def _write(self, aside: Path, row: dict[str, Any]) -> None:
        try:
            if aside not in self._open:
                self._open[aside] = aside.open("wb")
            self._open[aside].write(orjson.dumps(row) + b"\n")
        except OSError as error:
            raise Misconfigured(
                f"A row cannot be read, and {aside} cannot be written: {error.strerror}. "
                "Say where such rows are to go with --refused PATH."
            ) from None
        self.counts[aside] += 1

    def close(self) -> None:
        """End the files."""
        for file in self._open.values():
            file.close()


@click.command()
@click.argument(
    "files",
    metavar="FILE…",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
)
@log_format
@click.option(
    "--speed",
    type=Speed(),
    default="max",
    show_default=True,
    help="max, or as 60x: that many times as recorded.",
)
@click.option("--kafka", metavar="HOST:PORT", help="Brokers.  [default: STREAM_KAFKA]")
@click.option("--only", type=click.Choice(list(KEYS)), help="Send the events of this topic alone.")
@click.option("--limit", type=click.IntRange(1), help="Stop after so many events.")
@click.option(
    "--refused",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where rows go that cannot be read.  [default: FILE.refused]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
@click.pass_context
def produce(
    ctx: click.Context,
    *,
    files: tuple[str, ...],
    format_name: str | None,
    mapping: str | None,
    speed: float | None,
    kafka: str | None,
    only: str | None,
    limit: int | None,
    refused: Path | None,
    as_json: bool,
) -> None:
    """Send a recorded log to Kafka: plain or gzip, - for standard input, several merged by time.

    Event times are sent as recorded. Where a log has no event ids they follow from its content,
    so a log that is sent twice counts once. Rows that cannot be read are written aside, each with
    its reason, and the rest is sent.

    \b
    Example: an hour of a public log in a minute, then your own events
      stream produce --format rees46 --speed 60x 2019-Oct.csv.gz
      tail -f events.ndjson | stream produce -
    """  # noqa: D301 (click's mark for text that is not to be wrapped)
    meaning = chosen(format_name, mapping)
    settings = read_settings()
    if kafka:
        settings = settings.model_copy(update={"kafka": kafka})
    bad, tally = Refused(refused), Tally()
    log = merged([bad.out_of(file, read_log(file, meaning)) for file in files])
    events = islice((event for event in log if only in (None, event.topic)), limit)
    sending = send_log(events, settings, tally, topics=[only] if only else list(KEYS), speed=speed)
    began = time.monotonic()
    try:
        asyncio.run(_watched(sending, tally, limit))
    except StreamError as error:
        if tally.sent:
            error.args = (f"{error}\nEvents sent before that: {_sent(tally)}.",)
        raise
    finally:
        bad.close()
    _sum_up(tally, bad, time.monotonic() - began, as_json=as_json)
    if tally.interrupted:
        ctx.exit(INTERRUPTED)
    if not tally.sent:
        ctx.exit(1)


async def _watched(sending: Coroutine[Any, Any, None], tally: Tally, limit: int | None) -> None:
    """Send, and show on standard error how far it is."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    show = _bar(console, tally, limit) if console.is_terminal else _lines(console, tally)
    showing = asyncio.create_task(show)
    try:
        await sending
    finally:
        showing.cancel()
        with suppress(asyncio.CancelledError):
            await showing


async def _bar(console: Console, tally: Tally, limit: int | None) -> None:
    columns = (
        TextColumn("{task.completed:,.0f} events"),
        BarColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("connecting", total=limit)
        while True:
            if tally.reached is not None:
                progress.update(
                    task, completed=tally.sent.total(), description=rfc3339(tally.reached)
                )
            await asyncio.sleep(FRAME)


async def _lines(console: Console, tally: Tally) -> None:
    before = 0
    while True:
        await asyncio.sleep(PLAIN)
        now = tally.sent.total()
        reached = f", up to {rfc3339(tally.reached)}" if tally.reached is not None else ""
        console.print(f"Events sent: {now:,}, {(now - before) / PLAIN:,.0f} a second{reached}")
        before = now


def _sent(tally: Tally) -> str:
    by_topic = ", ".join(f"{topic} {tally.sent[topic]:,}" for topic in KEYS if tally.sent[topic])
    return f"{tally.sent.total():,} ({by_topic})" if by_topic else "none"


def _sum_up(tally: Tally, bad: Refused, seconds: float, *, as_json: bool) -> None:
    if as_json:
        summary = {
            "sent": {topic: tally.sent[topic] for topic in KEYS},
            "refused": {str(path): count for path, count in bad.counts.items()},
            "seconds": round(seconds, 3),
            "interrupted": tally.interrupted,
        }
        click.echo(json.dumps(summary))
        return
    start = "Interrupted. " if tally.interrupted else ""
    click.echo(f"{start}Events sent: {_sent(tally)}, in {seconds:.1f} s.")
    for path, count in bad.counts.items():
        rows = "row was" if count == 1 else "rows were"
        click.echo(f"{count:,} {rows} not readable and left out; see {path} for the reasons.")
