"""The command `stream erase`."""

import json
import sys

import click

from stream.cli.running import finish
from stream.operating.erasing import Erasure, carried_out, request_erasure
from stream.settings import Settings, read_settings


@click.command()
@click.argument("user_id")
@click.option(
    "--wait",
    type=click.FloatRange(0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for a worker to carry it out.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def erase(user_id: str, *, wait: float, yes: bool, as_json: bool) -> None:
    """Forget a customer: profile, history and every ranking of candidates. There is no way back.

    What was counted for products stays counted, without saying by whom. The request is kept in
    Kafka under the customer's pseudonym, so that a replay does not bring anybody back; it is
    carried out by the worker, at once or when one runs. It needs the worker's STREAM_SECRET. The
    customer's own events stay in Kafka until their retention ends.

    \b
    Example
      stream erase user-1042
      stream erase user-1042 --yes --wait 0 --json
    """  # noqa: D301 (click's mark for text that is not to be wrapped)
    settings = read_settings()
    if sys.stdin.isatty() and not yes:
        click.confirm(f"Forget the customer {user_id!r} for good?", abort=True)
    erasure, done = finish(_erase(settings, user_id, wait))
    if as_json:
        where = {"partition": erasure.partition, "offset": erasure.offset}
        click.echo(json.dumps({"customer": erasure.customer, **where, "carried_out": done}))
    elif done:
        click.echo(f"The customer is forgotten (until now known as {erasure.customer}).")
    else:
        click.echo("It is recorded in Kafka, and will be carried out when a worker runs.")


async def _erase(settings: Settings, user_id: str, wait: float) -> tuple[Erasure, bool]:
    erasure = await request_erasure(settings, user_id)
    return erasure, await carried_out(settings, erasure, wait)
