"""Who may buy a product: interested of late, has not bought."""

from collections.abc import Iterator

from stream import keys
from stream.shards import Publication, Rank, Unrank

MOST_CANDIDATES = 100
"""Candidates kept for one product, the likeliest."""


class Candidates:
    """What has changed in the candidates since it was last published."""

    __slots__ = ("_changed",)

    def __init__(self) -> None:
        self._changed: dict[str, dict[str, float | None]] = {}

    def put(self, product: str, customer: str, probability: float) -> None:
        """A customer is interested."""
        self._changed.setdefault(product, {})[customer] = round(probability, 5)

    def drop(self, product: str, customer: str) -> None:
        """A customer has bought, or has lost interest."""
        self._changed.setdefault(product, {})[customer] = None

    def publications(self) -> Iterator[Publication]:
        """What is to be published, once."""
        changed, self._changed = self._changed, {}
        for product, customers in changed.items():
            gone = [customer for customer, chance in customers.items() if chance is None]
            interested = {
                customer: chance for customer, chance in customers.items() if chance is not None
            }
            if gone:
                yield Unrank(keys.candidates(product), gone)
            if interested:
                yield Rank(keys.candidates(product), interested, MOST_CANDIDATES)
