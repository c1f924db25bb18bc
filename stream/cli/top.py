"""The command `stream top`."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

import click
from rich.live import Live
from rich.table import Table
from rich.text import Text

from stream.cli.wording import clean, make_console, moment, number
from stream.errors import StoreDown
from stream.redis.documents import CategoryScore, Score
from stream.redis.reader import ScoreReader

EVERY = 1.0
"""Seconds between two looks of `--watch`."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a ranking, with the document of who holds it."""

    name: str
    score: float
    document: Score | CategoryScore | None


@dataclass(frozen=True, slots=True)
class Ranking:
    """What is shown at a time.

    Attributes:
        what: What is ranked.
        places: Highest score first.
        note: Why this may be old.
    """

    what: Literal["product", "category"]
    places: list[Place]
    note: str = ""


Look = Callable[[], Ranking]


@click.command
@click.argument("n", type=click.IntRange(min=1), default=10, metavar="[N]")
@click.option("--category", metavar="ID", help="Only the products of this category.")
@click.option("--categories", is_flag=True, help="Rank the categories, not the products.")
@click.option("--watch", is_flag=True, help="Look again each second, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON: a list of scores.")
def top(n: int, category: str | None, *, categories: bool, watch: bool, as_json: bool) -> None:
    """List the N products (10 if not said) that are most likely to take off.

    Reads the Redis of STREAM_REDIS. For each product: its score, its pace against the usual one
    (2.0 is twice as fast), the units expected in the next day, and the main reason. With --watch,
    a file or a pipe gets the list again whenever it has changed.

    \b
    Example
      stream top 20 --category mugs --watch
      stream top --categories --json
    """  # noqa: D301 (click's mark for text that is not to be wrapped)
    if category is not None and categories:
        raise click.UsageError("Choose one: --category ID or --categories.")
    with ScoreReader.from_env() as reader:

        def look() -> Ranking:
            return _categories(reader, n) if categories else _products(reader, n, category)

        if watch:
            with suppress(KeyboardInterrupt):
                _watch(look, as_json=as_json)
        else:
            _print(look(), as_json=as_json)


def _products(reader: ScoreReader, n: int, category: str | None) -> Ranking:
    ranked = reader.top(n, category)
    documents = reader.scores([product for product, _ in ranked])
    places = [Place(product, score, documents.get(product)) for product, score in ranked]
    return Ranking("product", places)


def _categories(reader: ScoreReader, n: int) -> Ranking:
    ranked = reader.top_categories(n)
    return Ranking(
        "category", [Place(name, score, reader.category(name)) for name, score in ranked]
    )


def _watch(look: Look, *, as_json: bool) -> None:
    console = make_console()
    if console.is_terminal and not as_json:
        with Live(console=console, auto_refresh=False) as live:
            for ranking in _looks(look):
                live.update(_table(ranking), refresh=True)
    shown = None
    for ranking in _looks(look):
        if ranking != shown:
            _print(ranking, as_json=as_json)
        shown = ranking


def _looks(look: Look) -> Iterator[Ranking]:
    """Look each second; while Redis is away, say so beside what was seen last."""
    ranking = look()
    while True:
        yield ranking
        time.sleep(EVERY)
        try:
            ranking = look()
        except StoreDown as error:
            ranking = replace(ranking, note=str(error))


def _print(ranking: Ranking, *, as_json: bool) -> None:
    if as_json:
        documents = [_json(ranking.what, place) for place in ranking.places]
        click.echo(json.dumps(documents, ensure_ascii=False))
    else:
        make_console().print(_table(ranking))


def _json(what: str, place: Place) -> dict[str, Any]:
    if place.document is None:
        return {what: place.name, "score": place.score}
    return place.document.model_dump(mode="json")


def _table(ranking: Ranking) -> Table | Text:
    if not ranking.places:
        return clean(f"No scores yet: `stream worker` writes them. {ranking.note}".rstrip())
    table = Table(box=None, header_style="bold", caption_justify="left", caption_style="dim")
    table.add_column("#", justify="right")
    table.add_column(ranking.what)
    table.add_column("title", no_wrap=True)
    table.add_column("score", justify="right")
    table.add_column("trend", justify="right")
    table.add_column("units 1d", justify="right")
    table.add_column("main reason", no_wrap=True)
    for rank, place in enumerate(ranking.places, start=1):
        table.add_row(str(rank), clean(place.name), *_cells(place))
    times = [place.document.as_of for place in ranking.places if place.document]
    as_of = f"as of {moment(max(times))}" if times else ""
    table.caption = clean("   ".join(filter(None, (as_of, ranking.note))))
    return table


def _cells(place: Place) -> tuple[Text, str, str, str, Text]:
    """Write title, score, trend, tomorrow's units and the main reason."""
    document = place.document
    score = f"{place.score:.3f}"
    if document is None:
        return Text(""), score, "", "", Text("")
    title = document.title if isinstance(document, Score) else None
    day = document.demand.get("1d")
    units = number(day.p50) if day else ""
    reason = document.reasons[0] if document.reasons else None
    words = (reason.text or reason.feature) if reason else ""
    return clean(title or ""), score, f"{document.trend:.1f}", units, clean(words)
