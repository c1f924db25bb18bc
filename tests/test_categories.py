"""Categories: forecast, settled and learned from by the learner, which adds up all partitions."""

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learning import Bench
from making import BEGIN, cut

from stream import keys
from stream.learner import categories
from stream.learner.shard import LearnerPlan
from stream.products.row import ORDERS, UNITS, VIEWS, WIDTH
from stream.products.serving import MINIMUM, UPLIFT
from stream.shards import Put
from stream.units import DAY, HOUR, Millis

PLAN = LearnerPlan(DAY, 1_000)
DAYS = 24
NAMES = ("mugs", "cups", "jars")
Told = tuple[int, list[Any]]
"""When it happened, and what the learner is told of it."""
seeds = st.integers(0, 10**6)


def sums(category: str, time: int, units: float, views: int = 1) -> list[Any]:
    """What a products shard tells of a category."""
    counts = [0.0] * (WIDTH + 3)
    counts[VIEWS], counts[ORDERS], counts[UNITS] = float(views), float(units > 0), units
    return ["category", category, time, counts]


def history(seed: int, days: int = DAYS) -> list[Told]:
    """A few categories for some weeks, in the order of time."""
    chance = Random(seed)
    told = []
    for _ in range(days * 8):
        time = BEGIN + chance.randrange(days * DAY)
        told.append((time, sums(chance.choice(NAMES), time, float(chance.randrange(4)))))
    return sorted(told, key=lambda one: one[0])


def hear(bench: Bench, told: Sequence[Told]) -> None:
    """One message; its mark is the time of the latest event."""
    bench.hear([what for _, what in told], mark=told[-1][0])


def all_heard(told: Sequence[Told], plan: LearnerPlan = PLAN) -> Bench:
    """A learner that has heard of it, one event at a time, and that one more day has passed."""
    bench = Bench(plan)
    for one in told:
        hear(bench, [one])
    bench.hear([], mark=BEGIN + (DAYS + 1) * DAY)
    return bench


def judged(bench: Bench, horizon: str = "1d") -> dict[str, Any]:
    """How right the potential of categories has been."""
    report: dict[str, Any] = bench.shard.models.reports()["potential_category"][horizon]
    return report


@settings(max_examples=8, deadline=None)
@given(seeds, st.lists(st.integers(1, 60), max_size=6))
def test_a_restart_anywhere_changes_nothing(seed: int, cuts: list[int]) -> None:
    """What waits is stored, so that learning goes on bit for bit."""
    told = history(seed)
    steady, broken = Bench(PLAN), Bench(PLAN)
    for bench in (steady, broken):
        for run in cut(told, cuts):
            for one in run:
                hear(bench, [one])
            bench.changes()
            if bench is broken:
                bench.restart()
    assert judged(steady)["n"] > 0
    assert broken.learned() == steady.learned()
    assert broken.waiting == steady.waiting


@settings(max_examples=8, deadline=None)
@given(seeds, st.integers(1, 3))
def test_what_is_taken_at_once_and_how_often_changes_nothing(seed: int, times: int) -> None:
    """Messages are folded one by one or many together, once or more: the same is learned."""
    told = history(seed)
    single, many = Bench(PLAN), Bench(PLAN)
    for one in told:
        single.hear([one[1]], mark=one[0])
        many.offer([one[1]], mark=one[0], times=times)
    many.fold(limit=50)
    for bench in (single, many):
        bench.changes()
    assert judged(single)["n"] > 0
    assert many.learned() == single.learned()
    assert many.waiting == single.waiting


def test_labels_are_what_a_look_at_everything_says() -> None:
    """Each day of each category that has a whole day before it."""
    told = history(3)
    units: Counter[tuple[str, int]] = Counter()
    since: dict[str, int] = {}
    for time, (_, category, _, counts) in told:
        day = (time - BEGIN) // DAY
        units[category, day] += int(counts[UNITS])
        since.setdefault(category, day)
    labels = [
        units[category, day] >= max(UPLIFT * units[category, day - 1], MINIMUM)
        for category, first in since.items()
        for day in range(max(first + 1, 2), DAYS + 1)
    ]
    report = judged(all_heard(told))
    assert told[0][0] - BEGIN < DAY
    assert (report["n"], report["positives"]) == (len(labels), sum(labels))
    assert 0 < sum(labels) < len(labels)


