"""The learners: what they learn, what they survive, and that nothing is lost when they are kept."""

from collections.abc import Sequence
from itertools import pairwise
from math import exp, inf, isfinite, log1p, nan
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.errors import BadSnapshot
from stream.models.classifier import Classifier
from stream.models.glm import MAX_WEIGHT
from stream.models.judging import auc
from stream.models.linear import Linear, probability, units
from stream.models.regressor import Regressor
from stream.models.residuals import ResidualQuantiles

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
    random = Random(seed)  # noqa: S311 (no secret)
    rows = [drawn(random) for _ in range(count)]
    return [(row, random.random() < probability(log_odds_by_law(row, law))) for row in rows]


def area(judged: Sequence[tuple[float, bool]]) -> float:
    """AUC of equally weighted predictions."""
    found = auc(sorted((p, y, 1.0) for p, y in judged))
    assert found is not None
    return found


def judged(
    classifier: Classifier, examples: Sequence[tuple[Row, bool]]
) -> list[tuple[float, bool]]:
    """Predict, then learn, one after the other."""
    answers = []
    for row, label in examples:
        answers.append((classifier.predict(row), label))
        classifier.learn(row, label)
    return answers


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


@given(st.floats(allow_nan=False))
def test_units_are_never_below_zero_and_never_infinite(log_units: float) -> None:
    """A forecast can be published whatever the model says."""
    assert 0.0 <= units(log_units) < 1e14


@settings(deadline=None, max_examples=50)
@given(hostile_rows)
def test_what_is_served_is_what_was_learned(row: list[float | None]) -> None:
    """A frozen copy answers as the learner does."""
    frozen = TRAINED.frozen()
    assert probability(frozen.value(row)) == pytest.approx(TRAINED.predict(row), abs=1e-9)
    assert FITTED.frozen().value(row) == pytest.approx(FITTED.predict(row), abs=1e-9)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(hostile_rows, st.booleans(), st.floats(), st.one_of(st.floats(), st.just(1.0))),
        max_size=30,
    )
)
def test_hostile_input_poisons_nothing(
    examples: list[tuple[list[float | None], bool, float, float]],
) -> None:
    """NaN, infinity and absurd sizes leave every number of the models finite."""
    classifier, regressor, residuals = Classifier(NAMES), Regressor(NAMES), ResidualQuantiles()
    for row, label, target, weight in examples:
        classifier.learn(row, label, weight)
        regressor.learn(row, target, weight)
        residuals.add(target)
    rows: list[list[float | None]] = [row for row, *_ in examples]
    rows.append([1.0] * len(NAMES))
    for row in rows:
        assert 0.0 <= classifier.predict(row) <= 1.0
        assert isfinite(regressor.predict(row))
        assert isfinite(classifier.frozen().value(row))
    for state in (classifier.state(), regressor.state(), residuals.state()):
        assert orjson.loads(orjson.dumps(state)) == state  # NaN would come back as None


@pytest.mark.parametrize("cut", [0, 1, 500, 999])
def test_a_classifier_that_was_kept_is_the_one_that_never_stopped(cut: int) -> None:
    """Trained, written as JSON, read and trained on: equal bit for bit after 1,000 examples."""
    examples = labelled(1_000, seed=1)
    examples[10][0][2] = nan
    straight, kept = Classifier(NAMES, prior=0.1), Classifier(NAMES, prior=0.1)
    answers = judged(straight, examples)
    first = judged(kept, examples[:cut])
    kept = Classifier.restored(orjson.loads(orjson.dumps(kept.state())))
    assert first + judged(kept, examples[cut:]) == answers
    assert kept.state() == straight.state()
    assert kept.frozen() == straight.frozen()
    assert (kept.baseline, kept.examples) == (straight.baseline, straight.examples)


@pytest.mark.parametrize("cut", [0, 1, 500, 999])
def test_a_regressor_that_was_kept_is_the_one_that_never_stopped(cut: int) -> None:
    """The same for forecasts and their residuals."""
    random = Random(2)  # noqa: S311 (no secret)
    examples = [(row, exp(random.gauss(1.0, 1.0))) for row, _ in labelled(1_000, seed=2)]

    def learned(
        regressor: Regressor, residuals: ResidualQuantiles, part: Sequence[tuple[Row, float]]
    ) -> list[tuple[float, float, float]]:
        bands = []
        for row, target in part:
            forecast = regressor.predict(row)
            bands.append(residuals.band(forecast))
            residuals.add(log1p(target) - forecast)
            regressor.learn(row, target)
        return bands

    straight, kept = Regressor(NAMES), Regressor(NAMES)
    around, kept_around = ResidualQuantiles(), ResidualQuantiles()
    bands = learned(straight, around, examples)
    first = learned(kept, kept_around, examples[:cut])
    kept = Regressor.restored(orjson.loads(orjson.dumps(kept.state())))
    kept_around = ResidualQuantiles.restored(orjson.loads(orjson.dumps(kept_around.state())))
    assert first + learned(kept, kept_around, examples[cut:]) == bands
    assert kept.state() == straight.state()
    assert kept_around.state() == around.state()


