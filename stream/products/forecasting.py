"""What is forecast of a product at a moment, and what is noted of it until time has told."""

from collections.abc import Iterator, Sequence
from math import log
from typing import Any, NamedTuple, Self

import orjson

from stream.models.levels import Levels
from stream.models.linear import probability
from stream.models.rising import rising_features, threshold
from stream.models.stacking import CANDIDATES, Ahead, Outlook, promoted
from stream.products.features import cover, interest, rounded
from stream.products.forecasts import Forecast
from stream.products.row import Foreseen, ProductRow, Units
from stream.products.serving import (
    DEMAND_HORIZONS,
    MINIMUM,
    POTENTIAL_HORIZONS,
    SCORE_HORIZON,
    UPLIFT,
    Serving,
)
from stream.units import DAY, HOUR, MINUTE, Millis, span_name

_NOTHING_SOLD = Levels()
_LATE = 30.0
"""Days of which order lines are taken as the evidence of a forecast."""
AGED = 10 * MINUTE
"""A forecast is made anew after this time at the latest: it sees no further than to its hour."""


class Noted(NamedTuple):
    """A forecast that waits for its horizon to pass.

    Attributes:
        time: When it was made, ms.
        last: Units of the last horizon.
        chances: That demand rises, by the model and by the rule; empty if that cannot be told.
        units: Mean, p10, p50 and p90 by the stack, p50 by the rule.
        x: What the chances were made from.
        outlook: What the stack expected, and from what.
        strength: Of promotions in the horizon.
        level: Units by the level, without promotion.
        weight: How many examples it stands for.
    """

    time: int
    last: float
    chances: list[float]
    units: list[float]
    x: Sequence[float | None]
    outlook: Outlook
    strength: float
    level: float
    weight: float

    def encode(self) -> bytes:
        """Write it as JSON. Four digits tell as much."""
        return orjson.dumps(
            [
                self.time,
                self.last,
                rounded(self.chances),
                rounded(self.units),
                rounded(self.x),
                rounded(_flat(self.outlook)),
                round(self.strength, 4),
                round(self.level, 4),
                self.weight,
            ]
        )

    @classmethod
    def decoded(cls, values: list[Any]) -> Self:
        """Read what `encode` has written."""
        time, last, chances, units, x, flat, strength, level, weight = values
        outlook = Outlook(tuple(flat[: len(CANDIDATES)]), *flat[len(CANDIDATES) :])
        return cls(time, last, chances, units, x, outlook, strength, level, weight)


def _flat(outlook: Outlook) -> list[float]:
    return [*outlook.candidates, outlook.expected, outlook.mean, outlook.scale]


class Prospect:
    """What a row promises at a moment."""

    __slots__ = ("_course", "_move", "_paces", "_row", "_serving", "_sold", "_time", "_unusual")

    def __init__(
        self,
        product: str,
        row: ProductRow,
        serving: Serving,
        *,
        time: int,
        boundary: int,
        bucket: int,
    ) -> None:
        """Look at a row.

        Args:
            product: Its id; empty for a category.
            row: The product, or the category.
            serving: The models.
            time: Now, ms; not before the row's latest event.
            boundary: Number of the first bucket that is not over.
            bucket: Length of one, ms.
        """
        self._row = row
        self._serving = serving
        self._time = time
        self._course = serving.promotions.course(product, row.category)
        levels = _NOTHING_SOLD if row.levels is None else row.levels
        self._paces = levels.paces(boundary, bucket, serving.rhythm, self._course, serving.response)
        self._sold = row.units(boundary, bucket)
        self._unusual = serving.signals.of(row.category, time)
        self._move = log(row.price) - log(row.usual) if row.price and row.usual else 0.0

    def strength(self, horizon: int) -> float:
        """Mean strength of promotions in a horizon."""
        return self._course.strength(self._time, horizon)

    def outlook(self, horizon: int) -> Outlook:
        """Say what the stack expects."""
        days = self._serving.rhythm.usual_days(self._time, horizon)
        stack = self._serving.demand[horizon].stack
        lift = self._paces.response * self.strength(horizon)
        ahead = Ahead(self._paces, days, horizon, self._move, lift, self._unusual)
        return stack.outlook(ahead)

    def _lift(self, horizon: int) -> float:
        """Say by which share promotions are to lift sales above those of the last horizon."""
        response, last = self._paces.response, self._course.strength(self._time - horizon, horizon)
        return promoted(response * self.strength(horizon)) / promoted(response * last) - 1.0

    def level(self, horizon: int) -> float:
        """Units by the level, without promotion."""
        return self._paces.units[2] * self._serving.rhythm.usual_days(self._time, horizon)

    @property
    def seen(self) -> float:
        """Order lines of late: what the forecast rests on."""
        return self._paces.lines[1] * min(self._paces.age, _LATE)

    def last(self, horizon: int) -> float:
        """Units of the last horizon."""
        return _last(self._sold, horizon)[0]

    def rising(self, outlook: Outlook, horizon: int) -> list[float]:
        """Number what sales, price, promotions and signals tell of whether demand is to rise."""
        last, before = _last(self._sold, horizon)
        return rising_features(
            outlook,
            self._serving.demand[horizon].stack.bands,
            self._paces,
            last=last,
            before=before,
            least=threshold(last, UPLIFT, MINIMUM),
            price_move=self._move,
            promotion=self._lift(horizon),
            unusual=self._unusual,
        )

    def features(self, outlook: Outlook, horizon: int) -> list[float | None]:
        """Number what tells whether demand is about to rise."""
        return features(self._row, self._time, self.rising(outlook, horizon), outlook.expected)


