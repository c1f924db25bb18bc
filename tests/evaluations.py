"""All logs of a folder through `stream evaluate`, and the table of docs/evaluation.md.

python tests/evaluations.py ../shared/data
"""

import csv
import gzip
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, NamedTuple

FIRST_DAY = "2017-01-01T00:00:00Z"
"""Of Complete Journey, whose catalogue has no times."""


class Run(NamedTuple):
    """One log and how it is evaluated.

    Attributes:
        categories: A CSV of products and the column that names their categories. Only these are
            reported then: what the catalogue says moves products' figures, too.
    """

    name: str
    file: str
    words: list[str]
    categories: tuple[str, str] | None = None


RUNS = [
    Run(
        "REES46, 2 h 50",
        "rees46_2019-10-01_first_2h50.csv.gz",
        ["--format", "rees46", "--clicks"],
    ),
    Run(
        "RetailRocket, 24 h",
        "retailrocket_5k_visitors.csv.gz",
        ["--format", "retailrocket", "--clicks"],
    ),
    Run(
        "Online Retail 2009-10",
        "online_retail_2009_10.csv.gz",
        [
            *("--format", "online-retail", "--best-sellers", "500"),
            *("--score-from", "2010-10-12T00:00:00Z", "--return-from", "2010-06-29T00:00:00Z"),
            "--orders",
        ],
    ),
    Run(
        "Complete Journey",
        "completejourney_top500_orders.csv.gz",
        [
            *("--format", "complete-journey", "--best-sellers", "500"),
            *("--score-from", "2017-11-05T00:00:00Z", "--orders"),
        ],
    ),
    Run(
        "Complete Journey, its categories",
        "completejourney_top500_orders.csv.gz",
        ["--format", "complete-journey", "--score-from", "2017-11-05T00:00:00Z", "--orders"],
        ("completejourney_top500_products.csv.gz", "product_category"),
    ),
]
"""Counted are the last eight weeks that an order log fills, and the last 40 % of the returns."""


def main(folder: Path) -> int:
    """Run what is there; print a row for each task."""
    began = time.monotonic()
    rows: list[str] = []
    for run in RUNS:
        file = folder / run.file
        if not file.exists():
            print(f"{file} is not here: left out", file=sys.stderr)  # noqa: T201
            continue
        print(run.name, file=sys.stderr)  # noqa: T201
        words = ["stream", "evaluate", *run.words, str(file), "--json"]
        with NamedTemporaryFile("w", suffix=".ndjson") as catalog:
            if run.categories is not None:
                catalog.writelines(listings(folder / run.categories[0], run.categories[1]))
                catalog.flush()
                words += ["--catalog", catalog.name]
            done = subprocess.run(words, stdout=subprocess.PIPE, check=True)
        said = json.loads(done.stdout)
        rows.extend(tasks(run.name, said) if run.categories is None else of_categories(run, said))
    print("| log | task | n | served | beside it |\n|---|---|---|---|---|")  # noqa: T201
    print("\n".join(rows))  # noqa: T201
    print(f"\n{time.monotonic() - began:.0f} s in all", file=sys.stderr)  # noqa: T201
    return 0


def listings(file: Path, column: str) -> Iterator[str]:
    """What a catalogue says, as lines of NDJSON: each product's category, from the first day on."""
    with gzip.open(file, "rt", encoding="utf-8", newline="") as lines:
        for line in csv.DictReader(lines):
            said = {"product_id": line["product_id"], "time": FIRST_DAY, "category": line[column]}
            yield json.dumps(said) + "\n"


def of_categories(run: Run, said: dict[str, Any]) -> Iterator[str]:
    """Rows of the table."""
    yield of_potential(run.name, said["potential"]["categories"])
    for horizon, demand in said["demand_categories"].items():
        yield of_demand(run.name, horizon, demand)


def tasks(log: str, said: dict[str, Any]) -> Iterator[str]:
    """Rows of the table."""
    conversion, potential = said["conversion"], said["potential"]
    if conversion:
        to_end = conversion["calibration_to_end"]
        more = f" ({figure(to_end)} allowing for the log's end)" if to_end else ""
        yield row(
            log,
            "conversion",
            conversion,
            f"{classifier(conversion)}, Σp/Σy {figure(conversion['calibration'])}{more}",
            f"batch: {classifier(conversion['batch'])}; "
            f"base rate: log-loss {figure(conversion['constant_log_loss'])}",
        )
    if potential and potential["positives"]:
        yield of_potential(log, potential)
    for horizon, demand in (said["demand"] or {}).items():
        if demand["units"] > demand["products"]:
            yield of_demand(log, horizon, demand)
    if said["return"]:
        back = said["return"]
        yield row(log, "return, 28d", back, classifier(back), f"batch: {classifier(back['batch'])}")


def of_potential(log: str, said: dict[str, Any]) -> str:
    """One row."""
    return row(
        log,
        f"potential, {said['horizon']}",
        said,
        f"{classifier(said)}, F1 {figure(said['f1'])}",
        "; ".join(
            f"{name}: {classifier(other)}, F1 {figure(other and other['f1'])}"
            for name in ("batch", "batch_lags", "momentum")
            for other in [said[name]]
        ),
    )


def of_demand(log: str, horizon: str, said: dict[str, Any]) -> str:
    """One row."""
    return row(
        log,
        f"demand, {horizon}",
        said,
        f"RMSSE {figure(said['rmsse'])}, MAE {said['mae']:.2f}, bias "
        f"{said['bias']:+.1%}, {said['coverage']:.0%} in the band",
        "; ".join(
            f"{name}: {figure(other['rmsse'])}, {other['mae']:.2f}"
            for name, other in said["baselines"].items()
        ),
    )


def row(log: str, task: str, said: dict[str, Any], served: str, beside: str) -> str:
    """One row."""
    return f"| {log} | {task} | {said['n']:,} | {served} | {beside} |"


def classifier(said: dict[str, Any] | None) -> str:
    """AUC and log-loss."""
    if said is None:
        return "none"
    low, high = said.get("auc_ci") or (None, None)
    interval = f" ({figure(low)}-{figure(high)})" if low is not None else ""
    return f"AUC {figure(said['auc'])}{interval}, log-loss {figure(said['log_loss'])}"


def figure(value: float | None) -> str:
    """Three digits."""
    return "-" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
