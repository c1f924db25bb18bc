"""A batch logistic regression on the very features of the online models: the yardstick."""

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from stream.evaluation.measures import Floats, Ints, auc_interval, best_threshold, classifier
from stream.evaluation.sample import MOST, Sample

PENALTY = 0.1
"""scikit-learn's C."""
HOW_TO_INSTALL = (
    "The batch logistic regression is left out: scikit-learn is not installed. "
    "It comes with: pip install 'stream-scorer[evaluate]'"
)


def installed() -> bool:
    """Whether scikit-learn is there."""
    return find_spec("sklearn") is not None


def numbers(x: Sequence[float | None]) -> list[float]:
    """Features with NaN for what is missing."""
    return [float("nan") if value is None else value for value in x]


class Batch:
    """Rows to train on, and the model once it is fitted. Without scikit-learn it says nothing.

    Attributes:
        fitted: No more rows are taken.
        threshold: The best for F1 on the rows that it was trained on.
    """

    def __init__(self, *, on: bool, most: int = MOST) -> None:
        """Begin.

        Args:
            on: Take rows, and fit.
            most: Rows to train on; of more, so many are drawn.
        """
        self.on = on
        self._most = most
        self._sample: Sample | None = None
        self._model: tuple[Floats, Floats, float] | None = None
        self.fitted = False
        self.threshold = 0.5

    def add(self, x: Sequence[float | None], y: bool) -> None:  # noqa: FBT001 (a label)
        """Take a row to train on."""
        if not self.on or self.fitted:
            return
        if self._sample is None:
            self._sample = Sample(len(x) + 1, single=True, most=self._most)
        self._sample.add([*numbers(x), y])

    def fit(self) -> None:
        """Train on what was taken; nothing comes of it without labels of both kinds."""
        self.fitted = True
        sample, self._sample = self._sample, None
        if sample is None:
            return
        rows = sample.rows()
        y = rows[:, -1].astype(np.float64)
        if len(np.unique(y)) < 2:
            return
        x, middle = _filled(rows[:, :-1])
        mean, spread = x.mean(axis=0), x.std(axis=0)
        spread[spread < 1e-9] = 1.0
        # In place: of so many rows, each copy is 100 MB.
        x -= mean
        x /= spread
        regression = import_module("sklearn.linear_model").LogisticRegression
        model = regression(C=PENALTY, max_iter=2_000).fit(x, y)
        weights = np.asarray(model.coef_[0], dtype=np.float64) / spread
        intercept = float(model.intercept_[0]) - float(weights @ mean)
        self._model = middle, weights, intercept
        del x
        self.threshold = best_threshold(_filled(rows[:, :-1])[0] @ weights + intercept, y)
        self.threshold = float(1.0 / (1.0 + np.exp(-self.threshold)))

    def says(self, x: Sequence[float | None]) -> float:
        """Predict; NaN while there is no model."""
        return float(self.says_all([x])[0])

    def says_all(self, rows: Sequence[Sequence[float | None]]) -> Floats:
        """Predict many; NaN while there is no model."""
        if self._model is None or not rows:
            return np.full(len(rows), np.nan)
        middle, weights, intercept = self._model
        x = np.array([numbers(row) for row in rows])
        value = np.where(np.isnan(x), middle, x) @ weights + intercept
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(value, -500, 500))))


def _filled(rows: Floats) -> tuple[Floats, Floats]:
    """Features of twice the precision, with medians for what is missing; and these medians."""
    x = np.array(rows, dtype=np.float64, order="C")
    missing = np.isnan(x)
    middle = np.zeros(x.shape[1])
    for place in np.flatnonzero(~missing.all(axis=0)):
        middle[place] = np.nanmedian(x[:, place])
    np.copyto(x, middle, where=missing)
    return x, middle


def beside(p: Floats, y: Floats, who: Ints) -> dict[str, Any] | None:
    """What the batch model reached; None if it said nothing."""
    if np.isnan(p).any():
        return None
    return {**classifier(p, y), "auc_ci": auc_interval(p, y, who)}
