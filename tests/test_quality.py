"""Quality: the measures are right, exact where they say so, and nothing makes them NaN."""

from collections import deque
from collections.abc import Sequence
from itertools import product
from math import inf, log, nan
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.errors import BadSnapshot
from stream.models import quality
from stream.models.judging import auc, auc_interval, best_threshold, confusion
from stream.models.quality import ClassifierQuality, RegressionQuality

Judged = tuple[float, bool, float]

probabilities = st.one_of(st.floats(0.0, 1.0), st.sampled_from([0.0, 0.25, 0.5, 1.0]))
weights = st.sampled_from([1.0, 10.0, 0.5])
samples = st.lists(st.tuples(probabilities, st.booleans(), weights), max_size=40)


def by_counting(judged: Sequence[Judged]) -> float | None:
    """AUC by its definition: every positive against every negative."""
    ups = [(p, weight) for p, y, weight in judged if y]
    downs = [(p, weight) for p, y, weight in judged if not y]
    pairs = [
        (wu * wd, 1.0 if up > down else 0.5 if up == down else 0.0)
        for (up, wu), (down, wd) in product(ups, downs)
    ]
    total = sum(weight for weight, _ in pairs)
    return sum(weight * won for weight, won in pairs) / total if pairs else None


def told(judged: Sequence[Judged], baseline: float = 0.5) -> ClassifierQuality:
    """Judge a sample."""
    found = ClassifierQuality()
    for p, y, weight in judged:
        found.add(p, baseline, y, weight)
    return found


def numbers(report: dict[str, Any]) -> list[float]:
    """List every number of a report."""
    return [
        number
        for part in report.values()
        for number in (part.values() if isinstance(part, dict) else [part])
        if isinstance(number, float | int)
    ]


@given(samples)
def test_auc_is_the_share_of_pairs_in_order(judged: list[Judged]) -> None:
    """Ranks give what counting all pairs gives, ties and weights included."""
    counted = by_counting(judged)
    found = told(judged).report()["auc"]
    assert found == (None if counted is None else pytest.approx(counted, abs=1e-12))


@given(samples)
def test_the_best_threshold_is_the_best_of_all(judged: list[Judged]) -> None:
    """No other threshold has a higher F1."""
    threshold = best_threshold(sorted(judged))
    every = [confusion(judged, p)["f1"] or 0.0 for p, _, _ in judged]
    if threshold is None:
        assert not any(y for _, y, _ in judged)
    else:
        assert confusion(judged, threshold)["f1"] == pytest.approx(max(every))


def test_counts_at_one_half() -> None:
    """Two hits, one false alarm, one miss, two rightly left alone."""
    judged = [
        (0.9, True, 1.0),
        (0.5, True, 1.0),
        (0.7, False, 1.0),
        (0.4, True, 1.0),
        (0.1, False, 1.0),
        (0.2, False, 1.0),
    ]
    report = told(judged, baseline=0.5).report()
    assert report["accuracy"] == pytest.approx(4 / 6)
    assert (report["precision"], report["recall"]) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert report["f1"] == pytest.approx(2 / 3)
    assert report["best"]["threshold"] == 0.4
    assert report["best"]["f1"] == pytest.approx(6 / 7)
    assert (report["n"], report["positives"]) == (6, 3)
    assert report["base_rate"] == pytest.approx(0.5, abs=1e-3)
    assert report["baseline_log_loss"] == pytest.approx(log(2.0))
    brier = (0.01 + 0.25 + 0.49 + 0.36 + 0.01 + 0.04) / 6
    assert report["brier"] == pytest.approx(brier, rel=1e-3)


def test_an_empty_report_says_nothing() -> None:
    """None, not zero and not NaN."""
    report = ClassifierQuality().report()
    assert (report["n"], report["auc"], report["log_loss"], report["best"]) == (0, None, None, None)
    assert report["serving"] == "baseline"
    assert RegressionQuality().report()["mae"] is None


@given(
    st.lists(
        st.tuples(st.floats(), st.floats(0.0, 1.0), st.booleans(), st.one_of(weights, st.floats())),
        max_size=30,
    )
)
def test_a_classifier_report_is_json(told_of: list[tuple[float, float, bool, float]]) -> None:
    """Whatever was said, a report has finite numbers and can be published."""
    found = ClassifierQuality()
    for p, baseline, y, weight in told_of:
        found.add(p, baseline, y, weight)
    report = found.report()
    assert orjson.loads(orjson.dumps(report)) == report
    assert all(abs(number) < inf for number in numbers(report))
    assert report["n"] + report["unusable"] == len(told_of)


