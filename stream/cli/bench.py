"""`stream bench`."""

import json
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from stream.settings import read_settings

if TYPE_CHECKING:
    from stream.bench.load import Load

WHAT = ("load", "start", "outage", "workers", "memory")


def _percents(_ctx: click.Context, _param: click.Parameter, value: str) -> list[float]:
    try:
        percents = [float(part) for part in value.split(",") if part.strip()]
    except ValueError:
        raise click.BadParameter("give numbers with commas between, as 10,50,80") from None
    if any(percent <= 0 for percent in percents):
        raise click.BadParameter("a load is more than 0 %")
    return percents


@click.command()
@click.argument("what", default="load", type=click.Choice(WHAT))
@click.option(
    "--events", default=300_000, show_default=True, type=click.IntRange(10_000),
    help="Events that are counted; start needs none.",
)  # fmt: skip
@click.option(
    "--at", default="50", show_default=True, callback=_percents,
    help="load: percent of the worker's speed at which latency is measured, comma-separated.",
)  # fmt: skip
@click.option(
    "--live", default=15.0, show_default=True, type=click.FloatRange(0.5),
    help="load: seconds of each of them.",
)  # fmt: skip
@click.option(
    "--known", default=1_000_000, show_default=True, type=click.IntRange(1),
    help="start: products, and customers, that are known.",
)  # fmt: skip
@click.option(
    "--active", default=100, show_default=True, type=click.IntRange(1),
    help="start: products that were clicked while no worker ran.",
)  # fmt: skip
@click.option(
    "--outage", default=60.0, show_default=True, type=click.FloatRange(1),
    help="outage: seconds without a worker.",
)  # fmt: skip
@click.option(
    "--workers", default=2, show_default=True, type=click.IntRange(1, 64),
    help="workers: processes, each kept to a core.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def bench(
    *,
    what: str,
    events: int,
    at: list[float],
    live: float,
    known: int,
    active: int,
    outage: float,
    workers: int,
    as_json: bool,
) -> None:
    """Measure what this machine does with your settings.

    Starts a Kafka and a Redis of its own, and workers with the settings that are in force, but for
    addresses, names and secrets. The events are a simulated shop's.

    \b
    load     how many events a second one worker does, what they cost, and how long a score takes
    start    how soon a worker scores when much is known already
    outage   how soon it has caught up with what came while none was there
    workers  how many events a second several do together
    memory   whether a worker's memory grows

    \b
    Examples: a quick look; latency at three loads; a large catalogue; a long run
      stream bench --events 100000 --live 5
      stream bench load --at 10,50,80
      stream bench start --known 100000
      stream bench memory --events 20000000
    """  # noqa: D301 (click's mark for text that is not to be wrapped)
    settings = read_settings()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what ends it is raised
    # From here on what needs the extra `embedded`, and Faust, which takes a second to import.
    if what == "load":
        from stream.bench.load import measure  # noqa: PLC0415

        load = measure(settings, events, at, live, _say)
        _print(load.document(), _loaded(load), as_json=as_json)
    elif what == "start":
        from stream.bench.start import measure_start  # noqa: PLC0415

        start = measure_start(settings, known, active, _say)
        line = (
            f"{start.known:,} products and customers known, {start.active:,} products active: "
            f"first score {start.first_s} s after the start of the process, all after "
            f"{start.all_s} s, {start.memory_mib} MiB"
        )
        _print(start.document(), [line], as_json=as_json)
    elif what == "outage":
        from stream.bench.outage import measure_outage  # noqa: PLC0415

        caught = measure_outage(settings, events, outage, _say)
        line = (
            f"{caught.backlog:,} events came in {caught.outage_s:g} s without a worker; with "
            f"{caught.live:,} more a second it had caught up {caught.caught_up_s} s after its "
            f"start, counting {caught.rate:,.0f} events/s"
        )
        _print(caught.document(), [line], as_json=as_json)
    elif what == "workers":
        from stream.bench.workers import measure_workers  # noqa: PLC0415

        several = measure_workers(settings, events, workers, _say)
        counted = several.counted
        line = (
            f"{counted.rate:,.0f} events/s through {several.workers} worker processes on "
            f"{several.cores} cores; µs CPU per event: workers {counted.cpu_us:.1f}, "
            f"Kafka {counted.kafka_us:.1f}, Redis {counted.redis_us:.1f}"
        )
        _print(several.document(), [line], as_json=as_json)
    else:
        from stream.bench.memory import measure_memory  # noqa: PLC0415

        memory = measure_memory(settings, events, _say)
        line = (
            f"{memory.events:,} events at {memory.rate:,.0f} a second: {memory.mib[0]:.0f} MiB "
            f"after a tenth of them, {memory.mib[-1]:.0f} MiB at the end; it grew by "
            f"{memory.slope:.2f} MiB for a million events after the first quarter"
        )
        _print(memory.document(), [line], as_json=as_json)


def _say(text: str) -> None:
    click.echo(text, err=True)


def _print(
    document: dict[str, object], lines: "Iterator[str] | list[str]", *, as_json: bool
) -> None:
    click.echo(json.dumps(document) if as_json else "\n".join(lines))


def _loaded(load: "Load") -> Iterator[str]:
    from stream.bench.watched import by_stage  # noqa: PLC0415

    full, storage = load.full, load.storage
    yield (
        f"{full.rate:,.0f} events/s through one worker process ({load.events:,} events), "
        f"{full.cpu_us:.1f} µs CPU per event, {full.memory_mib:.0f} MiB at most"
    )
    costs = ", ".join(f"{name} {cost:.1f}" for name, cost in by_stage(load.costs).items())
    yield f"of them: {costs}"
    yield (
        f"Redis, per event: {full.redis_us:.1f} µs CPU, {full.commands:.2f} commands, "
        f"{full.received:.0f} bytes in, {full.sent:.0f} out; Kafka: {full.kafka_us:.1f} µs CPU"
    )
    yield (
        f"Redis, bytes: product {storage.product_row} and {storage.product_public} public, "
        f"customer {storage.customer_row} and {storage.customer_public} public, "
        f"waiting click {storage.waiting_click}"
    )
    yield (
        f"the event loop let a task wait {load.pauses['longest_ms']} ms at most, "
        f"{load.pauses['own_ms']} ms while it was at work itself"
    )
    for live in load.live:
        yield (
            f"Kafka to Redis at {live.rate:,} events/s: p50 {live.p50_ms} ms, p99 {live.p99_ms} "
            f"ms, p99.9 {live.p999_ms} ms, worst {live.worst_ms} ms of {live.probes:,} probes"
        )
