"""The command `stream rebuild`."""

import json
from dataclasses import asdict

import click

from stream.cli.running import finish
from stream.operating.rebuilding import rebuild as drop
from stream.operating.rebuilding import refuse_at_work
from stream.settings import read_settings


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def rebuild(*, yes: bool, as_json: bool) -> None:
    """Drop all that is counted and learned, to count anew what Kafka holds.

    Only keys of this installation (STREAM_PREFIX) go; others in that Redis are not touched.
    Workers have to be stopped before. When they start again, they replay clicks and orders from
    the beginning of what Kafka holds; what it has deleted since is not counted again.

    \b
    Example
      stream rebuild
      stream rebuild --yes --json
    """  # noqa: D301
    settings = read_settings()
    finish(refuse_at_work(settings))
    if not yes:
        where = f"under {settings.prefix!r}" if settings.prefix else "without a prefix"
        click.confirm(f"Drop all scores, counts and models {where}?", abort=True)
    done = finish(drop(settings))
    if as_json:
        click.echo(json.dumps(asdict(done)))
        return
    click.echo(
        f"Dropped {done.dropped:,} keys. Workers that start now count {done.held:,} records."
    )
    if done.gone:
        click.echo(f"Kafka has deleted {done.gone:,} older ones; they will not be counted again.")
