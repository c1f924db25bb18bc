"""Demand and potential of one horizon: forecasts that wait, simple forecasters, and the score."""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np

from stream.evaluation.batch import Batch
from stream.evaluation.measures import (
    Floats,
    Ints,
    auc_interval,
    best_threshold,
    classifier,
    confusion,
    constant_log_loss,
    pinball,
    reliability,
    rmsse,
    share,
)
from stream.evaluation.truth import Sold, Windows
from stream.products.forecasts import Forecast
from stream.products.serving import MINIMUM, UPLIFT
from stream.units import Millis, rfc3339, span_name

ALPHAS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)
"""Rates of the simple exponential smoothing that hindsight chooses from."""
MEAN_OF = 4
OF_LATE = 5_000
"""Predictions before the scored part on which a threshold is chosen."""
SAID = ("mean", "p10", "p50", "p90", "rule")
SIMPLE = ("naive", "mean4", *(f"ses{alpha}" for alpha in ALPHAS))
COLUMNS = ("product", "time", "actual", *SAID, *SIMPLE)
Row = dict[str, Any]


class History:
    """What was sold in each window, by product: enough for the simple forecasters and a scale.

    Attributes:
        numbers: Products, numbered as they come.
        windows: So many lie before the scored part.
        units, sold: Of each product before the scored part: units, and windows with any.
    """

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.windows = 0
        self._recent = np.full((0, MEAN_OF), nan)
        self._levels = np.full((0, len(ALPHAS)), nan)
        self._before = np.zeros((0, 4))

    @property
    def units(self) -> Floats:
        """See above."""
        return np.asarray(self._before[:, 0])

    @property
    def sold(self) -> Floats:
        """See above."""
        return np.asarray(self._before[:, 1])

    @property
    def scale(self) -> Floats:
        """Root of the mean square error of the naive forecast before the scored part."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.sqrt(self._before[:, 2] / self._before[:, 3]))

    def number(self, products: Sequence[str]) -> Ints:
        """Number products; new ones are taken in."""
        numbers = self.numbers
        found = np.array(
            [numbers.setdefault(product, len(numbers)) for product in products], dtype=np.int64
        )
        if more := len(numbers) - len(self._recent):
            self._recent = np.vstack([self._recent, np.full((more, MEAN_OF), nan)])
            self._levels = np.vstack([self._levels, np.full((more, len(ALPHAS)), nan)])
            self._before = np.vstack([self._before, np.zeros((more, 4))])
        return found

    def add(self, units: dict[str, int], *, scored: bool) -> None:
        """A window is over; products without sales sold nothing."""
        found = self.number(tuple(units))
        now = np.zeros(len(self.numbers))
        now[found] = np.maximum(0, tuple(units.values()))
        last = self._recent[:, -1]
        if not scored:
            self.windows += 1
            known = ~np.isnan(last)
            self._before[:, 0] += now
            self._before[:, 1] += now > 0
            self._before[known, 2] += (now[known] - last[known]) ** 2
            self._before[known, 3] += 1
        self._recent = np.hstack([self._recent[:, 1:], now[:, None]])
        levels, rates = self._levels, np.array(ALPHAS)
        self._levels = np.where(
            np.isnan(levels), now[:, None], levels + rates * (now[:, None] - levels)
        )

    def simple(self, numbers: Ints) -> Floats:
        """What the simple forecasters say. Shape (products, forecasters)."""
        recent = np.nan_to_num(self._recent[numbers])
        seen = np.maximum(1, (~np.isnan(self._recent[numbers])).sum(axis=1))
        levels = np.nan_to_num(self._levels[numbers])
        return np.column_stack([recent[:, -1], recent.sum(axis=1) / seen, levels])


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
        self._score_from = score_from
        self._open: Open | None = None
        self._batch = Batch(on=batch)
        self._rows = array("d")
        self._chances = array("d")
        self._training = array("d")

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
        scored = opened.time >= self._score_from
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
        if scored:
            self._score(opened, actual)
        told = [
            (number, forecast, units >= UPLIFT * old and units >= MINIMUM)
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
        self._judge(opened.time, told)

    def _score(self, opened: Open, actual: list[int]) -> None:
        said = [[f.mean, f.p10, f.p50, f.p90, f.rule_units] for f in opened.forecasts]
        if not said:
            return
        times = np.full(len(said), float(opened.time))
        rows = np.column_stack([opened.numbers, times, actual, np.array(said), opened.simple])
        self._rows.frombytes(rows.astype(np.float64).tobytes())

    def _judge(self, time: int, told: list[tuple[Any, Forecast, bool]]) -> None:
        scored = time >= self._score_from
        if scored and not self._batch.fitted:
            self._batch.fit()
        rows = [forecast.x for _, forecast, _ in told]
        batch = self._batch.says_all(rows) if scored else np.full(len(rows), nan)
        for (number, forecast, rose), other in zip(told, batch, strict=True):
            chance, rule = forecast.chance, forecast.rule_chance
            row = (number, chance, nan if rule is None else rule, other, rose)
            if scored:
                self._chances.extend(map(float, row))
            elif time + self.windows.horizon <= self._score_from:
                self._training.extend(map(float, row))
                self._batch.add(forecast.x, rose)

    # The report

    def best_sellers(self, n: int) -> Ints:
        """Number the products with most units before the scored part, that sold often enough."""
        history = self.history
        often = np.flatnonzero(2 * history.sold >= max(1, history.windows))
        order = np.argsort(-history.units[often], kind="stable")
        return np.asarray(often[order[:n]])

    def scored(self, best_sellers: int | None = None) -> dict[str, Floats]:
        """Columns of all scored forecasts."""
        rows = np.frombuffer(self._rows, np.float64).reshape(-1, len(COLUMNS))
        if best_sellers is not None:
            rows = rows[np.isin(rows[:, 0], self.best_sellers(best_sellers))]
        return {name: rows[:, place] for place, name in enumerate(COLUMNS)}

    def demand(self, best_sellers: int | None) -> Row | None:
        """How right the forecasts were; None if none was scored."""
        columns = self.scored(best_sellers)
        actual, product = columns["actual"], columns["product"].astype(np.int64)
        if not len(actual):
            return None
        scale = self.history.scale

        def measured(name: str) -> Row:
            error = columns[name] - actual
            return {
                "mae": float(np.mean(np.abs(error))),
                "rmse": float(np.sqrt(np.mean(error**2))),
                "rmsse": rmsse(error, product, scale),
                "bias": share(float(error.sum()), float(actual.sum())),
            }

        mean = measured("mean")
        square, spread = mean["rmse"] ** 2, float(np.var(actual))
        unexplained = share(square, spread)
        smoothed = {name: measured(name) for name in SIMPLE[2:]}
        best = min(smoothed, key=lambda name: smoothed[name]["rmsse"] or smoothed[name]["rmse"])
        inside = (columns["p10"] <= actual) & (actual <= columns["p90"])
        return {
            "n": len(actual),
            "products": len(np.unique(product)),
            "units": float(actual.sum()),
            "mae": measured("p50")["mae"],
            **{name: mean[name] for name in ("rmse", "rmsse")},
            "r2": None if unexplained is None else 1.0 - unexplained,
            "bias": mean["bias"],
            "mae_of_mean": mean["mae"],
            "bias_of_p50": measured("p50")["bias"],
            "pinball": {p: pinball(columns[p], actual, int(p[1:]) / 100) for p in SAID[1:4]},
            "coverage": float(np.mean(inside)),
            "baselines": {
                "naive": measured("naive"),
                "mean4": measured("mean4"),
                "smoothing": {**smoothed[best], "alpha": float(best.removeprefix("ses"))},
                "rule": measured("rule"),
            },
        }

    def chances(self) -> tuple[Floats, Floats]:
        """Chances as they were served, and what came."""
        rows = np.frombuffer(self._chances, np.float64).reshape(-1, 5)
        return rows[:, 1], rows[:, 4]

    def potential(self) -> Row | None:
        """How right the chances were; None if none was scored."""
        rows = np.frombuffer(self._chances, np.float64).reshape(-1, 5)
        before = np.frombuffer(self._training, np.float64).reshape(-1, 5)[-OF_LATE:]
        if not len(rows):
            return None
        y, seen = rows[:, 4], before[:, 4]

        def measured(place: int, past: Floats) -> Row:
            p = rows[:, place]
            threshold = best_threshold(past, seen)
            return {
                **classifier(p, y),
                **confusion(p, y, threshold),
                "at_half": confusion(p, y, 0.5),
            }

        batch = None
        if not np.isnan(rows[:, 3]).any():
            batch = {
                **classifier(rows[:, 3], y),
                **confusion(rows[:, 3], y, self._batch.threshold),
                "at_half": confusion(rows[:, 3], y, 0.5),
            }
        who = rows[:, 0].astype(np.int64)
        return {
            "n": len(rows),
            "positives": int(y.sum()),
            "auc_ci": auc_interval(rows[:, 1], y, who),
            **measured(1, before[:, 1]),
            "constant_log_loss": constant_log_loss(y),
            "momentum": measured(2, before[:, 2]),
            "batch": batch,
            "reliability": reliability(rows[:, 1], y),
        }
