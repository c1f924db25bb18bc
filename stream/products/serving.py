"""The models as a products shard sees them: frozen, versioned, with a rule of thumb beside each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from stream.customers.returning import FIRST_RETURN, RETURN_NAMES
from stream.models.bands import Bands
from stream.models.linear import Features, Linear, log_odds
from stream.models.promotions import Promotions
from stream.models.rhythm import Rhythm
from stream.models.signals import Deviations
from stream.models.stacking import Outlook, Stacked
from stream.products.features import CLICK_NAMES, NAMES
from stream.units import DAY, HOUR, Millis

POTENTIAL_HORIZONS = (Millis(DAY), Millis(7 * DAY))
DEMAND_HORIZONS = (Millis(HOUR), Millis(DAY), Millis(7 * DAY))
SCORE_HORIZON = Millis(7 * DAY)
"""The horizon of the potential that ranks products."""

UPLIFT = 1.5
"""Demand has risen when the next horizon sells so many times what the last one did …"""
MINIMUM = 3
"""… and at least so many units."""

FIRST_CONVERSION = 0.02
FIRST_POTENTIAL = 0.05
"""Base rates believed before any label has come."""


def rule(names: tuple[str, ...], intercept: float, weights: Mapping[str, float]) -> Linear:
    """Make a linear model by hand."""
    return Linear(
        names=names,
        weights=tuple(weights.get(name, 0.0) for name in names),
        intercept=intercept,
        means=(0.0,) * len(names),
        scales=(1.0,) * len(names),
    )


MOMENTUM = rule(
    NAMES,
    log_odds(FIRST_POTENTIAL),
    {"views_day": 1.0, "carts_day": 0.5, "units_fresh": 0.3},
)
"""The momentum rule: interest rises first, sales follow."""


@dataclass(frozen=True, slots=True)
class Judge:
    """A model and the rule that it has to beat.

    Attributes:
        model: None before the first snapshot.
        rule: Always there.
        trusted: The model has been no worse than the rule of late, and is served.
    """

    rule: Linear
    model: Linear | None = None
    trusted: bool = False

    @property
    def served(self) -> Linear:
        """The one whose answer is published."""
        return self.model if self.model is not None and self.trusted else self.rule

    def both(self, x: Features) -> tuple[float, float]:
        """Values of the model (the rule's own while there is none) and of the rule."""
        rule = self.rule.value(x)
        return (rule if self.model is None else self.model.value(x)), rule


SIMPLE = ("smooth_10d", "smooth_22d", "smooth_45d")
"""The simple forecasters, of which the best of late is the rule: the first of `CANDIDATES`."""
FIRST_SIMPLE = 1


class Expected(NamedTuple):
    """Units of a horizon."""

    mean: float
    p10: float
    p50: float
    p90: float


@dataclass(frozen=True, slots=True)
class Forecaster:
    """A stack of forecasts, and the simple one that it has to beat.

    Attributes:
        stack: As it was trained last.
        simple: Number of the one of `SIMPLE` that is the rule.
        bands: How far off the rule has been.
        trusted: The stack has been no worse than the rule of late, and is served.
    """

    stack: Stacked = field(default_factory=Stacked)
    simple: int = FIRST_SIMPLE
    bands: Bands = field(default_factory=Bands)
    trusted: bool = False

    def stacked(self, outlook: Outlook) -> Expected:
        """Say what the stack expects."""
        return Expected(outlook.mean, *self.stack.bands.quantiles(outlook.expected))

    def ruled(self, outlook: Outlook) -> Expected:
        """Say what the rule expects."""
        expected = outlook.candidates[self.simple]
        bulk = outlook.mean - outlook.expected
        return Expected(expected + bulk, *self.bands.quantiles(expected))

    def served(self, outlook: Outlook) -> Expected:
        """Say what is published."""
        return self.stacked(outlook) if self.trusted else self.ruled(outlook)


@dataclass(frozen=True, slots=True)
class Serving:
    """All that the learner has published.

    Attributes:
        version: Of the snapshot; 0 before the first.
        returning: Of a customer, to the shop.
        category_prices: Mean logarithm of the prices in a category.
        rhythm: When the shop sells.
        signals: What is unusual outside.
        market: Version of the promotions, which are stored apart: they are many, and change
            seldom.
        promotions: What the shop has announced.
    """

    version: int = 0
    conversion: Judge = field(
        default_factory=lambda: Judge(rule(CLICK_NAMES, log_odds(FIRST_CONVERSION), {}))
    )
    returning: Judge = field(
        default_factory=lambda: Judge(rule(RETURN_NAMES, log_odds(FIRST_RETURN), {}))
    )
    potential: Mapping[int, Judge] = field(
        default_factory=lambda: {h: Judge(MOMENTUM) for h in POTENTIAL_HORIZONS}
    )
    demand: Mapping[int, Forecaster] = field(
        default_factory=lambda: {h: Forecaster() for h in DEMAND_HORIZONS}
    )
    category_prices: Mapping[str, float] = field(default_factory=dict)
    rhythm: Rhythm = field(default_factory=Rhythm)
    signals: Deviations = field(default_factory=Deviations)
    market: int = 0
    promotions: Promotions = field(default_factory=Promotions)

    @property
    def response(self) -> float:
        """Share by which a promotion of strength 1 usually lifts sales."""
        return self.demand[SCORE_HORIZON].stack.response

    @property
    def outlook(self) -> tuple[object, ...]:
        """What forecasts of demand rest on: the same objects while those would be the same."""
        return self.demand, self.rhythm, self.signals, self.promotions

    @property
    def name(self) -> str:
        """What a score says it was made with."""
        if not self.version:
            return "momentum"
        return (
            f"potential@{self.version}"
            if self.potential[SCORE_HORIZON].trusted
            else f"momentum@{self.version}"
        )

    def state(self) -> dict[str, Any]:
        """Plain data, for a snapshot."""
        return {
            "conversion": _judge_state(self.conversion),
            "returning": _judge_state(self.returning),
            "potential": {str(h): _judge_state(j) for h, j in self.potential.items()},
            "demand": {str(h): _forecaster_state(f) for h, f in self.demand.items()},
            "category_prices": dict(self.category_prices),
            "rhythm": self.rhythm.state(),
            "signals": self.signals.told,
            "market": self.market,
        }

    @classmethod
    def restored(
        cls, version: int, state: Mapping[str, Any], before: "Serving | None" = None
    ) -> "Serving":
        """Rebuild from `state`.

        Args:
            version: Of the snapshot.
            state: What `state` has written.
            before: What was served until now. Its promotions go on, as they are stored apart;
                so do the parts that are the same, and with them the forecasts that rest on them.
        """
        before = cls() if before is None else before
        known = before.state()
        return cls(
            version=version,
            conversion=_judge(state["conversion"]),
            returning=_judge(state["returning"]),
            potential={int(h): _judge(j) for h, j in state["potential"].items()},
            demand=before.demand
            if state["demand"] == known["demand"]
            else {int(h): _forecaster(f) for h, f in state["demand"].items()},
            category_prices=state["category_prices"],
            rhythm=before.rhythm
            if state["rhythm"] == known["rhythm"]
            else Rhythm.restored(state["rhythm"]),
            signals=before.signals
            if state["signals"] == known["signals"]
            else Deviations(state["signals"]),
            market=state["market"],
            promotions=before.promotions,
        )


def _judge_state(judge: Judge) -> dict[str, Any]:
    return {
        "rule": judge.rule.state(),
        "model": None if judge.model is None else judge.model.state(),
        "trusted": judge.trusted,
    }


def _judge(state: Mapping[str, Any]) -> Judge:
    model = state["model"]
    return Judge(
        Linear.restored(state["rule"]),
        None if model is None else Linear.restored(model),
        state["trusted"],
    )


def _forecaster_state(forecaster: Forecaster) -> dict[str, Any]:
    return {
        "stack": forecaster.stack.state(),
        "simple": forecaster.simple,
        "bands": forecaster.bands.state(),
        "trusted": forecaster.trusted,
    }


def _forecaster(state: Mapping[str, Any]) -> Forecaster:
    return Forecaster(
        Stacked.restored(state["stack"]),
        int(state["simple"]),
        Bands.restored(state["bands"]),
        bool(state["trusted"]),
    )
