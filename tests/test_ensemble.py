"""The ensemble: what it learns, what it survives, and that nothing is lost when it is kept."""

from math import isfinite
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.models import snapshots
from stream.models.ensemble import LARGEST, Ensemble
from stream.models.judging import auc
from stream.models.linear import probability
from stream.models.scaler import Guess

NAMES = ("views", "carts", "noise")
GUESSES = {"views": Guess(0.0, 1.0, 0.5)}
hostile: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.floats(), st.sampled_from([1e300, -1e300, 1e9, 5e-324, 10**400])
)
rows = st.lists(hostile, min_size=3, max_size=3)
labels = st.tuples(rows, st.booleans(), st.floats(0.0, 1e300), st.booleans())


def drawn(count: int, seed: int, slope: float = 1.0) -> list[tuple[list[float], bool]]:
    """Draw examples of a law."""
    random = Random(seed)
    found = []
    for _ in range(count):
        x = [random.gauss(0.0, 1.0), random.expovariate(1.0), random.gauss(5.0, 3.0)]
        found.append((x, random.random() < probability(-3.0 + slope * x[0] + 0.5 * x[1])))
    return found


def kept(ensemble: Ensemble) -> Ensemble:
    """Write it to a snapshot and read it back."""
    raw = snapshots.encode("conversion", 1, ensemble.state())
    return Ensemble.restored(snapshots.decode(raw, "conversion")[1], GUESSES)


def judged(ensemble: Ensemble, examples: list[tuple[list[float], bool]]) -> list[float]:
    """Predict, then learn, one after the other."""
    said = []
    for x, y in examples:
        said.append(ensemble.predict(x))
        ensemble.learn(x, y)
    return said


def area(said: list[float], examples: list[tuple[list[float], bool]]) -> float:
    """AUC of equally weighted predictions."""
    pairs = zip(said, examples, strict=True)
    found = auc(sorted((p, y, 1.0) for p, (_, y) in pairs))
    assert found is not None
    return found


@settings(max_examples=30, deadline=None)
@given(st.lists(labels, max_size=60), rows)
def test_nothing_makes_it_say_nonsense(told: list[Any], row: list[Any]) -> None:
    """Whatever it is told, weights stay bounded, and reasons add up to what it says."""
    ensemble = Ensemble(NAMES, prior=0.02, guesses=GUESSES)
    for x, y, weight, late in told:
        ensemble.learn(x, y or late, weight, late=late)
    model = ensemble.frozen()
    assert all(isfinite(w) and abs(w) <= 2.0 * LARGEST for w in model.weights)
    value = model.value(row)
    assert value == pytest.approx(model.intercept + sum(model.contributions(row)), abs=1e-9)
    assert ensemble.predict(row) == pytest.approx(probability(value), abs=1e-9)
    snapshots.encode("conversion", 1, ensemble.state())


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 300))
def test_learning_goes_on_as_if_it_had_never_stopped(at: int) -> None:
    """Trained, kept and trained on equals never kept, bit for bit."""
    examples = drawn(300, seed=1)
    steady = Ensemble(NAMES, prior=0.02, guesses=GUESSES)
    restarted = Ensemble(NAMES, prior=0.02, guesses=GUESSES)
    judged(steady, examples)
    judged(restarted, examples[:at])
    restarted = kept(restarted)
    judged(restarted, examples[at:])
    assert orjson.dumps(restarted.state()) == orjson.dumps(steady.state())


def test_it_learns_the_law_and_permuted_labels_teach_nothing() -> None:
    """AUC is near the law's own, and at a half where labels are shuffled."""
    examples = drawn(6_000, seed=2)
    said = judged(Ensemble(NAMES, prior=0.02), examples)
    assert area(said[2_000:], examples[2_000:]) > 0.7
    shuffled = [y for _, y in examples]
    Random(3).shuffle(shuffled)
    permuted = [(x, y) for (x, _), y in zip(examples, shuffled, strict=True)]
    said = judged(Ensemble(NAMES, prior=0.02), permuted)
    assert area(said[2_000:], permuted[2_000:]) == pytest.approx(0.5, abs=0.05)


def test_late_orders_are_made_good() -> None:
    """Half the orders come late: what is expected comes to what happens, within 3 %."""
    examples = drawn(30_000, seed=4)
    random = Random(5)
    ensemble = Ensemble(NAMES, prior=0.02)
    late: dict[int, list[list[float]]] = {}
    expected = happened = 0.0
    for number, (x, y) in enumerate(examples):
        if number >= 10_000:
            expected += ensemble.predict(x)
            happened += y
        in_time = y and random.random() < 0.5
        ensemble.learn(x, in_time)
        if y and not in_time:
            late.setdefault(number + random.randrange(1, 500), []).append(x)
        for earlier in late.pop(number, ()):
            ensemble.learn(earlier, y=True, late=True)
    assert expected / happened == pytest.approx(1.0, abs=0.03)


def test_a_changed_law_is_seen_and_reported() -> None:
    """Where the law turns round, memory is shortened; where it stands, nothing is reported."""
    ensemble = Ensemble(NAMES, prior=0.02)
    judged(ensemble, drawn(10_000, seed=6, slope=1.5))
    assert ensemble.report() == {"changes": 0, "labels_since_change": None}
    judged(ensemble, drawn(10_000, seed=7, slope=-1.5))
    assert ensemble.report()["changes"] >= 1
