"""The ceiling of Python: confluent-kafka and orjson, which decode and do nothing else."""

import orjson
from asked import EVENTS, GROUP, KAFKA, TOPICS, Stopwatch
from confluent_kafka import Consumer


def main() -> None:
    """Read and decode."""
    watch = Stopwatch()
    consumer = Consumer(
        {"bootstrap.servers": KAFKA, "group.id": GROUP, "auto.offset.reset": "earliest"}
    )
    consumer.subscribe(TOPICS)
    while watch.seen < EVENTS:
        messages = [m for m in consumer.consume(1_000, timeout=0.1) if not m.error()]
        for message in messages:
            orjson.loads(message.value())
        if messages:
            watch.count(len(messages))
    watch.answer()


main()
