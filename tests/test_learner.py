"""The learner: labels in, models out, the same whatever is cut, stored or sent twice."""

from math import isfinite, log
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learning import PLAN, Bench
from making import BEGIN, click, cut, purchase, settled

from stream import keys
from stream.errors import BadSnapshot
from stream.learner.models import Models, PotentialModel
from stream.learner.shard import LearnerShard
from stream.models import snapshots
from stream.models.stacking import CANDIDATES, Outlook
from stream.products.features import CLICK_NAMES, NAMES
from stream.products.forecasting import Noted
from stream.products.row import KINDS, WIDTH, ProductRow
from stream.products.serving import (
    DEMAND_HORIZONS,
    MINIMUM,
    POTENTIAL_HORIZONS,
    UPLIFT,
    Serving,
)
from stream.shards import Batch, Memory, Put
from stream.units import DAY, HOUR, MINUTE, Millis

seeds = st.integers(0, 10**6)


def vector(random: Random, length: int) -> list[float | None]:
    """Features, some of them missing."""
    return [None if random.random() < 0.1 else round(random.gauss(0, 2), 4) for _ in range(length)]


def noted(
    time: int,
    *,
    last: float = 0.0,
    chances: list[float],
    units: list[float],
    x: list[float] | None = None,
    candidates: list[float] | None = None,
    change: float = 0.0,
) -> list[Any]:
    """A forecast as it comes back when its horizon has passed."""
    simple = candidates or [units[4]] * len(CANDIDATES)
    outlook = Outlook(tuple(simple), units[2], units[0], 3.0)
    features = x or [0.0] * len(NAMES)
    made = Noted(time, last, chances, units, features, outlook, change, 2.0, 1.0)
    told: list[Any] = orjson.loads(made.encode())
    return told


def examples(seed: int, number: int) -> list[list[Any]]:
    """Clicks, forecasts and category sums as products shards tell them."""
    random = Random(seed)
    told: list[list[Any]] = []
    for n in range(number):
        match random.choice(["click", "click", "window", "category"]):
            case "click":
                positive = random.random() < 0.3
                late = positive and random.random() < 0.3
                chances = [round(random.random(), 6), 0.02]
                tail = [
                    BEGIN + n,
                    random.choice([1.0, 0.125]),
                    *chances,
                    "mugs",
                    vector(random, len(CLICK_NAMES)),
                ]
                told.append(["click", positive, late, 7 * MINUTE, tail])
            case "window":
                horizon = random.choice(DEMAND_HORIZONS)
                tail = noted(
                    BEGIN + n * HOUR,
                    last=float(random.randrange(5)),
                    chances=[random.random(), 0.05] if horizon in POTENTIAL_HORIZONS else [],
                    units=[random.random() * 9 for _ in range(5)],
                    x=[random.gauss(0, 2) for _ in NAMES],
                    candidates=[random.random() * 9 for _ in CANDIDATES],
                    change=random.choice([0.0, 0.5]),
                )
                told.append(["window", "p", horizon, float(random.randrange(9)), tail])
                told.append(["lines", BEGIN + n * HOUR, float(random.randrange(-1, 9))])
            case _:
                sums = [float(random.randrange(5)) for _ in range(WIDTH)]
                told.append(
                    [
                        "category",
                        random.choice(["mugs", "cups"]),
                        BEGIN + n * MINUTE,
                        [*sums, 1.0, 2.0, 5.1],
                    ]
                )
    return told  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(seeds, st.lists(st.integers(1, 30), max_size=8), st.integers(1, 3))
def test_cuts_and_repetitions_change_nothing(seed: int, cuts: list[int], times: int) -> None:
    """Two learners that hear the same, cut otherwise and more than once, are equal bit for bit."""
    told = examples(seed, 80)
    whole, parts = Bench(), Bench()
    whole.hear(told)
    for run in cut(told, cuts):
        parts.hear(run, times=times)
        parts.changes()
    whole.changes()
    parts.hear([])
    parts.changes()
    assert parts.learned() == whole.learned()
    assert parts.rows == whole.rows
    assert parts.shard.counts == whole.shard.counts


