"""The command `stream`. Each command lives in the module of its name, loaded when called."""

from importlib import import_module

import click

from stream.errors import StreamError

COMMANDS = {
    "demo": "see the whole thing work, on an embedded Kafka and Redis",
    "worker": "run the scorer",
    "topics": "create the Kafka topics, or check them",
    "check": "are settings, connections, topics and Redis fit for work?",
    "produce": "send a recorded log to Kafka",
    "simulate": "be a live shop: write its events to Kafka or a file",
    "replay": "run a recorded log through the scorer, no Kafka, no Redis",
    "evaluate": "how right are the models on a recorded log?",
    "top": "the products most likely to take off",
    "score": "one product's score and its reasons, in words",
    "customer": "what is known of one customer",
    "dead-letters": "list, count or send again what was refused",
    "erase": "forget a customer",
    "rebuild": "count anew from what Kafka holds",
    "schema": "JSON Schema and AsyncAPI of the events",
    "embedded": "run Kafka and Redis alone, for trying your own producer",
    "bench": "how many events a second does this machine do?",
}


class _Commands(click.Group):
    """Commands that are imported when they are called, so that `stream top` does not load Kafka."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(import_module(f"stream.cli.{name}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except StreamError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="stream-scorer")
def main() -> None:
    """Live scores of a shop's products: which are about to take off, who will buy them, and why.

    Settings come from the environment and from .env, all named STREAM_…; `stream check` shows them.

    \b
    Example: see it work, then look closer
      stream demo
      stream top --help
    """  # noqa: D301 (click's mark for text that is not to be wrapped)
