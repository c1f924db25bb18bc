"""Every model: kept and read again it is the same, and it learns on as if it had never stopped."""

from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

import numpy as np
import pytest

from stream.customers.returning import RETURN_NAMES
from stream.learner.models import ConversionModel, DemandModel, PotentialModel
from stream.learner.returning import ReturnModel
from stream.models import snapshots
from stream.models.bands import Bands
from stream.models.bayes import FadingBayes
from stream.models.delays import DelayCurve
from stream.models.drift import LossWatch
from stream.models.ensemble import Ensemble
from stream.models.least_squares import FadingLeastSquares
from stream.models.levels import Levels
from stream.models.promotions import Course, Promotion, Promotions
from stream.models.quality import ClassifierQuality, RegressionQuality
from stream.models.recalibration import Recalibration
from stream.models.rhythm import RhythmCounts
from stream.models.rising import RISING, RisingClassifier
from stream.models.scaler import Guess, Scaler
from stream.models.signals import Signals
from stream.models.stacking import CANDIDATES, Outlook, Stack
from stream.products.features import CLICK_NAMES, NAMES
from stream.products.forecasting import Noted
from stream.units import DAY, HOUR, Millis

STEPS = 3_000
CUTS = (0, 1, 137, 1_500, STEPS - 1)
WORDS = ("a", "b", "c")
GUESSES = {"a": Guess(0.5, 2.0, 0.7)}


class Kept(NamedTuple):
    """A model, how it is taught one thing more, and how it is written and read."""

    make: Callable[[], Any]
    teach: Callable[[Any, Random, int], object]
    restored: Callable[[Any], Any]
    state: Callable[[Any], Any] = lambda model: model.state()


def x(random: Random, names: tuple[str, ...] = WORDS) -> list[float | None]:
    """Draw features, some of them missing, some of them wild."""
    odd = (None, 0.0, 40.0)
    return [random.choice(odd) if random.random() < 0.1 else random.gauss(1, 2) for _ in names]


def full(random: Random, length: int) -> list[float]:
    """Draw features of which none is missing."""
    return [random.gauss(1.0, 2.0) for _ in range(length)]


def restored_bayes(state: Any) -> FadingBayes:
    """Read its evidence into a new one."""
    bayes = FadingBayes(WORDS, memory=500.0)
    bayes.restore(state)
    return bayes


def teach_bayes(model: FadingBayes, random: Random, _: int) -> None:
    """A response, now and then corrected, now and then forgotten."""
    model.add(np.array(full(random, 3)), random.gauss(0.0, 1.0), random.random())
    if random.random() < 0.2:
        model.push(np.array(full(random, 3)), random.gauss(0.0, 0.1))
    if random.random() < 0.01:
        model.fade(0.25)


def teach_ensemble(model: Ensemble, random: Random, number: int) -> None:
    """A label, some of them late; half-way the law turns round, which is drift."""
    row = x(random)
    y = ((row[0] or 0.0) > 1.0) == (number < STEPS / 2)
    late = y and random.random() < 0.2
    model.learn(row, y, random.choice([1.0, 8.0]), late=late)


def teach_stack(model: Stack, random: Random, number: int) -> None:
    """What came of an outlook, and of a promotion."""
    simple = tuple(random.expovariate(0.2) for _ in CANDIDATES)
    outlook = Outlook(simple, simple[0], simple[0], 1.0 + simple[1])
    model.learn(number / 7.0, outlook, random.expovariate(0.2), random.choice([1.0, 0.5]))
    model.respond(random.choice([0.0, 0.3]), random.expovariate(0.2), simple[2])


