"""One horizon: the forecasts that wait for it to pass, and what came."""

from collections.abc import Iterator
from dataclasses import dataclass

from stream.evaluation.demand import Demand
from stream.evaluation.history import History
from stream.evaluation.measures import Floats, Ints
from stream.evaluation.plan import Row
from stream.evaluation.potential import Potential, Told
from stream.evaluation.truth import Sold, Windows
from stream.products.forecasts import Forecast
from stream.products.serving import MINIMUM, UPLIFT
from stream.units import Millis, rfc3339, span_name


@dataclass
class Open:
    """The forecasts of one moment. `simple` has the shape (products, forecasters)."""

    time: int
    forecasts: list[Forecast]
    numbers: Ints
    simple: Floats


class Horizon:
    """One horizon: what was said at each of its boundaries, and what came."""

    def __init__(self, horizon: int, first: int, score_from: int, *, batch: bool) -> None:
        self.windows = Windows(horizon, first)
        self.history = History()
        self.demand = Demand(self.history)
        self.potential = Potential(horizon, score_from, batch=batch)
        self._score_from = score_from
        self._open: Open | None = None

    def sell(self, sold: Sold) -> None:
        """Count what was sold."""
        self.windows.sell(sold)

    def close(self, time: int) -> Iterator[Row]:
        """Settle what was said at the last boundary."""
        windows = self.windows
        opened, self._open = self._open, None
        if opened is not None:
            yield from self._settle(opened)
        self.history.add(windows.now, scored=time > self._score_from)
        windows.turn()

    def said(self, time: int, forecasts: list[Forecast]) -> None:
        """Let the forecasts of a boundary wait for their horizon to pass."""
        numbers = self.history.number([forecast.product for forecast in forecasts])
        self._open = Open(time, forecasts, numbers, self.history.simple(numbers))

    def _settle(self, opened: Open) -> Iterator[Row]:
        now, last, horizon = self.windows.now, self.windows.last, self.windows.horizon
        # Where refunds have changed the last window since, the windows know it.
        actual = [max(0, now.get(forecast.product, 0)) for forecast in opened.forecasts]
        before = [max(0, last.get(forecast.product, 0)) for forecast in opened.forecasts]
        fixed = {"horizon": span_name(Millis(horizon)), "time": rfc3339(Millis(opened.time))}
        for forecast, units in zip(opened.forecasts, actual, strict=True):
            said = {"mean": forecast.mean, "p10": forecast.p10, "p50": forecast.p50}
            yield {
                "kind": "demand",
                "product_id": forecast.product,
                **fixed,
                **said,
                "p90": forecast.p90,
                "actual": units,
            }
        if opened.time >= self._score_from:
            self.demand.add(opened.time, opened.forecasts, opened.numbers, opened.simple, actual)
        told = [
            Told(int(number), forecast, units >= UPLIFT * old and units >= MINIMUM)
            for number, forecast, units, old in zip(
                opened.numbers, opened.forecasts, actual, before, strict=True
            )
            if forecast.chance is not None
        ]
        for _, forecast, rose in told:
            yield {
                "kind": "potential",
                "product_id": forecast.product,
                **fixed,
                "p": forecast.chance,
                "label": int(rose),
            }
        self.potential.settle(opened.time, told)
