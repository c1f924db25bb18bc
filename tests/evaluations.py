"""All logs of a folder through `stream evaluate`, and the figures of docs/evaluation.md.

python tests/evaluations.py ../shared/data
python tests/evaluations.py ../shared/data --all
"""

import csv
import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

FIRST_DAY = "2017-01-01T00:00:00Z"
"""Of Complete Journey, whose catalogue has no times."""
FIRST_MONDAY = "2017-01-02"
PROMOTED_FROM = datetime(2016, 12, 26, 5, tzinfo=UTC)
"""Begin of week 1 of Complete Journey. Its weeks begin on Mondays at midnight in New York, as the
orders' own `week` shows; the orders begin on the last day of the first."""
STORES = 115
Row = dict[str, str]
"""Of a CSV file."""


def each_kind(row: Row) -> dict[str, float | None]:
    """Display and mailer, each as strong as the share of the stores that have it."""
    stores = {"display": row["stores_on_display"], "mailer": row["stores_in_mailer"]}
    return {kind: min(1.0, int(n) / STORES) for kind, n in stores.items() if int(n)}


def larger(row: Row) -> dict[str, float | None]:
    """One promotion, as strong as the larger share of the two."""
    shares = [share or 0.0 for share in each_kind(row).values()]
    return {"either": max(shares)} if shares else {}


def without_discount(row: Row) -> dict[str, float | None]:
    """One promotion, of which nothing is said but that it is there."""
    return {"either": None} if each_kind(row) else {}


class Calendar(NamedTuple):
    """How the promotions of Complete Journey are told.

    Attributes:
        kinds: Discount of each promotion of a product and week, by its kind.
        ahead: They are announced so long before they start.
    """

    kinds: Callable[[Row], dict[str, float | None]] = each_kind
    ahead: timedelta = timedelta(days=3)


class Run(NamedTuple):
    """One log and how it is evaluated.

    Attributes:
        calendar: Of the promotions of Complete Journey, where they are to be known.
        categories: File of its products. Only these are reported then: what the catalogue says
            moves products' figures, too.
        since: Day with which the log is to begin, YYYY-MM-DD.
        settings: In the environment.
        extra: Left out but with --all.
    """

    name: str
    file: str
    words: list[str]
    calendar: Calendar | None = None
    categories: str | None = None
    since: str | None = None
    settings: Mapping[str, str] = {}
    extra: bool = False


REES46 = "rees46_2019-10-01_first_2h50.csv.gz"
REES46_WORDS = ["--format", "rees46", "--clicks"]
JOURNEY = "completejourney_top500_orders.csv.gz"
PROMOTIONS = "completejourney_top500_promos.csv.gz"


def journey(score_from: str) -> list[str]:
    """Options for Complete Journey."""
    return [
        *("--format", "complete-journey", "--best-sellers", "500"),
        *("--score-from", f"{score_from}T00:00:00Z", "--orders"),
    ]


def told(name: str, calendar: Calendar) -> Run:
    """Complete Journey with its promotions told in another way."""
    words = journey("2017-11-05")
    return Run(f"Complete Journey, promotions {name}", JOURNEY, words, calendar, extra=True)


