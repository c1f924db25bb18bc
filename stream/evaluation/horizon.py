"""One horizon: the forecasts that wait for it to pass, and what came."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from stream.evaluation.demand import Demand
from stream.evaluation.history import History
from stream.evaluation.measures import Floats, Ints
from stream.evaluation.plan import Plan, Row
from stream.evaluation.potential import Potential, Told
from stream.evaluation.truth import Windows
from stream.products.forecasts import Forecast
from stream.products.serving import MINIMUM, UPLIFT
from stream.units import Millis, rfc3339, span_name

Kind = Literal["product_id", "category"]
"""What is forecast, by the field of the dump that names it."""


@dataclass
class Open:
    """The forecasts of one moment.

    Attributes:
        names: Of products, or of categories.
        numbers: They as the history numbers them.
        simple: What the simple forecasters say. Shape (products, forecasters).
        lags: What the plainest batch model sees. Shape (products, lags).
    """

    time: int
    names: list[str]
    forecasts: Sequence[Forecast]
    numbers: Ints
    simple: Floats
    lags: Floats


class Horizon:
    """One horizon of all products, or all categories: what was said at each of its boundaries."""

    def __init__(self, kind: Kind, horizon: int, first: int, plan: Plan) -> None:
        """Begin.

        Args:
            kind: What is forecast.
            horizon: Its length, ms.
            first: Where the first window begins.
            plan: What is evaluated.
        """
        self.windows = Windows(horizon, first)
        self.history = History()
        self.demand = Demand(self.history, plan.most)
        self.potential = Potential(horizon, plan)
        self._kind = kind
        self._score_from = plan.score_from
        self._open: Open | None = None

    def close(self, time: int) -> Iterator[Row]:
        """Settle what was said at the last boundary."""
        windows = self.windows
        opened, self._open = self._open, None
        if opened is not None:
            yield from self._settle(opened)
        self.history.add(windows.now, scored=time > self._score_from)
        windows.turn()

    def said(self, time: int, said: Sequence[Forecast]) -> None:
        """Let the forecasts of a boundary wait for their horizon to pass."""
        said = [forecast for forecast in said if forecast.horizon == self.windows.horizon]
        names = [self._name(forecast) for forecast in said]
        numbers, history = self.history.number(names), self.history
        simple, lags = history.simple(numbers), history.lags(numbers)
        self._open = Open(time, names, said, numbers, simple, lags)

    def _name(self, forecast: Forecast) -> str:
        return forecast.product if self._kind == "product_id" else forecast.category or ""

    def _settle(self, opened: Open) -> Iterator[Row]:
        now, last = self.windows.now, self.windows.last
        # Where refunds have changed the last window since, the windows know it.
        actual = [max(0, now.get(name, 0)) for name in opened.names]
        before = [max(0, last.get(name, 0)) for name in opened.names]
        if self._kind == "product_id":
            yield from self._demand_rows(opened, actual)
        if opened.time >= self._score_from:
            self.demand.add(opened.time, opened.forecasts, opened.numbers, opened.simple, actual)
        told = [
            Told(int(number), forecast, lags, units >= UPLIFT * old and units >= MINIMUM)
            for number, forecast, lags, units, old in zip(
                opened.numbers, opened.forecasts, opened.lags.tolist(), actual, before, strict=True
            )
            if forecast.chance is not None
        ]
        for one in told:
            yield {
                "kind": "potential",
                self._kind: self._name(one.forecast),
                **self._fixed(opened.time),
                "p": one.forecast.chance,
                "label": int(one.rose),
            }
        self.potential.settle(opened.time, told)

    def _demand_rows(self, opened: Open, actual: list[int]) -> Iterator[Row]:
        for name, forecast, units in zip(opened.names, opened.forecasts, actual, strict=True):
            yield {
                "kind": "demand",
                "product_id": name,
                **self._fixed(opened.time),
                "mean": forecast.mean,
                "p10": forecast.p10,
                "p50": forecast.p50,
                "p90": forecast.p90,
                "actual": units,
            }

    def _fixed(self, time: int) -> Row:
        return {
            "horizon": span_name(Millis(self.windows.horizon)),
            "time": rfc3339(Millis(time)),
        }
