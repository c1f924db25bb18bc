"""Whether what was learned has stopped being true."""

from collections.abc import Mapping
from math import sqrt
from typing import Any, Self

from river import drift, stats

from stream.models.snapshots import readable

ENOUGH = 1_000
"""Losses before anything is said."""
SLACK = 0.05
"""A rise of the mean that is let pass, in deviations of the loss."""
ALARM = 500.0
"""Sum of the rises beyond it that is taken for a change: 2,500 labels that cost a quarter of a
deviation more. At 200, the days and nights of a simulated shop were taken for changes."""
SCALE_MEMORY = 20_000.0
WORST = 10.0
"""A loss counts for so much at most: one that was sure and wrong is no change."""


class LossWatch:
    """River's Page-Hinkley test on losses, in units of their own deviation.

    River's ADWIN was not chosen: its state cannot be read out or put back.

    Attributes:
        changes: Changes seen so far.
        latest: Number of the loss at which the last one was seen; 0 if none was.

    Source:
        Page, "Continuous Inspection Schemes", Biometrika 41, 1954.

    >>> watch = LossWatch()
    >>> any(watch.add(loss) for loss in [0.1, 0.2, 0.3] * 2_000)
    False
    >>> any(watch.add(loss) for loss in [0.3, 0.4, 0.5] * 700), watch.changes
    (True, 1)
    """

    def __init__(self) -> None:
        self.changes = 0
        self.latest = 0
        self._seen = 0
        self._mean = 0.0
        self._variance = 0.0
        self._test = _fresh()

    def add(self, loss: float) -> bool:
        """Take note of the loss of a prediction; say whether it shows that the law has changed."""
        loss = max(-WORST, min(loss, WORST))
        self._seen += 1
        pull = 1.0 / min(self._seen, SCALE_MEMORY)
        gap = loss - self._mean
        self._mean += gap * pull
        self._variance += (gap * gap * (1.0 - pull) - self._variance) * pull
        if self._seen < ENOUGH // 10 or self._variance <= 0.0:
            return False
        self._test.update(loss / sqrt(self._variance))
        if not self._test.drift_detected:
            return False
        self.changes += 1
        self.latest = self._seen
        self._test = _fresh()
        return True

    def state(self) -> dict[str, Any]:
        """Write down as plain numbers."""
        test = self._test
        lowest = test._min_increase  # noqa: SLF001 (River has no way to read it)
        return {
            "changes": self.changes,
            "latest": self.latest,
            "seen": self._seen,
            "scale": [self._mean, self._variance],
            "test": [
                float(test._x_mean.n),  # noqa: SLF001
                float(test._x_mean.get()),  # noqa: SLF001
                float(test._sum_increase),  # noqa: SLF001
                float(test._sum_decrease),  # noqa: SLF001
                None if lowest == float("inf") else float(lowest),
                float(test._max_decrease),  # noqa: SLF001
            ],
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Self:
        """Read what `state` has written."""
        with readable("watch over losses"):
            new = cls()
            new.changes, new.latest = int(state["changes"]), int(state["latest"])
            new._seen = int(state["seen"])
            new._mean, new._variance = map(float, state["scale"])
            n, mean, increase, decrease, lowest, highest = state["test"]
            test = new._test
            test._x_mean = stats.Mean._from_state(float(n), float(mean))  # noqa: SLF001
            test._sum_increase, test._sum_decrease = float(increase), float(decrease)  # noqa: SLF001
            test._min_increase = float("inf") if lowest is None else float(lowest)  # noqa: SLF001
            test._max_decrease = float(highest)  # noqa: SLF001
        return new


def _fresh() -> drift.PageHinkley:
    return drift.PageHinkley(min_instances=ENOUGH, delta=SLACK, threshold=ALARM, mode="up")
