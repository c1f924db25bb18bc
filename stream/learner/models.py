"""The models, each beside its rule of thumb, and what they have been worth of late."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from stream.learner.returning import ReturnModel
from stream.models import snapshots
from stream.models.bands import Bands
from stream.models.delays import DelayCurve
from stream.models.ensemble import Ensemble
from stream.models.linear import log_odds
from stream.models.quality import ClassifierQuality, RegressionQuality
from stream.models.rising import RisingClassifier, threshold
from stream.models.snapshots import readable
from stream.models.stacking import Stack
from stream.products.beliefs import CONVERSION_GUESSES
from stream.products.features import CLICK_NAMES, NAMES
from stream.products.forecasting import Noted
from stream.products.serving import (
    DEMAND_HORIZONS,
    FIRST_CONVERSION,
    FIRST_POTENTIAL,
    FIRST_SIMPLE,
    MINIMUM,
    MOMENTUM,
    POTENTIAL_HORIZONS,
    SIMPLE,
    UPLIFT,
    Forecaster,
    Judge,
    Serving,
    rule,
)
from stream.units import DAY, Millis, span_name

FIRST_WEIGHTS = (1.0, *(0.0 for _ in NAMES[1:]))
"""The chance that the bands of demand give is believed until labels have come."""
BASE_STRENGTH = 100.0
BASE_KEPT = 1.0 - 1.0 / 20_000
ERRORS_KEPT = 1.0 - 1.0 / 5_000
MOST_ERROR = 1e9
CATEGORY = "_category"
"""At the end of the names of what is learned from categories."""


class ConversionModel:
    """P(this customer buys this product within the window), from clicks whose label has settled.

    A late order takes its click's negative back, so the model speaks of the whole window.
    """

    def __init__(self) -> None:
        self.classifier = Ensemble(CLICK_NAMES, prior=FIRST_CONVERSION, guesses=CONVERSION_GUESSES)
        self.quality = ClassifierQuality()
        self.delays = DelayCurve()

    def learn(self, *, positive: bool, late: bool, delay: int, tail: list[Any]) -> None:
        """Judge what was predicted at the click, then learn from it."""
        _time, weight, model, base, _category, x = tail
        if late:
            self.quality.late(model, base, weight)
        else:
            self.quality.add(model, base, positive, weight)
        if positive:
            self.delays.add(delay, weight)
        self.classifier.learn(x, positive, weight, late=late)

    def judge(self) -> Judge:
        """What is served."""
        return Judge(
            rule(CLICK_NAMES, log_odds(self.classifier.baseline), {}),
            self.classifier.frozen(),
            self.quality.serving == "model",
        )

    def state(self) -> dict[str, Any]:
        """Plain data to go on from."""
        return {
            "classifier": self.classifier.state(),
            "quality": self.quality.state(),
            "delays": self.delays.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        with readable("conversion"):
            if tuple(state["classifier"]["names"]) != CLICK_NAMES:
                raise ValueError("it is of other features")
            self.classifier = Ensemble.restored(state["classifier"], CONVERSION_GUESSES)
            self.quality = ClassifierQuality.restored(state["quality"])
            self.delays = DelayCurve.restored(state["delays"])

    def report(self) -> dict[str, Any]:
        """How right it has been of late."""
        return {
            **self.quality.report(),
            "delays": self.delays.report(),
            "drift": self.classifier.report(),
        }


class PotentialModel:
    """P(demand of the next horizon is about to rise), beside the momentum rule."""

    def __init__(self) -> None:
        self.classifier = RisingClassifier(NAMES, FIRST_WEIGHTS)
        self.quality = ClassifierQuality()
        self._labels = BASE_STRENGTH
        self._risen = BASE_STRENGTH * FIRST_POTENTIAL

    def learn(self, made: Noted, sold: float) -> None:
        """Judge what was predicted, then learn from what came."""
        rose = sold >= threshold(made.last, UPLIFT, MINIMUM)
        model, rule = made.chances
        self.quality.add(model, rule, rose)
        self.classifier.learn(made.time / DAY, made.x, rose, made.weight)
        self._labels = self._labels * BASE_KEPT + 1.0
        self._risen = self._risen * BASE_KEPT + rose

    def judge(self) -> Judge:
        """What is served."""
        momentum = rule(
            NAMES,
            log_odds(self._risen / self._labels),
            dict(zip(NAMES, MOMENTUM.weights, strict=True)),
        )
        return Judge(momentum, self.classifier.frozen(), self.quality.serving == "model")

    def state(self) -> dict[str, Any]:
        """Plain data to go on from."""
        return {
            "classifier": self.classifier.state(),
            "quality": self.quality.state(),
            "labels": self._labels,
            "risen": self._risen,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        with readable("potential"):
            if tuple(state["classifier"]["names"]) != NAMES:
                raise ValueError("it is of other features")
            self.classifier = RisingClassifier.restored(state["classifier"])
            self.quality = ClassifierQuality.restored(state["quality"])
            self._labels, self._risen = float(state["labels"]), float(state["risen"])

    def report(self) -> dict[str, Any]:
        """How right it has been of late."""
        return self.quality.report()


class DemandModel:
    """Units of the next horizon, beside the simple forecaster that has been best of late."""

    def __init__(self, horizon: Millis) -> None:
        self.stack = Stack(horizon)
        self.quality = RegressionQuality()
        self._bands = Bands()
        self._errors = [0.0] * len(SIMPLE)

    def learn(self, made: Noted, sold: float) -> None:
        """Judge what was predicted, then learn from what came."""
        day, outlook = made.time / DAY, made.outlook
        mean, p10, p50, p90, simple = made.units
        self.quality.add(p50, p10, p90, simple, sold, mean=mean)
        self._bands.learn(day, outlook.candidates[self._simple], sold)
        for place in range(len(SIMPLE)):
            error = abs(outlook.candidates[place] - sold)
            self._errors[place] = self._errors[place] * ERRORS_KEPT + min(error, MOST_ERROR)
        self.stack.learn(day, outlook, sold, made.weight)
        self.stack.respond(made.strength, sold, made.level)

    @property
    def _simple(self) -> int:
        best: int = min((FIRST_SIMPLE, *range(len(SIMPLE))), key=self._errors.__getitem__)
        return best

    def forecaster(self) -> Forecaster:
        """What is served."""
        return Forecaster(
            self.stack.frozen(),
            self._simple,
            Bands.restored(self._bands.state()),
            self.quality.serving == "model",
        )

    def state(self) -> dict[str, Any]:
        """Plain data to go on from."""
        return {
            "stack": self.stack.state(),
            "quality": self.quality.state(),
            "bands": self._bands.state(),
            "errors": list(self._errors),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        with readable("demand"):
            self.stack = Stack.restored(state["stack"])
            self.quality = RegressionQuality.restored(state["quality"])
            self._bands = Bands.restored(state["bands"])
            errors = [float(error) for error in state["errors"]]
            if len(errors) != len(SIMPLE):
                raise ValueError("it is of other forecasters")
            self._errors = errors

    def report(self) -> dict[str, Any]:
        """How right it has been of late."""
        return {**self.quality.report(), "baseline": SIMPLE[self._simple]}


class Sales:
    """Potential and demand of products, or of categories, by horizon."""

    def __init__(self) -> None:
        self.potential = {horizon: PotentialModel() for horizon in POTENTIAL_HORIZONS}
        self.demand = {horizon: DemandModel(horizon) for horizon in DEMAND_HORIZONS}
        self._served: tuple[dict[int, Judge], dict[int, Forecaster]] | None = None

    def learn(self, horizon: int, made: Noted, sold: float) -> None:
        """Judge what was forecast, then learn from what came."""
        self._served = None
        self.demand[Millis(horizon)].learn(made, sold)
        if made.chances:
            self.potential[Millis(horizon)].learn(made, sold)

    def served(self, serving: Serving) -> Serving:
        """Serve these of potential and demand, and everything else as it is."""
        if self._served is None:
            judges: dict[int, Judge] = {h: m.judge() for h, m in self.potential.items()}
            self._served = judges, {h: m.forecaster() for h, m in self.demand.items()}
        potential, demand = self._served
        return replace(serving, potential=potential, demand=demand)

    def named(self, suffix: str = "") -> Iterator[tuple[str, PotentialModel | DemandModel]]:
        """Every model with its name."""
        for horizon, potential in self.potential.items():
            yield f"potential{suffix}:{span_name(horizon)}", potential
        for horizon, demand in self.demand.items():
            yield f"demand{suffix}:{span_name(horizon)}", demand

    def reports(self, suffix: str = "") -> dict[str, dict[str, Any]]:
        """How right they have been of late."""
        return {
            f"potential{suffix}": {span_name(h): m.report() for h, m in self.potential.items()},
            f"demand{suffix}": {span_name(h): m.report() for h, m in self.demand.items()},
        }


class Models:
    """All that is learned."""

    def __init__(self) -> None:
        self.conversion = ConversionModel()
        self.returning = ReturnModel()
        self.products = Sales()
        self.categories = Sales()

    def named(
        self,
    ) -> Iterator[tuple[str, ConversionModel | ReturnModel | PotentialModel | DemandModel]]:
        """Every model with its name."""
        yield "conversion", self.conversion
        yield "return", self.returning
        yield from self.products.named()
        yield from self.categories.named(CATEGORY)

    def snapshots(self, version: int, *, categories: bool = True) -> Iterator[tuple[str, bytes]]:
        """Write them by name; those of categories, which seldom learn, only if that is asked."""
        left_out = () if categories else {name for name, _ in self.categories.named(CATEGORY)}
        for name, model in self.named():
            if name not in left_out:
                yield name, snapshots.encode(name, version, model.state())

    def restore(self, stored: Mapping[str, bytes]) -> None:
        """Go on from `snapshots`.

        Raises:
            BadSnapshot: One cannot be read.
        """
        for name, model in self.named():
            if name in stored:
                model.restore(snapshots.decode(stored[name], name)[1])

    def reports(self) -> dict[str, dict[str, Any]]:
        """How right each kind of model has been of late; by horizon where there are several."""
        return {
            "conversion": self.conversion.report(),
            "return": self.returning.report(),
            **self.products.reports(),
            **self.categories.reports(CATEGORY),
        }