def test_a_new_feature_costs_nothing_that_was_learned() -> None:
    """A release adds a feature and drops another: the others keep their effect."""
    names = ("views", "carts", "price", "promoted", "rating")
    renewed = Classifier.restored(TRAINED.state(), names).frozen()
    assert renewed.names == names
    assert renewed.weights == (*TRAINED.frozen().weights[:4], 0.0)
    assert renewed.intercept == TRAINED.frozen().intercept


@pytest.mark.parametrize("spoil", ["glm", "prior", "labels"])
def test_a_state_that_lacks_something_is_refused(spoil: str) -> None:
    """The error says what does not fit; it is not a bug's traceback."""
    state = {name: part for name, part in TRAINED.state().items() if name != spoil}
    with pytest.raises(BadSnapshot, match="classifier"):
        Classifier.restored(state)


def test_a_state_of_unequal_columns_is_refused() -> None:
    """Weights are never given to the wrong features."""
    state = TRAINED.state()
    state["glm"]["weights"].pop()
    with pytest.raises(BadSnapshot, match="classifier"):
        Classifier.restored(state)


def test_a_known_law_is_learned() -> None:
    """Ranks as well as the law itself, all but .01, and says as many positives as come."""
    fresh = labelled(10_000, seed=4)
    learned = [(TRAINED.predict(row), label) for row, label in fresh]
    true = [(probability(log_odds_by_law(row)), label) for row, label in fresh]
    assert area(learned) > area(true) - 0.01 > 0.75
    positives = sum(label for _, label in fresh)
    assert sum(p for p, _ in learned) == pytest.approx(positives, rel=0.15)
    assert TRAINED.baseline == pytest.approx(positives / len(fresh), rel=0.15)


def test_labels_that_mean_nothing_teach_nothing() -> None:
    """With permuted labels the AUC is one half."""
    examples = labelled(6_000, seed=5)
    labels = [label for _, label in examples]
    Random(6).shuffle(labels)  # noqa: S311 (no secret)
    permuted = [(row, label) for (row, _), label in zip(examples, labels, strict=True)]
    assert area(judged(Classifier(NAMES), permuted)) == pytest.approx(0.5, abs=0.04)


def test_a_law_that_changes_is_learned_again() -> None:
    """After 20,000 examples of one law, its opposite is known within 10,000."""
    classifier = Classifier.restored(TRAINED.state())
    opposite = tuple(-w for w in LAW)
    judged(classifier, labelled(10_000, seed=7, law=opposite))
    fresh = labelled(5_000, seed=8, law=opposite)
    true = area([(log_odds_by_law(row, opposite), label) for row, label in fresh])
    assert area([(classifier.predict(row), label) for row, label in fresh]) > true - 0.03


def test_one_negative_in_ten_with_weight_ten_is_calibrated() -> None:
    """Sampling the negatives does not change what a probability means."""
    random, classifier = Random(9), Classifier(NAMES)  # noqa: S311 (no secret)
    for row, label in labelled(30_000, seed=9):
        if label or random.random() < 0.1:
            classifier.learn(row, label, 1.0 if label else 10.0)
    fresh = labelled(10_000, seed=10)
    positives = sum(label for _, label in fresh)
    assert sum(classifier.predict(row) for row, _ in fresh) == pytest.approx(positives, rel=0.15)


def test_a_weight_is_bounded() -> None:
    """An example counts for 16 at most; a weight of none, or no number, teaches nothing."""
    row = [1.0, 0.0, 2.0, 0.0, 3.0]
    states = []
    for weight in (MAX_WEIGHT, 1e9, inf):
        classifier = Classifier.restored(TRAINED.state())
        classifier.learn(row, y=True, weight=weight)
        states.append(classifier.state())
    assert states[0] == states[1] == states[2] != TRAINED.state()
    for weight in (0.0, -1.0, nan):
        classifier = Classifier.restored(TRAINED.state())
        classifier.learn(row, y=True, weight=weight)
        assert classifier.state() == TRAINED.state()


