"""What happens to Kafka."""

import asyncio
import os
import re
import resource
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, RecordsToDelete
from running import PARTITIONS, Shop

from faults.trial import Fault, Trial
from stream.embedded import Server, Servers
from stream.embedded import kafka as embedded
from stream.embedded.ports import LOOPBACK, free_port
from stream.embedded.server import silent
from stream.operating.rebuilding import TOPICS

T = TypeVar("T")
NAME = "dGVzdHMtb2YtZmF1bHRzLQ"
"""Of the cluster; Kafka wants sixteen bytes."""
CLUSTER = """\
node.id={node}
controller.quorum.voters={voters}
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
min.insync.replicas=2
"""


def asked(trial: Trial, question: Callable[[AIOKafkaAdminClient], Awaitable[T]]) -> T:
    """Ask Kafka something, as an administrator."""

    async def ask() -> T:
        admin = AIOKafkaAdminClient(bootstrap_servers=trial.shop.settings.kafka)
        await admin.start()
        try:
            return await question(admin)
        finally:
            await admin.close()

    return asyncio.run(ask())


def killed(trial: Trial) -> None:
    """SIGKILL, and a start some seconds later."""
    trial.workers(2)
    for _ in trial.often(1, 3):
        trial.rest(1.0, 3.0)
        trial.servers.kafka.kill()
        trial.rest(1.0, 8.0)
        trial.servers.kafka.start()
        trial.moves()


def frozen(trial: Trial) -> None:
    """It does not answer, and does not hang up either."""
    trial.workers(2)
    process = trial.servers.kafka.pid
    assert process is not None
    trial.rest()
    os.kill(process, signal.SIGSTOP)
    trial.rest(10.0, 15.0)
    os.kill(process, signal.SIGCONT)
    trial.moves()


