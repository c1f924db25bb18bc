"""What the public sees of products that have changed: scores, rankings, and word of changes."""

from collections.abc import Iterator

import orjson

from stream import keys
from stream.products.row import CARTS, UNITS, VIEWS, WISHES, ProductRow
from stream.products.scoring import score
from stream.products.serving import Serving
from stream.shards import Letter, Publication, Put, Rank, Say, Unrank
from stream.units import Millis, rfc3339

TOLD_AT = 0.005
"""Change of a score that is worth an entry in the score streams."""
MOST_SAID = 10_000
URGENT = 0.1
"""Growth of a product's evidence that is worth a score at once; less can wait for some seconds."""
WORTH = 20
"""Views that a cart, a wish or a unit sold counts as in that."""


def is_urgent(row: ProductRow) -> bool:
    """Whether what has happened since a product was scored should be seen at once.

    One more look at what hundreds have looked at changes next to nothing; the first ones do, and
    so do orders where there are few, and the catalogue's word.
    """
    return not row.shown or abs(_evidence(row) - row.shown) > URGENT * row.shown


def _evidence(row: ProductRow) -> int:
    totals = row.totals
    return totals[VIEWS] + WORTH * (totals[CARTS] + totals[WISHES] + totals[UNITS])


class Scores:
    """The scores of one checkpoint.

    Attributes:
        letters: What the topic `scores` is to be told.
    """

    def __init__(self, serving: Serving, watermark: Millis, bucket: int) -> None:
        """Score as of a moment.

        Args:
            serving: The models.
            watermark: Event time up to which everything is believed to be known.
            bucket: Length of a demand bucket, ms.
        """
        self.letters: list[Letter] = []
        self._serving = serving
        self._watermark = watermark
        self._bucket = bucket
        self._ranks: dict[str, dict[str, float]] = {}
        self._published: list[Publication] = []

    def add(self, product: str, row: ProductRow) -> None:
        """Score a product; what was published of it is noted in its row."""
        document = score(row, self._serving, self._watermark, self._bucket, {"product": product})
        row.shown = _evidence(row)
        raw = orjson.dumps(document)
        self._published.append(Put(keys.score(product), raw))
        if row.at:  # or else it is listed, but nobody has looked at it yet
            self._rank(product, row, document["score"])
            self._say(product, row, document["score"], raw)

    def _rank(self, product: str, row: ProductRow, value: float) -> None:
        if row.ranked is not None and row.ranked != row.category:
            self._published.append(Unrank(keys.top_products(row.ranked), [product]))
        row.ranked = row.category
        self._ranks.setdefault(keys.top_products(), {})[product] = value
        if row.category is not None:
            self._ranks.setdefault(keys.top_products(row.category), {})[product] = value

    def _say(self, product: str, row: ProductRow, value: float, raw: bytes) -> None:
        before = row.score
        if before is not None and abs(value - before) < TOLD_AT:
            return
        row.score = value
        self.letters.append(Letter("scores", None, product.encode(), raw))
        said = {
            "product": product,
            "score": str(value),
            "previous": "" if before is None else str(before),
            "as_of": rfc3339(Millis(self._watermark or row.at)),
        }
        self._published.append(Say(keys.SCORE_CHANGES, said, MOST_SAID))

    def publications(self) -> Iterator[Publication]:
        """Everything that is to be published."""
        yield from self._published
        for key, scores in self._ranks.items():
            yield Rank(key, scores)
