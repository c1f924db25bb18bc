"""What became of every fault, as a table, and kept for docs/reliability.md."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table

from faults.trial import Outcome

KEPT = Path(__file__).resolve().parents[2] / "docs" / "faults.json"
COLUMNS = ("sent", "counted", "lost", "twice", "dead-lettered", "moved again, s", "peak, MiB")


class Kept(NamedTuple):
    """What is written down of a fault.

    Attributes:
        day: On which it was inflicted.
        rate: Events a second.
        outcome: What became of it.
    """

    day: str
    rate: int
    outcome: Outcome


def figures(o: Outcome) -> list[str]:
    """One for each column."""
    counts = [f"{n:,}" for n in (o.sent, o.counted, o.lost, o.twice, o.letters)]
    return [*counts, f"{o.stood:.1f}", f"{o.memory:.0f}"]


def table(outcomes: Iterable[Outcome]) -> Table:
    """One line each; what went wrong in red."""
    shown = Table(title_justify="left")
    shown.add_column("fault")
    for column in COLUMNS:
        shown.add_column(column, justify="right")
    shown.add_column("")
    for o in outcomes:
        note = o.said if o.right else f"{o.said} {o.failure.splitlines()[0] if o.failure else ''}"
        shown.add_row(o.fault, *figures(o), note, style=None if o.right else "red")
    return shown


def keep(outcomes: Sequence[Outcome], rate: int, path: Path = KEPT) -> None:
    """Write down what came of these faults; what was kept of others stays."""
    written: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    day = datetime.now(UTC).date().isoformat()
    written |= {o.fault: {"day": day, "rate": rate, **asdict(o)} for o in outcomes}
    path.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n")


def kept(path: Path = KEPT) -> dict[str, Kept]:
    """All that is written down, by the fault's name."""
    written = json.loads(path.read_text())
    return {
        fault: Kept(row.pop("day"), row.pop("rate"), Outcome(**row))
        for fault, row in written.items()
    }
