"""Chances that demand rises, of one horizon: what was said, what came, and the score."""

from collections import deque
from collections.abc import Sequence
from math import nan
from typing import NamedTuple

import numpy as np

from stream.evaluation.batch import Batch
from stream.evaluation.measures import (
    Floats,
    auc_interval,
    best_threshold,
    classifier,
    confusion,
    constant_log_loss,
    reliability,
)
from stream.evaluation.plan import Plan, Row
from stream.evaluation.sample import Sample
from stream.products.forecasts import Forecast

OF_LATE = 5_000
"""Predictions before the scored part on which a threshold is chosen."""
_WHO, _SERVED, _RULE, _BATCH, _LAGS, _LABEL = range(6)


class Told(NamedTuple):
    """A chance that was said, and what came.

    Attributes:
        number: Of the product, or of the category.
        lags: What a batch model sees that knows nothing but past units.
    """

    number: int
    forecast: Forecast
    lags: list[float]
    rose: bool


class Potential:
    """What was said of rises at each boundary of a horizon, and what came.

    Attributes:
        sample: Of the scored chances; see `scored`.
    """

    def __init__(self, horizon: int, plan: Plan) -> None:
        self._horizon = horizon
        self._score_from = plan.score_from
        self._batch = Batch(on=plan.batch, most=plan.most)
        self._batch_lags = Batch(on=plan.batch, most=plan.most)
        self.sample = Sample(_LABEL + 1, most=plan.most)
        self._before: deque[tuple[float, ...]] = deque(maxlen=OF_LATE)

    def settle(self, time: int, told: Sequence[Told]) -> None:
        """Take note of what came of the chances that were said at a boundary.

        Args:
            time: The boundary, ms.
            told: One for each product, or category.
        """
        scored = time >= self._score_from
        silent = [nan] * len(told)
        batch, lags = silent, silent
        if scored:
            batch = _answers(self._batch, [one.forecast.x for one in told])
            lags = _answers(self._batch_lags, [one.lags for one in told])
        for one, by_batch, by_lags in zip(told, batch, lags, strict=True):
            chance, rule = one.forecast.chance, one.forecast.rule_chance
            row = (
                one.number,
                nan if chance is None else chance,
                nan if rule is None else rule,
                by_batch,
                by_lags,
                one.rose,
            )
            if scored:
                self.sample.add(row)
            elif time + self._horizon <= self._score_from:
                self._before.append(row)
                self._batch.add(one.forecast.x, one.rose)
                self._batch_lags.add(one.lags, one.rose)

    def scored(self) -> Floats:
        """Scored chances: product, served, rule, both batch models, label."""
        return self.sample.rows()

    def chances(self) -> tuple[Floats, Floats]:
        """Chances as they were served, and what came."""
        rows = self.scored()
        return rows[:, _SERVED], rows[:, _LABEL]

    def report(self) -> Row | None:
        """How right the chances were; None if none was scored."""
        rows = self.scored()
        before = np.array(self._before, dtype=np.float64).reshape(-1, _LABEL + 1)
        if not len(rows):
            return None
        y, seen = rows[:, _LABEL], before[:, _LABEL]

        def measured(place: int, threshold: float) -> Row:
            p = rows[:, place]
            return {
                **classifier(p, y),
                **confusion(p, y, threshold),
                "at_half": confusion(p, y, 0.5),
            }

        def batch(place: int, threshold: float) -> Row | None:
            return None if np.isnan(rows[:, place]).any() else measured(place, threshold)

        served = rows[:, _SERVED]
        return {
            "n": len(rows),
            "positives": int(y.sum()),
            "auc_ci": auc_interval(served, y, rows[:, _WHO].astype(np.int64)),
            **measured(_SERVED, best_threshold(before[:, _SERVED], seen)),
            "constant_log_loss": constant_log_loss(y),
            "momentum": measured(_RULE, best_threshold(before[:, _RULE], seen)),
            "batch": batch(_BATCH, self._batch.threshold),
            "batch_lags": batch(_LAGS, self._batch_lags.threshold),
            "reliability": reliability(served, y),
        }


def _answers(batch: Batch, rows: Sequence[Sequence[float | None]]) -> list[float]:
    if not batch.fitted:
        batch.fit()
    return [float(p) for p in batch.says_all(rows)]
