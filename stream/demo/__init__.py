"""A shop, Kafka, Redis and a worker on one machine for a minute, and what came of it."""
