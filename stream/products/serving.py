"""The models as a products shard sees them: frozen, versioned, with a rule of thumb beside each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stream.customers.returning import FIRST_RETURN, RETURN_NAMES
from stream.models.linear import Linear, log_odds
from stream.products.features import CLICK_NAMES, NAMES
from stream.units import DAY, HOUR, Millis, span_name

POTENTIAL_HORIZONS = (Millis(DAY), Millis(7 * DAY))
DEMAND_HORIZONS = (Millis(HOUR), Millis(DAY), Millis(7 * DAY))
SCORE_HORIZON = Millis(7 * DAY)
"""The horizon of the potential that ranks products."""

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
    {"views_day": 1.0, "carts_day": 0.5, "units_day": 0.3},
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

    def both(self, x: list[float | None]) -> tuple[float, float]:
        """Values of the model (the rule's own while there is none) and of the rule."""
        rule = self.rule.value(x)
        return (rule if self.model is None else self.model.value(x)), rule


@dataclass(frozen=True, slots=True)
class Spread:
    """How far the logarithm of demand lay from its forecast: its 10, 50 and 90 % quantiles."""

    p10: float = -0.7
    p50: float = 0.0
    p90: float = 0.7


def pace(horizon: Millis) -> Linear:
    """Make the rule that the week's pace goes on."""
    return rule(NAMES, 0.0, {f"pace_{span_name(horizon)}": 1.0})


@dataclass(frozen=True, slots=True)
class Serving:
    """All that the learner has published.

    Attributes:
        version: Of the snapshot; 0 before the first.
        returning: Of a customer, to the shop.
        category_prices: Mean logarithm of the prices in a category.
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
    demand: Mapping[int, Judge] = field(
        default_factory=lambda: {h: Judge(pace(h)) for h in DEMAND_HORIZONS}
    )
    spread: Mapping[int, Spread] = field(
        default_factory=lambda: {h: Spread() for h in DEMAND_HORIZONS}
    )
    category_prices: Mapping[str, float] = field(default_factory=dict)

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
            "demand": {str(h): _judge_state(j) for h, j in self.demand.items()},
            "spread": {str(h): [s.p10, s.p50, s.p90] for h, s in self.spread.items()},
            "category_prices": dict(self.category_prices),
        }

    @classmethod
    def restored(cls, version: int, state: Mapping[str, Any]) -> "Serving":
        """Rebuild from `state`."""
        return cls(
            version=version,
            conversion=_judge(state["conversion"]),
            returning=_judge(state["returning"]),
            potential={int(h): _judge(j) for h, j in state["potential"].items()},
            demand={int(h): _judge(j) for h, j in state["demand"].items()},
            spread={int(h): Spread(*s) for h, s in state["spread"].items()},
            category_prices=state["category_prices"],
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
