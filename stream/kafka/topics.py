"""The topics: what they are for, how many partitions they have, and whether they fit together."""

from collections.abc import Mapping
from typing import NamedTuple

from aiokafka.admin import NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from stream.errors import Misconfigured
from stream.kafka.clients import LARGEST_REQUEST, kafka_errors, make_admin, start_admin
from stream.settings import Settings, Stage

_WEEK = {"retention.ms": str(7 * 24 * 3600 * 1000)}
_MONTH = {"retention.ms": str(30 * 24 * 3600 * 1000)}
_LARGE = {"max.message.bytes": str(LARGEST_REQUEST)}


class TopicPlan(NamedTuple):
    """A topic of the installation."""

    name: str
    purpose: str
    single: bool = False
    """One partition, whatever the others have."""
    config: Mapping[str, str] = {}


TOPICS = (
    TopicPlan(
        "clicks", "what customers do; key user_id", config={"max.message.bytes": str(2 << 20)}
    ),
    TopicPlan(
        "orders", "purchases and refunds; key user_id", config={"max.message.bytes": str(2 << 20)}
    ),
    TopicPlan("catalog", "products; key product_id", config={"cleanup.policy": "compact"}),
    TopicPlan(
        "market",
        "promotions and signals; any key",
        single=True,
        config={"retention.ms": "-1"},  # few, and needed as long as clicks and orders are
    ),
    TopicPlan(
        "scores", "scores as they change; key product_id", config={"cleanup.policy": "compact"}
    ),
    # They hold user ids, so that they are not kept for as long as there is room.
    TopicPlan("dead-letters", "what was refused, with the reason", config={**_MONTH, **_LARGE}),
    TopicPlan(
        "strays", "internal: events that lay on another partition", config={**_WEEK, **_LARGE}
    ),
    TopicPlan("activity", "internal: what happened, by product", config={**_WEEK, **_LARGE}),
    TopicPlan("examples", "internal: settled labels", single=True, config={**_WEEK, **_LARGE}),
    TopicPlan(
        "erasures", "internal: customers to be forgotten", config={"cleanup.policy": "compact"}
    ),
)
SOURCES: Mapping[Stage, tuple[str, ...]] = {
    "customers": ("clicks", "orders", "strays", "erasures"),
    "products": ("activity", "catalog"),
    "learner": ("examples", "market"),
}


def group_of(settings: Settings, stage: Stage) -> str:
    """Name the consumer group of a stage."""
    return f"{settings.prefix}stream-{stage}"


async def partition_counts(settings: Settings) -> dict[str, int]:
    """Ask Kafka how many partitions each existing topic has."""
    admin = make_admin(settings)
    with kafka_errors():
        try:
            await start_admin(settings, admin)
            wanted = {plan.name for plan in TOPICS} & set(await admin.list_topics())
            described = await admin.describe_topics(list(wanted)) if wanted else []
        finally:
            await admin.close()
    return {topic["topic"]: len(topic["partitions"]) for topic in described}


def misfit(counts: Mapping[str, int]) -> str | None:
    """Say what is wrong with the topics, or nothing."""
    missing = [plan.name for plan in TOPICS if plan.name not in counts]
    if missing:
        return f"Topics are missing: {', '.join(missing)}. Create them with: stream topics"
    keyed = {
        plan.name: counts[plan.name]
        for plan in TOPICS
        if not plan.single and plan.name not in _FREE
    }
    if len(set(keyed.values())) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in keyed.items())
        return f"These topics must have equally many partitions: {listed}. Make them alike."
    single = [plan.name for plan in TOPICS if plan.single and counts[plan.name] != 1]
    if single:
        return f"{single[0]} must have one partition, not {counts[single[0]]}. Recreate it."
    return None


_FREE = ("scores", "dead-letters")


async def fitting_partitions(settings: Settings) -> int:
    """Number of partitions that the keyed topics share.

    Raises:
        Misconfigured: They are missing or do not fit together.
    """
    counts = await partition_counts(settings)
    wrong = misfit(counts)
    if wrong is not None:
        raise Misconfigured(wrong)
    return counts["clicks"]


async def create_topics(settings: Settings) -> list[str]:
    """Create the topics that are missing, with as many partitions as those that are there.

    Returns:
        Names of those created.
    """
    counts = await partition_counts(settings)
    there = [
        counts[p.name] for p in TOPICS if p.name in counts and not p.single and p.name not in _FREE
    ]
    partitions = there[0] if there else settings.partitions
    new = [
        NewTopic(
            p.name,
            1 if p.single else partitions,
            settings.replication,
            topic_configs=dict(p.config),
        )
        for p in TOPICS
        if p.name not in counts
    ]
    if not new:
        return []
    admin = make_admin(settings)
    with kafka_errors():
        try:
            await admin.start()
            answer = await admin.create_topics(new)
        finally:
            await admin.close()
    for name, code, *message in answer.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise Misconfigured(
                f"Kafka did not create {name}: {message[0] if message else error.__name__}"
            )
    return [topic.name for topic in new]
