"""The stage: Kafka, Redis, topics and a worker, all of them gone at the end."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from stream.demo.worker import Worker, working
from stream.embedded import Servers, embedded_servers
from stream.embedded.server import Say, data_folder
from stream.errors import NeighbourDown
from stream.kafka.topics import create_topics
from stream.settings import Settings


@dataclass(frozen=True, slots=True)
class Stage:
    """What a demo plays on."""

    settings: Settings
    servers: Servers
    worker: Worker

    def see_alive(self) -> None:
        """Say so if one of them has ended by itself.

        Raises:
            StreamError: It has; with its last words.
        """
        for server in (self.servers.kafka, self.servers.redis):
            if not server.running:
                raise NeighbourDown(f"{server.name} has ended by itself. {server.last_words()}")
        self.worker.see_alive()


@contextmanager
def set_up(say: Say) -> Iterator[Stage]:
    """Run all of it until the end of the block, with data in a temporary folder.

    Args:
        say: Where lines about the progress go.
    """
    say("starting Kafka and Redis")
    with data_folder(None) as home, embedded_servers(home, say=say) as servers:
        # Not read from the environment: that may speak of another installation.
        settings = Settings.model_construct(
            kafka=servers.addresses.kafka, redis=servers.addresses.redis
        )
        asyncio.run(create_topics(settings))
        with working(settings, home / "worker") as worker:
            say("the worker starts")
            yield Stage(settings, servers, worker)