@given(st.lists(st.tuples(*[st.one_of(st.floats(), st.floats(0.0, 99.0))] * 5), max_size=30))
def test_a_forecast_report_is_json(told_of: list[tuple[float, float, float, float, float]]) -> None:
    """The same for forecasts."""
    found = RegressionQuality()
    for predicted, p10, p90, baseline, actual in told_of:
        found.add(predicted, p10, p90, baseline, actual)
    report = found.report()
    assert orjson.loads(orjson.dumps(report)) == report
    assert all(abs(number) < inf for number in numbers(report))
    assert report["n"] + report["unusable"] == len(told_of)


def served(found: ClassifierQuality | RegressionQuality) -> str:
    """Ask again: mypy takes it that a property does not change."""
    return found.serving


def chances(count: int, seed: int) -> list[tuple[float, bool]]:
    """Draw probabilities and labels that come true as often as they say."""
    random = Random(seed)
    drawn = [0.2 * random.random() for _ in range(count)]
    return [(p, random.random() < p) for p in drawn]


def test_a_true_model_is_served_and_a_boastful_one_is_not() -> None:
    """The log-loss decides: ranking alike, only one of them means what it says."""
    true, boastful = ClassifierQuality(), ClassifierQuality()
    for p, y in chances(3_000, seed=1):
        true.add(p, 0.1, y)
        boastful.add(4.0 * p, 0.1, y)
    assert true.report()["auc"] == pytest.approx(boastful.report()["auc"])
    assert (true.serving, boastful.serving) == ("model", "baseline")
    assert true.report()["calibration"] == pytest.approx(1.0, abs=0.1)
    assert boastful.report()["calibration"] == pytest.approx(4.0, abs=0.4)


@pytest.mark.parametrize(
    ("labels", "positives"),
    [(quality.ENOUGH_LABELS - 1, 50), (500, quality.ENOUGH_OF_A_KIND - 1), (500, 495)],
)
def test_a_model_is_not_served_before_it_has_proved_itself(labels: int, positives: int) -> None:
    """Nearly 200 labels, nearly 10 positives or hardly any negatives are too few."""
    found = ClassifierQuality()
    for place in range(labels):
        y = place < positives
        found.add(0.9 if y else 0.1, 0.5, y)
    assert served(found) == "baseline"
    for place in range(40):
        found.add(0.9 if place % 2 else 0.1, 0.5, bool(place % 2))
    assert served(found) == "model"


def test_a_model_that_turned_bad_is_no_longer_served() -> None:
    """What it did long ago does not protect it."""
    found = ClassifierQuality()
    for p, y in chances(5_000, seed=2):
        found.add(p, 0.1, y)
    assert served(found) == "model"
    for p, y in chances(5_000, seed=3):
        found.add(0.2 - p, 0.1, y)
    assert served(found) == "baseline"


late_samples = st.lists(
    st.tuples(st.floats(0.01, 0.99), st.sampled_from(["no", "in time", "late"]), weights),
    max_size=40,
)


@given(late_samples, st.randoms(use_true_random=False))
def test_a_click_counts_once_however_late_its_order(
    drawn: list[tuple[float, str, float]], random: Random
) -> None:
    """Judged as a negative and corrected later, it is one positive in every measure."""
    waited = told([(p, came != "no", weight) for p, came, weight in drawn])
    hasty = told([(p, came == "in time", weight) for p, came, weight in drawn])
    late = [(p, weight) for p, came, weight in drawn if came == "late"]
    random.shuffle(late)
    for p, weight in late:
        hasty.late(p, 0.5, weight)
    expected, found = waited.report(), hasty.report()
    assert (found["n"], found["positives"]) == (expected["n"], expected["positives"])
    for name, number in expected.items():
        if isinstance(number, float):
            # What has faded in between is corrected as if it had not: forty of 20,000 labels.
            assert found[name] == pytest.approx(number, rel=0.01, abs=0.02)
    for name in ("auc", "auc_low", "auc_high", "accuracy", "precision", "recall", "f1"):
        assert found[name] == (
            None if expected[name] is None else pytest.approx(expected[name], abs=1e-9)
        )


def test_corrections_that_outlive_their_negatives_are_right_on_the_whole() -> None:
    """Where a few thousand labels are told between a click and its order, too."""
    random = Random(7)
    waited, hasty = ClassifierQuality(), ClassifierQuality()
    coming: deque[float] = deque()
    for p, y in chances(60_000, seed=8):
        late = y and random.random() < 0.6
        waited.add(p, 0.1, y)
        hasty.add(p, 0.1, y and not late)
        coming.append(p if late else -1.0)
        if len(coming) > 8_000 and (due := coming.popleft()) >= 0.0:
            hasty.late(due, 0.1)
    expected, found = waited.report(), hasty.report()
    assert found["auc"] == pytest.approx(expected["auc"], abs=0.03)
    for name in ("log_loss", "baseline_log_loss", "brier", "calibration"):
        assert found[name] == pytest.approx(expected[name], rel=0.1)


