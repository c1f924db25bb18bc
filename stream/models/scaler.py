"""Features on one scale, whatever the shop: mean 0, deviation 1, nothing beyond the clip."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from stream.models.linear import CLIP, FLAT, LIMIT, Features, deviation
from stream.models.snapshots import readable

Numbers = NDArray[np.float64]

GUESSED = 50.0
"""Values that a guessed mean and deviation count for."""
MEMORY = 100_000.0
"""Values that a mean and a deviation remember, so that they follow a shop that grows."""
WARM = 100.0
"""Values after which a wild one is told from a scale that is not known yet."""
WILD = 10.0
"""Deviations from the mean that a value teaches the scale at most."""


class Guess(NamedTuple):
    """What is believed of a feature before the first example.

    Attributes:
        mean, deviation: Of its values.
        weight: Effect of one deviation on the log-odds.
    """

    mean: float
    deviation: float
    weight: float


class Scaler:
    """Running means and variances, as River's `StandardScaler` has them, but robust.

    A value that is missing or unbelievable is left out, and counts as the mean. A wild one
    moves the scale by no more than ten deviations would: a scale that has really changed is
    still reached, since it grows with each such value.

    Source:
        Welford, "Note on a Method for Calculating Corrected Sums of Squares and Products",
        Technometrics 4, 1962; with a bound on the count, an exponential average.
    """

    def __init__(self, names: Sequence[str], guesses: Mapping[str, Guess]) -> None:
        known = [guesses.get(name) for name in names]
        self._counts = np.array([GUESSED if guess else 0.0 for guess in known])
        self._means = np.array([guess.mean if guess else 0.0 for guess in known])
        self._variances = np.array([guess.deviation**2 if guess else 0.0 for guess in known])

    def learn(self, x: Features) -> None:
        """Take note of the values of one example."""
        values = _believed(x)
        there = ~np.isnan(values)
        gaps = np.where(there, values - self._means, 0.0)
        reach = np.where(
            (self._counts > WARM) & (self._variances > FLAT),
            WILD * np.sqrt(self._variances),
            np.inf,
        )
        gaps = np.clip(gaps, -reach, reach)
        self._counts = np.minimum(self._counts + there, MEMORY)
        pull = there / np.maximum(self._counts, 1.0)
        self._means = self._means + gaps * pull
        self._variances = self._variances + (gaps * gaps * (1.0 - pull) - self._variances) * pull

    def scaled(self, x: Features) -> Numbers:
        """Deviations from the mean, clipped; 0 where nothing is known. Shape (features,)."""
        flat = self._variances <= FLAT
        gaps = (_believed(x) - self._means) / np.sqrt(np.where(flat, 1.0, self._variances))
        clipped: Numbers = np.where(flat | np.isnan(gaps), 0.0, np.clip(gaps, -CLIP, CLIP))
        return clipped

    @property
    def means(self) -> tuple[float, ...]:
        """Of the features."""
        return tuple(self._means.tolist())

    @property
    def scales(self) -> tuple[float, ...]:
        """Deviations of the features; 0 for one that is as good as constant."""
        return tuple(deviation(variance) for variance in self._variances.tolist())

    def state(self) -> dict[str, Any]:
        """Write down as plain numbers."""
        return {
            "counts": self._counts.tolist(),
            "means": self._means.tolist(),
            "variances": self._variances.tolist(),
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Self:
        """Read what `state` has written."""
        with readable("scaler"):
            new = cls((), {})
            new._counts = np.array(state["counts"], dtype=np.float64)
            new._means = np.array(state["means"], dtype=np.float64)
            new._variances = np.array(state["variances"], dtype=np.float64)
            if not len(new._counts) == len(new._means) == len(new._variances):
                raise ValueError("counts, means and variances are not equally many")
        return new


def _believed(x: Features) -> Numbers:
    """Values as they are; NaN where missing or unbelievable. Shape (features,)."""
    return np.array(
        [v if v is not None and -LIMIT <= v <= LIMIT else np.nan for v in x], dtype=np.float64
    )
