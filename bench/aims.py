"""What was aimed at, beside what was measured."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from tables import Figures, beside

SERVED = "ours, the small job as the product does it"
WHOLE = "ours, the whole job"


class Aim(NamedTuple):
    """One of them.

    Attributes:
        what: Is measured.
        bound: What it should reach.
        found: What it is.
        unit: Behind both.
        least: It should be no less than the bound; otherwise no more.
    """

    what: str
    bound: float
    found: float
    unit: str
    least: bool = False


def aims(
    peers: Mapping[str, Any],
    load: Mapping[str, Any],
    start: Mapping[str, Any],
    workers: Mapping[str, Any],
    memory: Mapping[str, Any],
) -> Figures:
    """Compare the figures of all parts with what was aimed at."""
    rounds: Mapping[str, Sequence[Mapping[str, float]]] = peers["rounds"]
    cost = median(run["cpu_us"] for run in rounds[SERVED])
    quiet, _, half, *_ = load["live"]
    one, two = (run["counted"]["rate"] for run in workers["runs"][:2])
    known = f"{start['known']:,} products known"
    found = [
        Aim("whole job, beside the loop's small one", 1.0, beside(rounds, WHOLE), "×", True),
        Aim("small job as we do it, beside the same", 1.2, beside(rounds, SERVED), "×", True),
        Aim("CPU for an event, whole job", 25, load["full"]["cpu_us"], "µs"),
        Aim("CPU for an event, small job", 13, cost, "µs"),
        Aim("p99 in a quiet shop", 50, quiet["p99_ms"], "ms"),
        Aim("p99 at half load", 250, half["p99_ms"], "ms"),
        Aim("two workers, beside one", 1.7, two / one, "×", True),
        Aim(f"first score with {known}", 5, start["first_s"], "s"),
        Aim(f"memory with {known}", 500, start["memory_mib"], "MiB"),
        Aim("memory for a million more events", 1, memory["slope"], "MiB"),
        Aim("longest own pause of the loop, at half load", 50, half["own_ms"], "ms"),
    ]
    rows = [
        (
            aim.what,
            f"{'≥' if aim.least else '≤'} {aim.bound:g} {aim.unit}",
            f"{aim.found:,.2f}" if aim.found < 10 else f"{aim.found:,.0f}",
            "yes" if aim.least == (aim.found >= aim.bound) else "no",
        )
        for aim in found
    ]
    return Figures("", ("", "aimed at", "measured", "reached"), rows)
