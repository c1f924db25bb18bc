"""`stream bench`."""

import json

import click


@click.command()
@click.option("--events", default=300_000, show_default=True, type=click.IntRange(10_000))
@click.option("--live", default=15.0, show_default=True, help="Seconds of the latency part.")
@click.option(
    "--start",
    is_flag=True,
    help="Measure instead how soon a worker scores when much is known already.",
)
@click.option(
    "--known",
    default=1_000_000,
    show_default=True,
    type=click.IntRange(1),
    help="With --start: products, and customers, that are known.",
)
@click.option(
    "--active",
    default=100,
    show_default=True,
    type=click.IntRange(1),
    help="With --start: products that were clicked while no worker ran.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def bench(*, events: int, live: float, start: bool, known: int, active: int, as_json: bool) -> None:
    """Measure how many events a second one worker process does on this machine.

    Starts the embedded Kafka and Redis, fills the topics with a simulated shop's events, lets a
    worker with all stages read them, then measures live how long an event takes until its
    score can be read.

    \b
    Examples: a quick look; the start of a worker with a large catalogue
      stream bench --events 100000 --live 5
      stream bench --start --known 100000
    """  # noqa: D301 (click's mark for text that is not to be wrapped)
    if start:
        _start(known, active, as_json=as_json)
    else:
        _load(events, live, as_json=as_json)


def _say(text: str) -> None:
    click.echo(text, err=True)


def _load(events: int, live: float, *, as_json: bool) -> None:
    from stream.bench.load import measure  # noqa: PLC0415 (needs the extra `embedded`)

    result = measure(events, live, _say)
    if as_json:
        click.echo(json.dumps(result.document()))
        return
    click.echo(
        f"{result.rate:,} events/s through one worker process ({result.events:,} events), "
        f"{result.cpu_us} µs CPU per event, {result.memory_mib} MiB"
    )
    click.echo(
        f"Kafka to Redis at {result.live_rate:,} events/s: p50 {result.p50_ms} ms, "
        f"p99 {result.p99_ms} ms, worst {result.worst_ms} ms of {result.probes} probes"
    )


def _start(known: int, active: int, *, as_json: bool) -> None:
    from stream.bench.start import measure_start  # noqa: PLC0415 (needs the extra `embedded`)

    result = measure_start(known, active, _say)
    if as_json:
        click.echo(json.dumps(result.document()))
        return
    click.echo(
        f"{result.known:,} products and customers known, {result.active:,} products active: first "
        f"score {result.first_s} s after the start of the process, all after {result.all_s} s, "
        f"{result.memory_mib} MiB"
    )