RUNS = [
    Run("REES46, 2 h 50", REES46, REES46_WORDS),
    Run(
        "REES46, labels told after an hour",
        REES46,
        REES46_WORDS,
        settings={"STREAM_WAIT": "3600000"},
    ),
    Run("REES46, orders within 10 minutes", REES46, ["--window", "10m", *REES46_WORDS]),
    Run(
        "REES46, orders within 10 minutes, no click cut short",
        REES46,
        ["--window", "10m", "--strict", "--score-from", "2019-10-01T02:30:00Z", *REES46_WORDS],
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
    Run("Complete Journey", JOURNEY, journey("2017-11-05")),
    Run("Complete Journey with its calendar", JOURNEY, journey("2017-11-05"), Calendar()),
    Run(
        "Complete Journey, its categories",
        JOURNEY,
        ["--format", "complete-journey", "--score-from", "2017-11-05T00:00:00Z", "--orders"],
        categories="completejourney_top500_products.csv.gz",
    ),
    told("without discount", Calendar(without_discount)),
    told("as the larger share", Calendar(larger)),
    told("announced when they start", Calendar(ahead=timedelta())),
    Run(
        "Complete Journey, weeks from Monday",
        JOURNEY,
        journey("2017-11-06"),
        since=FIRST_MONDAY,
        extra=True,
    ),
    Run(
        "Complete Journey with its calendar, weeks from Monday",
        JOURNEY,
        journey("2017-11-06"),
        Calendar(),
        since=FIRST_MONDAY,
        extra=True,
    ),
]
"""Counted are the last eight weeks that an order log fills, and the last 40 % of the returns."""


def main(folder: Path, *, every: bool) -> int:
    """Run what is there; print a row for each task."""
    began = time.monotonic()
    rows: list[str] = []
    for run in RUNS:
        if run.extra and not every:
            continue
        names = (run.file, PROMOTIONS if run.calendar else None, run.categories)
        needed = [folder / name for name in names if name]
        if missing := [file for file in needed if not file.exists()]:
            print(f"{missing[0]} is not here: left out", file=sys.stderr)  # noqa: T201
            continue
        print(run.name, file=sys.stderr)  # noqa: T201
        said = evaluated(run, folder)
        rows.extend(of_categories(run, said) if run.categories else tasks(run.name, said))
    print("| log | task | n | served | beside it |\n|---|---|---|---|---|")  # noqa: T201
    print("\n".join(rows))  # noqa: T201
    print(f"\n{time.monotonic() - began:.0f} s in all", file=sys.stderr)  # noqa: T201
    return 0


def evaluated(run: Run, folder: Path) -> dict[str, Any]:
    """What `stream evaluate` reports."""
    words = ["stream", "evaluate", *run.words]
    with TemporaryDirectory() as temporary:
        log = folder / run.file
        if run.since is not None:
            log = Path(temporary) / "log.csv"
            log.write_text("".join(shortened(folder / run.file, run.since)))
        words += [str(log), "--json"]
        if run.calendar is not None:
            promotions = announced(folder / PROMOTIONS, run.calendar)
            words += ["--market", written(Path(temporary) / "market", promotions)]
        if run.categories is not None:
            listings = listed(folder / run.categories)
            words += ["--catalog", written(Path(temporary) / "catalog", listings)]
        environment = {**os.environ, **run.settings}
        done = subprocess.run(words, stdout=subprocess.PIPE, check=True, env=environment)
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def written(file: Path, events: Iterator[dict[str, Any]]) -> str:
    """They as a file of their own."""
    with file.open("w") as lines:
        lines.writelines(json.dumps(event) + "\n" for event in events)
    return str(file)


def shortened(log: Path, since: str) -> Iterator[str]:
    """The lines of a log, which begin with their time, from a day on; and its head."""
    with gzip.open(log, "rt", encoding="utf-8") as file:
        yield from chain([next(file)], (line for line in file if line >= since))


def listed(products: Path) -> Iterator[dict[str, Any]]:
    """The catalogue of Complete Journey: each product's category, from the first day on."""
    with gzip.open(products, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            category = row["product_category"]
            yield {"product_id": row["product_id"], "time": FIRST_DAY, "category": category}


def announced(promotions: Path, calendar: Calendar) -> Iterator[dict[str, Any]]:
    """Promotions of Complete Journey, for each product and week."""
    with gzip.open(promotions, "rt", newline="") as file:
        for row in csv.DictReader(file):
            starts = PROMOTED_FROM + timedelta(weeks=int(row["week"]) - 1)
            for kind, discount in calendar.kinds(row).items():
                yield {
                    "type": "promotion",
                    "promotion_id": f"{kind}-{row['product_id']}-{row['week']}",
                    "product_id": row["product_id"],
                    "starts": starts.isoformat(),
                    "ends": (starts + timedelta(weeks=1)).isoformat(),
                    "time": (starts - calendar.ahead).isoformat(),
                    **({} if discount is None else {"discount": discount}),
                }


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
            for name, other in (said["baselines"] | limits(said)).items()
        ),
    )


def limits(said: dict[str, Any]) -> dict[str, Any]:
    """Means of the scored windows themselves."""
    return {name: said[name] for name in ("hindsight", "neighbours") if said[name]}


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
    sys.exit(main(Path(sys.argv[1]), every="--all" in sys.argv))
