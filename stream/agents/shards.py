"""Shards as the settings want them."""

import asyncio
from collections.abc import Awaitable, Callable

from stream.customers.pseudonyms import Pseudonyms
from stream.customers.shard import CustomersPlan, CustomersShard
from stream.errors import Misconfigured
from stream.products.shard import ProductsPlan, ProductsShard
from stream.redis.checkpoints import Opened
from stream.settings import Settings, Stage
from stream.shards import Memory, Shard

MakeShard = Callable[[int, Opened], Awaitable[Shard]]
"""Makes the shard of a partition from what was stored of it."""


def shard_maker(stage: Stage, settings: Settings, partitions: int) -> MakeShard:
    """Say how to make the shards of a stage.

    Args:
        stage: Which.
        settings: Of the installation.
        partitions: Of the topics that are keyed by user or product.

    Raises:
        Misconfigured: There is no secret for the pseudonyms.
    """
    wake = _waking(stage, settings, partitions)

    async def make(partition: int, opened: Opened) -> Shard:
        if opened.partitions not in (None, partitions):
            raise Misconfigured(
                f"The checkpoints were made with {opened.partitions} partitions, the topics have "
                f"{partitions}. Use topics as they were, or another STREAM_PREFIX to count anew."
            )
        # In a thread: there may be much to read, and River takes a second or two to import. Other
        # stages are at work meanwhile.
        return await asyncio.to_thread(wake, partition, opened.memory)

    return make


def _waking(stage: Stage, settings: Settings, partitions: int) -> Callable[[int, Memory], Shard]:
    rows = max(1_000, settings.rows // partitions)
    match stage:
        case "customers":
            if settings.secret is None:
                raise Misconfigured(
                    "Set STREAM_SECRET: user ids are stored under names that are made with it."
                )
            names = Pseudonyms(settings.secret.get_secret_value().encode())
            customers = CustomersPlan(partitions, names, settings.ahead, rows, settings.window)
            return lambda partition, memory: CustomersShard(partition, customers, memory)
        case "products":
            products = ProductsPlan(
                partitions, settings.ahead, settings.bucket, settings.wait, settings.window, rows
            )
            return lambda partition, memory: ProductsShard(partition, products, memory)
        case "learner":
            return lambda partition, memory: _learner(partition, settings, memory)


def _learner(partition: int, settings: Settings, memory: Memory) -> Shard:
    # Only here: a worker that is given nothing to learn from does without River.
    from stream.learner.shard import LearnerPlan, LearnerShard  # noqa: PLC0415

    plan = LearnerPlan(settings.bucket, settings.rows, settings.ahead)
    return LearnerShard(partition, plan, memory)
