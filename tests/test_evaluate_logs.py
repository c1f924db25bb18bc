"""Logs that are empty, short, of one kind, or hold a wrong time: the evaluation says why."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result
from making import BEGIN, Event, click, topic_of
from test_evaluate import EARLY, of_kind, shop, write

from stream.cli import main
from stream.units import DAY, HOUR, Millis, rfc3339

FAR = 7_226_582_400_000
"""2199-01-01."""
MOST_BYTES = 1_500
"""Of memory that each further event may take in a log that is measured whole: what is sorted, and
what the batch model learns. Longer ones: see test_evaluate_memory.py."""
LONG_AGO = 400_000_000_000
"""1982-09-04."""


def invoked(path: Path, events: list[Event], *words: str) -> Result:
    """Run the command on a log."""
    return CliRunner().invoke(main, ["evaluate", "--clicks", write(path, events), *words])


def said_of(path: Path, events: list[Event], *words: str) -> dict[str, Any]:
    """What it prints as JSON, but for how long it took."""
    done = invoked(path, events, "--json", *words)
    assert done.exit_code == 0, done.output
    report: dict[str, Any] = orjson.loads(done.stdout)
    del report["seconds"]
    return report


def test_one_event_of_a_wrong_time_changes_nothing_else(tmp_path: Path) -> None:
    """It is a bad row with a notice; neither the ages up to it nor those since are gone through."""
    events = shop()
    alone = said_of(tmp_path / "alone", events, *EARLY)
    stray = [click("stray", time, user_id="u1", product_id="p1") for time in (LONG_AGO, FAR)]
    report = said_of(tmp_path / "stray", [*events, *stray], *EARLY)
    notice = report["notices"].pop(0)
    assert notice.startswith("2 clicks and orders were refused")
    assert report.pop("bad_rows") == alone.pop("bad_rows") + 2
    assert report == alone


def test_the_default_start_does_not_count_what_is_refused(tmp_path: Path) -> None:
    """Many clicks of another age leave 70 % of the shop's own what they were."""
    events = shop()
    stray = [click(f"s{n}", LONG_AGO + n, user_id="u1", product_id="p1") for n in range(1_000)]
    report = said_of(tmp_path / "stray", [*events, *stray])
    assert report["score_from"] == said_of(tmp_path / "alone", events)["score_from"]
    assert report["bad_rows"] == 1_000


def test_what_is_listed_long_before_is_known_and_long_after_is_not(tmp_path: Path) -> None:
    """The catalogue and the calendar neither begin nor end a log."""
    events = shop()
    listings = [
        {"product_id": f"p{n}", "time": time, "category": "mugs"}
        for n, time in enumerate((LONG_AGO, FAR))
    ]
    catalog = write(tmp_path / "catalog", listings)
    sale = {"type": "promotion", "promotion_id": "x", "starts": FAR, "ends": FAR + DAY}
    market = write(tmp_path / "market", [sale])
    alone = said_of(tmp_path / "alone", events)
    more = said_of(tmp_path / "log", events, "--catalog", catalog, "--market", market)
    for name in ("until", "score_from", "bad_rows", "notices"):
        assert more[name] == alone[name]
    assert more["settled"].pop("potential_category") > 0
    assert more["settled"] == alone["settled"]


@pytest.mark.parametrize("other", [[], [{"product_id": "p", "time": BEGIN, "category": "mugs"}]])
def test_a_log_of_nothing_is_refused_with_a_sentence(tmp_path: Path, other: list[Event]) -> None:
    """Also one that only lists products, and one in which nobody has a name."""
    nameless = [{k: v for k, v in e.items() if k != "user_id"} for e in shop()[:20]]
    for events in (other, nameless):
        done = invoked(tmp_path / "log", events)
        assert done.exit_code == 1
        assert done.stderr.startswith("Error: The log holds no click and no order")