def teach_levels(model: Levels, random: Random, number: int) -> None:
    """A sale, a refund, a bulk order, a sold-out day, a promotion."""
    bucket = max(0, number // 3 - random.choice([0, 0, 5]))
    units, course = random.choice([1.0, 2.0, -1.0, 90.0]), Course([Promotion("p", 0, 40 * DAY)])
    strength = course.at(bucket * DAY)
    model.sell(units, bucket=bucket, length=DAY, strength=strength, course=course)
    if random.random() < 0.1:
        model.sold_out(random.random(), bucket=bucket, length=DAY, course=course)


def teach_promotions(model: Promotions, random: Random, number: int) -> None:
    """An announcement; some are withdrawn, old ones are forgotten."""
    starts = number * HOUR
    where = random.choice([{}, {"product": "p"}, {"category": "mugs"}])
    ends = starts + random.choice([0, DAY, 9 * DAY])
    name = f"s{random.randrange(200)}"
    model.announce(Promotion(name, starts, ends, random.choice([None, 0.3]), **where))
    if number % 100 == 0:
        model.prune(starts)


def teach_signals(model: Signals, random: Random, number: int) -> None:
    """A value of a signal, of the shop or of a category; of more signals than are kept."""
    category = random.choice([None, "mugs"])
    time = (number - random.choice([0, 0, 9])) * HOUR
    model.hear(f"s{random.randrange(700)}", category, time, random.gauss(9.0, 2.0))


def teach_watch(model: LossWatch, random: Random, number: int) -> None:
    """A loss; half-way they rise."""
    model.add(random.expovariate(1.0) + (4.0 if number > STEPS / 2 else 0.0))


def teach_quality(model: ClassifierQuality, random: Random, _: int) -> None:
    """A judged probability, some of them late."""
    model.add(random.random(), 0.3, random.random() < 0.3, random.choice([1.0, 8.0]))
    if random.random() < 0.2:
        model.late(random.random(), 0.3)


def teach_conversion(model: ConversionModel, random: Random, number: int) -> None:
    """A click whose label is told."""
    positive = random.random() < 0.3
    tail = [number, random.choice([1.0, 2.0]), random.random(), 0.1, None, x(random, CLICK_NAMES)]
    late = positive and random.random() < 0.3
    model.learn(positive=positive, late=late, delay=random.randrange(DAY), tail=tail)


def teach_return(model: ReturnModel, random: Random, number: int) -> None:
    """A look at a customer, and what came of it."""
    look = [number, random.random(), 0.2, x(random, RETURN_NAMES)]
    model.learn(returned=random.random() < 0.3, look=look)


def made(random: Random, number: int) -> Noted:
    """A forecast whose horizon has passed."""
    simple = tuple(random.expovariate(0.2) for _ in CANDIDATES)
    outlook = Outlook(simple, simple[0], simple[0], 1.0 + simple[1])
    units = [random.expovariate(0.2) for _ in range(5)]
    chances = [random.random(), 0.05]
    x = full(random, len(NAMES))
    return Noted(number * HOUR, random.random() * 9.0, chances, units, x, outlook, 0.3, 2.0, 0.5)


def restoring(make: Callable[[], Any]) -> Callable[[Any], Any]:
    """For what goes on from a state in place."""

    def restored(state: Any) -> Any:
        model = make()
        model.restore(state)
        return model

    return restored


def demand() -> DemandModel:
    """The model of a day's demand."""
    return DemandModel(Millis(DAY))


def sold(random: Random) -> float:
    """Units of a horizon."""
    return float(random.randrange(12))


MODELS = {
    "bands": Kept(
        Bands,
        lambda m, r, n: m.learn(n / 9.0, r.expovariate(0.1), r.expovariate(0.1)),
        Bands.restored,
    ),
    "bayes": Kept(lambda: FadingBayes(WORDS, memory=500.0), teach_bayes, restored_bayes),
    "conversion": Kept(ConversionModel, teach_conversion, restoring(ConversionModel)),
    "delays": Kept(
        DelayCurve, lambda m, r, _: m.add(r.randrange(DAY), r.random()), DelayCurve.restored
    ),
    "demand": Kept(demand, lambda m, r, n: m.learn(made(r, n), sold(r)), restoring(demand)),
    "drift": Kept(LossWatch, teach_watch, LossWatch.restored),
    "ensemble": Kept(
        lambda: Ensemble(WORDS, prior=0.02, guesses=GUESSES),
        teach_ensemble,
        lambda state: Ensemble.restored(state, GUESSES),
    ),
    "least squares": Kept(
        lambda: FadingLeastSquares(WORDS, half_life=9.0, prior=(0.0, 1.0, 0.0), strength=2.0),
        lambda m, r, n: m.learn(full(r, 3), r.gauss(0, 1), weight=r.random(), time=n / 3.0),
        FadingLeastSquares.restored,
    ),
    "levels": Kept(Levels, teach_levels, Levels.restored, lambda model: list(model.state)),
    "potential": Kept(
        PotentialModel, lambda m, r, n: m.learn(made(r, n), sold(r)), restoring(PotentialModel)
    ),
    "promotions": Kept(Promotions, teach_promotions, Promotions.restored),
    "quality of a classifier": Kept(ClassifierQuality, teach_quality, ClassifierQuality.restored),
    "quality of a forecaster": Kept(
        RegressionQuality, lambda m, r, _: m.add(*full(r, 5)), RegressionQuality.restored
    ),
    "recalibration": Kept(
        Recalibration,
        lambda m, r, _: m.learn(r.gauss(-3, 2), r.random() < 0.2, late=r.random() < 0.1),
        Recalibration.restored,
    ),
    "return": Kept(ReturnModel, teach_return, restoring(ReturnModel)),
    "rhythm": Kept(
        RhythmCounts,
        lambda m, r, n: m.add((n // 2 - r.choice([0, 0, 5])) * HOUR, r.expovariate(1.0)),
        RhythmCounts.restored,
    ),
    "rising": Kept(
        RisingClassifier,
        lambda m, r, n: m.learn(n / 50.0, x(r, RISING), r.random() < 0.3, r.random()),
        RisingClassifier.restored,
    ),
    "scaler": Kept(
        lambda: Scaler(WORDS, GUESSES), lambda m, r, _: m.learn(x(r)), Scaler.restored
    ),
    "signals": Kept(Signals, teach_signals, Signals.restored),
    "stack": Kept(lambda: Stack(7 * DAY), teach_stack, Stack.restored),
}  # fmt: skip


def stored(state: Any) -> bytes:
    """A state as a snapshot holds it."""
    return snapshots.encode("model", 1, {"of": state})


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_was_kept_is_the_one_that_never_stopped(name: str) -> None:
    """Bit for bit, wherever it was stopped; and at that moment what is read is what was written."""
    kept = MODELS[name]
    straight, stopped = kept.make(), kept.make()
    dice, same_dice = Random(1), Random(1)
    for number in range(STEPS):
        if number in CUTS:
            raw = stored(kept.state(stopped))
            stopped = kept.restored(snapshots.decode(raw, "model")[1]["of"])
            assert stored(kept.state(stopped)) == raw
        kept.teach(straight, dice, number)
        kept.teach(stopped, same_dice, number)
    assert stored(kept.state(stopped)) == stored(kept.state(straight))
    assert stored(kept.state(straight)) != stored(kept.state(kept.make()))
