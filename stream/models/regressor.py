"""How much something will be, learned one example at a time, on a log scale."""

from collections.abc import Mapping, Sequence
from math import isfinite, log1p
from typing import Any, Self

from river import linear_model, optim

from stream.models.glm import ScaledGlm
from stream.models.linear import Features, Linear
from stream.models.optimizer import FadingAdaGrad, Settling
from stream.models.snapshots import readable

RATE = 0.05
MEMORY = 10_000.0
HUBER = 1.0
"""Errors beyond this, in log units, pull no harder: one great order does not bend the line."""


class Regressor:
    """River's `StandardScaler | LinearRegression` on log1p of the target, with Huber's loss.

    Attributes:
        names: The features, in the order in which values are given.
    """

    def __init__(self, names: Sequence[str], *, rate: float = RATE) -> None:
        self.names = tuple(names)
        self._rate = rate
        self._glm = ScaledGlm(
            names,
            linear_model.LinearRegression(
                optimizer=FadingAdaGrad(rate, MEMORY),
                loss=optim.losses.Huber(HUBER),
                intercept_lr=Settling(curvature=1.0, strength=2.0, floor=0.01),
            ),
        )

    @property
    def examples(self) -> int:
        """How many examples were learned."""
        return self._glm.examples

    def predict(self, x: Features) -> float:
        """Expected log1p of the target. `linear.units` turns it back."""
        return self._glm.value(x)

    def learn(self, x: Features, target: float, weight: float = 1.0) -> None:
        """Learn what it came to, in units. Below zero counts as zero; no number, as nothing."""
        if not (isfinite(target) and weight > 0.0):
            return
        log_target = log1p(max(0.0, target))
        if not self.examples:
            # From zero, steps of at most one log unit would be long on the way.
            self._glm.model.intercept = log_target
        self._glm.learn(x, log_target, weight)

    def frozen(self) -> Linear:
        """Copy out what is needed to serve; its value is log1p units."""
        return self._glm.frozen()

    def state(self) -> dict[str, Any]:
        """Write down as plain numbers."""
        return {"rate": self._rate, "glm": self._glm.state()}

    @classmethod
    def restored(cls, state: Mapping[str, Any], names: Sequence[str] | None = None) -> Self:
        """Read what `state` has written. Learning goes on as if it had never stopped.

        Args:
            state: What was written.
            names: The features of this release, if they may differ from the written ones.
        """
        with readable("regressor"):
            new = cls(names or state["glm"]["names"], rate=float(state["rate"]))
            new._glm.restore(state["glm"])
        return new
