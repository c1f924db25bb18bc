"""What the public sees of the learner: models to serve, scores of categories, quality."""

from collections.abc import Generator, Iterator, Mapping

import orjson

from stream import keys
from stream.models import snapshots
from stream.products.row import ProductRow
from stream.products.scoring import score
from stream.products.serving import Serving
from stream.rows import Rows
from stream.shards import Publication, Put, Rank, portions
from stream.units import Millis


def models_of(serving: Serving) -> Iterator[Put]:
    """The models, for products shards, and then their version, which they look at."""
    raw = snapshots.encode("serving", serving.version, serving.state())
    yield Put(keys.SERVING, raw)
    yield Put(keys.VERSION, str(serving.version).encode())


def scoring(
    rows: Rows[ProductRow], serving: Serving, watermark: Millis, bucket: int
) -> Generator[None, None, list[Publication]]:
    """Score the categories that have changed, in steps.

    Args:
        rows: Of the categories.
        serving: The models of categories.
        watermark: Event time up to which everything is believed to be known.
        bucket: Length of a demand bucket, ms.
    """
    published: list[Publication] = []
    ranks: dict[str, float] = {}
    for categories in portions(rows.changed):
        for category in categories:
            document = score(rows.held[category], serving, watermark, bucket, {})
            ranks[category] = document["score"]
            published.append(Put(keys.category(category), orjson.dumps(document)))
        yield
    if ranks:
        published.append(Rank(keys.TOP_CATEGORIES, ranks))
    return published


def reports(said: Mapping[str, object]) -> Iterator[Put]:
    """How right each model has been of late, and what is known of the market."""
    for kind, report in said.items():
        yield Put(keys.metrics(kind), orjson.dumps(report))
