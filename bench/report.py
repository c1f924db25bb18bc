"""docs/performance.md from what bench/run.py has kept: its tables and its picture, nothing else.

    python bench/report.py

What stands between `<!-- figures: … -->` and `<!-- end -->` is written anew.
"""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aims
import limits
import tables

DOCS = Path(__file__).resolve().parents[1] / "docs"
RESULTS = DOCS / "performance.json"
DOCUMENT = DOCS / "performance.md"
PICTURE = DOCS / "images" / "latency.svg"
MARKED = re.compile(r"<!-- figures: ([a-z ]+) -->\n.*?<!-- end -->", re.DOTALL)

Results = Mapping[str, Mapping[str, Any]]


def main() -> None:
    """Write both anew."""
    results: Results = json.loads(RESULTS.read_text())
    DOCUMENT.write_text(renewed(DOCUMENT.read_text(), results))
    if "load" in results:
        PICTURE.parent.mkdir(exist_ok=True)
        draw(results["load"]["figures"], PICTURE)
    sys.stderr.write(f"{DOCUMENT} has the figures of {', '.join(results)}\n")


def renewed(text: str, results: Results) -> str:
    """Put figures in their places. Those that nobody measured are left as they are."""

    def place(found: re.Match[str]) -> str:
        words = found[1].split()
        if any(part not in results for part in _parts(words[0])):
            return found[0]
        shown = [_shown(words, results), *map(_circumstances, _of(words[0], results))]
        return f"<!-- figures: {found[1]} -->\n" + "\n\n".join(shown) + "\n<!-- end -->"

    return MARKED.sub(place, text)


def _parts(name: str) -> tuple[str, ...]:
    derived = {
        "limits": ("load",),
        "catalogue": ("load", "start"),
        "aims": ("peers", "load", "start", "workers", "memory"),
    }
    return derived.get(name, (name,))


def _of(name: str, results: Results) -> list[Mapping[str, Any]]:
    return [results[part] for part in _parts(name)]


def _shown(words: list[str], results: Results) -> str:
    """Tables of a place: `load latency` is the table of that part whose title begins so."""
    figures = [part["figures"] for part in _of(words[0], results)]
    if words[0] == "limits":
        return tables.markdown(limits.next_limit(*figures))
    if words[0] == "catalogue":
        return tables.markdown(limits.catalogue(*figures))
    if words[0] == "aims":
        return tables.markdown(aims.aims(*figures))
    found = tables.of(words[0], figures[0])
    chosen = [t for t in found if t.title.lower().startswith(" ".join(words[1:]))]
    return "\n\n".join(f"**{table.title}**\n\n{tables.markdown(table)}" for table in chosen)


def _circumstances(part: Mapping[str, Any]) -> str:
    return f"`{part['command']}`, {part['date']}, {part['machine']}"


def draw(load: Mapping[str, Any], picture: Path) -> None:
    """Draw the latency at each load; across, the share of events grows by nines."""
    import matplotlib as mpl  # noqa: PLC0415 (slow to import, and only needed here)

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "latency"}):
        figure, axes = plt.subplots(figsize=(7.2, 4.2), layout="constrained")
        full = load["full"]["rate"]
        for live in load["live"]:
            shares = [*(percent / 100 for percent in range(100)), 0.999]
            delays = [*live["curve_ms"][:100], live["p999_ms"]]
            name = tables.load(live["rate"], full)
            axes.plot([1 / (1 - share) for share in shares], delays, label=name)
        axes.set(
            xscale="log", yscale="log", ylabel="from Kafka time to Redis, ms",
            xlabel="share of events that were no slower", title="Latency by load",
        )  # fmt: skip
        axes.set_xticks([1, 2, 10, 100, 1000], ["0 %", "50 %", "90 %", "99 %", "99.9 %"])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend(title="events/s", loc="upper left")
        figure.savefig(picture, metadata={"Date": None})
        plt.close(figure)


if __name__ == "__main__":
    main()
