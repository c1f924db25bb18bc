"""`stream demo`."""

import json
import signal
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.live import Live

from stream.cli.board import board, ending, line
from stream.cli.wording import make_console
from stream.demo import source
from stream.demo.looks import Window
from stream.demo.play import Outcome, Play, Scene
from stream.demo.source import Source
from stream.demo.stage import set_up
from stream.events.logs import load_mapping
from stream.events.mappings import known_formats
from stream.units import Millis, rfc3339

PLAIN = 5.0
"""Seconds between two lines where there is no terminal."""
NEXT = """
Go on:
  stream embedded --folder .stream                     Kafka and Redis for your own events
  stream produce --format rees46 your-log.csv.gz       a recorded log, with a worker running
  stream top --watch                                   the scores that your shop reads
""".strip("\n")


class Interruption:
    """Ctrl-C and their like: the first ends the show, another one the waiting too.

    Attributes:
        times: How often it came.
        abrupt: Nothing is shown yet, so that the first raises KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self.times = 0
        self.abrupt = True

    def over(self) -> bool:
        """Whether the show is to end."""
        return self.times > 0

    def enough(self) -> bool:
        """Whether nobody wants to wait for anything any more."""
        return self.times > 1

    @contextmanager
    def noticed(self) -> Iterator[None]:
        """Take note of signals until the end of the block."""
        names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {name: signal.signal(name, self._count) for name in names}
        try:
            yield
        finally:
            for name, handler in before.items():
                signal.signal(name, handler)

    def _count(self, *_: object) -> None:
        self.times += 1
        if self.abrupt:
            self.abrupt = False  # another one shall not disturb the servers' end
            raise KeyboardInterrupt


@click.command()
@click.option(
    "--seconds",
    type=click.FloatRange(5, 3_600),
    default=60,
    show_default=True,
    help="How long it plays.",
)
@click.option(
    "--products",
    type=click.IntRange(30, 20_000),
    default=1_000,
    show_default=True,
    help="Products of the simulated shop.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="Another one makes another shop.",
)
@click.option(
    "--input",
    "path",
    type=click.Path(exists=True, dir_okay=False),
    help="Play this recorded log in place of a simulated shop.",
)
@click.option(
    "--format",
    "format_name",
    type=click.Choice(known_formats()),
    default="native",
    help="What the log's rows mean.  [default: native, NDJSON as `stream schema` describes it]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the verdict alone, as JSON.")
def demo(
    *,
    seconds: float,
    products: int,
    seed: int,
    path: str | None,
    format_name: str,
    as_json: bool,
) -> None:
    """See the whole thing work: a shop, Kafka, a worker that learns, Redis, and a board of it.

    Two weeks of a simulated shop pass in a minute. Some of its products take off; the board
    shows which ones the scorer expects to, and the end says which ones did, and whether every
    event was counted once. Nothing stays behind. The first start fetches Apache Kafka (44 MB).

    \b
    Example: the shop, then a recorded log
      stream demo
      stream demo --input 2019-Oct.csv.gz --format rees46
    """  # noqa: D301 (click's mark for text that is not to be wrapped)
    now = Millis(time.time_ns() // 1_000_000)
    if path is None:
        played = source.shop(seconds, products, seed, now)
    else:
        played = source.log(path, load_mapping(format_name), seconds, now)
    console = make_console()
    interruption = Interruption()
    with interruption.noticed():
        _show(played, seconds, console, interruption, as_json=as_json)


def _show(
    played: Source, seconds: float, console: Console, interruption: Interruption, *, as_json: bool
) -> None:
    outcome: Outcome | None = None
    say = Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print
    try:
        with set_up(say) as stage, Window(stage.settings) as window:
            interruption.abrupt = False
            play = Play(stage, played, window)
            if play.open(interruption.over):
                say(f"playing {played.name}")
                scenes = _scenes(play, seconds, interruption)
                if as_json:
                    deque(scenes, maxlen=0)
                elif console.is_terminal:
                    _board(scenes, seconds, console)
                else:
                    _lines(scenes, console)
                outcome = play.outcome()
    except KeyboardInterrupt:
        pass
    if outcome is None or not outcome.scene.events:
        say("Ended before there was anything to see.")
    elif as_json:
        click.echo(json.dumps(report(outcome, played)))
    else:
        for part in ending(outcome, console):
            console.print(part)
        if played.left_out:
            console.print(f"{played.left_out:,} rows of the log say no event and were left out.")
        console.print(f"\n{NEXT}")


def _scenes(play: Play, seconds: float, interruption: Interruption) -> Iterator[Scene]:
    yield from play.scenes(seconds, interruption.over)
    yield from play.drained(interruption.enough)


def _board(scenes: Iterator[Scene], seconds: float, console: Console) -> None:
    with Live(console=console, auto_refresh=False, transient=True) as live:
        for scene in scenes:
            live.update(board(scene, seconds, console), refresh=True)


def _lines(scenes: Iterator[Scene], console: Console) -> None:
    said = float("-inf")
    for scene in scenes:
        if scene.events and scene.seconds >= said + PLAIN:
            said = scene.seconds
            console.print(line(scene))


def report(outcome: Outcome, played: Source) -> dict[str, Any]:
    """Put the verdict into plain data."""
    scene, verdict = outcome.scene, outcome.verdict
    return {
        "played": played.name,
        "reached": None if scene.reached is None else rfc3339(scene.reached),
        "seconds": round(scene.seconds, 1),
        "events": scene.events,
        "repeated": outcome.repeated,
        "refused": scene.look.refused,
        "left_out": played.left_out,
        "ended": outcome.ended,
        "waited": round(outcome.waited, 1),
        "produced": dict(verdict.produced),
        "counted": dict(verdict.counted),
        "exact": verdict.exact,
        "taking_off": verdict.taking_off,
        "places": verdict.places,
        "by_score": list(verdict.by_score),
        "by_views": list(verdict.by_views),
        "by_chance": verdict.by_chance,
        "top": [
            document.model_dump(mode="json") for document in (scene.look.documents or {}).values()
        ],
        "models": scene.look.metrics,
    }
