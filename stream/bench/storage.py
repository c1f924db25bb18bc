"""How many bytes Redis takes for what is known of a product, a customer, a waiting click."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from redis import Redis

from stream import keys

SAMPLE = 2_000
"""Keys of a kind whose bytes are asked for; the others are taken to be like them."""
CLICK = b"c"
"""What the id of a click begins with among all that waits."""
KINDS = {
    "score": "score:*",
    "candidates": "candidates:*",
    "customer": "customer:*",
    "ranking": "top:*",
}


@dataclass(frozen=True, slots=True)
class Storage:
    """Bytes in Redis, with what Redis itself needs for them.

    Attributes:
        products, customers, waiting: How many there are; those that wait are clicks.
        product_row, customer_row, waiting_click: What a shard has stored of each.
        product_public: Score, candidates and places in rankings, for each product.
        customer_public: The profile, for each customer.
        all_mib: All that Redis holds.
    """

    products: int
    customers: int
    waiting: int
    product_row: int
    customer_row: int
    waiting_click: int
    product_public: int
    customer_public: int
    all_mib: float


def weigh(redis: "Redis", partitions: int) -> Storage:
    """Ask Redis what lies in it."""
    hashes: dict[str, tuple[int, int]] = {}
    for stage in ("products", "customers"):
        hashes[stage] = _added_up(redis, [keys.rows(stage, p) for p in range(partitions)])
    hashes["waiting"] = _clicks(redis, [keys.waiting("products", p) for p in range(partitions)])
    public = {kind: _kind(redis, pattern) for kind, pattern in KINDS.items()}
    counts = {name: count for name, (count, _) in hashes.items()}
    each = {name: size // max(1, count) for name, (count, size) in hashes.items()}
    of_products = public["score"] + public["candidates"] + public["ranking"]
    return Storage(
        **counts,
        product_row=each["products"],
        customer_row=each["customers"],
        waiting_click=each["waiting"],
        product_public=of_products // max(1, counts["products"]),
        customer_public=public["customer"] // max(1, counts["customers"]),
        all_mib=round(redis.info("memory")["used_memory"] / 2**20, 1),
    )


def _added_up(redis: Any, names: Sequence[str]) -> tuple[int, int]:
    count = size = 0
    for name in names:
        count += redis.hlen(name)
        size += redis.memory_usage(name, samples=SAMPLE) or 0
    return count, size


def _clicks(redis: Any, names: Sequence[str]) -> tuple[int, int]:
    """Clicks among what waits, and their bytes; of what Redis adds, each entry has its part."""
    entries, size = _added_up(redis, names)
    clicks = content = of_clicks = 0
    for name in names:
        for id_, raw in redis.hscan_iter(name, count=1_000):
            content += len(id_) + len(raw)
            if id_.startswith(CLICK):
                clicks += 1
                of_clicks += len(id_) + len(raw)
    added = (size - content) * clicks // max(1, entries)
    return clicks, of_clicks + added


def _kind(redis: Any, pattern: str) -> int:
    """Bytes of all keys of a kind, from those of some."""
    found = list(redis.scan_iter(match=pattern, count=10_000))
    some = list(islice(found, 0, None, max(1, len(found) // SAMPLE)))
    pipe = redis.pipeline(transaction=False)
    for name in some:
        pipe.memory_usage(name, samples=SAMPLE)
    sizes = [size or 0 for size in pipe.execute()] if some else []
    return sum(sizes) * len(found) // max(1, len(some))
