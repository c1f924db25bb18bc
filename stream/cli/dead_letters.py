"""The command `stream dead-letters`."""

import heapq
import json
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any, get_args

import click
from rich.table import Table
from rich.text import Text

from stream.cli.running import finish
from stream.cli.wording import clean, counted, make_console
from stream.events.decode import Reason
from stream.kafka.dead_letters import DeadLetter, read_dead_letters
from stream.operating.resending import send_again
from stream.settings import Settings, read_settings
from stream.units import rfc3339

SHOWN = 200
"""Bytes of a value that are shown."""
LISTED = 20


@click.command()
@click.option(
    "--reason",
    type=click.Choice(get_args(Reason)),
    metavar="REASON",
    help="Only what was refused for this reason; --counts names them.",
)
@click.option(
    "--limit",
    type=click.IntRange(1),
    help=f"List so many, the newest, or send so many.  [default: {LISTED} listed, all sent]",
)
@click.option("--counts", is_flag=True, help="Count them by reason instead.")
@click.option("--resend", is_flag=True, help="Send them again, each once for good.")
@click.option("--yes", is_flag=True, help="Send without asking.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
def dead_letters(
    *,
    reason: str | None,
    limit: int | None,
    counts: bool,
    resend: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """List, count or send again what was refused; the newest comes last.

    Each letter is shown with the time of its refusal, where it had been read, the reason, what
    its sender can do, and how it begins. With --resend the original bytes go back under their key
    to the topic they came from, which helps when this product was what had to be mended: a letter
    that is still wrong comes back as a new one. What was sent is remembered in Redis, so that
    another --resend sends only what has come since.

    \b
    Example
      stream dead-letters --counts
      stream dead-letters --reason too_far_ahead --limit 5
      stream dead-letters --reason too_far_ahead --resend
    """  # noqa: D301 (click's mark for text that is not to be wrapped)
    if counts and resend:
        raise click.UsageError("Choose one: --counts or --resend.")
    settings = read_settings()
    if counts:
        _print_counts(finish(_count(settings, reason)), as_json=as_json)
    elif resend:
        _resend(settings, reason, limit, yes=yes, as_json=as_json)
    else:
        _print(finish(_newest(settings, reason, limit or LISTED)), as_json=as_json)


async def _count(settings: Settings, reason: str | None) -> Counter[str]:
    found: Counter[str] = Counter()
    async for letter in read_dead_letters(settings):
        if reason in (None, letter.reason):
            found[letter.reason] += 1
    return found


async def _newest(settings: Settings, reason: str | None, limit: int) -> list[DeadLetter]:
    newest: list[DeadLetter] = []
    # Without a choice of reason the newest of all are among the newest of each partition.
    async for letter in read_dead_letters(settings, limit if reason is None else None):
        if reason in (None, letter.reason):
            heapq.heappush(newest, letter)
            if len(newest) > limit:
                heapq.heappop(newest)
    return sorted(newest)


def _resend(
    settings: Settings, reason: str | None, limit: int | None, *, yes: bool, as_json: bool
) -> None:
    if sys.stdin.isatty() and not yes:
        waiting = finish(send_again(settings, reason, limit, dry=True))
        click.confirm(f"Send {_letters(waiting)} again?", abort=True)
    sent = finish(send_again(settings, reason, limit))
    click.echo(json.dumps({"sent": sent}) if as_json else f"Sent again: {_letters(sent)}.")


def _letters(many: int) -> str:
    return counted(many, "letter", "letters")


def _print_counts(counts: Counter[str], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(dict(counts.most_common())))
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    for reason, count in counts.most_common():
        table.add_row(clean(reason), f"{count:,}")
    make_console().print(table if counts else "Nothing was refused.")


def _print(letters: Sequence[DeadLetter], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([_json(letter) for letter in letters], ensure_ascii=False))
        return
    console = make_console()
    if not letters:
        console.print("Nothing was refused.")
    for letter in letters:
        head = Text(f"{rfc3339(letter.time)}  ", "dim") + clean(letter.source)
        console.print(head + "  " + Text(clean(letter.reason).plain, "bold"))
        console.print(clean(f"  {letter.detail}"))
        console.print(clean(f"  {_beginning(letter)}"), style="dim")


def _json(letter: DeadLetter) -> dict[str, Any]:
    return {
        "time": rfc3339(letter.time),
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "reason": letter.reason,
        "detail": letter.detail,
        "bytes": len(letter.value or b""),
        "value": _beginning(letter),
    }


def _beginning(letter: DeadLetter) -> str:
    value = letter.value or b""
    cut = "…" if len(value) > SHOWN else ""
    return value[:SHOWN].decode(errors="replace") + cut
