"""Measures of a set of judged predictions. All of them are weighted, and none is ever NaN."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from math import log, sqrt

Judged = tuple[float, bool, float]
"""A predicted probability, what came, and how many examples it stands for.

Less than none: a label that was judged before is taken back.
"""

_SURE = 1e-12


def ratio(part: float, whole: float) -> float | None:
    """Divide, or say that it cannot be said.

    >>> ratio(1.0, 4.0), ratio(1.0, 0.0)
    (0.25, None)
    """
    share = part / whole if whole > 0.0 else None
    return share if share is not None and abs(share) < float("inf") else None


def log_loss(p: float, y: bool) -> float:  # noqa: FBT001 (a label)
    """Price of having said `p`. Bounded: a p of 0 or 1 that was wrong costs 27.6.

    >>> round(log_loss(0.5, True), 6)
    0.693147
    """
    return -log(max(_SURE, p if y else 1.0 - p))


def auc(judged: Sequence[Judged]) -> float | None:
    """Chance that a positive was given a higher probability than a negative. A tie is half.

    Args:
        judged: In ascending order.

    >>> auc([(0.1, False, 1.0), (0.3, False, 1.0), (0.3, True, 1.0), (0.8, True, 1.0)])
    0.875
    """
    won = below = positives = 0.0
    for _, tied in groupby(judged, key=lambda one: one[0]):
        up, down = _split(tied)
        won += up * (below + down / 2.0)
        below += down
        positives += up
    area = ratio(won, positives * below)
    return None if area is None else min(max(area, 0.0), 1.0)


def auc_interval(area: float | None, judged: Sequence[Judged]) -> tuple[float | None, float | None]:
    """Give the 95 % interval of an AUC, as if examples were independent of each other.

    One customer's are not, so the truth is wider.

    Source:
        Hanley and McNeil, "The Meaning and Use of the Area under a ROC Curve",
        Radiology 143, 1982.
    """
    if area is None:
        return None, None
    ups = sum(y for _, y, _ in judged)
    downs = max(1, sum(1 if weight > 0.0 else -1 for _, y, weight in judged if not y))
    two_ups, two_downs = area / (2.0 - area), 2.0 * area**2 / (1.0 + area)
    variance = (
        area * (1.0 - area) + (ups - 1) * (two_ups - area**2) + (downs - 1) * (two_downs - area**2)
    ) / (ups * downs)
    reach = 1.96 * sqrt(max(0.0, variance))
    return max(0.0, area - reach), min(1.0, area + reach)


def confusion(judged: Iterable[Judged], threshold: float) -> dict[str, float | None]:
    """Accuracy, precision, recall and F1 if `threshold` and above had been taken as yes."""
    hits = false_alarms = misses = rest = 0.0
    for p, y, weight in judged:
        if p >= threshold:
            if y:
                hits += weight
            else:
                false_alarms += weight
        elif y:
            misses += weight
        else:
            rest += weight
    false_alarms, rest = max(0.0, false_alarms), max(0.0, rest)
    return {
        "accuracy": ratio(hits + rest, hits + rest + false_alarms + misses),
        "precision": ratio(hits, hits + false_alarms),
        "recall": ratio(hits, hits + misses),
        "f1": ratio(2.0 * hits, 2.0 * hits + false_alarms + misses),
    }


def best_threshold(judged: Sequence[Judged]) -> float | None:
    """Threshold with the highest F1; the higher one of two that are equal.

    Args:
        judged: In ascending order.
    """
    positives = sum(weight for _, y, weight in judged if y)
    best, best_f1, hits, false_alarms = None, 0.0, 0.0, 0.0
    for p, tied in groupby(reversed(judged), key=lambda one: one[0]):
        up, down = _split(tied)
        hits += up
        false_alarms += down
        f1 = 2.0 * hits / (hits + max(0.0, false_alarms) + positives)
        if f1 > best_f1:
            best, best_f1 = p, f1
    return best


def _split(judged: Iterable[Judged]) -> tuple[float, float]:
    up = down = 0.0
    for _, y, weight in judged:
        if y:
            up += weight
        else:
            down += weight
    return up, down
