"""Rows of numbers of which no more than so many are kept, however long the log."""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST = 200_000
"""Rows that are kept at most; up to so many, all are."""
SEED = 20_260_102


class Sample:
    """All rows while they are few; of more, as many as are kept, each as likely as any other.

    A figure of 200,000 rows is off by a thousandth or so; the same rows come out each time.

    Attributes:
        seen: Rows that were added.

    Source:
        Vitter, "Random Sampling with a Reservoir", ACM TOMS 11, 1985, algorithm R.

    >>> sample = Sample(2, most=3)
    >>> for n in range(100):
    ...     sample.add((n, -n))
    >>> sample.seen, sample.rows().shape
    (100, (3, 2))
    """

    def __init__(self, width: int, *, single: bool = False, most: int = MOST) -> None:
        """Begin.

        Args:
            width: Numbers of a row.
            single: Keep them in four bytes each instead of eight.
            most: Rows that are kept.
        """
        self._width = width
        self._most = most
        self._numbers = array("f" if single else "d")
        self._chance = Random(SEED)  # noqa: S311 (which row is measured is no secret)
        self.seen = 0

    def add(self, row: Sequence[float]) -> None:
        """Take a row. Above `most`, it takes the place of another, or is passed over."""
        numbers, width = self._numbers, self._width
        self.seen += 1
        if self.seen <= self._most:
            numbers.extend(row)
            return
        place = self._chance.randrange(self.seen)
        if place < self._most:
            numbers[place * width : (place + 1) * width] = array(numbers.typecode, row)

    def __len__(self) -> int:
        return min(self.seen, self._most)

    def rows(self) -> NDArray[Any]:
        """What is kept, in the order of its coming while that is all. No row is added after."""
        return np.frombuffer(self._numbers, self._numbers.typecode).reshape(-1, self._width)


def notices(samples: Mapping[str, Sample]) -> Iterator[str]:
    """Say in a sentence of what only a part is measured.

    Args:
        samples: By the name of what is scored.
    """
    for name, sample in samples.items():
        if sample.seen > len(sample):
            yield (
                f"{name}: the figures are of {len(sample):,} predictions, drawn evenly from the "
                f"{sample.seen:,} that were scored."
            )
