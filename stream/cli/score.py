"""The command `stream score`."""

import click

from stream.cli.wording import print_lines, score_lines
from stream.redis.reader import ScoreReader


@click.command
@click.argument("product")
@click.option("--category", is_flag=True, help="PRODUCT is the id of a category.")
@click.option("--json", "as_json", is_flag=True, help="Print the document as JSON.")
def score(product: str, *, category: bool, as_json: bool) -> None:
    """Say what is expected of one product, how sure that is, and why.

    Reads score:<product> from the Redis of STREAM_REDIS. The effect before each reason says how
    far it moves the score, up or down.

    \b
    Example
      stream score P-1042
      stream score --category mugs --json
    """  # noqa: D301 (click's mark for text that is not to be wrapped)
    with ScoreReader.from_env() as reader:
        document = reader.category(product) if category else reader.score(product)
    if document is None:
        kind = "category" if category else "product"
        raise click.ClickException(
            f"There is no score for {kind} {product!r}. Nothing has happened with it yet, or "
            "STREAM_REDIS and STREAM_PREFIX are not those of the worker."
        )
    if as_json:
        click.echo(document.model_dump_json(indent=2))
    else:
        print_lines(score_lines(document))