def test_the_interval_holds_the_truth() -> None:
    """In about 95 of 100 samples; here, in at least 88 of 100."""
    random, held = Random(4), 0
    for _ in range(100):
        judged = sorted(
            [(random.gauss(1.0, 1.0), True, 1.0) for _ in range(30)]
            + [(random.gauss(0.0, 1.0), False, 1.0) for _ in range(200)]
        )
        low, high = auc_interval(auc(judged), judged)
        assert low is not None
        assert high is not None
        held += low <= 0.7602 <= high  # Φ(1/√2)
    assert held >= 88


@settings(deadline=None)
@given(st.integers(0, 400), st.integers(0, 400))
def test_quality_that_was_kept_is_the_one_that_never_stopped(before: int, after: int) -> None:
    """Equal bit for bit, by way of JSON."""
    examples = chances(before + after, seed=5)
    straight, kept = ClassifierQuality(), ClassifierQuality()
    line, kept_line = RegressionQuality(), RegressionQuality()
    for place, (p, y) in enumerate(examples):
        if place == before:
            kept = ClassifierQuality.restored(orjson.loads(orjson.dumps(kept.state())))
            kept_line = RegressionQuality.restored(orjson.loads(orjson.dumps(kept_line.state())))
        for found in (straight, kept):
            found.add(p, 0.1, y, 10.0 if place % 3 else 1.0)
            found.late(p, 0.1, 0.5)
        for forecast in (line, kept_line):
            forecast.add(10.0 * p, 0.0, 2.0, 1.0, float(y))
    assert kept.state() == straight.state()
    assert kept.report() == straight.report()
    assert kept_line.state() == line.state()
    assert kept_line.report() == line.report()


def test_a_window_is_as_long_as_it_says() -> None:
    """Restored or not, the oldest of 5,001 is forgotten for the AUC and not for the count."""
    found = ClassifierQuality()
    found.add(0.9, 0.5, y=False)
    for place in range(quality.WINDOW):
        found = ClassifierQuality.restored(found.state()) if place == 2_500 else found
        found.add(0.6 if place % 2 else 0.4, 0.5, bool(place % 2))
    assert found.report()["auc"] == 1.0
    assert found.report()["n"] == quality.WINDOW + 1


def test_forecast_measures_by_hand() -> None:
    """Errors of +1, -1 and +3 on actuals of 1, 3 and 5."""
    found = RegressionQuality()
    for predicted, actual in ((2.0, 1.0), (2.0, 3.0), (8.0, 5.0)):
        found.add(predicted, predicted - 1.5, predicted + 1.5, 3.0, actual)
    report = found.report()
    assert report["mae"] == pytest.approx(5 / 3, rel=1e-3)
    assert report["rmse"] == pytest.approx((11 / 3) ** 0.5, rel=1e-3)
    assert report["bias"] == pytest.approx(1.0, rel=1e-3)
    assert report["coverage"] == pytest.approx(2 / 3, rel=1e-3)
    assert report["baseline_mae"] == pytest.approx(4 / 3, rel=1e-3)
    assert report["r2"] == pytest.approx(1.0 - 11.0 / 8.0, rel=1e-2)


def test_r_squared_holds_far_from_zero() -> None:
    """Actuals of a million, give or take one, lose no digits that matter."""
    random, found = Random(6), RegressionQuality()
    for _ in range(2_000):
        known, unknown = random.gauss(0.0, 1.0), random.gauss(0.0, 1.0)
        found.add(1e6 + known, 0.0, 2e6, 1e6, 1e6 + known + unknown)
    assert found.report()["r2"] == pytest.approx(0.5, abs=0.05)


def test_the_better_forecaster_is_served() -> None:
    """By absolute error, once there are 50 actuals."""
    found = RegressionQuality()
    for _ in range(quality.ENOUGH_ACTUALS - 1):
        found.add(5.0, 4.0, 6.0, 9.0, 5.5)
    assert served(found) == "baseline"
    found.add(5.0, 4.0, 6.0, 9.0, 5.5)
    assert served(found) == "model"
    for _ in range(500):
        found.add(9.0, 8.0, 10.0, 5.0, 5.5)
    assert served(found) == "baseline"


def test_a_state_that_lacks_something_is_refused() -> None:
    """With a sentence."""
    for kind in (ClassifierQuality, RegressionQuality):
        for spoilt in ({}, {"count": 1}, kind().state() | {"sums": [1.0]}, {"count": nan}):
            with pytest.raises(BadSnapshot, match="quality"):
                kind.restored(spoilt)
