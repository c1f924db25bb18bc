"""`stream evaluate`."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, NamedTuple

import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from stream.cli.plotting import plot
from stream.cli.wording import make_console
from stream.errors import Misconfigured, StreamError
from stream.evaluation.evaluating import Evaluation, Plan
from stream.evaluation.runs import Run, Runs
from stream.events.decode import Refusal, read_time
from stream.events.logs import BadRow, Event, in_time_order, load_mapping, merged, read_log
from stream.events.mappings import Mapping, known_formats
from stream.products.serving import DEMAND_HORIZONS
from stream.settings import Settings, read_settings
from stream.units import DAY, HOUR, MINUTE, SECOND, Millis, span_name

PLAIN = 5.0
"""Seconds between two lines of progress where there is no terminal."""
FRAME = 0.2
"""Seconds between two looks at a progress bar."""
FIRST = 0.7
"""Share of the clicks that come before those that are counted."""
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


_file = click.Path(exists=True, dir_okay=False, allow_dash=True)


@click.command()
@click.option("--clicks", multiple=True, metavar="FILE", type=_file, help="Clicks; repeatable.")
@click.option("--orders", multiple=True, metavar="FILE", type=_file, help="Orders; repeatable.")
@click.option("--catalog", multiple=True, metavar="FILE", type=_file, help="What is listed.")
@click.option("--market", multiple=True, metavar="FILE", type=_file, help="Promotions, signals.")
@click.option(
    "--format",
    "format_name",
    type=click.Choice(known_formats()),
    help="What rows of clicks and orders mean.  [default: native, NDJSON]",
)
@click.option(
    "--mapping",
    type=click.Path(exists=True, dir_okay=False),
    help="A TOML file that says so for a log of your own.",
)
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
    if format_name and mapping:
        raise click.UsageError("Give either --format or --mapping.")
    if not clicks and not orders:
        raise click.UsageError("Give --clicks or --orders, or both.")
    settings = read_settings()
    _check(bucket, horizons)
    meaning = load_mapping(mapping or format_name or "native")
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
        _show(report)


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


def _dumping(path: Path | None, stack: ExitStack) -> Callable[[dict[str, Any]], object]:
    if path is None:
        return lambda _: None
    try:
        file = stack.enter_context(path.open("wb"))
    except OSError as error:
        raise Misconfigured(f"{path} cannot be written: {error.strerror}.") from None
    return lambda row: file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))


def _run(
    plan: Plan, settings: Settings, log: Spooled, dump: Callable[[dict[str, Any]], object]
) -> Evaluation:
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


def _show(report: dict[str, Any]) -> None:
    console = make_console()
    console.print(
        f"{report['events']:,} events in {report['seconds']:,} s, {report['bad_rows']:,} bad rows; "
        f"counted from {report['score_from']} to {report['until']}"
    )
    for line in _lines(report):
        console.print(line)
    for notice in report["notices"]:
        console.print(notice)


def _lines(report: dict[str, Any]) -> Iterator[str]:
    if (said := report["conversion"]) is not None:
        yield ""
        yield f"conversion: {_classifier(said)}"
        yield (
            f"  expected over happened {_figure(said['calibration'])}"
            + (
                f", {_figure(said['calibration_to_end'])} if orders after the log's end are "
                f"allowed for ({said['censored']:,} clicks are cut short)"
                if said["censored"]
                else ""
            )
        )
        if said["model"]["served"] < 1:
            yield (
                f"  the model was served in {said['model']['served']:.0%} of the cases, else the "
                f"rule; by itself: {_short(said['model'])}"
            )
        yield f"  base rate known in hindsight: log-loss {_figure(said['constant_log_loss'])}"
        yield f"  batch logistic regression: {_short(said['batch'])}"
    for horizon, said in (report["potential"] or {"horizons": {}})["horizons"].items():
        yield ""
        yield f"potential, {horizon}: {_classifier(said)}"
        yield f"  {_confusion(said)}"
        yield f"  momentum rule: {_short(said['momentum'])}; {_confusion(said['momentum'])}"
        batch = said["batch"]
        more = f"; {_confusion(batch)}" if batch else ""
        yield f"  batch logistic regression: {_short(batch)}{more}"
    for horizon, said in (report["demand"] or {}).items():
        yield ""
        yield (
            f"demand, {horizon}: {said['n']:,} forecasts of {said['products']:,} products, MAE "
            f"{said['mae']:.2f} units, RMSE {said['rmse']:.2f}, RMSSE {_figure(said['rmsse'])}, "
            f"R² {_figure(said['r2'])}, bias {said['bias'] or 0.0:+.1%}, "
            f"{said['coverage']:.1%} between p10 and p90"
        )
        for name, other in said["baselines"].items():
            alpha = f" at {other['alpha']:g}, chosen in hindsight" if "alpha" in other else ""
            yield f"  {name}{alpha}: MAE {other['mae']:.2f}, RMSSE {_figure(other['rmsse'])}"
    if (said := report["return"]) is not None:
        yield ""
        yield f"return in 28 days: {_classifier(said)}"
        yield f"  expected over happened {_figure(said['calibration'])}"
        yield f"  batch logistic regression: {_short(said['batch'])}"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _classifier(said: dict[str, Any]) -> str:
    low, high = said["auc_ci"] or (None, None)
    return (
        f"{said['n']:,} predictions, {said['positives']:,} came true, AUC {_figure(said['auc'])} "
        f"({_figure(low)} to {_figure(high)}), log-loss {_figure(said['log_loss'])}"
    )


def _short(said: dict[str, Any] | None) -> str:
    if said is None:
        return "none"
    return f"AUC {_figure(said['auc'])}, log-loss {_figure(said['log_loss'])}"


def _confusion(said: dict[str, Any]) -> str:
    names = ("accuracy", "precision", "recall", "f1")
    return ", ".join(f"{name} {_figure(said[name])}" for name in names)
