"""`make faults`: all of them, in the long form."""

import logging
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.console import Console

from faults import FAULTS
from faults.table import keep, table
from faults.trial import Outcome, run
from stream.embedded import embedded_servers


@click.command()
@click.option("--rate", default=10_000, show_default=True, help="Events a second.")
@click.option("--only", default="", help="Those whose name has this in it.")
@click.option("--keep", "kept", is_flag=True, help="Write the figures to docs/faults.json.")
@click.option("--short", is_flag=True, help="The form that is part of the tests.")
def main(*, rate: int, only: str, kept: bool, short: bool) -> None:
    """Inflict every fault on the real Kafka and Redis, and draw up the account.

    Exit status 1 if anything was lost, counted twice, or went wrong otherwise.
    """
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # brokers come and go here
    console = Console(width=None if sys.stdout.isatty() else 160)
    chosen = [f for f in FAULTS if only in f.name and (f.short or not short)]
    outcomes: list[Outcome] = []
    with TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as folder:
        for number, fault in enumerate(chosen):
            began = time.monotonic()
            home = Path(folder) / str(number)
            with embedded_servers(home) as servers:
                outcome = run(servers, home, fault, rate, long=not short)
            outcomes.append(outcome)
            verdict = "right" if outcome.right else f"WRONG: {outcome.failure}"
            took = f"{time.monotonic() - began:.0f} s"
            console.print(
                f"{fault.name}: {outcome.sent:,} events, {took}, {verdict}", highlight=False
            )
    console.print(table(outcomes))
    if kept:
        keep(outcomes, rate)
    sys.exit(not all(outcome.right for outcome in outcomes))


main()
