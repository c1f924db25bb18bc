"""The chance that something happens, learned one example at a time."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from river import linear_model

from stream.models.glm import MAX_WEIGHT, ScaledGlm
from stream.models.linear import Features, Linear, log_odds, probability
from stream.models.optimizer import FadingAdaGrad, Settling
from stream.models.snapshots import readable

RATE = 0.05
"""AdaGrad's rate. On two click logs .05 and .1 did best, .02 learned too slowly, .2 was erratic."""
PRIOR = 0.03
"""Base rate before anything is known: few clicks lead to an order."""
PRIOR_STRENGTH = 300.0
MEMORY = 10_000.0
BASELINE_MEMORY = 20_000.0


class Classifier:
    """River's `StandardScaler | LogisticRegression`, and beside it a faded base rate.

    To be asked before it is told: predict, then learn.

    Attributes:
        names: The features, in the order in which values are given.

    >>> classifier = Classifier(["views"], prior=0.2)
    >>> round(classifier.predict([3.0]), 6), classifier.baseline
    (0.2, 0.2)
    """

    def __init__(self, names: Sequence[str], *, prior: float = PRIOR, rate: float = RATE) -> None:
        self.names = tuple(names)
        self._prior = prior
        self._rate = rate
        self._glm = ScaledGlm(
            names,
            linear_model.LogisticRegression(
                optimizer=FadingAdaGrad(rate, MEMORY),
                intercept_init=log_odds(prior),
                intercept_lr=Settling(prior * (1.0 - prior), PRIOR_STRENGTH, floor=0.01),
            ),
        )
        self._labels = PRIOR_STRENGTH
        self._positives = PRIOR_STRENGTH * prior

    @property
    def examples(self) -> int:
        """How many examples were learned."""
        return self._glm.examples

    @property
    def baseline(self) -> float:
        """Share of positives of late: what a model has to beat."""
        return self._positives / self._labels

    def predict(self, x: Features) -> float:
        """Probability that the label will be positive."""
        return probability(self._glm.value(x))

    def learn(self, x: Features, y: bool, weight: float = 1.0) -> None:  # noqa: FBT001 (a label)
        """Learn a label.

        Args:
            x: The features as they were when the prediction was due.
            y: Did it happen?
            weight: How many examples this one stands for; 10 if one in ten is kept. At most 16.
        """
        if not weight > 0.0:
            return
        self._glm.learn(x, y, weight)
        keep, weight = 1.0 - 1.0 / BASELINE_MEMORY, min(weight, MAX_WEIGHT)
        self._labels = self._labels * keep + weight
        self._positives = self._positives * keep + (weight if y else 0.0)

    def frozen(self) -> Linear:
        """Copy out what is needed to serve; its value is log-odds."""
        return self._glm.frozen()

    def state(self) -> dict[str, Any]:
        """Write down as plain numbers."""
        return {
            "prior": self._prior,
            "rate": self._rate,
            "labels": self._labels,
            "positives": self._positives,
            "glm": self._glm.state(),
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any], names: Sequence[str] | None = None) -> Self:
        """Read what `state` has written. Learning goes on as if it had never stopped.

        Args:
            state: What was written.
            names: The features of this release, if they may differ from the written ones.
        """
        with readable("classifier"):
            new = cls(
                names or state["glm"]["names"],
                prior=float(state["prior"]),
                rate=float(state["rate"]),
            )
            new._labels = float(state["labels"])
            new._positives = float(state["positives"])
            new._glm.restore(state["glm"])
        return new
