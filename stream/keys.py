"""The name of everything in Redis, in one place. The configured prefix goes in front of each."""

import re

TOP_CATEGORIES = "top:categories"
"""Sorted set: category → score."""

SCORE_CHANGES = "stream:scores"
"""Stream, trimmed: one entry for each score that has changed."""


def score(product: str) -> str:
    """Name the document of a product's score."""
    return f"score:{product}"


def category(name: str) -> str:
    """Name the document of a category's score."""
    return f"category:{name}"


def top_products(category: str | None = None) -> str:
    """Name a ranking of products: product → score.

    >>> top_products(), top_products("mugs")
    ('top:products', 'top:products:mugs')
    """
    return "top:products" if category is None else f"top:products:{category}"


def customer(pseudonym: str) -> str:
    """Name the document of a customer."""
    return f"customer:{pseudonym}"


def candidates(product: str) -> str:
    """Name the ranking of who may buy a product: pseudonym → probability."""
    return f"candidates:{product}"


def similar(product: str) -> str:
    """Name the ranking of the products with the same customers: product → cosine."""
    return f"similar:{product}"


def metrics(model: str) -> str:
    """Name the document that says how right a model has been of late."""
    return f"metrics:{model}"


SERVING = "model:serving"
"""Snapshot of all that products shards serve."""

MARKET = "model:market"
"""Snapshot of the promotions that go with it; apart, for it is large and changes seldom."""

VERSION = "model:version"
"""Number of that snapshot, to see cheaply whether there is a newer one."""

BIRTH = "stream:birth"
"""Name of these Redis contents. Internal messages from before they were lost are void."""

RESENT = "dead-letters:resent"
"""Sorted set: dead letters that were sent again, as topic-partition@offset → time of refusal."""


def checkpoint(stage: str, partition: int) -> str:
    """Name the notes of a shard: epoch, positions, small state. All its keys share a hash tag.

    >>> checkpoint("products", 3), rows("products", 3)
    ('{products.3}:checkpoint', '{products.3}:rows')
    """
    return f"{{{stage}.{partition}}}:checkpoint"


def rows(stage: str, partition: int) -> str:
    """Name the rows of a shard, by id."""
    return f"{{{stage}.{partition}}}:rows"


def waiting(stage: str, partition: int) -> str:
    """Name what waits for its time in a shard, by id."""
    return f"{{{stage}.{partition}}}:waiting"


def outbox(stage: str, partition: int) -> str:
    """Name the letters of a shard that are decided and perhaps not yet sent."""
    return f"{{{stage}.{partition}}}:outbox"


_STORED = re.compile(r"\{(customers|products|learner)\.\d+\}:(checkpoint|rows|waiting|outbox)")
_PUBLIC = re.compile(
    r"score:.+|top:products(:.+)?|top:categories|category:.+|customer:.+|candidates:.+|similar:.+"
    r"|metrics:.+",
    re.DOTALL,
)


def is_stored(name: str) -> bool:
    """Say whether what is counted and learned lies in a key, given without the prefix.

    >>> is_stored(rows("products", 3)), is_stored(BIRTH), is_stored("session:17")
    (True, True, False)
    """
    single = (SERVING, MARKET, VERSION, BIRTH)
    return name in single or _STORED.fullmatch(name) is not None


def is_public(name: str) -> bool:
    """Say whether a key, given without the prefix, is made from what is stored.

    Which dead letters were sent again nobody could make anew, so that one is not.

    >>> is_public(score("mug-7")), is_public(SCORE_CHANGES), is_public(RESENT)
    (True, True, False)
    """
    return name == SCORE_CHANGES or _PUBLIC.fullmatch(name) is not None
