"""What became of every fault, as a table."""

from collections.abc import Iterable

from rich.table import Table

from faults.trial import Outcome

COLUMNS = ("sent", "counted", "lost", "twice", "dead-lettered", "moved again, s", "peak, MiB")


def table(outcomes: Iterable[Outcome]) -> Table:
    """One line each; what went wrong in red."""
    shown = Table(title_justify="left")
    shown.add_column("fault")
    for column in COLUMNS:
        shown.add_column(column, justify="right")
    shown.add_column("")
    for o in outcomes:
        figures = [f"{n:,}" for n in (o.sent, o.counted, o.lost, o.twice, o.letters)]
        figures += [f"{o.stood:.1f}", f"{o.memory:.0f}"]
        note = o.said if o.right else f"{o.said} {o.failure.splitlines()[0] if o.failure else ''}"
        shown.add_row(o.fault, *figures, note, style=None if o.right else "red")
    return shown
