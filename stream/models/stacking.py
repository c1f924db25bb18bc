"""Demand of a horizon: simple forecasts side by side, and the weights that have served best."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import log, sqrt
from operator import mul
from typing import Any, NamedTuple, Self

from stream.models.bands import Bands
from stream.models.least_squares import FadingLeastSquares
from stream.models.levels import Paces
from stream.models.response import ShopResponse
from stream.models.signals import FURTHEST, NOTHING_UNUSUAL, Unusual
from stream.models.snapshots import readable
from stream.units import DAY

CANDIDATES = (
    "smooth_10d",
    "smooth_22d",
    "smooth_45d",
    "one",
    "lines_fresh",
    "lines_growth",
    "price_move",
    "promotion",
    "moved_10d",
    "moved_22d",
    "moved_45d",
    "category_signal",
    "shop_signal",
)
"""What is weighed: three rates of smoothing, each as promotions are to lift it; a constant; and
corrections of the middle rate: by the number of order lines of late against before, by the price,
by signals. Four are for promotions that do more or less than was thought, or are not announced in
time: what those to come are to add, and by how much a forecast is moved by knowing any."""
FIRST_WEIGHTS = (0.5, 0.5, *(0.0 for _ in CANDIDATES[2:]))
STRENGTH = 100.0
"""Of the belief in them, in squared scales."""
HALF_LIFE = 120.0
"""Days after which an example counts half."""
HUBER = 1.5
"""Errors of more scales than this pull no harder in a horizon of a week: one great order does
not bend the law. A shorter horizon is lumpier, by the root of its share of a week."""
LEAST_PROMOTED, MOST_PROMOTED = 0.1, 20.0
"""Times the usual sales that promotions are to lead to."""
MOST_MOVED = 1.0
MOST_GROWTH = 1.5
"""Bounds of the other corrections, in logarithms."""
_SMALL = 0.15
"""Added to paces, in units a day, before they are compared."""


class Ahead(NamedTuple):
    """What is known of a product's next horizon.

    Attributes:
        paces: What the product sells on a usual day.
        usual_days: That the horizon lasts.
        length: Of the horizon, ms.
        price_move: Logarithm of the price against what it usually is; 0 if unknown.
        promotion: Share by which promotions are to lift sales.
        unusual: What the signals say.
    """

    paces: Paces
    usual_days: float
    length: int
    price_move: float = 0.0
    promotion: float = 0.0
    unusual: Unusual = NOTHING_UNUSUAL


class Outlook(NamedTuple):
    """What is forecast for a product and a horizon.

    Attributes:
        candidates: One value for each of `CANDIDATES`, in units.
        expected: Units without bulk orders: the middle of what may come.
        mean: Units, bulk orders included. On the sum of many products, this is what comes.
        scale: Units by which forecasts of this kind are usually off.
    """

    candidates: tuple[float, ...]
    expected: float
    mean: float
    scale: float


def growth(now: float, before: float, most: float = MOST_GROWTH) -> float:
    """Logarithm of a rise of a pace, bounded, and near 0 where hardly anything is sold."""
    rise = log((now + _SMALL) / (before + _SMALL))
    return rise if -most <= rise <= most else -most if rise < 0.0 else most


def promoted(lift: float) -> float:
    """Times the usual sales that a lift by a share leads to, within bounds."""
    return max(LEAST_PROMOTED, min(MOST_PROMOTED, 1.0 + lift))


def candidates(ahead: Ahead) -> tuple[float, ...]:
    """Make the simple forecasts: one value for each of `CANDIDATES`, in units."""
    paces, usual_days, length, price_move, promotion, unusual = ahead
    times = promoted(promotion)
    lasting, more = usual_days * times, 1.0 - 1.0 / times
    _, fast, middle, slow, _ = paces.units
    fast, middle, slow = fast * lasting, middle * lasting, slow * lasting
    _, moved_fast, moved_middle, moved_slow, _ = paces.moved
    fresh, lately, before, long_before = paces.lines
    return (
        fast,
        middle,
        slow,
        usual_days * DAY / length,
        middle * growth(fresh, before),
        middle * growth(lately, long_before),
        middle * max(-MOST_MOVED, min(MOST_MOVED, price_move)),
        middle * more,
        fast * more - moved_fast * usual_days,
        middle * more - moved_middle * usual_days,
        slow * more - moved_slow * usual_days,
        middle * unusual.category / FURTHEST,
        middle * unusual.shop / FURTHEST,
    )


@dataclass(frozen=True, slots=True)
class Stacked:
    """A trained stack as it is served.

    Attributes:
        weights: One for each of `CANDIDATES`.
        response: Share by which a promotion of strength 1 usually lifts sales.
        bands: How far off forecasts have been.
    """

    weights: tuple[float, ...] = FIRST_WEIGHTS
    response: float = 0.0
    bands: Bands = field(default_factory=Bands)

    def outlook(self, ahead: Ahead) -> Outlook:
        """Forecast."""
        x = candidates(ahead)
        expected = max(0.0, sum(map(mul, self.weights, x)))
        slow = x[2]
        return Outlook(
            x,
            expected,
            expected + ahead.paces.bulk * ahead.usual_days,
            sqrt(slow * slow + 3.0 * slow + 1.0),
        )

    def state(self) -> dict[str, Any]:
        """Write down as plain numbers."""
        return {
            "weights": list(self.weights),
            "response": self.response,
            "bands": self.bands.state(),
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Self:
        """Read what `state` has written."""
        with readable("stack"):
            return cls(
                tuple(map(float, state["weights"])),
                float(state["response"]),
                Bands.restored(state["bands"]),
            )


class Stack:
    """Learns how much each candidate is worth, by least squares over all products of the shop.

    Errors are measured in scales of the product, so that best sellers do not decide alone.
    Weights are fitted to plain units, not to logarithms: forecasts of many products then add up
    to what comes.

    Source:
        Breiman, "Stacked Regressions", Machine Learning 24, 1996; Huber's weights as in
        Holland and Welsch, "Robust Regression Using IRLS", 1977.
    """

    def __init__(self, length: int) -> None:
        """Begin with nothing known.

        Args:
            length: Of the horizon, ms.
        """
        self._length = length
        self._most = HUBER * sqrt(7 * DAY / length)
        self._law = FadingLeastSquares(
            CANDIDATES, half_life=HALF_LIFE, prior=FIRST_WEIGHTS, strength=STRENGTH
        )
        self._bands = Bands()
        self._response = ShopResponse()

    def learn(self, day: float, outlook: Outlook, sold: float, weight: float = 1.0) -> None:
        """Learn from a horizon that has passed.

        Args:
            day: When it began, in days.
            outlook: As it was then.
            sold: Units. Below zero counts as zero.
            weight: How many examples this one stands for.
        """
        scale, sold = outlook.scale, max(0.0, sold)
        error = abs(sold - outlook.expected) / scale
        weight *= 1.0 if error <= self._most else self._most / error
        scaled = [value / scale for value in outlook.candidates]
        self._law.learn(scaled, sold / scale, weight=weight, time=day)
        self._bands.learn(day, outlook.expected, sold)

    def respond(self, strength: float, sold: float, level: float) -> None:
        """Take note of what promotions did, for products of which little is known.

        Args:
            strength: Mean strength of promotions in a span.
            sold: Units in the span.
            level: Units by the level, without promotion.
        """
        self._response.learn(strength, sold, level)

    def frozen(self) -> Stacked:
        """Copy out what is needed to serve."""
        return Stacked(
            tuple(self._law.weights()),
            self._response.share,
            Bands.restored(self._bands.state()),
        )

    def state(self) -> dict[str, Any]:
        """Write down as plain numbers."""
        return {
            "length": self._length,
            "law": self._law.state(),
            "bands": self._bands.state(),
            "rises": self._response.rises,
            "changes": self._response.tried,
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Self:
        """Read what `state` has written. Learning goes on as if it had never stopped."""
        with readable("stack"):
            new = cls(int(state["length"]))
            new._law = FadingLeastSquares.restored(state["law"])
            new._bands = Bands.restored(state["bands"])
            new._response = ShopResponse(float(state["rises"]), float(state["changes"]))
        return new
