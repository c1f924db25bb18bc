"""What is told to whoever watches the predictions: an evaluation."""

from typing import NamedTuple


class ClickPrediction(NamedTuple):
    """What was said at a click of whether it leads to an order.

    Attributes:
        time: Of the click.
        p: What is served.
        model: What the model says.
        rule: What the rule of thumb says.
        x: The features, as the model sees them.
    """

    time: int
    customer: str
    product: str
    kind: str
    p: float
    model: float
    rule: float
    x: list[float | None]


class Forecast(NamedTuple):
    """What is said at a moment of a product's next horizon.

    Attributes:
        product: Its id; empty for a category.
        horizon: Its length, ms.
        mean, p10, p50, p90: Units, as they are served.
        chance: That demand is about to rise, as it is served; None where that is not told.
        rule_chance: What the momentum rule says of it.
        rule_units: What the rule of thumb says of the units.
        x: The features, as the models see them.
    """

    product: str
    category: str | None
    horizon: int
    mean: float
    p10: float
    p50: float
    p90: float
    chance: float | None
    rule_chance: float | None
    rule_units: float
    x: list[float | None]
