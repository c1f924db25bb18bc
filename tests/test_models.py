"""The learners: what they learn, what they survive, and that nothing is lost when they are kept."""

from collections.abc import Sequence
from math import inf, isfinite, log1p, nan
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.models.judging import auc
from stream.models.linear import Linear, probability
from stream.models.rising import RisingClassifier

NAMES = ("views", "carts", "price", "promoted", "noise")
LAW = (0.9, -0.6, 0.5, 0.8, 0.0)
BASE = -2.5

Row = list[float]

hostile: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.floats(),
    st.integers(),
    st.sampled_from([nan, inf, -inf, 1e300, -1e300, 1e9, 5e-324, 10**400]),
)
hostile_rows = st.lists(hostile, min_size=len(NAMES), max_size=len(NAMES))
moderate = st.floats(-1e3, 1e3)
spread = st.one_of(st.just(0.0), st.floats(1e-3, 1e3))


def drawn(random: Random) -> Row:
    """Draw features as shops have them: skewed, rare, on very different scales."""
    return [
        log1p(random.expovariate(0.2)),
        float(random.random() < 0.2),
        random.lognormvariate(3.0, 0.7),
        float(random.random() < 0.03),
        random.gauss(1e5, 1e3),
    ]


def standardised(row: Sequence[float]) -> Row:
    """Put a drawn row on the law's scale."""
    views, carts, price, promoted, noise = row
    return [
        (views - 1.5) / 0.8,
        (carts - 0.2) / 0.4,
        (price - 26.0) / 20.0,
        (promoted - 0.03) / 0.17,
        (noise - 1e5) / 1e3,
    ]


def log_odds_by_law(row: Sequence[float], law: Sequence[float] = LAW) -> float:
    """Give the log-odds that labels are drawn with."""
    return BASE + sum(
        w * max(-6.0, min(6.0, z)) for w, z in zip(law, standardised(row), strict=True)
    )


def labelled(count: int, seed: int, law: Sequence[float] = LAW) -> list[tuple[Row, bool]]:
    """Draw examples of the law."""
    random = Random(seed)
    rows = [drawn(random) for _ in range(count)]
    return [(row, random.random() < probability(log_odds_by_law(row, law))) for row in rows]


def area(judged: Sequence[tuple[float, bool]]) -> float:
    """AUC of equally weighted predictions."""
    found = auc(sorted((p, y, 1.0) for p, y in judged))
    assert found is not None
    return found


def judged(
    classifier: RisingClassifier, examples: Sequence[tuple[Row, bool]]
) -> list[tuple[float, bool]]:
    """Predict, then learn, one after the other, a thousand a day."""
    answers = []
    for number, (row, label) in enumerate(examples):
        answers.append((predicted(classifier, row), label))
        classifier.learn(number / 1_000.0, standardised(row), label)
    return answers


def predicted(classifier: RisingClassifier, row: Row) -> float:
    """Probability of a drawn row."""
    return probability(classifier.value(standardised(row)))


@st.composite
def linears(draw: st.DrawFn) -> Linear:
    """Draw any model that learning could lead to."""

    def column(values: st.SearchStrategy[float]) -> tuple[float, ...]:
        return tuple(draw(values) for _ in NAMES)

    weights = column(st.floats(-20.0, 20.0))
    return Linear(NAMES, weights, draw(st.floats(-20.0, 20.0)), column(moderate), column(spread))


@given(linears(), hostile_rows)
def test_reasons_add_up(model: Linear, row: list[float | None]) -> None:
    """The intercept and the contributions make the value, whatever the features are."""
    value = model.value(row)
    assert isfinite(value)
    assert value == pytest.approx(model.intercept + sum(model.contributions(row)), abs=1e-9)


@given(linears(), hostile_rows)
def test_a_contribution_is_never_beyond_six_deviations(
    model: Linear, row: list[float | None]
) -> None:
    """One wild value cannot decide a score."""
    for part, weight in zip(model.contributions(row), model.weights, strict=True):
        assert abs(part) <= 6.0 * abs(weight) * (1.0 + 1e-12) + 1e-300  # rounding


@pytest.mark.parametrize("missing", [None, nan, inf, -inf, 1e300, 10**400])
def test_a_missing_value_contributes_nothing(missing: float | None) -> None:
    """What is not known counts as the average, and so does what cannot be believed."""
    model = Linear(("a", "b"), (2.0, 3.0), 1.0, (5.0, 5.0), (1.0, 1.0))
    assert model.contributions([missing, 6.0]) == [0.0, 3.0]
    assert model.value([missing, 6.0]) == 4.0


