"""Reasons: together they are the score, and at least nine tenths of them are told."""

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from learning import Bench
from making import settled
from test_evaluate import logged, shop
from test_learner import examples

from stream import keys
from stream.models.linear import Linear, log_odds, probability
from stream.models.rising import RisingClassifier
from stream.products.features import NAMES
from stream.products.row import ProductRow
from stream.products.scoring import reasons, score
from stream.products.serving import POTENTIAL_HORIZONS, SCORE_HORIZON, Judge, Serving
from stream.replay import Replay
from stream.settings import Settings
from stream.shards import Put
from stream.units import DAY, HOUR

weights = st.lists(st.floats(-20.0, 20.0), min_size=len(NAMES), max_size=len(NAMES))
values = st.lists(st.none() | st.floats(-20.0, 20.0), min_size=len(NAMES), max_size=len(NAMES))


def trained() -> Linear:
    """A model of the potential that has an opinion on every feature."""
    random, classifier = Random(1), RisingClassifier(NAMES, [0.3] * len(NAMES))
    for n in range(2_000):
        x = [random.gauss(0.5, 1.5) for _ in NAMES]
        classifier.learn(n / 100.0, x, random.random() < probability(sum(x) / 4.0 - 3.0))
    return classifier.frozen()


def serving(*, trusted: bool) -> Serving:
    """What is served where that model is trusted, or the rule in its place."""
    judges = {
        horizon: Judge(judge.rule, trained(), trusted)
        for horizon, judge in Serving().potential.items()
    }
    return replace(Serving(), version=1, potential=judges)


def told(document: dict[str, Any]) -> float:
    """Sum of the sizes of the effects that are told."""
    return sum(abs(float(reason["effect"])) for reason in document["reasons"])


def adds_up(document: dict[str, Any], base: float) -> bool:
    """Whether a document's reasons make its score, as far as a tenth may be left out."""
    sum_of = base + sum(reason["effect"] for reason in document["reasons"])
    # What is told is nine tenths of all at least, so what is not is a ninth of it at most.
    untold = told(document) / 9.0 + 1e-4 * len(NAMES)
    low, high = probability(sum_of - untold), probability(sum_of + untold)
    return low - 1e-4 <= float(document["score"]) <= high + 1e-4


@pytest.mark.parametrize("trusted", [True, False])
def test_reasons_of_products_make_their_score(trusted: bool) -> None:  # noqa: FBT001 (drawn)
    """A reader who adds the published effects to the base comes to the published score."""
    served = serving(trusted=trusted)
    base = served.potential[SCORE_HORIZON].served.intercept
    rows = settled(shop()).stored["products", 0].rows
    assert rows
    for product, raw in rows.items():
        row = ProductRow.decode(product, raw)
        document = score(row, served, row.at + HOUR, HOUR, {"product": product})
        assert document["reasons"]
        assert adds_up(document, base)


def test_reasons_of_categories_make_their_score() -> None:
    """The same for what the learner publishes."""
    bench = Bench()
    bench.hear(examples(3, 80))
    published = bench.changes().published
    judge = bench.shard.models.categories.potential[SCORE_HORIZON].judge()
    base = judge.served.intercept
    documents = [
        orjson.loads(put.value)
        for put in published
        if isinstance(put, Put) and put.key.startswith(keys.category(""))
    ]
    assert len(documents) == 2
    for document in documents:
        assert document["reasons"]
        assert adds_up(document, base)


def forecast_by_a_replay() -> Iterator[tuple[float, list[float | None], Linear]]:
    """What is said of each product and horizon, from what, and by which model."""
    settings = Settings(_env_file=None).model_copy(update={"partitions": 1})  # type: ignore[call-arg]
    run = Replay(settings, "a secret of this test")
    log = logged(shop())
    for event in log:
        run.feed(event.topic, event.value)
    run.finish()
    for trusted in (True, False):
        served = serving(trusted=trusted)
        run.products[0].serve(served)
        for forecast in run.products[0].forecasts(log[-1].time // DAY * DAY + DAY):
            if forecast.horizon in POTENTIAL_HORIZONS:
                assert forecast.chance is not None
                yield forecast.chance, forecast.x, served.potential[forecast.horizon].served


def test_base_and_contributions_are_the_log_odds() -> None:
    """To 1e-9, for each product and horizon."""
    seen = 0
    for chance, x, model in forecast_by_a_replay():
        seen += 1
        whole = model.intercept + sum(model.contributions(x))
        assert log_odds(chance) == pytest.approx(whole, abs=1e-9)
    assert seen > 20


@given(weights, values)
def test_nine_tenths_are_told_the_strongest_first(
    slopes: list[float], x: list[float | None]
) -> None:
    """Each effect is the contribution of its feature, and no stronger one is left out."""
    model = Linear(NAMES, tuple(slopes), -2.0, (0.1,) * len(NAMES), (1.5,) * len(NAMES))
    parts = dict(zip(NAMES, model.contributions(x), strict=True))
    said = reasons(model, x)
    sizes = [abs(reason["effect"]) for reason in said]
    assert sizes == sorted(sizes, reverse=True)
    assert all(reason["effect"] == round(parts[reason["feature"]], 4) for reason in said)
    total = sum(abs(part) for part in parts.values())
    names = {reason["feature"] for reason in said}
    assert sum(abs(parts[name]) for name in names) >= 0.9 * total - 1e-9
    left = [abs(part) for name, part in parts.items() if name not in names]
    assert max(left, default=0.0) <= min((abs(parts[name]) for name in names), default=0.0)