def test_a_forecast_knows_nothing_of_what_comes_after_its_boundary() -> None:
    """Though events of the next day reach the learner before its time has come to that day."""
    told = history(5, days=10)
    ahead = BEGIN + 10 * DAY + HOUR
    quiet, busy = Bench(PLAN), Bench(PLAN)
    for bench, units in ((quiet, 1.0), (busy, 90.0)):
        for one in told:
            hear(bench, [one])
        more = [sums(name, ahead, units, views=int(units)) for name in NAMES]
        bench.hear(more, mark=told[-1][0])
        bench.hear([], mark=ahead)
        bench.changes()
    boundary = (BEGIN + 10 * DAY) // DAY

    def forecasts(bench: Bench) -> list[Any]:
        found = [orjson.loads(v) for k, v in bench.waiting.items() if k.startswith("f")]
        return sorted(one[1:] for one in found if one[2] == boundary)

    assert len(forecasts(quiet)) >= len(NAMES)
    assert forecasts(busy) == forecasts(quiet)


def test_what_another_partition_tells_later_belongs_to_the_last_window() -> None:
    """When a forecast was made it was not known: 4 units were sold on each day, so none rose."""
    bench = Bench(PLAN)
    for day in range(6):
        noon = BEGIN + day * DAY + 12 * HOUR
        bench.hear([sums("mugs", noon, 1.0)], mark=noon, sender="products.0")
        if day:
            bench.hear([sums("mugs", noon - DAY, 3.0)], mark=noon, sender="products.1")
    report = judged(bench)
    assert (report["n"], report["positives"]) == (3, 0)


def test_a_clock_that_is_far_ahead_stops_no_forecast() -> None:
    """One event of next year among those of today."""
    told = history(3)
    wrong = (told[40][0], sums("mugs", BEGIN + 400 * DAY, 0.0))
    assert judged(all_heard([*told[:40], wrong, *told[40:]]))["n"] == judged(all_heard(told))["n"]


def test_forecasts_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many categories there are."""
    monkeypatch.setattr(categories, "MOST_WAITING", 20)
    bench = Bench(PLAN)
    for day in range(4):
        time = BEGIN + day * DAY + HOUR
        bench.hear([sums(f"c{n}", time, 1.0) for n in range(60)], mark=time)
    bench.changes()
    assert 0 < sum(id_.startswith("f") for id_ in bench.waiting) <= 25


def test_quality_is_published_beside_that_of_products() -> None:
    """By horizon, with who is served."""
    bench = all_heard(history(3))
    published = {p.key: p.value for p in bench.changes().published if isinstance(p, Put)}
    report = orjson.loads(published[keys.metrics("potential_category")])
    assert report["1d"] == judged(bench)
    assert report["7d"]["n"] > 0
    assert report["7d"]["serving"] == "baseline"
    score = orjson.loads(published[keys.category("mugs")])
    assert score["model"].startswith("momentum@")


def test_a_model_that_proves_right_is_served() -> None:
    """Demand that rises every third day, whichever day it is."""
    told: list[Told] = []
    for day in range(120):
        for n, name in enumerate(f"c{n}" for n in range(6)):
            time = BEGIN + day * DAY + n * HOUR
            told.append((time, sums(name, time, 12.0 if (day + n) % 3 == 0 else 4.0)))
    bench = Bench(PLAN)
    for one in told:
        hear(bench, [one])
    report = judged(bench)
    assert report["serving"] == "model"
    assert report["log_loss"] < report["baseline_log_loss"]
    time = Millis(BEGIN + 120 * DAY)
    said = [f for f in bench.shard.category_forecasts(time) if f.horizon == DAY]
    assert all(f.chance != f.rule_chance for f in said)
    assert {f.category for f in said} == {f"c{n}" for n in range(6)}