@settings(max_examples=25, deadline=None)
@given(seeds, st.integers(0, 80))
def test_a_restart_changes_nothing(seed: int, at: int) -> None:
    """A learner that goes on from its checkpoint learns as if it had never stopped."""
    told = examples(seed, 80)
    steady, after = Bench(), Bench()
    after.hear(told[:at])
    after.changes()
    after.restart()
    after.hear(told[at:])
    steady.hear(told)
    for bench in (steady, after):
        bench.changes()
    assert after.learned() == steady.learned()
    for category, raw in steady.rows.items():
        one, other = (ProductRow.decode("", r) for r in (raw, after.rows[category]))
        assert one.totals == other.totals
        assert one.buckets == other.buckets
        assert one.faded_at(one.at) == pytest.approx(other.faded_at(one.at), rel=1e-6)


def test_a_prediction_is_judged_as_it_was_made() -> None:
    """Not by the model as it is now, which has seen the label."""
    bench = Bench()
    x = [0.0] * len(CLICK_NAMES)
    for _ in range(50):
        bench.hear([["click", True, False, 0, [BEGIN, 1.0, 0.2, 0.1, None, x]]])
    report = bench.shard.models.conversion.report()
    assert report["log_loss"] == pytest.approx(-log(0.2))
    assert report["baseline_log_loss"] == pytest.approx(-log(0.1))
    assert report["calibration"] == pytest.approx(0.2)
    assert bench.shard.models.conversion.classifier.predict(x) > 0.02


def test_a_forecast_is_judged_as_it_was_made() -> None:
    """In units, beside what the rule of thumb had said."""
    bench = Bench()
    tail = noted(BEGIN, chances=[0.25, 0.5], units=[6.0, 1.0, 3.0, 9.0, 4.0])
    for _ in range(20):
        bench.hear([["window", "p", DAY, 5.0, tail]])
    report = bench.shard.models.reports()
    demand = report["demand"]["1d"]
    assert (demand["mae"], demand["baseline_mae"], demand["bias"]) == pytest.approx((2, 1, 1))
    assert demand["rmse"] == pytest.approx(1)
    assert demand["coverage"] == pytest.approx(1)
    assert report["potential"]["1d"]["log_loss"] == pytest.approx(-log(0.25))
    assert report["demand"]["7d"]["n"] == report["potential"]["7d"]["n"] == 0


@pytest.mark.parametrize(
    ("last", "sold", "rose"),
    [
        (0, MINIMUM, True),
        (0, MINIMUM - 1, False),
        (10, UPLIFT * 10, True),
        (10, UPLIFT * 10 - 1, False),
        (10, 10, False),
        (-4, MINIMUM, True),
    ],
)
def test_what_it_means_to_rise(last: float, sold: float, rose: bool) -> None:  # noqa: FBT001
    """So many times what the last horizon sold, and so many units at least."""
    model = PotentialModel()
    tail = noted(BEGIN, last=last, chances=[0.5, 0.5], units=[1.0] * 5)
    model.learn(Noted.decoded(tail), sold)
    assert model.report()["positives"] == rose


def test_the_delay_curve_is_that_of_orders() -> None:
    """Late ones count as those in time do, each by its weight; negatives say nothing about it."""
    bench = Bench()
    x = [0.0] * len(CLICK_NAMES)
    for y, late, delay, weight in [
        (True, False, MINUTE, 1.0),
        (False, False, 0, 1.0),
        (False, False, 0, 0.5),
        (True, True, 2 * HOUR, 1.0),
        (True, True, 2 * DAY, 0.5),
    ]:
        bench.hear([["click", y, late, delay, [BEGIN, weight, 0.1, 0.1, None, x]]])
    report = bench.shard.models.conversion.report()
    assert (report["n"], report["positives"]) == (3, 3)
    assert {span: round(share, 3) for span, share in report["delays"].items()} == {
        "1m": 0.4, "3m": 0.4, "10m": 0.4, "1h": 0.4, "6h": 0.8, "1d": 0.8, "7d": 1.0,
    }  # fmt: skip


