"""How right a model has been of late, beside a baseline, and which of the two is served."""

from collections import deque
from collections.abc import Mapping
from math import sqrt
from typing import Any, Literal, Self

from stream.models.judging import (
    Judged,
    auc,
    auc_interval,
    best_threshold,
    confusion,
    log_loss,
    ratio,
)
from stream.models.snapshots import readable

Served = Literal["model", "baseline"]

MEMORY = 20_000
"""Labels after which one counts for 1/e in the running means."""
WINDOW = 5_000
"""Latest labels from which AUC and the confusion counts are taken, exactly."""
LIMIT = 1e15
"""Numbers beyond this, and NaN, would spoil the sums for good."""
ENOUGH_LABELS = 200
ENOUGH_OF_A_KIND = 10
ENOUGH_ACTUALS = 50


class ClassifierQuality:
    """What a classifier's probabilities were worth.

    >>> quality = ClassifierQuality()
    >>> for p, y in ((0.9, True), (0.2, False), (0.4, False)):
    ...     quality.add(p, baseline=0.3, y=y)
    >>> report = quality.report()
    >>> report["auc"], report["accuracy"], report["serving"]
    (1.0, 1.0, 'baseline')
    """

    def __init__(self) -> None:
        self._count = 0
        self._positives = 0
        self._unusable = 0
        self._weight = 0.0
        self._happened = 0.0
        self._expected = 0.0
        self._loss = 0.0
        self._baseline_loss = 0.0
        self._squares = 0.0
        self._recent: deque[Judged] = deque(maxlen=WINDOW)

    def add(self, p: float, baseline: float, y: bool, weight: float = 1.0) -> None:  # noqa: FBT001 (a label)
        """Judge a prediction that was made before its label was known.

        What is no probability is counted as unusable, and nothing else.

        Args:
            p: What the model said.
            baseline: What the baseline said.
            y: Did it happen?
            weight: How many examples this one stands for.
        """
        if not (0.0 <= p <= 1.0 and 0.0 <= baseline <= 1.0 and 0.0 < weight < LIMIT):
            self._unusable += 1
            return
        keep = 1.0 - 1.0 / MEMORY
        self._count += 1
        self._positives += y
        self._weight = self._weight * keep + weight
        self._happened = self._happened * keep + weight * y
        self._expected = self._expected * keep + weight * p
        self._loss = self._loss * keep + weight * log_loss(p, y)
        self._baseline_loss = self._baseline_loss * keep + weight * log_loss(baseline, y)
        self._squares = self._squares * keep + weight * (p - y) ** 2
        self._recent.append((p, bool(y), weight))

    def late(self, p: float, baseline: float, weight: float = 1.0) -> None:
        """Correct a label: it was judged as a negative, and came true after all.

        The negative is taken out of every measure and a positive put in, so that both together
        count as one prediction that came true. What is taken out weighs as much as what is put
        in, though the negative itself may have faded or left the latest labels: it stands for
        one of those that are in, whose time has not come yet.

        Args:
            p: What the model had said.
            baseline: What the baseline had said.
            weight: How many examples this one stands for.
        """
        if not (0.0 <= p <= 1.0 and 0.0 <= baseline <= 1.0 and 0.0 < weight < LIMIT):
            return  # it was unusable before
        self._positives += 1
        self._happened += weight
        self._loss += weight * (log_loss(p, True) - log_loss(p, False))
        self._baseline_loss += weight * (log_loss(baseline, True) - log_loss(baseline, False))
        self._squares += weight * (1.0 - 2.0 * p)
        self._recent.append((p, False, -weight))
        self._recent.append((p, True, weight))

    @property
    def serving(self) -> Served:
        """Who answers: the model while it has proved no worse than the base rate."""
        enough = (
            self._count >= ENOUGH_LABELS
            and ENOUGH_OF_A_KIND <= self._positives <= self._count - ENOUGH_OF_A_KIND
        )
        return "model" if enough and self._loss <= self._baseline_loss else "baseline"

    def report(self) -> dict[str, Any]:
        """Sum up, for people and for JSON. None: cannot be said yet.

        `n`, `positives` and `unusable` count all labels. `base_rate`, `log_loss`,
        `baseline_log_loss`, `brier` and `calibration` (expected over happened) are of the last
        20,000 or so. The rest is of the last 5,000: `auc` with its
        95 % interval as if examples were independent, `accuracy`, `precision`, `recall` and
        `f1` at a probability of .5, and under `best` at the threshold that hindsight picks
        for F1.
        """
        recent = sorted(self._recent)
        area = auc(recent)
        low, high = auc_interval(area, recent)
        threshold = best_threshold(recent)
        return {
            "n": self._count,
            "positives": self._positives,
            "unusable": self._unusable,
            "base_rate": ratio(self._happened, self._weight),
            "auc": area,
            "auc_low": low,
            "auc_high": high,
            "log_loss": ratio(self._loss, self._weight),
            "baseline_log_loss": ratio(self._baseline_loss, self._weight),
            "brier": ratio(self._squares, self._weight),
            "calibration": ratio(self._expected, self._happened),
            **confusion(recent, 0.5),
            "best": None
            if threshold is None
            else {"threshold": threshold, **confusion(recent, threshold)},
            "serving": self.serving,
        }

    def state(self) -> dict[str, Any]:
        """Write down as plain numbers."""
        return {
            "count": self._count,
            "positives": self._positives,
            "unusable": self._unusable,
            "sums": [
                self._weight,
                self._happened,
                self._expected,
                self._loss,
                self._baseline_loss,
                self._squares,
            ],
            "recent": [list(column) for column in zip(*self._recent, strict=True)],
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Self:
        """Read what `state` has written."""
        with readable("classifier's quality"):
            new = cls()
            new._count = int(state["count"])
            new._positives = int(state["positives"])
            new._unusable = int(state["unusable"])
            (
                new._weight,
                new._happened,
                new._expected,
                new._loss,
                new._baseline_loss,
                new._squares,
            ) = map(float, state["sums"])
            for p, y, weight in zip(*state["recent"], strict=True):
                new._recent.append((float(p), bool(y), float(weight)))
        return new


class RegressionQuality:
    """What a forecaster's numbers were worth, for one horizon. In units, not in logs."""

    def __init__(self) -> None:
        self._count = 0
        self._unusable = 0
        self._weight = 0.0
        self._error = 0.0
        self._absolute = 0.0
        self._square = 0.0
        self._covered = 0.0
        self._baseline_absolute = 0.0
        self._mean = 0.0
        self._spread = 0.0

    def add(
        self,
        predicted: float,
        p10: float,
        p90: float,
        baseline: float,
        actual: float,
        *,
        mean: float | None = None,
    ) -> None:
        """Judge a forecast that was made before the actual was known.

        If one of them is NaN or beyond all reason they are counted as unusable, and nothing else.

        Args:
            predicted: The middle, of which the absolute error is taken.
            p10: Lower end of the band.
            p90: Upper end of the band.
            baseline: The middle that the baseline has said.
            actual: What came.
            mean: Of which squared errors and the bias are taken; the middle if it is None.
        """
        mean = predicted if mean is None else mean
        numbers = (predicted, p10, p90, baseline, actual, mean)
        if not all(abs(number) < LIMIT for number in numbers):
            self._unusable += 1
            return
        keep, error, gap = 1.0 - 1.0 / MEMORY, mean - actual, actual - self._mean
        self._count += 1
        self._weight = self._weight * keep + 1.0
        self._error = self._error * keep + error
        self._absolute = self._absolute * keep + abs(predicted - actual)
        self._square = self._square * keep + error * error
        self._covered = self._covered * keep + (p10 <= actual <= p90)
        self._baseline_absolute = self._baseline_absolute * keep + abs(baseline - actual)
        # Welford's way: a difference of two large sums would lose the variance.
        self._mean += gap / self._weight
        self._spread = self._spread * keep + gap * (actual - self._mean)

    @property
    def serving(self) -> Served:
        """Who answers: the model while its absolute error has been no larger."""
        enough = self._count >= ENOUGH_ACTUALS
        return "model" if enough and self._absolute <= self._baseline_absolute else "baseline"

    def report(self) -> dict[str, Any]:
        """Sum up, for people and for JSON. None: cannot be said yet.

        `n` and `unusable` count all; the rest is of the last 20,000 or so. `bias` above 0 means
        too much was expected. `coverage` is the share of actuals from p10 to p90: .8 if the
        band is right.
        """
        unexplained = ratio(self._square, self._spread)
        square = ratio(self._square, self._weight)
        return {
            "n": self._count,
            "unusable": self._unusable,
            "mae": ratio(self._absolute, self._weight),
            "rmse": None if square is None else sqrt(square),
            "bias": ratio(self._error, self._weight),
            "r2": None if unexplained is None else 1.0 - unexplained,
            "coverage": ratio(self._covered, self._weight),
            "baseline_mae": ratio(self._baseline_absolute, self._weight),
            "serving": self.serving,
        }

    def state(self) -> dict[str, Any]:
        """Write down as plain numbers."""
        return {
            "count": self._count,
            "unusable": self._unusable,
            "sums": [
                self._weight,
                self._error,
                self._absolute,
                self._square,
                self._covered,
                self._baseline_absolute,
                self._mean,
                self._spread,
            ],
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Self:
        """Read what `state` has written."""
        with readable("forecaster's quality"):
            new = cls()
            new._count = int(state["count"])
            new._unusable = int(state["unusable"])
            (
                new._weight,
                new._error,
                new._absolute,
                new._square,
                new._covered,
                new._baseline_absolute,
                new._mean,
                new._spread,
            ) = map(float, state["sums"])
        return new
