"""Real faults on the real Kafka and the real Redis, under load, with exact totals afterwards."""

from faults import clocks, kafka, overload, producers, redis, workers

FAULTS = (
    *workers.FAULTS,
    *redis.FAULTS,
    *kafka.FAULTS,
    *producers.FAULTS,
    *clocks.FAULTS,
    *overload.FAULTS,
)
