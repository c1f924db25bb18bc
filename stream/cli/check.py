"""The command `stream check`."""

import json
import os
from collections.abc import Mapping, Sequence

import click
from dotenv import dotenv_values
from rich.console import Console
from rich.text import Text

from stream.cli.running import finish
from stream.cli.wording import clean, make_console
from stream.errors import Misconfigured
from stream.operating.checks import Finding, findings
from stream.settings import Settings, misspelt, read_settings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def check(ctx: click.Context, *, as_json: bool) -> None:
    """Ask whether settings, connections, topics and Redis are fit for work; one line for each.

    Shows the settings that are in force, without secrets, and how much Kafka holds that is not
    counted yet. Exits with 1 if anything has to be mended.

    \b
    Example
      stream check
      stream check --json | jq '.findings[] | select(.ok | not)'
    """  # noqa: D301 (click's mark for text that is not to be wrapped)
    settings: Settings | None = None
    found = [Finding("settings", False, line) for line in misspelt(_variables())]
    try:
        settings = read_settings()
    except Misconfigured as error:
        found += [Finding("settings", False, line) for line in str(error).splitlines()]
    else:
        found += finish(findings(settings))
    shown = settings.shown() if settings else {}
    fit = all(finding.ok for finding in found)
    if as_json:
        rows = [finding._asdict() for finding in found]
        click.echo(json.dumps({"fit": fit, "findings": rows, "settings": shown}))
    else:
        _print(make_console(), found, shown)
    if not fit:
        ctx.exit(1)


def _variables() -> set[str]:
    return {*os.environ, *dotenv_values(".env")}


def _print(
    console: Console, found: Sequence[Finding], shown: Mapping[str, str | int | None]
) -> None:
    for name, value in shown.items():
        console.print(clean(f"{name}={'' if value is None else value}"), style="dim")
    if shown:
        console.print()
    for finding in found:
        mark = Text("ok   ", "green") if finding.ok else Text("mend ", "bold red")
        text = " ".join(finding.text.split())
        console.print(mark + clean(f"{finding.name}: {text}"))
