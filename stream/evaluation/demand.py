"""Units of one horizon: what was forecast, what came, and the score."""

from collections.abc import Sequence

import numpy as np

from stream.evaluation.history import SIMPLE, History
from stream.evaluation.measures import Bools, Floats, Ints, pinball, rmsse, share
from stream.evaluation.plan import Row
from stream.evaluation.sample import Sample
from stream.products.forecasts import Forecast

SAID = ("mean", "p10", "p50", "p90", "rule")
COLUMNS = ("product", "time", "actual", *SAID, *SIMPLE)


class Demand:
    """What was forecast at each boundary of the scored part, and what came.

    Attributes:
        sample: Of these forecasts; see `scored`.
    """

    def __init__(self, history: History, most: int) -> None:
        """Begin.

        Args:
            history: What was sold: it numbers the products and knows their scale.
            most: Forecasts that are measured; of more, so many are drawn.
        """
        self._history = history
        self.sample = Sample(len(COLUMNS), most=most)

    def add(
        self,
        time: int,
        forecasts: Sequence[Forecast],
        numbers: Ints,
        simple: Floats,
        actual: list[int],
    ) -> None:
        """Take note of what came of the forecasts of a boundary.

        Args:
            time: The boundary, ms.
            forecasts: One for each product.
            numbers: Of the products.
            simple: What the simple forecasters said. Shape (products, forecasters).
            actual: Units that came.
        """
        said = [[f.mean, f.p10, f.p50, f.p90, f.rule_units] for f in forecasts]
        if not said:
            return
        times = np.full(len(said), float(time))
        rows = np.column_stack([numbers, times, actual, np.array(said), simple])
        for row in rows.tolist():
            self.sample.add(row)

    def best_sellers(self, n: int) -> Ints:
        """Number the products with most units before the scored part, that sold often enough."""
        history = self._history
        often = np.flatnonzero(2 * history.sold >= max(1, history.windows))
        order = np.argsort(-history.units[often], kind="stable")
        return np.asarray(often[order[:n]])

    def scored(self, best_sellers: int | None = None) -> dict[str, Floats]:
        """Columns of the scored forecasts."""
        rows = self.sample.rows()
        if best_sellers is not None:
            rows = rows[np.isin(rows[:, 0], self.best_sellers(best_sellers))]
        return {name: rows[:, place] for place, name in enumerate(COLUMNS)}

    def report(self, best_sellers: int | None) -> Row | None:
        """How right the forecasts were; None if none was scored."""
        columns = self.scored(best_sellers)
        actual, product = columns["actual"], columns["product"].astype(np.int64)
        if not len(actual):
            return None
        scale = self._history.scale
        units, windows = np.bincount(product, actual)[product], np.bincount(product)[product]
        columns["hindsight"] = units / windows
        several = windows > 1
        columns["neighbours"] = (units - actual) / np.maximum(1, windows - 1)

        def measured(name: str, rows: Bools | None = None) -> Row:
            rows = np.ones(len(actual), dtype=bool) if rows is None else rows
            error = (columns[name] - actual)[rows]
            return {
                "mae": float(np.mean(np.abs(error))),
                "rmse": float(np.sqrt(np.mean(error**2))),
                "rmsse": rmsse(error, product[rows], scale),
                "bias": share(float(error.sum()), float(actual[rows].sum())),
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
            "hindsight": measured("hindsight"),
            "neighbours": measured("neighbours", several) if several.any() else None,
        }
