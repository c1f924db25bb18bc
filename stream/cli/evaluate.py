"""`stream evaluate`."""

import time
from contextlib import ExitStack
from pathlib import Path

import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from stream.cli.evaluation_report import show
from stream.cli.formats import chosen, log_format
from stream.cli.plotting import plot
from stream.cli.spooled import Spooled
from stream.cli.times import Moment, Span
from stream.errors import Misconfigured
from stream.evaluation.evaluating import Evaluation
from stream.evaluation.plan import Plan, Tell
from stream.events.logs import load_mapping
from stream.products.serving import DEMAND_HORIZONS
from stream.settings import Settings, read_settings
from stream.units import DAY, MINUTE, Millis, span_name

PLAIN = 5.0
"""Seconds between two lines of progress where there is no terminal."""
FRAME = 0.2
"""Seconds between two looks at a progress bar."""


_file = click.Path(exists=True, dir_okay=False, allow_dash=True)


@click.command()
@click.option("--clicks", multiple=True, metavar="FILE", type=_file, help="Clicks; repeatable.")
@click.option("--orders", multiple=True, metavar="FILE", type=_file, help="Orders; repeatable.")
@click.option("--catalog", multiple=True, metavar="FILE", type=_file, help="What is listed.")
@click.option("--market", multiple=True, metavar="FILE", type=_file, help="Promotions, signals.")
@log_format
@click.option(
    "--score-from",
    type=Moment(),
    help="Count predictions from then on.  [default: after 70 % of the clicks, or order lines]",
)
@click.option(
    "--return-from", type=Moment(), help="The same for returns.  [default: as --score-from]"
)
@click.option("--bucket", type=Span(), default="1d", show_default=True, help="Demand bucket.")
@click.option(
    "--horizon",
    "horizons",
    type=Span(),
    multiple=True,
    default=("7d",),
    show_default=True,
    help="Of demand and potential; repeatable.",
)
@click.option(
    "--window",
    type=Span(),
    default="24h",
    show_default=True,
    help="An order counts as a click's for so long.",
)
@click.option("--strict", is_flag=True, help="Leave out clicks whose window the log cuts short.")
@click.option(
    "--best-sellers", type=click.IntRange(1), metavar="N", help="Report demand on N products."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--dump",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write each settled prediction there, NDJSON.",
)
@click.option(
    "--plots", type=click.Path(file_okay=False, path_type=Path), help="Draw pictures there (PNG)."
)
def evaluate(
    *,
    clicks: tuple[str, ...],
    orders: tuple[str, ...],
    catalog: tuple[str, ...],
    market: tuple[str, ...],
    format_name: str | None,
    mapping: str | None,
    score_from: int | None,
    return_from: int | None,
    bucket: int,
    horizons: tuple[int, ...],
    window: int,
    strict: bool,
    best_sellers: int | None,
    as_json: bool,
    dump: Path | None,
    plots: Path | None,
) -> None:
    """Say how right the models are on a recorded log, beside simple rules and batch models.

    The log runs through the shards that run live, in the order of event time. Each prediction
    is kept until time has told, and the truth is reckoned from the log itself. A file that
    holds clicks and orders may be given to either option.

    \b
    Example: a public log, one of your own, and with its promotions
      stream evaluate --clicks 2019-Oct.csv.gz --format rees46
      stream evaluate --clicks clicks.ndjson --orders orders.ndjson.gz --dump said.ndjson
      stream evaluate --orders orders.ndjson --market promotions.ndjson
    """  # noqa: D301 (click's mark for text that is not to be wrapped)
    if not clicks and not orders:
        raise click.UsageError("Give --clicks or --orders, or both.")
    settings = read_settings()
    _check(bucket, horizons)
    meaning = chosen(format_name, mapping)
    native = load_mapping("native")
    files = [(file, meaning) for file in dict.fromkeys([*clicks, *orders])]
    files += [(file, native) for file in (*catalog, *market)]
    began = time.monotonic()
    with ExitStack() as stack:
        log = Spooled.of(files, stack)
        start = log.default_start() if score_from is None else score_from
        plan = Plan(
            first=log.run.first,
            score_from=start,
            return_from=start if return_from is None else return_from,
            bucket=bucket,
            window=window,
            horizons=tuple(sorted(set(horizons))),
            strict=strict,
            best_sellers=best_sellers,
        )
        run = _run(plan, settings, log, _dumping(dump, stack))
        run.notices += log.notices
        report = {**run.finish(), "bad_rows": log.bad_rows}
    if plots is not None:
        plot(run, report, plots)
    report["seconds"] = round(time.monotonic() - began, 2)
    if as_json:
        click.echo(orjson.dumps(report).decode())
    else:
        show(report)


def _check(bucket: int, horizons: tuple[int, ...]) -> None:
    if DAY % bucket or bucket < MINUTE:
        raise click.UsageError("--bucket must divide a day, as 1h and 1d do.")
    known = [horizon for horizon in DEMAND_HORIZONS if horizon >= bucket]
    if wrong := [horizon for horizon in horizons if horizon not in known]:
        names = ", ".join(span_name(horizon) for horizon in known)
        raise click.UsageError(
            f"--horizon {span_name(Millis(wrong[0]))} is not forecast with buckets of "
            f"{span_name(Millis(bucket))}; these are: {names}."
        )


def _dumping(path: Path | None, stack: ExitStack) -> Tell:
    if path is None:
        return lambda _: None
    try:
        file = stack.enter_context(path.open("wb"))
    except OSError as error:
        raise Misconfigured(f"{path} cannot be written: {error.strerror}.") from None
    return lambda row: file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))


def _run(plan: Plan, settings: Settings, log: Spooled, dump: Tell) -> Evaluation:
    run = Evaluation(plan, settings, dump)
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        TimeElapsedColumn(),
    )
    every = FRAME if console.is_terminal else PLAIN
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as p:
        task = p.add_task("events", total=log.events)
        looked = time.monotonic()
        for event in log:
            run.take(event)
            if (now := time.monotonic()) - looked >= every:
                looked = now
                if console.is_terminal:
                    p.update(task, completed=run.events, description=f"{run.events:,} events")
                else:
                    click.echo(f"{run.events:,} of {log.events:,} events", err=True)
    return run
