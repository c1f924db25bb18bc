"""A Kafka and a Redis that let in only whom they know, over TLS, with rights as documented."""

import asyncio
import re
import shlex
import ssl
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path

import trustme
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest
from cryptography.hazmat.primitives import serialization
from redis import Redis

from stream.embedded import embedded_redis
from stream.embedded.kafka import HEAP_MB, JVM, LOG4J, PROPERTIES, _classpath, _has_broker, _java
from stream.embedded.ports import LOOPBACK, free_port
from stream.embedded.server import Server, running, silent
from stream.kafka.clients import make_admin
from stream.settings import Settings

SECURITY = Path(__file__).resolve().parents[1] / "docs/security.md"
LISTENERS = """
listeners={names}
advertised.listeners={advertised}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAIN:PLAINTEXT,INSIDE:SASL_SSL,EXPIRED:SASL_SSL,MUTUAL:SSL
inter.broker.listener.name=PLAIN

authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:admin
sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512,PLAIN
ssl.keystore.type=PEM
ssl.keystore.location=server.pem
ssl.truststore.type=PEM
ssl.truststore.location=ca.pem
listener.name.expired.ssl.keystore.type=PEM
listener.name.expired.ssl.keystore.location=expired.pem
listener.name.mutual.ssl.client.auth=required
listener.name.mutual.ssl.principal.mapping.rules=RULE:^.*$/operator/
"""
"""PLAIN is for the test itself: who comes by it may do everything."""
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule required {users};"
LACKING = {
    "ungrouped": ("Read", "shop:stream-"),
    "unread": ("Read", "activity"),
    "unwritten": ("Write", "activity"),
}
"""Users that may do all that a worker may, but for one thing."""
USERS = ("admin", "stream", "shop", "operator", "nobody", *LACKING)
PASSWORDS = {user: f"pw-of-{user}" for user in USERS}
OPERATIONS = {"Read": 3, "Write": 4, "Create": 5, "Delete": 6, "Alter": 7, "Describe": 8}
TOPIC, GROUP, LITERAL, PREFIXED, ALLOW = 2, 3, 3, 4, 3


