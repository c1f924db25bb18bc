"""`stream replay`."""

import json
import secrets
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from stream.cli.formats import chosen, log_format
from stream.cli.wording import clean, make_console
from stream.errors import StreamError
from stream.events.logs import BadRow, Event, merged, read_log
from stream.replay import Replay, counts
from stream.settings import read_settings

FRAME = 5_000
"""Events between two looks at the progress line."""


@click.command()
@click.argument(
    "files",
    metavar="FILE…",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
)
@log_format
@click.option("--top", "n", default=10, show_default=True, help="How many products to show.")
@click.option("--limit", type=click.IntRange(1), help="Stop after so many events.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def replay(
    *,
    files: tuple[str, ...],
    format_name: str | None,
    mapping: str | None,
    n: int,
    limit: int | None,
    as_json: bool,
) -> None:
    """Run a recorded log through the scorer: the shards that run live, no Kafka, no Redis.

    Prints what was counted, the products most likely to take off and how right the models were.
    Several files are merged by event time. What the log's end leaves open is not guessed:
    clicks that still wait for their order are neither learned nor judged.

    \b
    Example: a public log, and one of your own
      stream replay --format rees46 2019-Oct.csv.gz
      stream replay clicks.ndjson orders.ndjson.gz
    """  # noqa: D301 (click's mark for text that is not to be wrapped)
    meaning = chosen(format_name, mapping)
    settings = read_settings().model_copy(update={"partitions": 1})
    bad: list[BadRow] = []
    log = _good(merged([read_log(file, meaning) for file in files]), bad)
    run = Replay(settings, secrets.token_urlsafe())
    began = time.monotonic()
    _feed(run, islice(log, limit))
    if not run.documents:
        raise StreamError("The log holds no event that can be read. Check --format.")
    report = {
        "seconds": round(time.monotonic() - began, 2),
        "counted": run.totals(),
        "customers": counts(run.customers),
        "products": counts(run.products),
        "bad_rows": len(bad),
        "refused": dict(run.refused),
        "top": [json.loads(run.documents[f"score:{product}"]) for product, _ in run.top(n)],
        "models": run.learner.models.reports(),
    }
    if as_json:
        click.echo(json.dumps(report))
    else:
        _show(report)


def _good(log: Iterator[Event | BadRow], bad: list[BadRow]) -> Iterator[Event]:
    for said in log:
        if isinstance(said, Event):
            yield said
        else:
            bad.append(said)


def _feed(run: Replay, events: Iterator[Event]) -> None:
    columns = (TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading")
        for number, event in enumerate(events, 1):
            run.feed(event.topic, event.value)
            if number % FRAME == 0:
                progress.update(task, description=f"{number:,} events")
        run.finish()


def _show(report: dict[str, Any]) -> None:
    console = make_console()
    counted, customers = report["counted"], report["customers"]
    console.print(
        f"{counted['views']:,} views, {counted['carts']:,} carts, {counted['wishes']:,} wishes, "
        f"{counted['orders']:,} order lines, {counted['units']:,} units "
        f"in {report['seconds']:,} s"
    )
    console.print(
        f"{customers.get('duplicates', 0):,} duplicates, {report['bad_rows']:,} bad rows, "
        f"{sum(report['refused'].values()):,} refused"
    )
    table = Table("", "product", "score", "trend", "views", "units", "main reason")
    for rank, score in enumerate(report["top"], 1):
        evidence, why = score["evidence"], score["reasons"]
        table.add_row(
            str(rank),
            clean(score["product"]),
            f"{score['score']:.3f}",
            f"{score['trend']:.2f}",
            f"{evidence['views']:,}",
            f"{evidence['units']:,}",
            clean(why[0]["text"]) if why else "",
        )
    console.print(table)
    for line in _quality(report["models"]):
        console.print(line)


def _quality(models: dict[str, Any]) -> Iterator[str]:
    conversion = models["conversion"]
    yield f"conversion: {_classifier(conversion)}"
    yield f"return: {_classifier(models['return'])}"
    for name, words in (
        ("potential", "potential"),
        ("potential_category", "potential of categories"),
    ):
        for horizon, quality in models[name].items():
            yield f"{words}, {horizon}: {_classifier(quality)}"
    for horizon, quality in models["demand"].items():
        if not quality["n"]:
            yield f"demand, {horizon}: no horizon has passed yet"
            continue
        yield (
            f"demand, {horizon}: {quality['n']:,} forecasts, error {quality['mae']:.2f} units "
            f"(carrying the pace on: {quality['baseline_mae']:.2f}), "
            f"{quality['coverage']:.0%} between p10 and p90"
        )


def _classifier(quality: dict[str, Any]) -> str:
    if quality["auc"] is None:
        return "no label of both kinds has settled yet"
    return (
        f"{quality['n']:,} labels, {quality['positives']:,} positive, AUC {quality['auc']:.3f} "
        f"({quality['auc_low']:.2f} to {quality['auc_high']:.2f}), log-loss "
        f"{quality['log_loss']:.4f} (rule of thumb: {quality['baseline_log_loss']:.4f})"
    )