def features(
    row: ProductRow, time: int, rising: Sequence[float], expected: float
) -> list[float | None]:
    """Number what tells whether demand is about to rise: one number for each of `NAMES`.

    Args:
        row: What is known.
        time: Now, ms; not before the row's latest event.
        rising: What `Prospect.rising` says.
        expected: Units of the horizon.
    """
    return [*rising, *interest(row, time), cover(row, expected)]


def foreseen(product: str, row: ProductRow, serving: Serving, time: int, bucket: int) -> Foreseen:
    """Forecast what is served, as of a moment ago; remembered in the row while nothing is new.

    Most of what happens to a product is that somebody looks at it, which changes none of this.

    Args:
        product: Its id; empty for a category.
        row: What is known.
        serving: The models.
        time: Now, ms; not before the row's latest event.
        bucket: Length of a demand bucket, ms.
    """
    # A bucket in which something was sold already is taken as over.
    boundary = max(time // bucket, 0 if row.levels is None else row.levels.latest + 1)
    moment = time - time % AGED
    # By identity: to compare models number by number would take longer than to forecast.
    models = serving.outlook
    known_of = (row.category, row.price, row.usual, serving.market)  # one calendar may grow
    basis = (moment, boundary, *known_of, *map(id, models))
    known = row.foreseen
    if known is None or known.basis != basis:
        known = row.foreseen = _foresee(
            Prospect(product, row, serving, time=moment, boundary=boundary, bucket=bucket),
            serving,
            basis,
        )
    return known


def _foresee(prospect: Prospect, serving: Serving, basis: tuple[object, ...]) -> Foreseen:
    outlooks = {horizon: prospect.outlook(horizon) for horizon in serving.demand}
    demand = {
        span_name(Millis(horizon)): {
            name: round(units, 2)
            for name, units in forecaster.served(outlooks[horizon])._asdict().items()
        }
        for horizon, forecaster in serving.demand.items()
    }
    outlook = outlooks[SCORE_HORIZON]
    rising = prospect.rising(outlook, SCORE_HORIZON)
    return Foreseen(basis, serving.outlook, demand, rising, outlook.expected, prospect.seen)


def _last(sold: Units, horizon: int) -> tuple[float, float]:
    """Units of the last horizon, and of the one before."""
    if horizon == HOUR:
        return sold.hour, 0.0
    return (sold.day, sold.day_before) if horizon == DAY else (sold.week, sold.week_before)


def noted(prospect: Prospect, serving: Serving, *, time: int, horizon: int, told: bool) -> Noted:
    """Forecast a horizon for what is to be learned.

    Args:
        prospect: Of the product.
        serving: The models.
        time: Now, ms.
        horizon: ms.
        told: Whether a rise can be told by its end.
    """
    forecaster = serving.demand[horizon]
    outlook = prospect.outlook(horizon)
    x: list[float | None] = []
    chances: list[float] = []
    if told and horizon in POTENTIAL_HORIZONS:
        x = prospect.features(outlook, horizon)
        chances = [probability(v) for v in serving.potential[horizon].both(x)]
    units = [*forecaster.stacked(outlook), forecaster.ruled(outlook).p50]
    strength, level = prospect.strength(horizon), prospect.level(horizon)
    last = prospect.last(horizon)
    return Noted(time, last, chances, units, x, outlook, strength, level, 1.0)


def forecasts(
    product: str, row: ProductRow, serving: Serving, time: int, bucket: int
) -> Iterator[Forecast]:
    """Say what is served of a row at a bucket boundary, for each horizon that has a bucket."""
    prospect = Prospect(product, row, serving, time=time, boundary=time // bucket, bucket=bucket)
    for horizon in DEMAND_HORIZONS:
        if horizon < bucket:
            continue
        forecaster = serving.demand[horizon]
        outlook = prospect.outlook(horizon)
        x = prospect.features(outlook, horizon) if horizon in POTENTIAL_HORIZONS else []
        judge = serving.potential.get(horizon)
        yield Forecast(
            product,
            row.category,
            horizon,
            *forecaster.served(outlook),
            None if judge is None else probability(judge.served.value(x)),
            None if judge is None else probability(judge.rule.value(x)),
            forecaster.ruled(outlook).mean,
            list(x),
        )


def thin(share: float, seen: float) -> tuple[float, float]:
    """Say between which a share may lie that was seen in so many cases, eight times in ten.

    Args:
        share: 0 to 1.
        seen: Cases, not negative; one more is taken to stand behind every forecast.

    Source:
        Wilson, "Probable Inference, the Law of Succession, and Statistical Inference",
        JASA 22, 1927.

    >>> [round(bound, 2) for bound in (*thin(0.2, 0.0), *thin(0.2, 99.0))]
    [0.02, 0.75, 0.15, 0.26]
    """
    number, square = seen + 1.0, _EIGHT_IN_TEN**2
    middle = (share + square / (2.0 * number)) / (1.0 + square / number)
    spread = share * (1.0 - share) / number + square / (4.0 * number * number)
    reach = _EIGHT_IN_TEN * spread**0.5 / (1.0 + square / number)
    return max(0.0, min(share, middle - reach)), min(1.0, max(share, middle + reach))


_EIGHT_IN_TEN = 1.2816