def test_a_fresh_classifier_says_the_prior() -> None:
    """Not one half, which would be fifty times too much for most shops."""
    assert Classifier(NAMES).predict([None] * len(NAMES)) == pytest.approx(0.03)
    assert Classifier(NAMES, prior=0.2).predict([1.0] * len(NAMES)) == pytest.approx(0.2)


def test_a_missing_value_moves_no_weight() -> None:
    """What was not known teaches nothing about its feature."""
    classifier = Classifier.restored(TRAINED.state())
    row: list[float | None] = [1.0, 1.0, 30.0, None, nan]
    classifier.learn(row, y=True)
    before, after = TRAINED.frozen(), classifier.frozen()
    assert after.weights[3:] == before.weights[3:]
    assert after.means[3:] == before.means[3:]
    assert all(a != b for a, b in zip(after.weights[:3], before.weights[:3], strict=True))


def test_a_log_linear_demand_is_learned() -> None:
    """The forecast explains what there is to explain."""
    fresh = demand(3_000, seed=12)
    errors = [log1p(target) - FITTED.predict(row) for row, target in fresh]
    assert sum(error**2 for error in errors) / len(errors) < 0.3**2 * 1.3


def test_one_great_order_does_not_bend_the_line() -> None:
    """A target of a billion moves a forecast by less than a tenth of a log unit."""
    regressor = Regressor.restored(FITTED.state())
    row = drawn(Random(13))  # noqa: S311 (no secret)
    before = regressor.predict(row)
    regressor.learn(row, 1e9)
    assert abs(regressor.predict(row) - before) < 0.1


def test_a_target_that_is_no_number_teaches_nothing() -> None:
    """And one below zero is a zero."""
    row = [1.0] * len(NAMES)
    regressor, zero = Regressor.restored(FITTED.state()), Regressor.restored(FITTED.state())
    for target in (nan, inf, -inf):
        regressor.learn(row, target)
    assert regressor.state() == FITTED.state()
    regressor.learn(row, -5.0)
    zero.learn(row, 0.0)
    assert regressor.state() == zero.state()


@pytest.mark.parametrize("law", ["normal", "laplace", "skewed"])
@pytest.mark.parametrize("centre", [0.0, 1.0])
def test_bands_cover_what_they_say(law: str, centre: float) -> None:
    """10, 50 and 90 of 100 residuals lie below, within 5, whatever their law."""
    random, residuals = Random(14), ResidualQuantiles()  # noqa: S311 (no secret)
    below, count = [0, 0, 0], 0
    for turn in range(6_000):
        residual = (
            centre
            + {
                "normal": random.gauss(0.0, 0.4),
                "laplace": random.choice((-1, 1)) * random.expovariate(3.0),
                "skewed": random.expovariate(2.0) - 0.5,
            }[law]
        )
        if turn >= 1_000:
            count += 1
            for place, quantile in enumerate(residuals.quantiles()):
                below[place] += residual <= quantile
        residuals.add(residual)
    assert [hits / count for hits in below] == pytest.approx([0.1, 0.5, 0.9], abs=0.05)


@given(st.lists(st.floats(-20.0, 20.0), max_size=50), st.floats(-5.0, 25.0))
def test_a_band_is_in_order_and_not_below_zero(errors: list[float], forecast: float) -> None:
    """p10 ≤ p50 ≤ p90, from the first residual on."""
    residuals = ResidualQuantiles()
    for error in errors:
        residuals.add(error)
    band = (0.0, *residuals.band(forecast))
    assert all(low <= high for low, high in pairwise(band))


def demand(count: int, seed: int) -> list[tuple[Row, float]]:
    """Draw rows and units that follow from them, with an error of .3 log units."""
    random = Random(seed)  # noqa: S311 (no secret)
    rows = [drawn(random) for _ in range(count)]
    return [
        (row, exp(max(0.1, 3.0 + log_odds_by_law(row) / 3.0 + random.gauss(0.0, 0.3))) - 1.0)
        for row in rows
    ]


TRAINED = Classifier(NAMES)
judged(TRAINED, labelled(20_000, seed=3))
FITTED = Regressor(NAMES)
for _row, _target in demand(6_000, seed=11):
    FITTED.learn(_row, _target)
