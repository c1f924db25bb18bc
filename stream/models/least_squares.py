"""Least squares that forget: all that an old example leaves behind are two faded sums."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stream.models.linear import LIMIT
from stream.models.snapshots import readable

FAR = 40.0
"""Half-lives after which sums are brought back to the present, before they grow out of hand."""
_FRESH = 200
"""Examples after which weights are worked out anew."""

_ROUNDING = 1e-10

Floats = NDArray[np.float64]


class FadingLeastSquares:
    """A linear law by ridge regression, in which an example counts half after a half-life.

    The answer is exact for all examples ever seen, each with its faded weight, so that there is
    no rate to be chosen and their order does not matter. A step of AdaGrad at a time followed
    the last days' errors, which many products have in common.

    Attributes:
        names: The features, in the order in which values are given.

    Source:
        Hoerl and Kennard, "Ridge Regression", Technometrics 12, 1970; the fading as in Cormode
        et al., "Forward Decay", ICDE 2009.

    >>> law = FadingLeastSquares(("a", "b"), half_life=100.0, prior=(0.0, 0.0), strength=0.001)
    >>> for a, b in ((1.0, 0.0), (0.0, 1.0), (1.0, 1.0)):
    ...     law.learn([a, b], 2.0 * a - b, weight=1.0, time=0.0)
    >>> [round(weight, 2) for weight in law.weights()]
    [2.0, -1.0]
    """

    def __init__(
        self, names: Sequence[str], *, half_life: float, prior: Sequence[float], strength: float
    ) -> None:
        """Begin with what is believed before any example.

        Args:
            names: See above.
            half_life: In the unit of the times that will be given.
            prior: The weights believed at first; one for each name.
            strength: How firmly: a squared feature's sum that counts as much. Above zero.
        """
        if len(prior) != len(names):
            raise ValueError("names and prior weights are not equally many")
        self.names = tuple(names)
        self._half_life = half_life
        self._prior: Floats = np.array(prior, dtype=float)
        self._strength = strength
        self._squares: Floats = np.zeros((len(names), len(names)))
        self._products: Floats = np.zeros(len(names))
        self._landmark: float | None = None
        self._latest = 0.0
        self._weights: list[float] = [float(weight) for weight in prior]
        self._stale = 0

    def learn(self, x: Sequence[float], y: float, *, weight: float, time: float) -> None:
        """Take note of an example. One with a number beyond belief is left out.

        Args:
            x: One value for each name.
            y: What came.
            weight: How many examples it stands for. Above zero.
            time: When. Examples may come in any order.
        """
        row: Floats = np.array(x, dtype=float)
        believed = 0.0 < weight <= LIMIT and abs(y) <= LIMIT and abs(time) <= LIMIT
        if not (believed and (np.abs(row) <= LIMIT).all()):
            return  # squares of it would overflow, for good
        if self._landmark is None:
            self._landmark = self._latest = time
        self._latest = max(self._latest, time)
        age = (time - self._landmark) / self._half_life
        if age > FAR:
            faded = 0.5**age
            self._squares *= faded
            self._products *= faded
            self._landmark, age = time, 0.0
        pull: Floats = row * (weight * 2.0**age)
        self._squares += np.outer(pull, row)
        self._products += pull * y
        self._stale += 1
        if self._stale >= _FRESH:
            self._weights, self._stale = self._solved(), 0

    def weights(self) -> list[float]:
        """Give the law as it is now. That one has looked changes nothing of what is learned."""
        return self._solved() if self._stale else list(self._weights)

    def value(self, x: Sequence[float]) -> float:
        """Answer by the weights as they were last worked out: some examples may be missing."""
        return sum(w * v for w, v in zip(self._weights, x, strict=True))

    def _solved(self) -> list[float]:
        landmark = self._latest if self._landmark is None else self._landmark
        faded = 0.5 ** ((self._latest - landmark) / self._half_life)
        squares = self._squares * faded
        # Where values are huge, the belief alone would be lost in rounding.
        firm = self._strength + _ROUNDING * float(squares.diagonal().max(initial=0.0))
        squares += firm * np.eye(len(self.names))
        products = self._products * faded + firm * self._prior
        return [float(weight) for weight in np.linalg.solve(squares, products)]

    def state(self) -> dict[str, Any]:
        """Write down as plain numbers."""
        return {
            "names": list(self.names),
            "half_life": self._half_life,
            "prior": self._prior.tolist(),
            "strength": self._strength,
            "squares": self._squares.tolist(),
            "products": self._products.tolist(),
            "landmark": self._landmark,
            "latest": self._latest,
            "weights": list(self._weights),
            "stale": self._stale,
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Self:
        """Read what `state` has written. Learning goes on as if it had never stopped."""
        with readable("least squares"):
            new = cls(
                tuple(map(str, state["names"])),
                half_life=float(state["half_life"]),
                prior=[float(weight) for weight in state["prior"]],
                strength=float(state["strength"]),
            )
            size = len(new.names)
            new._squares = np.array(state["squares"], dtype=float).reshape(size, size)
            new._products = np.array(state["products"], dtype=float).reshape(size)
            landmark = state["landmark"]
            new._landmark = None if landmark is None else float(landmark)
            new._latest = float(state["latest"])
            new._weights = [float(weight) for weight in state["weights"]]
            new._stale = int(state["stale"])
        return new