def disk_full(trial: Trial) -> None:
    """No file of the broker may grow any more: it gives up; with room again it is started."""
    trial.workers(2)
    kafka = trial.servers.kafka
    assert kafka.pid is not None
    _, hard = resource.prlimit(kafka.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(kafka.pid, resource.RLIMIT_FSIZE, (100_000, hard))
    ended = _within(60, lambda: not kafka.running)
    if not ended:
        resource.prlimit(kafka.pid, resource.RLIMIT_FSIZE, (hard, hard))
    trial.said = "the broker gave up" if ended else "the broker lived on"
    kafka.start()
    trial.moves()


def leader_lost(trial: Trial) -> None:
    """Three brokers, and the one that leads most is killed; it comes back, the next is killed."""
    with cluster(trial.folder / "cluster") as brokers:
        servers = Servers(_all(brokers), trial.servers.redis)
        trial.use(Shop(servers, trial.folder, trial.shop.prefix, replication=3))
        trial.workers(2)
        for _ in trial.often(1, 3):
            trial.rest()
            leader = _leader(trial)
            brokers[leader - 1].kill()
            trial.moves()
            trial.rest()
            brokers[leader - 1].start()
            trial.rest(3.0, 6.0)
        trial.moves()
        trial.settle()


def retention(trial: Trial) -> None:
    """Records are deleted before they were counted: it says how many, and goes on when told to."""
    workers = trial.workers(2)
    trial.load.pause()
    asyncio.run(trial.shop.settle(trial.patience))
    for worker in workers:
        assert worker.end()[0] == 0
    before = Counter(trial.load.expected)
    trial.load.go_on()
    trial.rest(1.0, 2.0)
    trial.load.pause()
    gone = trial.load.expected - before
    number = sum(n for (_, kind), n in gone.items() if kind != "units")
    asked(trial, _delete_all)

    one, other = workers
    one.start()
    one.wanted = False
    assert one.process.wait(trial.patience) == 1, one.said
    said = re.search(r"Error: Kafka no longer holds ([\d,]+) records .*--accept-loss\n", one.said)
    assert said, one.said
    assert int(said[1].replace(",", "")) == number, (said[0], number)
    trial.load.forget(gone)
    for worker in (one, other):
        worker.arguments = ["--accept-loss"]
        worker.start()
    trial.load.go_on()
    trial.moves()
    for worker in (one, other):
        assert worker.end()[0] == 0
        worker.arguments = []
        worker.start()
    trial.moves()
    trial.said = f"{number:,} deleted before they were read, refused until told to go on"


def overtaken(trial: Trial) -> None:
    """Retention overtakes workers that are at work, but frozen for a while."""
    workers = trial.workers(2)
    trial.load.pause()
    asyncio.run(trial.shop.settle(trial.patience))
    for worker in workers:
        worker.freeze()
    time.sleep(1.0)  # for Kafka to answer what they have asked: it would be read, and counted
    before = Counter(trial.load.expected)
    trial.load.go_on()
    trial.rest(1.0, 2.0)
    trial.load.pause()
    gone = trial.load.expected - before
    asked(trial, _delete_all)
    for worker in workers:
        worker.wanted = False
        worker.wake()
    ended = [worker.process.wait(trial.patience) for worker in workers]
    said = "".join(worker.said for worker in workers)
    assert ended == [1, 1], said
    assert "Error: Kafka no longer holds" in said, said
    trial.load.forget(gone)
    for worker in workers:
        worker.arguments = ["--accept-loss"]
        worker.start()
    trial.load.go_on()
    trial.moves()
    trial.said = "both ended and said what is gone"


def offsets_wiped(trial: Trial) -> None:
    """The topic in which Kafka keeps what groups have committed is deleted."""
    trial.workers(2)
    trial.rest()
    answer = asked(trial, lambda admin: admin.delete_topics(["__consumer_offsets"]))
    assert [error for _, error in answer.topic_error_codes] == [0], answer
    trial.moves()


def partitions_added(trial: Trial) -> None:
    """Twice as many for `clicks`: a worker that starts refuses.

    Those at work hear of it within a minute, and count what lies there as they do strays.
    """
    trial.workers(2)
    asked(trial, lambda admin: admin.create_partitions({"clicks": NewPartitions(2 * PARTITIONS)}))
    trial.load.spread(2 * PARTITIONS)
    late = trial.worker()
    late.wanted = False
    assert late.process.wait(trial.patience) == 1, late.said
    assert "must have equally many partitions: clicks 8, orders 4" in late.said, late.said
    trial.moves()
    trial.said = "refused in a sentence"


def _within(seconds: float, claim: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not claim():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


async def _delete_all(admin: AIOKafkaAdminClient) -> None:
    parts = [TopicPartition(topic, n) for topic in TOPICS for n in range(PARTITIONS)]
    await admin.delete_records({part: RecordsToDelete(-1) for part in parts})


def _leader(trial: Trial) -> int:
    described = asked(trial, lambda admin: admin.describe_topics(["clicks", "activity"]))
    leaders = Counter(p["leader"] for topic in described for p in topic["partitions"])
    leader: int = leaders.most_common(1)[0][0]
    return leader


@contextmanager
def cluster(home: Path) -> Iterator[list[Server]]:
    """Run three brokers, which are controllers as well, on this machine."""
    ports = [(free_port(), free_port()) for _ in range(3)]
    voters = ",".join(f"{n}@{LOOPBACK}:{control}" for n, (_, control) in enumerate(ports, 1))
    with ExitStack() as ends:
        brokers = []
        for node, (port, control) in enumerate(ports, 1):
            broker = _broker(home / str(node), node, port, control, voters)
            ends.callback(broker.stop)
            broker.launch()
            brokers.append(broker)
        for broker in brokers:
            broker.wait()
        yield brokers


def _broker(folder: Path, node: int, port: int, control: int, voters: str) -> Server:
    def prepare() -> list[str]:
        jars = map(str, embedded._classpath(silent))
        java = [embedded._java(), *embedded.JVM, "-cp", ":".join(jars)]
        text = embedded.PROPERTIES.format(host=LOOPBACK, port=port, controller_port=control)
        kept = [x for x in text.splitlines() if "quorum" not in x and "replication.factor" not in x]
        text = "\n".join(kept) + "\n" + CLUSTER.format(node=node, voters=voters)
        (folder / "server.properties").write_text(text)
        (folder / "log4j2.properties").write_text(embedded.LOG4J)
        if not (folder / "data" / "meta.properties").exists():
            tool = ["kafka.tools.StorageTool", "format", f"--cluster-id={NAME}"]
            command = [*java, *tool, "--config=server.properties"]
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
        logging = "-Dlog4j2.configurationFile=log4j2.properties"
        return [*java, "-Xmx256m", logging, "kafka.Kafka", "server.properties"]

    address = f"{LOOPBACK}:{port}"
    answers = partial(embedded._has_broker, port)
    return Server(
        "Kafka", folder, port, address=address, prepare=prepare, answers=answers, say=silent
    )


def _all(brokers: list[Server]) -> Server:
    """Name the cluster by all its brokers."""
    first = brokers[0]
    first.address = ",".join(f"{LOOPBACK}:{broker.port}" for broker in brokers)
    return first


FAULTS = (
    Fault("broker killed and restarted", killed, short=False),
    Fault("broker frozen for ten seconds", frozen, short=False),
    Fault("broker's disk full", disk_full, short=False),
    Fault("three brokers, the leader lost", leader_lost, short=False),
    Fault("retention dropped what was not counted", retention),
    Fault("retention overtakes frozen workers", overtaken, short=False),
    Fault("__consumer_offsets wiped", offsets_wiped, short=False),
    Fault("partitions added to clicks", partitions_added, short=False),
)
