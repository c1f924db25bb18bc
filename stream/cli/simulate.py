"""`stream simulate`: a live shop."""

import asyncio
import gzip
import json
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import IO, Any, cast

import click
import orjson

from stream.cli.pace import Speed, paced
from stream.errors import Misconfigured
from stream.events.logs import Event
from stream.events.types import KEYS
from stream.kafka.sending import Tally, send_log
from stream.settings import Settings, read_settings
from stream.simulate.calendar import TrendKind
from stream.simulate.plan import ShopPlan
from stream.simulate.shop import Shop
from stream.units import DAY, Millis, rfc3339

DEFAULTS = ShopPlan()
DAYS = 14.0
"""Days that a shop lives whose time is faster than the clock, unless told otherwise."""
FRAME = 0.2
"""Seconds after which an interruption is seen, at most."""
TRENDS: dict[TrendKind, str] = {"takeoff": "takeoffs", "fad": "fads", "decline": "declines"}


class Moment(click.ParamType):
    """A date or a time as ISO 8601; without an offset it is UTC."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Millis:
        """Read what was given."""
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time: give 2026-01-01 or 2026-01-01T08:00:00Z.", param, ctx)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return Millis(round(moment.timestamp() * 1000))


@click.command()
@click.option("--products", type=click.IntRange(30), default=DEFAULTS.products, show_default=True)
@click.option("--customers", type=click.IntRange(10), default=DEFAULTS.customers, show_default=True)
@click.option(
    "--rate",
    type=click.FloatRange(0, 100_000, min_open=True),
    default=round(DEFAULTS.events_per_day * 1000 / DAY, 1),
    show_default=True,
    help="Clicks and orders a second of the shop's own time, on average over a week.",
)
@click.option(
    "--speed",
    type=Speed(),
    help="How much faster than the clock the shop's time passes, 1x or 720x, or max."
    "  [default: 1x, or max to a file]",
)
@click.option(
    "--days",
    type=click.FloatRange(0, min_open=True),
    help=f"How long the shop lives, in its own days.  [default: {DAYS:g}, without end up to 1x]",
)
@click.option("--seed", type=click.IntRange(0), default=DEFAULTS.seed, show_default=True)
@click.option(
    "--start",
    type=Moment(),
    help="Time of the first event.  [default: so that the last one is of now, as now at 1x; "
    f"{rfc3339(DEFAULTS.start)[:10]} for a file at max]",
)
@click.option("--kafka", metavar="HOST:PORT", help="Kafka brokers.  [default: STREAM_KAFKA]")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="Write lines of JSON here, not to Kafka; gzip where it ends in .gz; - is standard output.",
)
@click.option("--no-catalog", is_flag=True, help="Leave the products' records out.")
@click.option(
    "--truth",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write what took off, and what only seemed to, as JSON, at the end.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def simulate(
    *,
    products: int,
    customers: int,
    rate: float,
    speed: float | None,
    days: float | None,
    seed: int,
    start: Millis | None,
    kafka: str | None,
    out: str | None,
    no_catalog: bool,
    truth: Path | None,
    as_json: bool,
) -> None:
    """Be a live shop: write its clicks, orders and products to Kafka or a file, until Ctrl-C.

    Customers have tastes and come back; they look, fill carts, order at once or days later, and
    send things back. Each day a few products take off: interest rises first, sales follow within
    a day. Others are only looked at more (fads), or fade, or are reduced. Everything follows
    from the seed. About 93 % of the events are views, 4 % carts and wishes, 3 % orders.

    \b
    Example: two weeks in half an hour, and what there was to find
      stream simulate --speed 720x --truth truth.json
    Example: a log of three days, the same wherever it is made
      stream simulate --days 3 --out shop.ndjson.gz
    """  # noqa: D301 (click's mark for text that is not to be wrapped)
    if kafka is not None and out is not None:
        raise click.UsageError("Give either --kafka or --out.")
    if truth is not None:
        _check_writable(truth)
    if speed is None and not _was_given("speed") and out is None:
        speed = 1.0
    if days is None and (speed is None or speed > 1):
        days = DAYS
    settings = None if out is not None else _settings(kafka)
    plan = ShopPlan(
        seed=seed,
        products=products,
        customers=customers,
        events_per_day=rate * DAY / 1000,
        start=_start(start, days, speed, fixed=out is not None and speed is None),
    )
    if settings is not None:
        _refuse_future(plan.start, days, speed, settings.ahead)
    shop = Shop(plan)
    events = _lived(shop, days, catalog=not no_catalog)
    tally, began = Tally(), time.monotonic()
    if settings is not None:
        topics = [t for t in KEYS if t != "market" and (t != "catalog" or not no_catalog)]
        asyncio.run(_sent(send_log(events, settings, tally, topics=topics, speed=speed)))
    elif out is not None:
        _write(events, out, speed, tally)
    seconds = time.monotonic() - began
    if truth is not None:
        truth.write_text(json.dumps(_truth(shop, tally.reached or plan.start), indent=2) + "\n")
    _sum_up(tally, plan.start, seconds, to_stderr=out == "-", as_json=as_json)


def _was_given(name: str) -> bool:
    source = click.get_current_context().get_parameter_source(name)
    return source is not click.core.ParameterSource.DEFAULT


def _check_writable(path: Path) -> None:
    """Refuse now what could not be written at the end."""
    try:
        path.open("ab").close()
    except OSError as error:
        raise Misconfigured(f"{path} cannot be written: {error.strerror}") from None


def _settings(kafka: str | None) -> Settings:
    settings = read_settings()
    return settings if kafka is None else settings.model_copy(update={"kafka": kafka})


def _start(given: Millis | None, days: float | None, speed: float | None, *, fixed: bool) -> Millis:
    if given is not None:
        return given
    if fixed:
        return DEFAULTS.start
    return Millis(int(time.time() * 1000) - _head_start(days, speed))


def _head_start(days: float | None, speed: float | None) -> int:
    """Say by how much the shop's time gains on the clock. Milliseconds."""
    span = (days or 0) * DAY
    return max(0, int(span if speed is None else span - span / speed))


