"""A batch logistic regression on the very features of the online models: the yardstick."""

from array import array
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from stream.evaluation.measures import Floats, Ints, auc_interval, best_threshold, classifier

PENALTY = 0.1
"""scikit-learn's C."""
MOST = 300_000
"""Rows to train on; of more, every second is left out, again and again."""
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

    def __init__(self, *, on: bool) -> None:
        self.on = on
        self._x = array("f")
        self._y = array("b")
        self._width = 0
        self._every = 1
        self._seen = 0
        self._model: tuple[Floats, Floats, Floats, float] | None = None
        self.fitted = False
        self.threshold = 0.5

    def add(self, x: Sequence[float | None], y: bool) -> None:  # noqa: FBT001 (a label)
        """Take a row to train on."""
        if not self.on or self.fitted:
            return
        self._seen += 1
        if self._seen % self._every:
            return
        self._width = len(x)
        self._x.extend(numbers(x))
        self._y.append(y)
        if len(self._y) == MOST:
            rows = np.frombuffer(self._x, np.float32).reshape(-1, self._width)[1::2].copy()
            self._x, self._y = array("f", rows.tobytes()), self._y[1::2]
            self._every *= 2

    def fit(self) -> None:
        """Train on what was taken; nothing comes of it without labels of both kinds."""
        self.fitted = True
        if not self.on or len(set(self._y)) < 2:
            return
        y = np.array(self._y)
        x = np.array(self._x, dtype=np.float64).reshape(len(y), self._width)
        self._x, self._y = array("f"), array("b")
        known = ~np.isnan(x).all(axis=0)
        middle = np.zeros(self._width)
        middle[known] = np.nanmedian(x[:, known], axis=0)
        x = np.where(np.isnan(x), middle, x)
        mean, spread = x.mean(axis=0), x.std(axis=0)
        spread[spread < 1e-9] = 1.0
        regression = import_module("sklearn.linear_model").LogisticRegression
        model = regression(C=PENALTY, max_iter=2_000).fit((x - mean) / spread, y)
        weights = np.asarray(model.coef_[0], dtype=np.float64) / spread
        intercept = float(model.intercept_[0]) - float(weights @ mean)
        self._model = middle, mean, weights, intercept
        self.threshold = best_threshold(x @ weights + intercept, y.astype(np.float64))
        self.threshold = float(1.0 / (1.0 + np.exp(-self.threshold)))

    def says(self, x: Sequence[float | None]) -> float:
        """Predict; NaN while there is no model."""
        return float(self.says_all([x])[0])

    def says_all(self, rows: Sequence[Sequence[float | None]]) -> Floats:
        """Predict many; NaN while there is no model."""
        if self._model is None or not rows:
            return np.full(len(rows), np.nan)
        middle, _, weights, intercept = self._model
        x = np.array([numbers(row) for row in rows])
        value = np.where(np.isnan(x), middle, x) @ weights + intercept
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(value, -500, 500))))


def beside(p: Floats, y: Floats, who: Ints) -> dict[str, Any] | None:
    """What the batch model reached; None if it said nothing."""
    if np.isnan(p).any():
        return None
    return {**classifier(p, y), "auc_ci": auc_interval(p, y, who)}
