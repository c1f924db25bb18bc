"""River's scaler and one of its linear models as a pair, made safe and put into plain numbers."""

from collections.abc import Mapping, Sequence
from math import copysign, sqrt
from typing import Any

from river import preprocessing
from river.utils import VectorDict

from stream.models.linear import CLIP, FLAT, LIMIT, Features, Linear, deviation
from stream.models.optimizer import FadingAdaGrad

MAX_WEIGHT = 16.0
"""An example counts for so many at most: one that counts for more would shake the model."""
SCALE_MEMORY = 100_000
"""Values that a feature's mean and deviation remember, so that they follow a shop that grows."""
_TRIM_EVERY = 1_000


class ScaledGlm:
    """`StandardScaler | GLM`, with three things that River's pipeline does not do.

    Values that are missing or unbelievable teach the scaler nothing and move no weight. Scaled
    values are clipped. All that has been learned can be written down and read again.

    Attributes:
        names: The features, in the order in which values are given.
        model: River's linear model.
    """

    def __init__(self, names: Sequence[str], model: Any) -> None:
        self.names = tuple(names)
        self.model = model
        self._scaler = preprocessing.StandardScaler()
        # Sums of floats depend on their order: it is the order of the names, from the start.
        self._put_weights(dict.fromkeys(self.names, 0.0))

    @property
    def examples(self) -> int:
        """How many examples were learned."""
        return int(self._optimizer.n_iterations)

    def value(self, x: Features) -> float:
        """Answer in the linear model's own units: log-odds or plain."""
        return float(self.model._raw_dot_one(self._scaled(self._believed(x))))  # noqa: SLF001 (River offers probabilities only)

    def learn(self, x: Features, y: float, weight: float) -> None:
        """Take one step towards a known answer. A weight that is not above 0 teaches nothing."""
        if not weight > 0.0:
            return
        believed = self._believed(x)
        self._scaler.learn_one(believed)
        self.model.learn_one(self._scaled(believed), y, min(weight, MAX_WEIGHT))
        if self.examples % _TRIM_EVERY == 0:
            self._trim()

    def frozen(self) -> Linear:
        """Copy out what is needed to serve."""
        means, variances, weights = self._scaler.means, self._scaler.vars, self.model.weights
        return Linear(
            self.names,
            tuple(float(weights[name]) for name in self.names),
            float(self.model.intercept),
            tuple(float(means.get(name, 0.0)) for name in self.names),
            tuple(deviation(variances.get(name, 0.0)) for name in self.names),
        )

    def state(self) -> dict[str, Any]:
        """Write down all that has been learned."""
        scaler, weights = self._scaler, self.model.weights
        return {
            "names": list(self.names),
            "counts": [int(scaler.counts.get(name, 0)) for name in self.names],
            "means": [float(scaler.means.get(name, 0.0)) for name in self.names],
            "variances": [float(scaler.vars.get(name, 0.0)) for name in self.names],
            "weights": [float(weights[name]) for name in self.names],
            "squares": [float(self._optimizer.g2.get(name, 0.0)) for name in self.names],
            "intercept": float(self.model.intercept),
            "examples": self.examples,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a written state.

        It may be of other features: what it does not know starts at nothing, what is no
        longer asked for is left out. So a release may add a feature and keep what was learned.
        """
        known: list[str] = state["names"]
        columns = {
            column: dict(zip(known, state[column], strict=True))
            for column in ("counts", "means", "variances", "weights", "squares")
        }
        seen = [name for name in self.names if name in columns["counts"]]
        scaler, squares = preprocessing.StandardScaler(), self._optimizer.g2
        for name in seen:
            scaler.counts[name] = int(columns["counts"][name])
            scaler.means[name] = float(columns["means"][name])
            scaler.vars[name] = float(columns["variances"][name])
            squares[name] = float(columns["squares"][name])
        self._scaler = scaler
        self._put_weights({name: float(columns["weights"].get(name, 0.0)) for name in self.names})
        self.model.intercept = float(state["intercept"])
        self._optimizer.n_iterations = int(state["examples"])

    @property
    def _optimizer(self) -> FadingAdaGrad:
        optimizer: FadingAdaGrad = self.model.optimizer
        return optimizer

    def _believed(self, x: Features) -> dict[str, float]:
        return {
            name: value
            for name, value in zip(self.names, x, strict=True)
            if value is not None and -LIMIT <= value <= LIMIT
        }

    def _scaled(self, believed: Mapping[str, float]) -> dict[str, float]:
        # Written out, because this runs for every feature of every example.
        means, variances = self._scaler.means, self._scaler.vars
        scaled = dict.fromkeys(self.names, 0.0)
        for name, value in believed.items():
            variance = variances[name]
            if variance > FLAT:
                deviations = (value - means[name]) / sqrt(variance)
                scaled[name] = (
                    deviations if -CLIP < deviations < CLIP else copysign(CLIP, deviations)
                )
        return scaled

    def _put_weights(self, weights: dict[str, float]) -> None:
        self.model._weights = VectorDict(weights)  # noqa: SLF001 (River has no way to set them)

    def _trim(self) -> None:
        counts = self._scaler.counts
        for name, count in counts.items():
            if count > SCALE_MEMORY:
                counts[name] = SCALE_MEMORY