def test_categories_add_up_what_products_have_counted() -> None:
    """Whatever partitions a category's products lie on."""
    events = [click(f"c{n}", BEGIN + n * MINUTE, user_id=f"u{n}", product_id=f"p{n % 5}",
                    category="mugs", price=8.0) for n in range(40)]  # fmt: skip
    order = purchase("o", BEGIN + HOUR, ("p1", 3), ("p2", 1))
    for item in order["items"]:
        item["category"] = "mugs"
    world = settled([*events, order], 3)
    bench = Bench()
    bench.shard = LearnerShard(0, PLAN, Memory(birth="birth"))
    log = world.kafka["examples", 0]
    bench.shard.offer(Batch("examples", 0, log, len(log)), None)
    bench.hear([])
    changes = bench.changes()
    (raw,) = [
        p.value
        for p in changes.published
        if p == Put(keys.category("mugs"), getattr(p, "value", b""))
    ]
    evidence = orjson.loads(raw)["evidence"]
    totals = world.evidence().values()
    assert evidence == {kind: sum(total[kind] for total in totals) for kind in KINDS}
    assert evidence == {"views": 40, "carts": 0, "wishes": 0, "orders": 2, "units": 4}
    assert bench.shard.serving().category_prices["mugs"] == pytest.approx(log_of(8.0), abs=1e-3)


def log_of(price: float) -> float:
    """Prices are told as sums of logarithms."""
    return log(price)


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_what_is_published_is_what_is_served(seed: int) -> None:
    """A products shard that loads the snapshot answers as the learner would."""
    bench = Bench()
    bench.hear(examples(seed, 80))
    changes = bench.changes()
    (raw,) = [p.value for p in changes.published if isinstance(p, Put) and p.key == keys.SERVING]
    mine, theirs = bench.shard.serving(), Serving.restored(*snapshots.decode(raw, "serving"))
    assert theirs == mine
    x, y = vector(Random(seed), len(CLICK_NAMES)), vector(Random(seed), len(NAMES))
    assert theirs.conversion.both(x) == mine.conversion.both(x)
    for horizon in POTENTIAL_HORIZONS:
        assert theirs.potential[horizon].both(y) == mine.potential[horizon].both(y)
    outlook = Outlook((1.0, 2.0, 3.0, 1.0, 0.0, 0.0, 0.0, 0.0), 2.0, 2.5, 3.0)
    for horizon in DEMAND_HORIZONS:
        assert theirs.demand[horizon].stacked(outlook) == mine.demand[horizon].stacked(outlook)
        assert theirs.demand[horizon].ruled(outlook) == mine.demand[horizon].ruled(outlook)


def test_versions_rise_with_every_snapshot() -> None:
    """Also over a restart; where nothing was learned there is no new one."""
    bench = Bench()
    bench.hear(examples(1, 5))
    assert b"1" in [p.value for p in bench.changes().published if isinstance(p, Put)]
    bench.hear([])
    assert bench.changes().published == []
    bench.restart()
    assert bench.shard.serving().version == 1
    bench.hear(examples(2, 5))
    bench.changes()
    assert bench.shard.serving().version == 2


@pytest.mark.parametrize("name", [name for name, _ in Models().named()])
def test_a_damaged_snapshot_is_refused(name: str) -> None:
    """The learner does not start from what it cannot trust, and says so."""
    bench = Bench()
    bench.hear(examples(1, 30))
    bench.changes()
    good = bench.notes[name]
    other = next(n for n, _ in Models().named() if n != name)
    for bad in (good[:-1], b"", b"{}", good.replace(b"1", b"2", 1), bench.notes[other]):
        with pytest.raises(BadSnapshot):
            LearnerShard(0, PLAN, Memory({**bench.notes, name: bad}))
    LearnerShard(0, PLAN, Memory(bench.notes))


@pytest.mark.parametrize("seen", [0.0, 20_000.0])
def test_where_all_labels_were_of_one_kind_the_rules_are_finite(seen: float) -> None:
    """After long enough the share that is remembered is exactly 0, or exactly 1."""
    models = Models()
    potential = next(iter(models.products.potential.values()))
    potential.restore({**potential.state(), "labels": 20_000.0, "risen": seen})
    judged = models.conversion, models.returning
    for model in judged:
        state = model.state()
        state["classifier"]["baseline"] = [20_000.0, seen]
        model.restore(state)
    judges = [model.judge() for model in (*judged, potential)]
    assert all(isfinite(judge.rule.intercept) for judge in judges)


def test_time_passes_and_nothing_comes_of_it() -> None:
    """A quiet learner writes no checkpoint."""
    bench = Bench()
    bench.shard.tick(Millis(BEGIN))
    assert bench.shard.due(10) is None
    assert bench.shard.changes() is None