@dataclass(frozen=True)
class Authority:
    """Certificates, as files in a folder."""

    folder: Path

    def make(self) -> None:
        """Write those of the servers and of a client: good ones, and one that has run out."""
        ours, others = trustme.CA(), trustme.CA()
        ours.cert_pem.write_to_path(str(self.folder / "ca.pem"))
        others.cert_pem.write_to_path(str(self.folder / "other-ca.pem"))
        past = datetime(2020, 1, 1, tzinfo=UTC)
        late = past + timedelta(days=1)
        self._write("server", ours.issue_cert(LOOPBACK))
        self._write("client", ours.issue_cert("client"))
        self._write("stranger", others.issue_cert("client"))
        self._write("expired", ours.issue_cert(LOOPBACK, not_before=past, not_after=late))
        self._write("elsewhere", ours.issue_cert("another.host"))

    def file(self, name: str) -> str:
        """Path of a certificate with its key, or of an authority."""
        return str(self.folder / f"{name}.pem")

    def _write(self, name: str, made: trustme.LeafCert) -> None:
        key = serialization.load_pem_private_key(made.private_key_pem.bytes(), None)
        written = key.private_bytes(  # Kafka reads keys of this kind only
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        chain = b"".join(pem.bytes() for pem in made.cert_chain_pems)
        (self.folder / f"{name}.pem").write_bytes(written + chain)


@dataclass(frozen=True)
class Guarded:
    """Where both are.

    Attributes:
        kafka: Of the listener with SASL, of that whose certificate has run out, of that which
            wants a client's certificate, and of that which asks nothing.
        redis: With TLS, with a certificate that has run out, of another host, and without TLS.
    """

    authority: Authority
    kafka: dict[str, str]
    redis: dict[str, str]


@contextmanager
def guarded(folder: Path) -> Iterator[Guarded]:
    """Run both until the end of the block; rights are those of docs/security.md."""
    authority = Authority(folder)
    authority.make()
    ports = {name: free_port() for name in ("PLAIN", "INSIDE", "EXPIRED", "MUTUAL", "CONTROLLER")}
    kafka = Server(
        "Kafka",
        folder,
        ports["PLAIN"],
        address=f"{LOOPBACK}:{ports['PLAIN']}",
        prepare=partial(_prepare, folder, ports),
        answers=partial(_has_broker, ports["PLAIN"]),
        say=silent,
    )
    with ExitStack() as ends:
        ends.enter_context(running(kafka))
        server = ends.enter_context(embedded_redis(folder / "redis"))
        doors = {
            name: ends.enter_context(tls_before(server.port, authority.file(name)))
            for name in ("server", "expired", "elsewhere")
        }
        for users in commands("redis-cli"):
            with Redis.from_url(server.address) as redis:
                redis.execute_command(*users)
        kafkas = {name: f"{LOOPBACK}:{port}" for name, port in ports.items()}
        asyncio.run(grant(kafkas["PLAIN"]))
        redises = {name: f"rediss://{LOOPBACK}:{port}/0" for name, port in doors.items()}
        yield Guarded(authority, kafkas, redises | {"plain": server.address})


def commands(program: str) -> list[list[str]]:
    """Arguments of a program wherever docs/security.md tells to run it."""
    lines = re.findall(
        rf"^\$ {re.escape(program)} (.*)$", SECURITY.read_text("utf-8"), re.MULTILINE
    )
    assert lines
    return [shlex.split(line) for line in lines]


async def grant(kafka: str) -> None:
    """Do to a Kafka what the lines of kafka-acls.sh would."""
    admin = make_admin(Settings(kafka=kafka, _env_file=None))  # type: ignore[call-arg]
    try:
        await admin.start()
        for words in commands("kafka-acls.sh"):
            await _grant(admin, words)
            for user, (operation, thing) in LACKING.items():
                if "User:stream" in words:
                    theirs = [f"User:{user}" if word == "User:stream" else word for word in words]
                    left = [w for w in theirs if w != thing or operation not in words]
                    await _grant(admin, left)
    finally:
        await admin.close()


async def _grant(admin: AIOKafkaAdminClient, words: Sequence[str]) -> None:
    given = list(pairwise(words))
    (user,) = (value for name, value in given if name == "--allow-principal")
    pattern = PREFIXED if ("--resource-pattern-type", "prefixed") in given else LITERAL
    kinds = {"--topic": TOPIC, "--group": GROUP}
    things = [(kinds[name], v) for name, v in given if name in kinds and not v.startswith("--")]
    for operation in [OPERATIONS[value] for name, value in given if name == "--operation"]:
        for kind, thing in things:
            request = CreateAclsRequest(kind, thing, pattern, user, "*", operation, ALLOW)
            answer = await admin._send_request(request)
            assert [code for code, _ in answer.creation_responses] == [0], answer


def _prepare(folder: Path, ports: dict[str, int]) -> list[str]:
    java = [_java(), *JVM, "-cp", ":".join(map(str, _classpath(silent)))]
    names = {name: f"{name}://{LOOPBACK}:{port}" for name, port in ports.items()}
    plain = PROPERTIES.format(
        host=LOOPBACK, port=ports["PLAIN"], controller_port=ports["CONTROLLER"]
    )
    lines = [line for line in plain.splitlines() if "listeners=" not in line]
    outside = ",".join(text for name, text in names.items() if name != "CONTROLLER")
    lines += LISTENERS.format(names=",".join(names.values()), advertised=outside).splitlines()
    users = " ".join(f'user_{user}="{password}"' for user, password in PASSWORDS.items())
    for name in ("inside", "expired"):
        begin = f"listener.name.{name}"
        lines += [f"{begin}.scram-sha-{n}.sasl.jaas.config={SCRAM}" for n in (256, 512)]
        lines += [f"{begin}.plain.sasl.jaas.config={PLAIN.format(users=users)}"]
    (folder / "server.properties").write_text("\n".join(lines))
    (folder / "log4j2.properties").write_text(LOG4J)
    secrets = [
        word
        for user, password in PASSWORDS.items()
        for kind in ("SCRAM-SHA-512", "SCRAM-SHA-256")
        for word in ("--add-scram", f"{kind}=[name={user},password={password}]")
    ]
    tool = [
        "kafka.tools.StorageTool",
        "format",
        "--standalone",
        "--cluster-id=AAAAAAAAAAAAAAAAAAAAAA",
    ]
    subprocess.run(
        [*java, *tool, "--config=server.properties", *secrets],
        cwd=folder,
        capture_output=True,
        check=True,
    )
    logging = "-Dlog4j2.configurationFile=log4j2.properties"
    return [*java, f"-Xmx{HEAP_MB}m", logging, "kafka.Kafka", "server.properties"]


@contextmanager
def tls_before(port: int, certificate: str) -> Iterator[int]:
    """Speak TLS before a server that does not; a Redis from a package is built without.

    Yields:
        Where it listens.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    begun = threading.Event()
    doors: list[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(LOOPBACK, port)
        ways = (_pump(reader, inner_writer), _pump(inner_reader, writer))
        await asyncio.gather(*ways, return_exceptions=True)

    async def serve() -> None:
        loop, end = asyncio.get_running_loop(), asyncio.Event()
        loop.set_exception_handler(lambda *_: None)  # clients that go away are what is tested
        async with await asyncio.start_server(handle, LOOPBACK, 0, ssl=context) as server:
            doors.append((server.sockets[0].getsockname()[1], loop, end))
            begun.set()
            await end.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert begun.wait(30)
    ((door, loop, end),) = doors
    try:
        yield door
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(30)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    finally:
        writer.transport.abort()
