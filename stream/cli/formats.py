"""The options that say what the rows of a log mean."""

from collections.abc import Callable
from typing import TypeVar

import click

from stream.events.logs import load_mapping
from stream.events.mappings import Mapping, known_formats

C = TypeVar("C", bound=Callable[..., object])

_format = click.option(
    "--format",
    "format_name",
    type=click.Choice(known_formats()),
    help="What the log's rows mean.  [default: native, NDJSON as `stream schema` describes it]",
)
_mapping = click.option(
    "--mapping",
    type=click.Path(exists=True, dir_okay=False),
    help="A TOML file that says so for a log of your own.",
)


def log_format(command: C) -> C:
    """Add --format and --mapping to a command."""
    return _format(_mapping(command))


def chosen(format_name: str | None, mapping: str | None) -> Mapping:
    """Load what was chosen.

    Raises:
        UsageError: Both were given.
    """
    if format_name and mapping:
        raise click.UsageError("Give either --format or --mapping.")
    return load_mapping(mapping or format_name or "native")
