"""Other engines, and ours on the same small job: how each is set up and run."""

import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from stream.embedded.kafka import VERSION

HERE = Path(__file__).resolve().parent
PEERS = HERE / "peers"
ENVIRONMENTS = HERE.parent / ".venv-bench"
STREAMS = f"org.apache.kafka:kafka-streams:{VERSION}"
GIVE_UP = 1_800.0
"""Seconds for one run of one peer."""

Say = Callable[[str], None]
Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Peer:
    """One engine.

    Attributes:
        name: As the table has it.
        folder: Below `peers`.
        arguments: After its `main.py`.
        environment: More of it.
        share: Of the events, for one that would else take as long as all others together.
    """

    name: str
    folder: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    share: float = 1.0


KNOWN = {
    "ceiling": Peer("confluent-kafka + orjson, decode only", "ceiling"),
    "streams": Peer("Kafka Streams (Java), exactly once, RocksDB", "streams"),
    "loop": Peer("hand-written loop, confluent-kafka", "loop"),
    "bytewax": Peer("Bytewax", "bytewax"),
    "quix": Peer("Quix Streams", "quix"),
    "faust": Peer("Faust as documented", "faust", ("worker", "--loglevel", "ERROR"), share=0.05),
    "ours": Peer("ours, the small job", "ours"),
    "served": Peer(
        "ours, the small job as the product does it", "ours", (), {"PEER_SERVED": "yes"}
    ),
}


class Missing(Exception):
    """A peer that cannot be run on this machine, and why."""


def command(name: str, say: Say) -> list[str]:
    """Say how to start a peer, whose environment is made if it is missing or has changed.

    Raises:
        Missing: It cannot be made here.
    """
    peer = KNOWN[name]
    if name == "streams":
        return _java(ENVIRONMENTS / name, say)
    return [_python(peer.folder, say), str(PEERS / peer.folder / "main.py"), *peer.arguments]


def run(
    name: str, started: list[str], addresses: Mapping[str, str], events: int
) -> dict[str, float]:
    """Let a peer read its events, and say what it measured."""
    peer = KNOWN[name]
    environment = {
        **os.environ,
        "PYTHONPATH": str(PEERS),
        "PEER_KAFKA": addresses["kafka"],
        "PEER_REDIS": addresses["redis"],
        "PEER_EVENTS": str(round(events * peer.share)),
        "PEER_GROUP": f"{name}-{uuid4().hex[:8]}",
        **peer.environment,
    }
    done = subprocess.run(
        started, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=GIVE_UP
    )
    said: Figures = json.loads(done.stdout.strip().splitlines()[-1])
    return {
        "rate": said["events"] / said["seconds"],
        "cpu_us": said["cpu"] / said["events"] * 1e6,
        "cpu_s": said["cpu"],
        "peak_mib": said["peak_mib"],
    }


def _python(folder: str, say: Say) -> str:
    needed = PEERS / folder / "requirements.txt"
    return str(environment(folder, needed, say)) if needed.exists() else sys.executable


def environment(name: str, needed: Path, say: Say) -> Path:
    """Python of an environment below `.venv-bench`, with the packages of a list."""
    home = ENVIRONMENTS / name
    python, made = home / "bin" / "python", home / "made-of.txt"
    if not made.exists() or made.read_text() != needed.read_text():
        say(f"setting up {name}")
        venv.create(home, with_pip=True, clear=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", needed], check=True)
        made.write_text(needed.read_text())
    return python


def _java(home: Path, say: Say) -> list[str]:
    """Compile the Java peer, if there is a compiler."""
    compiler, runtime = shutil.which("javac"), shutil.which("java")
    if compiler is None or runtime is None:
        raise Missing("it needs a JDK (javac), version 17 or newer")
    source, made = PEERS / "streams" / "Peer.java", home / "made-of.txt"
    sources = f"{STREAMS}\n{source.read_text()}"
    if not made.exists() or made.read_text() != sources:
        say("setting up streams")
        import jgo  # noqa: PLC0415 (nobody else needs it here)

        try:
            jars = [str(artifact.resolve()) for artifact in jgo.resolve(STREAMS)]
        except (OSError, RuntimeError) as error:
            raise Missing(f"its packages could not be fetched: {error}") from error
        home.mkdir(parents=True, exist_ok=True)
        path = os.pathsep.join([*jars, str(home)])
        subprocess.run([compiler, "-cp", path, "-d", home, source], check=True)
        (home / "classpath.txt").write_text(path)
        made.write_text(sources)
    return [runtime, "-cp", (home / "classpath.txt").read_text(), "Peer"]
