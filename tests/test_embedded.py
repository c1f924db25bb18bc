"""The embedded Kafka and Redis answer, keep what they are given, and leave nothing behind."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from redis import Redis

from stream.embedded import Server, Servers, embedded_kafka, embedded_redis, embedded_servers
from stream.embedded.ports import LOOPBACK, free_port, is_free
from stream.errors import Misconfigured

TOPIC = "kept"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Both servers, for this file alone: they are killed here."""
    # A space and letters beyond ASCII, as people's folders have them.
    with embedded_servers(tmp_path_factory.mktemp("données de test")) as servers:
        yield servers


def lives(pid: int | None) -> bool:
    """Say whether a process is there. A server's remains are cleared away by its guard."""
    assert pid is not None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def happens(claim: Callable[[], bool], within: float = 15) -> bool:
    """Wait for a claim to come true."""
    deadline = time.monotonic() + within
    while not claim():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


async def write(address: str, value: bytes) -> None:
    """Make the topic and send one record, as careful as this product's producers are."""
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(TOPIC, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()
    async with AIOKafkaProducer(
        bootstrap_servers=address, acks="all", enable_idempotence=True
    ) as producer:
        await producer.send_and_wait(TOPIC, value)


async def read(address: str) -> bytes | None:
    """Read one record as a member of a group."""
    async with AIOKafkaConsumer(
        TOPIC, bootstrap_servers=address, group_id="test", auto_offset_reset="earliest"
    ) as consumer:
        value: bytes | None = (await consumer.getone()).value
        return value


async def test_both_answer_and_keep_their_data_over_a_kill(pair: Servers) -> None:
    """What was acknowledged is there after SIGKILL and a start, at the same addresses."""
    await write(pair.kafka.address, b"first")
    with Redis.from_url(pair.addresses.redis) as client:
        client.set("kept", "first")
    before = (pair.kafka.pid, pair.redis.pid)

    for server in (pair.kafka, pair.redis):
        server.kill()
        assert not server.running
        server.start()

    assert not set(before) & {pair.kafka.pid, pair.redis.pid}
    assert await read(pair.addresses.kafka) == b"first"
    with Redis.from_url(pair.addresses.redis) as client:
        assert client.get("kept") == b"first"


def test_redis_is_set_up_to_lose_nothing(pair: Servers) -> None:
    """It logs every write, evicts none, and only this machine reaches it."""
    with Redis.from_url(pair.addresses.redis, decode_responses=True) as client:
        for name, value in {
            "appendonly": "yes",
            "maxmemory-policy": "noeviction",
            "protected-mode": "yes",
            "bind": LOOPBACK,
        }.items():
            assert client.config_get(name) == {name: value}
        assert not any(module["path"] for module in client.module_list())


def test_a_temporary_folder_is_deleted_and_a_given_one_is_kept(tmp_path: Path) -> None:
    """Without a folder nothing stays; with one the next start finds everything."""
    with embedded_redis() as server:
        pid, folder = server.pid, server.folder
        assert lives(pid)
    assert not lives(pid)
    assert not folder.parent.exists()

    with embedded_redis(tmp_path) as server, Redis.from_url(server.address) as client:
        client.set("kept", "yes")
    with embedded_redis(tmp_path) as server, Redis.from_url(server.address) as client:
        assert client.get("kept") == b"yes"


def test_two_do_not_share_a_folder(tmp_path: Path) -> None:
    """Two Redis on one log would ruin it; the second is refused, the first goes on."""
    with embedded_redis(tmp_path) as first:
        with pytest.raises(Misconfigured, match="Another Redis uses"), embedded_redis(tmp_path):
            pass
        with Redis.from_url(first.address) as client:
            assert client.ping()


@pytest.mark.parametrize("make", [embedded_kafka, embedded_redis])
def test_a_taken_port_is_said_plainly(make: Callable[..., object], tmp_path: Path) -> None:
    """The error names the port and one that is free."""
    with socket.create_server((LOOPBACK, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(Misconfigured, match=rf"{port}, the port is taken.*-port \d+"):
            make(tmp_path, port=port).__enter__()  # type: ignore[attr-defined]


def test_a_server_that_does_not_start_is_quoted(tmp_path: Path) -> None:
    """The error holds the last words of the server's own log."""
    (tmp_path / "redis").mkdir()
    (tmp_path / "redis" / "appendonlydir").write_text("not a folder")
    with pytest.raises(Misconfigured, match=r"(?s)Redis did not start.*appendonlydir"):
        embedded_redis(tmp_path).__enter__()


def test_a_port_of_ones_own_stays_below_those_of_outgoing_connections() -> None:
    """A client that calls a server which is down must not be given that server's port."""
    assert free_port() < 32_768


def test_they_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """SIGKILL gives a parent no chance to end anything; its servers end all the same."""
    code = (
        "import sys, time, pathlib, stream.embedded as e\n"
        "with e.embedded_servers(pathlib.Path(sys.argv[1])) as s:\n"
        "    print(s.kafka.pid, s.redis.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        alive = [lives(pid) for pid in pids]
        parent.kill()
    assert alive == [True, True]
    assert happens(lambda: not any(map(lives, pids)))


@contextmanager
def command(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """Run `stream embedded` as a terminal would, in a process group of its own."""
    code = "from stream.cli import main; main()"
    ports = [f"--kafka-port={free_port()}", f"--redis-port={free_port()}"]
    with subprocess.Popen(
        [sys.executable, "-c", code, "embedded", "--json", *ports, f"--folder={folder}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_ctrl_c_ends_the_command_and_its_servers(tmp_path: Path) -> None:
    """Ctrl-C reaches the whole process group; the command ends in good order, with exit 0."""
    with command(tmp_path) as process:
        assert process.stdout is not None
        addresses = json.loads(process.stdout.readline())
        ports = [int(addresses["kafka"].split(":")[1])]
        with Redis.from_url(addresses["redis"]) as client:
            ports.append(client.connection_pool.connection_kwargs["port"])
            assert client.ping()
        os.killpg(process.pid, signal.SIGINT)
        _, progress = process.communicate(timeout=15)
    assert process.returncode == 0, progress
    assert "have ended" in progress
    assert all(map(is_free, ports))


def test_the_command_can_be_ended_while_it_starts(tmp_path: Path) -> None:
    """SIGTERM after Redis is up and before Kafka is: exit 0 as well, and Redis is gone."""
    with command(tmp_path) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        port = int(re.findall(r"Redis ready on .*:(\d+)", line)[0])
        process.terminate()
        output, progress = process.communicate(timeout=15)
    assert process.returncode == 0, progress
    assert output == ""
    assert is_free(port)


def test_a_server_can_be_stopped_twice(tmp_path: Path) -> None:
    """Stopping what does not run is no error, nor is starting what does."""
    with embedded_redis(tmp_path) as server:
        assert isinstance(server, Server)
        pid = server.pid
        server.start()
        assert server.pid == pid
        server.stop()
        server.stop()
        assert server.pid is None
