"""Kafka and Redis together, which is what a worker needs."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from stream.embedded.kafka import make_kafka
from stream.embedded.redis import make_redis
from stream.embedded.server import Say, Server, data_folder, silent


@dataclass(frozen=True, slots=True)
class Addresses:
    """What the settings `STREAM_KAFKA` and `STREAM_REDIS` are given.

    Attributes:
        kafka: host:port.
        redis: redis://host:port/database.
    """

    kafka: str
    redis: str


@dataclass(frozen=True, slots=True)
class Servers:
    """Both, for who wants to kill one and start it again."""

    kafka: Server
    redis: Server

    @property
    def addresses(self) -> Addresses:
        """Where they are reached."""
        return Addresses(self.kafka.address, self.redis.address)


@contextmanager
def embedded_servers(
    folder: Path | None = None, *, kafka_port: int = 0, redis_port: int = 0, say: Say = silent
) -> Iterator[Servers]:
    """Run Kafka and Redis until the end of the block, as `embedded` does."""
    with data_folder(folder) as home, ExitStack() as ends:
        kafka = make_kafka(home, port=kafka_port, say=say)
        redis = make_redis(home, port=redis_port, say=say)
        for server in (redis, kafka):
            ends.callback(server.stop)
            server.launch()
        redis.wait()
        kafka.wait()
        yield Servers(kafka, redis)


@contextmanager
def embedded(
    folder: Path | None = None, *, kafka_port: int = 0, redis_port: int = 0, say: Say = silent
) -> Iterator[Addresses]:
    """Run Kafka and Redis until the end of the block.

    They also end when this process does, be it by SIGKILL.

    Args:
        folder: Where to keep their data. Without it they are deleted at the end.
        kafka_port: Where Kafka listens on this machine; 0 for any free port.
        redis_port: Where Redis listens on this machine; 0 for any free port.
        say: Where lines about the progress go.

    Yields:
        Where they are reached. Both answer.
    """
    with embedded_servers(folder, kafka_port=kafka_port, redis_port=redis_port, say=say) as servers:
        yield servers.addresses
