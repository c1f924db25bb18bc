"""Shards as the settings want them."""

from collections.abc import Callable
from importlib import import_module

from stream.customers.pseudonyms import Pseudonyms
from stream.customers.shard import CustomersPlan, CustomersShard
from stream.errors import Misconfigured
from stream.products.shard import ProductsPlan, ProductsShard
from stream.redis.checkpoints import Opened
from stream.settings import Settings, Stage
from stream.shards import Memory, Shard

MakeShard = Callable[[int, Opened], Shard]
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
    rows = max(1_000, settings.rows // partitions)
    match stage:
        case "customers":
            if settings.secret is None:
                raise Misconfigured(
                    "Set STREAM_SECRET: user ids are stored under names that are made with it."
                )
            names = Pseudonyms(settings.secret.get_secret_value().encode())
            customers = CustomersPlan(partitions, names, settings.ahead, rows, settings.window)
            return lambda p, opened: CustomersShard(
                p, customers, _fitting(opened, partitions).memory
            )
        case "products":
            products = ProductsPlan(
                partitions, settings.ahead, settings.bucket, settings.wait, settings.window, rows
            )
            return lambda p, opened: ProductsShard(p, products, _fitting(opened, partitions).memory)
        case "learner":
            return lambda p, opened: _learner(p, settings, _fitting(opened, partitions).memory)


def load(stage: Stage) -> None:
    """Import what a stage alone needs; the learner's River takes a second or two.

    To be called in a thread before its first shard is made, so that other stages are at work.
    """
    if stage == "learner":
        import_module("stream.learner.shard")


def _learner(partition: int, settings: Settings, memory: Memory) -> Shard:
    from stream.learner.shard import LearnerPlan, LearnerShard  # noqa: PLC0415 (see `load`)

    plan = LearnerPlan(settings.bucket, settings.rows, settings.ahead)
    return LearnerShard(partition, plan, memory)


def _fitting(opened: Opened, partitions: int) -> Opened:
    if opened.partitions not in (None, partitions):
        raise Misconfigured(
            f"The checkpoints were made with {opened.partitions} partitions, the topics have "
            f"{partitions}. Use topics as they were, or another STREAM_PREFIX to count anew."
        )
    return opened
