"""The models, each beside its rule of thumb, and what they have been worth of late."""

from collections.abc import Iterator, Mapping
from math import log1p
from typing import Any

from stream.learner.returning import ReturnModel
from stream.models import snapshots
from stream.models.classifier import Classifier
from stream.models.delays import DelayCurve
from stream.models.ensemble import Ensemble
from stream.models.linear import log_odds
from stream.models.quality import ClassifierQuality, RegressionQuality
from stream.models.regressor import Regressor
from stream.models.residuals import ResidualQuantiles
from stream.models.snapshots import readable
from stream.products.beliefs import CONVERSION_GUESSES
from stream.products.features import CLICK_NAMES, NAMES
from stream.products.serving import (
    DEMAND_HORIZONS,
    FIRST_CONVERSION,
    FIRST_POTENTIAL,
    MOMENTUM,
    POTENTIAL_HORIZONS,
    Judge,
    Spread,
    pace,
    rule,
)
from stream.units import Millis, span_name

UPLIFT = 1.5
"""Demand has risen when the next horizon sells so many times what the last one did …"""
MINIMUM = 3
"""… and at least so many units."""


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
        self.classifier = Classifier(NAMES, prior=FIRST_POTENTIAL)
        self.quality = ClassifierQuality()

    def learn(self, last: float, sold: float, chances: list[float], x: list[float | None]) -> None:
        """Judge what was predicted, then learn from what came."""
        rose = sold >= UPLIFT * last and sold >= MINIMUM
        self.quality.add(chances[0], chances[1], rose)
        self.classifier.learn(x, rose)

    def judge(self) -> Judge:
        """What is served."""
        momentum = rule(
            NAMES,
            log_odds(self.classifier.baseline),
            dict(zip(NAMES, MOMENTUM.weights, strict=True)),
        )
        return Judge(momentum, self.classifier.frozen(), self.quality.serving == "model")

    def state(self) -> dict[str, Any]:
        """Plain data to go on from."""
        return {"classifier": self.classifier.state(), "quality": self.quality.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        self.classifier = Classifier.restored(state["classifier"], NAMES)
        self.quality = ClassifierQuality.restored(state["quality"])

    def report(self) -> dict[str, Any]:
        """How right it has been of late."""
        return self.quality.report()


class DemandModel:
    """Units of the next horizon, beside the week's pace carried on."""

    def __init__(self, horizon: Millis) -> None:
        self._horizon = horizon
        self.regressor = Regressor(NAMES)
        self.quality = RegressionQuality()
        self._residuals = {"model": ResidualQuantiles(), "baseline": ResidualQuantiles()}

    def learn(self, sold: float, expected: list[float], x: list[float | None]) -> None:
        """Judge what was predicted, then learn from what came."""
        model, base, low, high = expected
        self.quality.add(model, low, high, base, sold)
        self._residuals["model"].add(log1p(sold) - log1p(model))
        self._residuals["baseline"].add(log1p(sold) - log1p(base))
        self.regressor.learn(x, sold)

    def judge(self) -> Judge:
        """What is served."""
        frozen = self.regressor.frozen() if self.regressor.examples else None
        return Judge(pace(self._horizon), frozen, self.quality.serving == "model")

    def spread(self) -> Spread:
        """How far off the one that is served has been."""
        return Spread(*self._residuals[self.quality.serving].quantiles())

    def state(self) -> dict[str, Any]:
        """Plain data to go on from."""
        return {
            "regressor": self.regressor.state(),
            "quality": self.quality.state(),
            "residuals": {who: residuals.state() for who, residuals in self._residuals.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        self.regressor = Regressor.restored(state["regressor"], NAMES)
        self.quality = RegressionQuality.restored(state["quality"])
        self._residuals = {
            who: ResidualQuantiles.restored(s) for who, s in state["residuals"].items()
        }

    def report(self) -> dict[str, Any]:
        """How right it has been of late."""
        return self.quality.report()


class Models:
    """All that is learned."""

    def __init__(self) -> None:
        self.conversion = ConversionModel()
        self.returning = ReturnModel()
        self.potential = {horizon: PotentialModel() for horizon in POTENTIAL_HORIZONS}
        self.demand = {horizon: DemandModel(horizon) for horizon in DEMAND_HORIZONS}

    def named(
        self,
    ) -> Iterator[tuple[str, ConversionModel | ReturnModel | PotentialModel | DemandModel]]:
        """Every model with its name."""
        yield "conversion", self.conversion
        yield "return", self.returning
        for horizon, potential in self.potential.items():
            yield f"potential:{span_name(horizon)}", potential
        for horizon, demand in self.demand.items():
            yield f"demand:{span_name(horizon)}", demand

    def snapshots(self, version: int) -> dict[str, bytes]:
        """Write all of them, by name."""
        return {
            name: snapshots.encode(name, version, model.state()) for name, model in self.named()
        }

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
            "potential": {span_name(h): m.report() for h, m in self.potential.items()},
            "demand": {span_name(h): m.report() for h, m in self.demand.items()},
        }
