"""The command `stream topics`."""

import asyncio
import json
from collections.abc import Collection, Mapping

import click
from rich.table import Table

from stream.cli.running import finish
from stream.cli.wording import clean, counted, make_console
from stream.errors import Misconfigured
from stream.kafka.topics import TOPICS, create_topics, misfit, partition_counts
from stream.settings import Settings, read_settings

GLANCES = 100
"""So often is looked whether all brokers know of the topics that were created."""
GLANCE = 0.1
"""Seconds in between."""


@click.command()
@click.option(
    "--partitions",
    type=click.IntRange(1, 1_000),
    help="Partitions of the topics that are keyed by user or product; they are there to stay."
    "  [default: STREAM_PARTITIONS, 4]",
)
@click.option(
    "--replication", type=click.IntRange(1, 9), help="Replicas.  [default: STREAM_REPLICATION, 1]"
)
@click.option("--check", is_flag=True, help="Create nothing, only look.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def topics(partitions: int | None, replication: int | None, *, check: bool, as_json: bool) -> None:
    """Create the Kafka topics that are missing, or check those that are there.

    It can be run again at any time: what exists stays as it is, and what is missing gets as many
    partitions as the rest has. Exits with 1 if the topics do not fit together.

    \b
    Example
      stream topics --partitions 12 --replication 3
      stream topics --check --json
    """  # noqa: D301 (click's mark for text that is not to be wrapped)
    asked = {"partitions": partitions, "replication": replication}
    settings = read_settings().model_copy(update={k: v for k, v in asked.items() if v is not None})
    created, counts = finish(_look(settings, partitions, check=check))
    wrong = misfit(counts)
    if as_json:
        rows = [
            {
                "name": plan.name,
                "partitions": counts.get(plan.name),
                "created": plan.name in created,
            }
            for plan in TOPICS
        ]
        click.echo(json.dumps({"topics": rows, "fit": wrong is None, "problem": wrong}))
    else:
        make_console().print(_table(created, counts))
    if wrong is not None:
        raise Misconfigured(wrong)


async def _look(
    settings: Settings, wanted: int | None, *, check: bool
) -> tuple[list[str], dict[str, int]]:
    """Create what is missing, if that is wanted, and count.

    Returns:
        Names of the topics that were created; partitions of those that are there.
    """
    counts = await partition_counts(settings)
    there = counts.get("clicks")
    if wanted is not None and there not in (None, wanted):
        raise Misconfigured(
            f"The topics have {counted(there or 0, 'partition', 'partitions')}, not {wanted}: "
            "customers and products live by partition. For another number, recreate all topics "
            "and use another STREAM_PREFIX."
        )
    if check:
        return [], counts
    created = await create_topics(settings)
    for _ in range(GLANCES):
        counts = await partition_counts(settings)
        if set(created) <= counts.keys():
            break
        await asyncio.sleep(GLANCE)
    return created, counts


def _table(created: Collection[str], counts: Mapping[str, int]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    for plan in TOPICS:
        count = counts.get(plan.name)
        state = "created" if plan.name in created else "there" if count else "missing"
        partitions = counted(count, "partition", "partitions") if count else ""
        table.add_row(plan.name, state, partitions, clean(plan.purpose))
    return table
