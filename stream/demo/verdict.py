"""Was it right? What came of a demo, held against what the simulator had in store."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

KINDS = ("views", "carts", "wishes", "orders", "units")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of it.

    Attributes:
        taking_off: Products that were taking off; None where nobody knows.
        by_score: Those of them among the highest scores.
        by_views: Those of them among the most viewed.
        places: How many places each ranking had.
        by_chance: How many places blind choice would have got right; None where nobody knows.
        produced: What was sent, by kind.
        counted: What was counted, by kind.
    """

    taking_off: int | None
    by_score: Sequence[str]
    by_views: Sequence[str]
    places: int
    by_chance: float | None
    produced: Mapping[str, int]
    counted: Mapping[str, int]

    @property
    def exact(self) -> bool:
        """Everything that was sent was counted, and nothing twice."""
        return self.produced == self.counted


def judge(
    *,
    scored: Sequence[str],
    viewed: Sequence[str],
    truth: Collection[str] | None,
    products: int | None,
    produced: Mapping[str, int],
    counted: Mapping[str, int],
) -> Verdict:
    """Compare two rankings with the truth, and two counts with each other.

    Args:
        scored: Products by score, highest first: the places that are judged.
        viewed: Products by views of the last day, most first; as many places are judged.
        truth: Products that were taking off; None where nobody knows.
        products: How many there are in all, if it is known.
        produced: What was sent, by kind.
        counted: What was counted, by kind.

    >>> verdict = judge(scored=["a", "b"], viewed=["c", "d", "a"], truth={"a", "x"}, products=20,
    ...                 produced={"views": 7}, counted={"views": 7, "units": 0})
    >>> verdict.by_score, verdict.by_views, verdict.by_chance, verdict.exact
    (['a'], [], 0.2, True)
    """
    places = len(scored)
    known = truth or ()
    return Verdict(
        taking_off=None if truth is None else len(truth),
        by_score=[product for product in scored if product in known],
        by_views=[product for product in viewed[:places] if product in known],
        places=places,
        by_chance=places * len(truth) / products if truth is not None and products else None,
        produced={kind: produced.get(kind, 0) for kind in KINDS},
        counted={kind: counted.get(kind, 0) for kind in KINDS},
    )