@given(linears())
def test_a_linear_model_is_written_and_read(model: Linear) -> None:
    """What is read back is equal, also by way of JSON."""
    assert Linear.restored(orjson.loads(orjson.dumps(model.state()))) == model


def test_values_of_the_wrong_number_are_refused() -> None:
    """Features of another release are not silently taken for these."""
    model = Linear(("a", "b"), (2.0, 3.0), 1.0, (5.0, 5.0), (1.0, 1.0))
    for row in ([1.0], [1.0, 2.0, 3.0]):
        with pytest.raises(ValueError, match="a model of 2 features"):
            model.value(row)
        with pytest.raises(ValueError, match="a model of 2 features"):
            model.contributions(row)
    with pytest.raises(ValueError, match="not equally many"):
        Linear(("a", "b"), (2.0,), 1.0, (5.0, 5.0), (1.0, 1.0))


@given(st.floats(allow_nan=False))
def test_a_probability_is_one_at_every_size(log_odds: float) -> None:
    """No overflow at either end."""
    assert 0.0 <= probability(log_odds) <= 1.0


@settings(deadline=None, max_examples=50)
@given(hostile_rows)
def test_what_is_served_is_what_was_learned(row: list[float | None]) -> None:
    """A frozen copy answers as the learner does."""
    assert TRAINED.frozen().value(row) == pytest.approx(TRAINED.value(row), abs=1e-6)


def test_a_known_law_is_learned() -> None:
    """Ranks as well as the law itself, all but .01, and says as many positives as come."""
    fresh = labelled(10_000, seed=4)
    learned = [(predicted(TRAINED, row), label) for row, label in fresh]
    true = [(probability(log_odds_by_law(row)), label) for row, label in fresh]
    assert area(learned) > area(true) - 0.01 > 0.75
    positives = sum(label for _, label in fresh)
    assert sum(p for p, _ in learned) == pytest.approx(positives, rel=0.15)


def test_labels_that_mean_nothing_teach_nothing() -> None:
    """With permuted labels the AUC is one half."""
    examples = labelled(6_000, seed=5)
    labels = [label for _, label in examples]
    Random(6).shuffle(labels)
    permuted = [(row, label) for (row, _), label in zip(examples, labels, strict=True)]
    assert area(judged(fresh_classifier(), permuted)) == pytest.approx(0.5, abs=0.04)


def test_one_negative_in_ten_with_weight_ten_is_calibrated() -> None:
    """Sampling the negatives does not change what a probability means."""
    random, classifier = Random(9), fresh_classifier()
    for number, (row, label) in enumerate(labelled(30_000, seed=9)):
        if label or random.random() < 0.1:
            weight = 1.0 if label else 10.0
            classifier.learn(number / 1_000.0, standardised(row), label, weight)
    fresh = labelled(10_000, seed=10)
    positives = sum(label for _, label in fresh)
    assert sum(predicted(classifier, row) for row, _ in fresh) == pytest.approx(positives, rel=0.15)


@pytest.mark.parametrize("weight", [0.0, -1.0, nan, inf])
def test_a_weight_that_is_none_teaches_nothing(weight: float) -> None:
    """What stands for no example is none."""
    classifier = RisingClassifier.restored(TRAINED.state())
    classifier.learn(31.0, [1.0] * len(NAMES), y=True, weight=weight)
    assert classifier.state() == TRAINED.state()


@pytest.mark.parametrize("cut", [0, 1, 500, 999])
def test_a_classifier_that_was_kept_is_the_one_that_never_stopped(cut: int) -> None:
    """Trained, stored, loaded and trained on: equal to the last bit."""
    examples = labelled(1_000, seed=1)
    straight, kept = fresh_classifier(), fresh_classifier()
    for number, (row, label) in enumerate(examples):
        if number == cut:
            kept = RisingClassifier.restored(orjson.loads(orjson.dumps(kept.state())))
        for classifier in (straight, kept):
            classifier.learn(number / 100.0, standardised(row), label)
    assert kept.state() == straight.state()


def fresh_classifier() -> RisingClassifier:
    """Make one that knows nothing."""
    return RisingClassifier(NAMES, (0.0,) * len(NAMES))


TRAINED = fresh_classifier()
judged(TRAINED, labelled(30_000, seed=3))
