"""A trained linear model as plain numbers: what is served, and why it says so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import copysign, exp, log, sqrt
from operator import ge, mul, sub
from sys import float_info
from typing import Any, Self

from stream.models.snapshots import readable

CLIP = 6.0
"""Deviations from the mean that a value counts for at most, in learning as in serving."""
LIMIT = 1e9
"""Largest size of a value that is believed. What is beyond, NaN or None counts as missing."""
FLAT = 1e-18
"""Variance up to which a feature is taken as constant: rounding alone makes that much."""

Features = Sequence[float | None]
"""Values in the order of a model's names."""


def probability(log_odds: float) -> float:
    """Turn log-odds into a probability, without overflow at either end.

    >>> probability(0.0), probability(-1000.0), probability(1000.0)
    (0.5, 0.0, 1.0)
    """
    if log_odds >= 0.0:
        return 1.0 / (1.0 + exp(-log_odds))
    odds = exp(log_odds)
    return odds / (1.0 + odds)


CERTAIN = 1e-9
"""No share that was seen is taken to be nearer to never, or to always."""


def log_odds(share: float) -> float:
    """Turn a probability into log-odds, which are finite though it was never seen to fail.

    >>> log_odds(0.5)
    0.0
    >>> round(log_odds(1.0), 1), round(log_odds(0.0), 1)
    (20.7, -20.7)
    """
    share = min(max(share, CERTAIN), 1.0 - CERTAIN)
    return log(share / (1.0 - share))


def deviation(variance: float) -> float:
    """Scale of a feature: its standard deviation, or 0 for one that is as good as constant.

    >>> deviation(4.0), deviation(1e-30)
    (2.0, 0.0)
    """
    return sqrt(variance) if variance > FLAT else 0.0


FEW = 6
"""Features with a weight, up to which it is faster to look at those alone."""


@dataclass(frozen=True, slots=True)
class Linear:
    """Weights on scaled features.

    A missing value counts as the mean and so contributes nothing. Contributions are measured
    from the mean too: they say what sets this one apart from the average.

    Attributes:
        names: The features, in the order in which values are given.
        weights: Effect of one deviation above the mean.
        intercept: The value for an average example: what the contributions start from.
        means: Of the features.
        scales: Standard deviations of the features. A feature of scale 0 contributes nothing.

    >>> model = Linear(("price", "views"), (-1.0, 2.0), 0.5, (10.0, 3.0), (2.0, 1.0))
    >>> model.value([12.0, 4.0]), model.contributions([12.0, 4.0])
    (1.5, [-1.0, 2.0])
    >>> model.contributions([None, 1000.0])
    [0.0, 12.0]
    """

    names: tuple[str, ...]
    weights: tuple[float, ...]
    intercept: float
    means: tuple[float, ...]
    scales: tuple[float, ...]
    _slopes: tuple[float, ...] = field(init=False, repr=False, compare=False)
    _caps: tuple[float, ...] = field(init=False, repr=False, compare=False)
    _reach: tuple[float, ...] = field(init=False, repr=False, compare=False)
    _few: tuple[tuple[int, float, float, float], ...] | None = field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if not len(self.names) == len(self.weights) == len(self.means) == len(self.scales):
            raise ValueError("names, weights, means and scales are not equally many")
        slopes = [w / s if s else 0.0 for w, s in zip(self.weights, self.scales, strict=True)]
        caps = [CLIP * s if s else float_info.max for s in self.scales]
        # Within reach, a value is sure to be believable and not to be clipped.
        reach = [min(cap, LIMIT - abs(mean)) for cap, mean in zip(caps, self.means, strict=True)]
        object.__setattr__(self, "_slopes", tuple(slopes))
        object.__setattr__(self, "_caps", tuple(caps))
        object.__setattr__(self, "_reach", tuple(reach))
        # A rule of thumb looks at few of its features.
        parts = zip(range(len(slopes)), slopes, self.means, caps, strict=True)
        few = tuple(part for part in parts if part[1])
        object.__setattr__(self, "_few", few if len(few) <= FEW else None)

    def value(self, x: Features) -> float:
        """Answer for one example: the log-odds."""
        self._fits(x)
        if self._few is not None:
            value = self.intercept
            for place, slope, mean, cap in self._few:
                number = x[place]
                if number is not None and -LIMIT <= number <= LIMIT:
                    value += slope * max(-cap, min(cap, number - mean))
            return value
        try:
            gaps: list[float] = list(map(sub, x, self.means))
            # NaN is never within reach.
            if all(map(ge, self._reach, map(abs, gaps))):
                total: float = sum(map(mul, self._slopes, gaps))
                return self.intercept + total
        except (TypeError, OverflowError):  # None, or an integer that no float can hold
            pass
        return self.intercept + sum(self.contributions(x))

    def contributions(self, x: Features) -> list[float]:
        """What each feature adds to the intercept. Together they make the value."""
        self._fits(x)
        if self._few is not None:
            parts = [0.0] * len(x)
            for place, slope, mean, cap in self._few:
                number = x[place]
                if number is not None and -LIMIT <= number <= LIMIT:
                    parts[place] = slope * max(-cap, min(cap, number - mean))
            return parts
        return [
            0.0
            if value is None or not -LIMIT <= value <= LIMIT
            else slope * gap
            if -cap <= (gap := value - mean) <= cap
            else slope * copysign(cap, gap)
            for value, slope, mean, cap in zip(x, self._slopes, self.means, self._caps, strict=True)
        ]

    def state(self) -> dict[str, Any]:
        """Write down as plain numbers, for a snapshot."""
        return {
            "names": list(self.names),
            "weights": list(self.weights),
            "intercept": self.intercept,
            "means": list(self.means),
            "scales": list(self.scales),
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Self:
        """Read what `state` has written."""
        with readable("linear model"):
            return cls(
                tuple(map(str, state["names"])),
                tuple(map(float, state["weights"])),
                float(state["intercept"]),
                tuple(map(float, state["means"])),
                tuple(map(float, state["scales"])),
            )

    def _fits(self, x: Features) -> None:
        if len(x) != len(self.names):
            raise ValueError(f"{len(x)} values were given to a model of {len(self.names)} features")
