"""What every benchmark needs: a worker in a process of its own, and a fast way into Kafka."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from stream.embedded import Addresses
from stream.memo import Memo
from stream.partitions import home
from stream.settings import Settings

PARTITIONS = 4


def bench_settings(addresses: Addresses) -> Settings:
    """Settings as they are without any, with the addresses of this run."""
    return Settings(kafka=addresses.kafka, redis=addresses.redis, web="", _env_file=None)  # type: ignore[call-arg]


class BatchWriter:
    """Writes whole batches, made by hand: one by one, a producer would need a core for itself."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self._batches: dict[tuple[str, int], Any] = {}
        self._home = Memo(lambda key: home(key, PARTITIONS), most=1 << 20)

    async def put(self, topic: str, key: str, value: bytes) -> None:
        """Add a record, sent when its batch is full or with the next flush."""
        where = topic, self._home[key]
        batch = self._batches.get(where)
        if batch is None or not batch.append(key=key.encode(), value=value, timestamp=None):
            await self._send(where)
            batch = self._batches[where] = self._producer.create_batch()
            batch.append(key=key.encode(), value=value, timestamp=None)

    async def flush(self) -> None:
        """Send what has gathered."""
        for where in list(self._batches):
            await self._send(where)

    async def _send(self, where: tuple[str, int]) -> None:
        batch = self._batches.pop(where, None)
        if batch is not None:
            await self._producer.send_batch(batch, where[0], partition=where[1])


@contextmanager
def run_worker(addresses: Addresses) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a worker with all stages until the end of the block."""
    environment = {
        **os.environ,
        "STREAM_KAFKA": addresses.kafka,
        "STREAM_REDIS": addresses.redis,
        "STREAM_SECRET": "of-the-benchmark",
        "STREAM_WEB": "",
    }
    process = subprocess.Popen([sys.executable, "-m", "stream", "worker"], env=environment)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


def usage(pid: int) -> tuple[float, int]:
    """CPU seconds and resident bytes of a process (Linux; elsewhere zeros)."""
    stat, statm = Path(f"/proc/{pid}/stat"), Path(f"/proc/{pid}/statm")
    if not stat.exists():
        return 0.0, 0
    fields = stat.read_text().rsplit(")", 1)[1].split()
    cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return cpu, int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