def _refuse_future(start: Millis, days: float | None, speed: float | None, ahead: int) -> None:
    latest = time.time() * 1000 - _head_start(days, speed) + ahead
    if start > latest:
        raise Misconfigured(
            "The shop's time would run ahead of the clock, and a worker refuses such events."
            f" Let it --start at {rfc3339(Millis(int(latest)))} or before, or leave --start out."
        )


def _lived(shop: Shop, days: float | None, *, catalog: bool) -> Iterator[Event]:
    events = shop.events(catalog=catalog)
    if days is None:
        return events
    end = shop.plan.start + days * DAY
    return takewhile(lambda event: event.time < end, events)


async def _sent(sending: Coroutine[Any, Any, None]) -> None:
    """End by SIGTERM as by Ctrl-C: what was taken is still sent."""
    if task := asyncio.current_task():
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await sending


def _write(events: Iterator[Event], out: str, speed: float | None, tally: Tally) -> None:
    """Write lines of JSON. Interrupted, it ends behind a whole line."""
    with _opened(out) as file, _interruption() as interrupted:

        def wait(seconds: float) -> None:
            file.flush()  # a reader sees what has happened before the next wait
            until = time.monotonic() + seconds
            while not interrupted() and (left := until - time.monotonic()) > 0:
                time.sleep(min(left, FRAME))

        for event in events if speed is None else paced(events, speed, wait=wait):
            if interrupted():
                tally.interrupted = True
                break
            file.write(orjson.dumps(event.value) + b"\n")
            tally.sent[event.topic] += 1
            tally.reached = event.time


@contextmanager
def _interruption() -> Iterator[Callable[[], bool]]:
    """Take note of Ctrl-C and SIGTERM, rather than being torn out of a line."""
    signals: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: signals.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield lambda: bool(signals)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _opened(out: str) -> Iterator[IO[bytes]]:
    """Open a file to write to. The same events make the same file, gzip or not."""
    if out == "-":
        yield sys.stdout.buffer
        return
    with ExitStack() as closing:
        try:
            file: IO[bytes] = closing.enter_context(Path(out).open("wb"))
        except OSError as error:
            raise Misconfigured(f"{out} cannot be written: {error.strerror}") from None
        if out.endswith(".gz"):
            packed = gzip.GzipFile("", "wb", compresslevel=4, fileobj=file, mtime=0)
            file = cast("IO[bytes]", closing.enter_context(packed))
        yield file


def _truth(shop: Shop, until: Millis) -> dict[str, Any]:
    trends = {
        name: [
            {
                "product_id": trend.product_id,
                "starts": rfc3339(trend.starts),
                "saturates": rfc3339(trend.saturates),
                "ends": rfc3339(trend.ends),
                "growth": round(trend.growth, 3),
            }
            for trend in shop.trends(kind, until)
        ]
        for kind, name in TRENDS.items()
    }
    return {"seed": shop.plan.seed, "until": rfc3339(until), **trends}


def _sum_up(tally: Tally, start: Millis, seconds: float, *, to_stderr: bool, as_json: bool) -> None:
    reached = rfc3339(start if tally.reached is None else tally.reached)
    sent = {topic: tally.sent[topic] for topic in KEYS}
    if as_json:
        summary = {
            "sent": sent,
            "start": rfc3339(start),
            "reached": reached,
            "seconds": round(seconds, 3),
            "interrupted": tally.interrupted,
        }
        click.echo(json.dumps(summary), err=to_stderr)
        return
    by_topic = ", ".join(f"{topic} {count:,}" for topic, count in sent.items())
    total = tally.sent.total()
    rate = total / seconds if seconds else 0.0
    click.echo(f"Events: {total:,} ({by_topic})", err=to_stderr)
    click.echo(f"In {seconds:,.1f} s, {rate:,.0f} a second.", err=to_stderr)
    click.echo(f"The shop lived from {rfc3339(start)} to {reached}.", err=to_stderr)