@pytest.mark.parametrize("kind", ["clicks", "orders"])
def test_a_log_of_one_event_says_what_it_cannot_say(tmp_path: Path, kind: str) -> None:
    """Nothing is counted but the click itself; the rest is null, and why is said."""
    (event, *_) = (event for event in shop() if topic_of(event) == kind)
    report = said_of(tmp_path / "log", [event])
    assert report["events"] == 1
    assert (report["conversion"] is None) == (kind == "orders")
    assert report["potential"] is report["demand"] is report["return"] is None
    starts = {notice.split()[0] for notice in report["notices"]}
    assert starts == {"demand", "return"} | ({"conversion"} if kind == "orders" else set())
    assert invoked(tmp_path / "log", [event]).exit_code == 0


def test_clicks_alone_will_do(tmp_path: Path) -> None:
    """Of a shop that records no orders: nobody buys, nothing is sold, no number is made up."""
    clicks = [event for event in shop() if topic_of(event) == "clicks"]
    said = said_of(tmp_path / "clicks", clicks, *EARLY)
    conversion, week = said["conversion"], said["demand"]["7d"]
    assert conversion["positives"] == 0
    assert conversion["auc"] is conversion["calibration"] is None
    assert week["mae"] < 0.1
    assert said["return"] is None


def test_where_28_days_are_not_over_a_notice_says_why_return_is_null(tmp_path: Path) -> None:
    """The log is of 24 days."""
    report = said_of(tmp_path / "log", shop())
    assert report["return"] is None
    (why,) = [notice for notice in report["notices"] if notice.startswith("return is null")]
    assert "28d before 2019-10-2" in why
    longer = [{**e, "event_id": f"2{e['event_id']}", "time": e["time"] + 24 * DAY} for e in shop()]
    for event in longer:
        if "order_id" in event:
            event["order_id"] = f"2{event['order_id']}"
    report = said_of(tmp_path / "longer", [*shop(), *longer], *EARLY)
    assert report["return"]["n"] > 0
    assert not report["notices"]


def test_a_horizon_that_is_longer_than_the_log_is_null(tmp_path: Path) -> None:
    """The shorter one beside it is there."""
    events = [event for event in shop() if event["time"] < BEGIN + 5 * DAY]
    dump = tmp_path / "dump"
    start = rfc3339(Millis(BEGIN + 2 * DAY))
    words = ("--horizon", "1d", "--horizon", "7d", "--dump", str(dump), "--score-from", start)
    report = said_of(tmp_path / "log", events, *words)
    assert list(report["demand"]) == ["1d"]
    assert report["potential"]["horizon"] == "1d"
    assert any("potential of 7d are null" in notice for notice in report["notices"])
    rows = [orjson.loads(line) for line in dump.read_bytes().splitlines()]
    assert {row["horizon"] for row in of_kind(rows, "demand")} == {"1d"}


def test_events_at_one_moment_are_a_log(tmp_path: Path) -> None:
    """Time stands still, and nothing is divided by its length."""
    events = [{**event, "time": BEGIN + HOUR} for event in shop()[:300]]
    assert said_of(tmp_path / "log", events)["conversion"]["n"] > 0


def simulated(path: Path, days: int) -> int:
    """Let a shop of few customers and products live for some days; the number of its events."""
    words = ["--products", "50", "--customers", "150", "--rate", "0.006", "--days", str(days)]
    done = CliRunner().invoke(main, ["simulate", *words, "--no-catalog", "--out", str(path)])
    assert done.exit_code == 0, done.output
    return path.read_bytes().count(b"\n")


MEASURED = """
import os, resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""Between us and the command: a process is said to have taken what the one it was made by had."""


def peak_of_evaluating(path: Path) -> int:
    """Run the command as a process of its own: the most memory it took, in bytes."""
    stream = Path(sys.executable).with_name("stream")
    words = [sys.executable, "-c", MEASURED, str(stream), "evaluate", "--clicks", str(path)]
    # Away from anybody's .env.
    done = subprocess.run(words, cwd=path.parent, capture_output=True, text=True, check=True)
    return int(done.stdout) * (1 if sys.platform == "darwin" else 1024)


def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    """The same shop for four times as long: what is kept of an event is little."""
    short, long = tmp_path / "short.ndjson", tmp_path / "long.ndjson"
    more = -simulated(short, 10) + simulated(long, 40)
    grown = peak_of_evaluating(long) - peak_of_evaluating(short)
    assert grown < MOST_BYTES * more
