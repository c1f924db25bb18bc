"""What every benchmark needs: servers, a worker in a process of its own, a fast way into Kafka."""

import os
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer
from pydantic import SecretStr

from stream.embedded import Servers, embedded_servers
from stream.embedded.server import Say
from stream.memo import Memo
from stream.partitions import home
from stream.settings import Settings, variable

OF_THE_BENCH = {
    "prefix": "",
    "replication": 1,
    "secret": SecretStr("of-the-benchmark"),
    "web": "",
    **{
        name: Settings.model_fields[name].default
        for name in Settings.model_fields
        if name.startswith(("kafka", "redis"))
    },
}
"""Settings that say where an installation is and not what a worker does: not the user's here."""


@dataclass(frozen=True, slots=True)
class Rig:
    """Kafka and Redis on this machine, and the settings with which they are used."""

    settings: Settings
    servers: Servers


@contextmanager
def rig(settings: Settings, say: Say) -> Iterator[Rig]:
    """Run Kafka and Redis until the end of the block, with settings but for the addresses."""
    with embedded_servers(say=say) as servers:
        addresses = {"kafka": servers.kafka.address, "redis": servers.redis.address}
        yield Rig(settings.model_copy(update={**OF_THE_BENCH, **addresses}), servers)


def plain_settings() -> Settings:
    """Settings as they are where nobody has set any, whatever the environment says."""
    return Settings.model_construct()


class BatchWriter:
    """Writes whole batches, made by hand: one by one, a producer would need a core for itself."""

    def __init__(self, producer: AIOKafkaProducer, partitions: int) -> None:
        self._producer = producer
        self._batches: dict[tuple[str, int], Any] = {}
        self._home = Memo(lambda key: home(key, partitions), most=1 << 20)

    async def put(self, topic: str, key: str, value: bytes, timestamp: int | None = None) -> None:
        """Add a record, sent when its batch is full or with the next flush."""
        where = topic, self._home[key]
        batch = self._batches.get(where)
        if batch is None or not batch.append(key=key.encode(), value=value, timestamp=timestamp):
            await self._send(where)
            batch = self._batches[where] = self._producer.create_batch()
            batch.append(key=key.encode(), value=value, timestamp=timestamp)

    async def flush(self) -> None:
        """Send what has gathered."""
        for where in list(self._batches):
            await self._send(where)

    async def _send(self, where: tuple[str, int]) -> None:
        batch = self._batches.pop(where, None)
        if batch is not None:
            await self._producer.send_batch(batch, where[0], partition=where[1])


@contextmanager
def run_worker(
    settings: Settings, *, report: Path | None = None, cores: Collection[int] = ()
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a worker with all stages until the end of the block.

    Args:
        settings: All that it is told.
        report: Where it writes how it spent its time; without, it is `stream worker` itself.
        cores: Where it may run; anywhere if none are named.
    """
    started = ["stream.bench.watched", str(report)] if report else ["stream", "worker"]
    command = [sys.executable, "-m", *started]
    process = subprocess.Popen(command, env=_environment(settings))  # noqa: S603 (it is ours)
    try:
        pin(process.pid, cores)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


def _environment(settings: Settings) -> dict[str, str]:
    others = {k: v for k, v in os.environ.items() if not k.upper().startswith("STREAM_")}
    for name, value in settings:
        plain = value.get_secret_value() if isinstance(value, SecretStr) else value
        others[variable(name)] = "" if plain is None else str(plain)
    return others


def pin(pid: int | None, cores: Collection[int]) -> None:
    """Keep all threads of a process to some cores (Linux; elsewhere nothing happens)."""
    tasks = Path(f"/proc/{pid}/task")
    if cores and tasks.exists() and sys.platform == "linux":
        for task in tasks.iterdir():
            os.sched_setaffinity(int(task.name), cores)


def usage(pid: int | None) -> tuple[float, int]:
    """CPU seconds and resident bytes of a process (Linux; elsewhere zeros)."""
    stat, statm = Path(f"/proc/{pid}/stat"), Path(f"/proc/{pid}/statm")
    if not stat.exists():
        return 0.0, 0
    fields = stat.read_text().rsplit(")", 1)[1].split()
    cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return cpu, int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak_memory(pid: int) -> int:
    """Most bytes that a process has had in memory at once (Linux; elsewhere zero)."""
    status = Path(f"/proc/{pid}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:")), 0)
