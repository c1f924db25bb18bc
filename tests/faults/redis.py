"""What happens to Redis."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from click.testing import CliRunner
from redis import Redis

from faults.proxy import Proxy
from faults.trial import Fault, Trial
from stream.cli import main
from stream.embedded.redis import make_redis
from stream.embedded.server import running

LAST = 200_000
"""Bytes of its log that a Redis loses which had not yet written them to disk."""


@contextmanager
def client(trial: Trial) -> "Iterator[Redis]":
    """Ask Redis itself, past any proxy."""
    with Redis.from_url(trial.servers.redis.address) as redis:
        yield redis


def waited(trial: Trial, words: str) -> None:
    """Wait until a worker has said that it waits."""
    trial.happens(lambda: any(words in worker.said for worker in trial.shop.workers), words)


def killed(trial: Trial) -> None:
    """SIGKILL, and its log lacks the end, as if a machine had lost its power."""
    trial.workers(2)
    redis = trial.servers.redis
    lost = 0
    for _ in trial.often(1, 3):
        trial.rest(2.0, 4.0)
        redis.kill()
        log = next(Path(redis.folder).rglob("*.incr.aof"))
        size = log.stat().st_size
        with log.open("rb+") as file:
            file.truncate(max(0, size - LAST))
        trial.rest(0.5, 2.0)
        redis.start()
        trial.moves()
        lost += min(LAST, size)
    again = sum(w.said.count("Redis has lost the last") for w in trial.shop.workers)
    trial.said = f"{lost // 1000} kB of its log lost, {again} shards loaded again"


def killed_with_workers(trial: Trial) -> None:
    """SIGKILL for Redis and all workers at the same moment."""
    workers = trial.workers(2)
    trial.servers.redis.kill()
    for worker in workers:
        worker.kill()
    trial.servers.redis.start()
    for worker in workers:
        worker.start()
    trial.moves()


def full(trial: Trial) -> None:
    """`maxmemory` is reached, and nothing may be dropped."""
    trial.workers(2)
    with client(trial) as redis:
        redis.config_set("maxmemory", 1_000_000)
        waited(trial, "Redis is not ready")
        trial.rest(2.0, 4.0)
        redis.config_set("maxmemory", 0)
    trial.moves()


def read_only(trial: Trial) -> None:
    """The primary dies; the replica that answers now is not yet told that it is the primary."""
    primary = trial.servers.redis
    home = trial.folder / "replica"
    with Proxy(primary.port) as proxy, running(make_redis(home)) as replica:
        trial.shop.environment["STREAM_REDIS"] = proxy.address
        trial.workers(2)
        with Redis.from_url(replica.address) as redis:
            redis.replicaof("127.0.0.1", str(primary.port))
            trial.happens(
                lambda: redis.info("replication")["master_link_status"] == "up", "no replica"
            )
            trial.rest(1.0)
            primary.kill()
            proxy.target = replica.port
            proxy.cut_all()
            waited(trial, "Waiting.")
            trial.rest(2.0, 4.0)
            assert redis.info("replication")["role"] == "slave"
            redis.replicaof("NO", "ONE")
        trial.shop.turn_to(replica)
        trial.moves()
        trial.settle()


def slow(trial: Trial) -> None:
    """Every answer takes 200 ms longer each way."""
    with Proxy(trial.servers.redis.port) as proxy:
        trial.shop.environment["STREAM_REDIS"] = proxy.address
        trial.workers(2)
        proxy.delay = 0.2
        time.sleep(30 if trial.long else 5)
        trial.moves()
        trial.settle()


def cut(trial: Trial) -> None:
    """Connections end in the middle of EXEC: before it has arrived, or when the answer has not."""
    with Proxy(trial.servers.redis.port) as proxy:
        trial.shop.environment["STREAM_REDIS"] = proxy.address
        trial.workers(2)
        proxy.cut_every = 5
        trial.happens(lambda: proxy.cuts >= (60 if trial.long else 12), "nothing was cut")
        proxy.cut_every = 0
        trial.moves()
        trial.said = f"{proxy.cuts} cut"
        trial.settle()


def emptied(trial: Trial) -> None:
    """FLUSHALL under the hands of the workers: all is counted anew from Kafka."""
    trial.workers(2)
    trial.rest(2.0)
    with client(trial) as redis:
        redis.flushall()
    trial.moves()


FORGOTTEN = 60.0
"""Seconds after which Kafka has surely forgotten workers that have ended."""


def rebuilt(trial: Trial) -> None:
    """`stream rebuild`: refused while workers run; the shop's other keys are left alone."""
    workers = trial.workers(2)
    others = {"session:17": b"theirs", "score:theirs": b"theirs", trial.shop.prefix + "x": b"x"}
    with client(trial) as redis:
        redis.mset(others)
        done = _rebuild(trial)
        assert (done[0], "Stop them first" in done[1]) == (1, True), done
        for worker in workers:
            assert worker.end()[0] == 0
        deadline = time.monotonic() + FORGOTTEN
        while (done := _rebuild(trial))[0] and time.monotonic() < deadline:
            time.sleep(0.5)  # who could not take leave in time is forgotten after a while
        assert done[0] == 0, done
        left = {name.decode() for name in redis.scan_iter(trial.shop.prefix + "*")}
        assert left == {trial.shop.prefix + "x"}, left
        for worker in workers:
            worker.start()
        trial.moves()
        assert redis.mget(list(others)) == list(others.values())
    trial.said = done[1].splitlines()[0]


def _rebuild(trial: Trial) -> tuple[int, str]:
    environment = {k: v for k, v in trial.shop.environment.items() if k.startswith("STREAM_")}
    done = CliRunner().invoke(main, ["rebuild", "--yes"], env=environment)
    return done.exit_code, done.output


FAULTS = (
    Fault("Redis killed, the last second of its log lost", killed),
    Fault("Redis and all workers killed", killed_with_workers, short=False),
    Fault("Redis out of memory", full, short=False),
    Fault("Redis fails over to a replica, read-only at first", read_only, short=False),
    Fault("Redis slow by 200 ms each way", slow, short=False),
    Fault("connections cut in the middle of EXEC", cut),
    Fault("Redis emptied while workers run", emptied, short=False),
    Fault("stream rebuild", rebuilt),
)
