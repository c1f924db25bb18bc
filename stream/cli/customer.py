"""The command `stream customer`."""

import click

from stream.cli.wording import customer_lines, print_lines
from stream.redis.reader import ScoreReader


@click.command
@click.argument("user_id", required=False)
@click.option("--pseudonym", metavar="P", help="Ask by pseudonym, which needs no secret.")
@click.option("--json", "as_json", is_flag=True, help="Print the document as JSON.")
def customer(user_id: str | None, pseudonym: str | None, *, as_json: bool) -> None:
    """Say what is known of one customer.

    Customers are stored under pseudonyms: to find one by the shop's USER_ID, STREAM_SECRET must be
    that of the worker. Pseudonyms are what candidates:<product> lists.

    \b
    Example
      stream customer user-17
      stream customer --pseudonym 04QEc_H9fJjWH4IDGi4LZQ --json
    """  # noqa: D301 (click's mark for text that is not to be wrapped)
    with ScoreReader.from_env() as reader:
        if user_id is not None and pseudonym is None:
            document = reader.customer(user_id)
        elif pseudonym is not None and user_id is None:
            document = reader.customer_by_pseudonym(pseudonym)
        else:
            raise click.UsageError("Name one customer: a USER_ID or a --pseudonym.")
    if document is None:
        raise click.ClickException(
            f"There is no customer {user_id or pseudonym!r}. Nothing is known of this one yet, "
            "or STREAM_SECRET, STREAM_REDIS and STREAM_PREFIX are not those of the worker."
        )
    if as_json:
        click.echo(document.model_dump_json(indent=2))
    else:
        print_lines(customer_lines(document))
