"""The command `stream schema`."""

import json
from importlib.metadata import version
from typing import Any, cast

import click

from stream.events.schema import asyncapi, json_schema
from stream.events.types import PUBLIC, Topic
from stream.events.yaml import as_yaml
from stream.redis.documents import Score

SCORE: dict[str, Any] = {
    "product": "mug-7",
    "score": 0.83,
    "interval": [0.71, 0.91],
    "conversion": 0.041,
    "demand": {
        "1h": {"mean": 0.7, "p10": 0.0, "p50": 0.4, "p90": 2.0},
        "1d": {"mean": 8.6, "p10": 3.0, "p50": 8.0, "p90": 15.0},
        "7d": {"mean": 54.0, "p10": 21.0, "p50": 50.0, "p90": 96.0},
    },
    "trend": 2.0,
    "reasons": [
        {"feature": "carts_day", "value": 4.0, "effect": 0.42, "text": "4 carts in the last day"}
    ],
    "evidence": {"views": 1203, "carts": 44, "wishes": 1, "orders": 20, "units": 31},
    "as_of": "2026-03-02T09:30:00.250Z",
    "model": "potential@12",
    "cold": False,
    "category": "mugs",
    "price": 12.5,
    "title": "Blue mug",
    "stock": 40.0,
}
"""One of what is sent to the topic `scores`."""


@click.command()
@click.argument("topic", type=click.Choice(list(PUBLIC)), required=False)
@click.option(
    "--asyncapi", "as_asyncapi", is_flag=True, help="All public topics as AsyncAPI 3.0, in YAML."
)
def schema(topic: str | None, *, as_asyncapi: bool) -> None:
    """Print what events look like as JSON Schema: those of one topic, or of all by topic.

    It is made from the types that the scorer reads with, so what fits it is read. With --asyncapi
    the topics themselves are described too, with keys, headers and what comes out.

    \b
    Example
      stream schema clicks > clicks.schema.json
      stream schema --asyncapi > asyncapi.yaml
    """  # noqa: D301 (click's mark for text that is not to be wrapped)
    if topic is not None and as_asyncapi:
        raise click.UsageError("AsyncAPI describes all topics: leave out the topic.")
    if as_asyncapi:
        click.echo(as_yaml(asyncapi(version("stream-scorer"), Score, SCORE)), nl=False)
        return
    schemas = {name: json_schema(name) for name in PUBLIC}
    click.echo(json.dumps(schemas if topic is None else schemas[cast("Topic", topic)], indent=2))
