"""A loop written by hand on confluent-kafka: what people write themselves. It loses its state."""

from asked import EVENTS, GROUP, KAFKA, REDIS, TOPICS, Stopwatch
from confluent_kafka import Consumer
from job import Job, Scores


def main() -> None:
    """Read, do the job, commit now and then."""
    watch, job, scores = Stopwatch(), Job(), Scores(REDIS)
    consumer = Consumer(
        {
            "bootstrap.servers": KAFKA,
            "group.id": GROUP,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": True,
        }
    )
    consumer.subscribe(TOPICS)
    while watch.seen < EVENTS:
        messages = [m for m in consumer.consume(1_000, timeout=0.1) if not m.error()]
        for message in messages:
            scores.put(*job.take(message.value()))
        if messages:
            watch.count(len(messages))
    scores.flush()
    watch.answer()


main()
