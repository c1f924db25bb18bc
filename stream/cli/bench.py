"""`stream bench`."""

import json

import click


@click.command()
@click.option("--events", default=300_000, show_default=True, type=click.IntRange(10_000))
@click.option("--live", default=15.0, show_default=True, help="Seconds of the latency part.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def bench(*, events: int, live: float, as_json: bool) -> None:
    """Measure how many events a second one worker process does on this machine.

    Starts the embedded Kafka and Redis, fills the topics with a simulated shop's events, lets a
    worker with all stages read them, then measures live how long an event takes until its
    score can be read.

    \b
    Example: a quick look
      stream bench --events 100000 --live 5
    """  # noqa: D301 (click's mark for text that is not to be wrapped)
    from stream.bench import measure  # noqa: PLC0415 (needs the extra `embedded`)

    result = measure(events, live, lambda text: click.echo(text, err=True))
    if as_json:
        click.echo(json.dumps(result.document()))
        return
    click.echo(
        f"{result.rate:,} events/s through one worker process ({result.events:,} in "
        f"{result.seconds} s), {result.cpu_us} µs CPU per event, {result.memory_mib} MiB"
    )
    click.echo(
        f"Kafka to Redis at {result.live_rate:,} events/s: p50 {result.p50_ms} ms, "
        f"p99 {result.p99_ms} ms, worst {result.worst_ms} ms of {result.probes} probes"
    )
