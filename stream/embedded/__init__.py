"""The real Kafka and the real Redis, started as processes of this one; for trials and tests."""

from stream.embedded.kafka import embedded_kafka
from stream.embedded.pair import Addresses, Servers, embedded, embedded_servers
from stream.embedded.redis import embedded_redis
from stream.embedded.server import Server

__all__ = [
    "Addresses",
    "Server",
    "Servers",
    "embedded",
    "embedded_kafka",
    "embedded_redis",
    "embedded_servers",
]
