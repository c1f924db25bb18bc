"""Measures of predictions in arrays. Those of the live models are in `stream.models.judging`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

DRAWS = 500
"""Draws of a bootstrap …"""
MOST = 60_000_000
"""… but no more than so many rows in all."""
SEED = 20_260_101
SURE = 1e-12
BINS = 10


def auc(p: Floats, y: Floats, weight: Floats | None = None) -> float | None:
    """Chance that a positive was given a higher probability than a negative. A tie is half.

    >>> auc(np.array([0.1, 0.3, 0.3, 0.8]), np.array([0.0, 0.0, 1.0, 1.0]))
    0.875
    """
    return _Ranked(p, y).auc(np.ones(len(p)) if weight is None else weight)


class _Ranked:
    """Predictions in order, so that many weights can be tried on them."""

    def __init__(self, p: Floats, y: Floats) -> None:
        self._order = np.argsort(p, kind="stable")
        ranked = p[self._order]
        self._y = y[self._order]
        changes = np.ones(len(p), dtype=bool)
        changes[1:] = ranked[1:] != ranked[:-1]
        self._starts = np.flatnonzero(changes)

    def auc(self, weight: Floats) -> float | None:
        if not len(self._order):
            return None
        weight = weight[self._order]
        ups = np.add.reduceat(weight * self._y, self._starts)
        downs = np.add.reduceat(weight * (1.0 - self._y), self._starts)
        pairs = float(ups.sum() * downs.sum())
        if pairs <= 0.0:
            return None
        return float((ups * (np.cumsum(downs) - downs / 2.0)).sum()) / pairs


def auc_interval(p: Floats, y: Floats, who: Ints) -> list[float] | None:
    """Give the 95 % interval of an AUC by drawing customers anew, with a fixed seed.

    Args:
        p: What was predicted.
        y: What came, 0 or 1.
        who: Number of the customer of each row; all of one are drawn together.
    """
    if not len(p):
        return None
    chance, ranked = np.random.default_rng(SEED), _Ranked(p, y)
    _, who = np.unique(who, return_inverse=True)
    customers = int(who.max()) + 1
    draws = max(50, min(DRAWS, MOST // len(p)))
    areas = []
    for _ in range(draws):
        drawn = np.bincount(chance.integers(0, customers, customers), minlength=customers)
        area = ranked.auc(drawn[who].astype(np.float64))
        if area is not None:
            areas.append(area)
    if len(areas) < draws // 2:
        return None
    return [float(edge) for edge in np.quantile(areas, (0.025, 0.975))]


def log_loss(p: Floats, y: Floats) -> float | None:
    """Mean price of what was said.

    >>> round(log_loss(np.array([0.5, 0.5]), np.array([0.0, 1.0])), 6)
    0.693147
    """
    if not len(p):
        return None
    p = np.clip(p, SURE, 1.0 - SURE)
    return float(-np.mean(y * np.log(p) + (1.0 - y) * np.log(1.0 - p)))


def share(part: float, whole: float) -> float | None:
    """Divide, or say that it cannot be said."""
    return float(part / whole) if whole > 0 else None


def confusion(p: Floats, y: Floats, threshold: float) -> dict[str, float | None]:
    """Accuracy, precision, recall and F1 if `threshold` and above is taken as yes."""
    yes, true = p >= threshold, y > 0.5
    hits = float(np.sum(yes & true))
    return {
        "threshold": float(threshold),
        "accuracy": share(float(np.sum(yes == true)), len(p)),
        "precision": share(hits, float(yes.sum())),
        "recall": share(hits, float(true.sum())),
        "f1": share(2.0 * hits, float(yes.sum() + true.sum())),
    }


def best_threshold(p: Floats, y: Floats) -> float:
    """Threshold with the highest F1; one half where there is none.

    >>> best_threshold(np.array([0.1, 0.2, 0.3]), np.array([0.0, 1.0, 1.0]))
    0.2
    """
    if not len(p) or not y.sum():
        return 0.5
    order = np.argsort(-p, kind="stable")
    ranked, hits = p[order], np.cumsum(y[order])
    f1 = 2.0 * hits / (np.arange(1, len(p) + 1) + y.sum())
    last = np.ones(len(p), dtype=bool)  # of equal probabilities, all are taken
    last[:-1] = ranked[:-1] != ranked[1:]
    return float(ranked[np.argmax(np.where(last, f1, -1.0))])


def classifier(p: Floats, y: Floats) -> dict[str, Any]:
    """Sum up probabilities, but for what needs customers or a threshold."""
    return {
        "auc": auc(p, y),
        "log_loss": log_loss(p, y),
        "brier": float(np.mean((p - y) ** 2)) if len(p) else None,
        "calibration": share(float(p.sum()), float(y.sum())),
    }


def reliability(p: Floats, y: Floats) -> list[dict[str, float]]:
    """Compare what was said with what came, in tenths of the rows from the least sure up."""
    order = np.argsort(p, kind="stable")
    return [
        {"n": len(part), "p": float(p[part].mean()), "share": float(y[part].mean())}
        for part in np.array_split(order, BINS)
        if len(part)
    ]


def constant_log_loss(y: Floats) -> float | None:
    """Price of the base rate, said each time by somebody who knows it."""
    return log_loss(np.full(len(y), y.mean()), y) if len(y) else None


def pinball(forecast: Floats, actual: Floats, level: float) -> float | None:
    """Mean pinball loss of a quantile.

    >>> round(pinball(np.array([1.0]), np.array([3.0]), 0.9), 6)
    1.8
    """
    gap = actual - forecast
    return float(np.mean(np.maximum(level * gap, (level - 1.0) * gap))) if len(gap) else None


def rmsse(error: Floats, product: Ints, scale: Floats) -> float | None:
    """Mean over products of the root of the mean square error, divided by the product's scale.

    Args:
        error: Of each forecast.
        product: Number of the product of each.
        scale: By number; those without one (NaN or 0) are left out.
    """
    size = len(scale)
    number = np.bincount(product, minlength=size)
    square = np.bincount(product, weights=error**2, minlength=size)
    there = (number > 0) & (scale > 0)
    if not there.any():
        return None
    return float(np.mean(np.sqrt(square[there] / number[there]) / scale[there]))
