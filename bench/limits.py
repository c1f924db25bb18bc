"""What follows from measured figures: the next limit, and what a large catalogue takes."""

from collections.abc import Mapping
from typing import Any

from tables import Figures

from stream.bench.watched import by_stage
from stream.customers.sampling import CAPACITY
from stream.settings import Settings

PRODUCTS = 10_000_000
CUSTOMERS = 100_000_000
GIB = 2**30


def next_limit(load: Mapping[str, Any]) -> Figures:
    """How many events a second each part of an installation would do, were it the only limit.

    A worker's stages but the learner run once for each partition. The learner is one, and Redis
    runs commands in one thread.
    """
    full = load["full"]
    learner = by_stage(load["costs"]).get("learner", 0.0)
    partitions = Settings.model_fields["partitions"].default
    worker = full["cpu_us"]
    rows = [
        _limit("one worker with all stages", worker, 1, "more workers"),
        _limit(
            f"{partitions} workers, one for each of {partitions} partitions, each with a core",
            worker, partitions, "more partitions, up to 1,000",
        ),
        _limit("Redis, one thread", full["redis_us"], 1, "a faster core, or several installations"),
        _limit("the learner, one process", learner, 1, "a smaller sample of labels"),
        _limit("Kafka, a core of one broker", full["kafka_us"], 1, "more brokers"),
    ]  # fmt: skip
    return Figures("", ("limit", "µs CPU/event", "events/s at most", "what raises it"), rows)


def _limit(name: str, cost: float, times: int, remedy: str) -> tuple[str, ...]:
    most = f"{times * 1e6 / cost:,.0f}" if cost else ""
    return name, f"{cost:.2f}", most, remedy


def catalogue(load: Mapping[str, Any], start: Mapping[str, Any]) -> Figures:
    """Memory of Redis for very many products and customers, from the bytes of few."""
    storage = load["storage"]
    content = start["product_row"] + start["customer_row"]
    added = (start["redis_mib"] * 2**20 / start["known"] - content) / 2
    partitions = Settings.model_fields["partitions"].default
    rows = [
        _memory("products: rows", PRODUCTS, storage["product_row"], start["product_row"] + added),
        _memory(
            "products: scores, rankings, candidates",
            PRODUCTS, storage["product_public"], storage["product_public"],
        ),
        _memory(
            "customers: rows", CUSTOMERS, storage["customer_row"], start["customer_row"] + added
        ),
        _memory(
            "customers: profiles",
            CUSTOMERS, storage["customer_public"], storage["customer_public"],
        ),
        _memory(
            f"waiting clicks, twice {CAPACITY:,} a partition",
            2 * CAPACITY * partitions, storage["waiting_click"], storage["waiting_click"],
        ),
    ]  # fmt: skip
    sums = [sum(row[column] for row in rows) for column in (4, 5)]
    written = [
        (
            str(name), f"{count:,.0f}", f"{few:,.0f} to {many:,.0f}",
            f"{small:,.1f} to {large:,.1f}",
        )
        for name, count, few, many, small, large in rows
    ]  # fmt: skip
    written.append(("all", "", "", f"{sums[0]:,.0f} to {sums[1]:,.0f}"))
    return Figures("", ("", "how many", "bytes each", "GiB"), written)


def _memory(name: str, count: int, few: float, many: float) -> tuple[Any, ...]:
    return name, count, few, many, count * few / GIB, count * many / GIB
