"""Whether demand is about to rise: what is looked at, and a logistic law that needs no rate."""

from collections.abc import Mapping, Sequence
from math import log, log1p, sqrt
from typing import Any, Self

from stream.models.bands import Bands
from stream.models.least_squares import FadingLeastSquares
from stream.models.levels import Paces
from stream.models.linear import CLIP, FLAT, LIMIT, Features, Linear, log_odds, probability
from stream.models.signals import NOTHING_UNUSUAL, Unusual
from stream.models.snapshots import readable
from stream.models.stacking import Outlook, growth

RISING = (
    "chance",
    "gap",
    "last",
    "before",
    "expected",
    "lines_fresh",
    "lines_growth",
    "units_fresh",
    "price_move",
    "promotion",
    "age",
    "category_signal",
    "shop_signal",
)
FIRST_WEIGHTS = (1.0, *(0.0 for _ in RISING[1:]))
"""The chance that the bands of demand give is believed until labels have come."""
STRENGTH = 2.0
HALF_LIFE = 60.0
"""Days after which an example counts half."""
SPREAD_PRIOR = 10.0
"""Examples by which features are believed at first to lie about 0 with a deviation of 1."""
SPREAD_MEMORY = 10_000.0
_WIDEST_GAP = 4.0
_MOST_GROWTH = 2.0
_LEAST_CURVE = 0.02
_FAR = 8.0
"""Log-odds beyond which the law is not bent."""


def threshold(last: float, uplift: float, minimum: float) -> float:
    """Units from which on demand has risen."""
    return max(uplift * max(0.0, last), minimum)


def rising_features(
    outlook: Outlook,
    bands: Bands,
    paces: Paces,
    *,
    last: float,
    before: float,
    least: float,
    price_move: float,
    promotion: float,
    unusual: Unusual = NOTHING_UNUSUAL,
) -> list[float]:
    """Number what tells whether a product is about to sell more.

    Args:
        outlook: What is forecast for the horizon.
        bands: How far off forecasts have been.
        paces: What the product sells on a usual day.
        last: Units of the last horizon.
        before: Units of the one before.
        least: Units from which on demand has risen.
        price_move: Logarithm of the price against what it usually is; 0 if unknown.
        promotion: Share by which promotions are to lift sales.
        unusual: What the signals say.

    Returns:
        One value for each of `RISING`.
    """
    fresh, lately, middle_lines, long_before = paces.lines
    gap = log((outlook.expected + 0.5) / least)
    return [
        log_odds(bands.chance(outlook.expected, least)),
        max(-_WIDEST_GAP, min(_WIDEST_GAP, gap)),
        log1p(max(0.0, last)),
        log1p(max(0.0, before)),
        log1p(outlook.expected),
        growth(fresh, middle_lines, _MOST_GROWTH),
        growth(lately, long_before, _MOST_GROWTH),
        growth(paces.units[0], paces.units[2], _MOST_GROWTH),
        max(-1.0, min(1.0, price_move)),
        max(-1.0, min(3.0, promotion)),
        log1p(paces.age),
        *unusual,
    ]


class RisingClassifier:
    """Logistic regression by faded second-order steps, shared by all products.

    Each example adds its curvature and its slope at the law of its moment (iteratively
    reweighted least squares, one pass). Products share the errors of a day; a first-order step
    for each follows them and forgets, which cost .02 AUC on a log of groceries.

    Attributes:
        names: The features, in the order in which values are given.

    Source:
        Green, "Iteratively Reweighted Least Squares for Maximum Likelihood Estimation",
        JRSS B 46, 1984; one pass as in West, Harrison and Migon, "Dynamic Generalized Linear
        Models", JASA 80, 1985.
    """

    def __init__(
        self, names: Sequence[str] = RISING, prior: Sequence[float] = FIRST_WEIGHTS
    ) -> None:
        self.names = tuple(names)
        self._law = FadingLeastSquares(
            ("intercept", *names), half_life=HALF_LIFE, prior=(0.0, *prior), strength=STRENGTH
        )
        self._count = SPREAD_PRIOR
        self._means = [0.0] * len(self.names)
        self._variances = [1.0] * len(self.names)

    def value(self, x: Features) -> float:
        """Log-odds."""
        return self._law.value(self._row(x))

    def learn(self, day: float, x: Features, y: bool, weight: float = 1.0) -> None:  # noqa: FBT001 (a label)
        """Learn a label.

        Args:
            day: When it was due to be predicted, in days.
            x: The features as they were then. What is missing counts as the mean.
            y: Did it happen?
            weight: How many examples this one stands for.
        """
        if not 0.0 < weight <= LIMIT:
            return
        self._measure(x)
        row = self._row(x)
        odds = max(-_FAR, min(_FAR, self._law.value(row)))
        p = probability(odds)
        curve = max(_LEAST_CURVE, p * (1.0 - p))
        self._law.learn(row, odds + (y - p) / curve, weight=weight * curve, time=day)

    def frozen(self) -> Linear:
        """Copy out what is needed to serve; its value is log-odds."""
        intercept, *slopes = self._law.weights()
        scales = [sqrt(v) if v > FLAT else 0.0 for v in self._variances]
        return Linear(
            self.names,
            tuple(slope * scale for slope, scale in zip(slopes, scales, strict=True)),
            intercept + sum(s * m for s, m in zip(slopes, self._means, strict=True)),
            tuple(self._means),
            tuple(scales),
        )

    def _measure(self, x: Features) -> None:
        self._count += 1.0
        share = 1.0 / min(self._count, SPREAD_MEMORY)
        for place, value in enumerate(x):
            if value is not None and -LIMIT <= value <= LIMIT:
                gap = value - self._means[place]
                self._means[place] += share * gap
                self._variances[place] += share * (
                    gap * gap * (1.0 - share) - self._variances[place]
                )

    def _row(self, x: Features) -> list[float]:
        row = [1.0]
        for value, mean, variance in zip(x, self._means, self._variances, strict=True):
            if value is None or not -LIMIT <= value <= LIMIT:
                row.append(mean)
            else:
                reach = CLIP * sqrt(variance)
                row.append(max(mean - reach, min(mean + reach, value)))
        return row

    def state(self) -> dict[str, Any]:
        """Write down as plain numbers."""
        return {
            "names": list(self.names),
            "law": self._law.state(),
            "count": self._count,
            "means": list(self._means),
            "variances": list(self._variances),
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Self:
        """Read what `state` has written. Learning goes on as if it had never stopped."""
        with readable("rising classifier"):
            names = tuple(map(str, state["names"]))
            new = cls(names, [0.0] * len(names))
            new._law = FadingLeastSquares.restored(state["law"])
            new._count = float(state["count"])
            new._means = [float(mean) for mean in state["means"]]
            new._variances = [float(variance) for variance in state["variances"]]
        return new
