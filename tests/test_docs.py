"""The documents say what is so: their commands and examples are run, their tables compared.

In a ```console block each line that begins with `$ ` is a command. All of them are run on a real
Kafka, a real Redis and a worker, but for those of `ELSEWHERE`. Tables between `<!-- table: … -->`
and `<!-- end -->` are made from the code: python tests/test_docs.py writes them anew.
"""

import ast
import gzip
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
from click.testing import CliRunner
from faults import FAULTS
from faults.table import COLUMNS, figures, kept
from markdown_it import MarkdownIt
from redis import Redis

from stream import keys
from stream.cli import COMMANDS, main
from stream.customers.segments import SEGMENTS
from stream.events.decode import Reason, Refused, decode
from stream.events.logs import Event, load_mapping, read_log
from stream.events.mappings import known_formats
from stream.events.types import Click, Item, Order, Product, Promotion, Signal, Topic
from stream.kafka.topics import TOPICS
from stream.operating.metrics import HELP
from stream.redis.documents import Customer, Score
from stream.settings import Settings, variable
from stream.units import DAY, Millis, span_name

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SECRET = "a secret of the documents"  # noqa: S105 (it keeps nothing secret)
NOW = 1_800_000_000_000
PATIENCE = 60.0

ELSEWHERE = {
    "make demo": "test_demo.py plays it",
    "make test": "it is what runs here",
    "make check": "CI runs it beside the tests",
    "make faults": "it takes an hour; test_faults.py is its short form",
    "stream rebuild": "workers are at work here; test_operating.py and test_faults.py run it",
    "stream demo": "test_demo.py plays it",
    "stream embedded": "the installation of these tests is begun with it",
    "make evaluation": "it takes minutes; test_evaluate.py runs smaller ones",
    "stream bench": "test_bench.py runs smaller ones",
    "make bench": "it takes minutes; test_bench.py runs a smaller one",
    "make performance": "it takes longer still; test_bench.py runs its parts",
    ".venv/bin/python bench/": "its packages are fetched; test_bench.py runs it where they are",
    "docker compose up": "no engine here; test_deploy.py reads what it would start",
    "kubectl": "no cluster here; test_deploy.py reads what it would apply",
    "pip install": "it would change the environment that runs the tests",
    "openssl": "a program of others",
    "kafka-acls.sh": "a program of others; test_security.py gives these rights",
    "kafka-configs.sh": "a program of others",
    "echo": "it would write the secret of somebody's installation",
    ". .venv/bin/activate": "of the shell",
}
"""Commands that are not run here, by how they begin, and why. Make targets, options of `stream`
and paths are still checked."""


class Command(NamedTuple):
    """A command that a document tells its reader to enter."""

    document: str
    text: str

    @property
    def words(self) -> list[str]:
        """It as a shell would cut it."""
        return shlex.split(self.text, comments=True)


class Block(NamedTuple):
    """A fenced block."""

    document: str
    line: int
    kind: str
    text: str


def blocks(kind: str) -> list[Block]:
    """List the fenced blocks of a kind."""
    return [
        Block(path.name, token.map[0] + 1, kind, token.content)
        for path in DOCUMENTS
        for token in MarkdownIt("commonmark").parse(path.read_text("utf-8"))
        if token.type == "fence" and token.info == kind and token.map
    ]


def commands() -> list[Command]:
    """List what readers are told to enter, each once."""
    lines = (
        (block.document, line) for block in blocks("console") for line in block.text.splitlines()
    )
    found = [Command(name, line[2:]) for name, line in lines if line.startswith("$ ")]
    return list({" ".join(command.words): command for command in found}.values())


def reason_for_elsewhere(command: Command) -> str | None:
    """Say why a command is not run here; None if it is."""
    text = " ".join(command.words)
    return next((why for start, why in ELSEWHERE.items() if text.startswith(start)), None)


HERE = [command for command in commands() if reason_for_elsewhere(command) is None]
NOT_HERE = [command for command in commands() if reason_for_elsewhere(command) is not None]


def happens(claim: Callable[[], object], within: float = PATIENCE) -> bool:
    """Wait for a claim to come true."""
    deadline = time.monotonic() + within
    while not claim():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@dataclass(frozen=True)
class Installation:
    """Kafka, Redis, a worker and a folder, as a reader of the README has them."""

    folder: Path
    kafka: str
    redis: str

    @property
    def env(self) -> dict[str, str]:
        """Settings of this installation, and no others."""
        others = {k: v for k, v in os.environ.items() if not k.upper().startswith("STREAM_")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{others.get('PATH', '')}"
        ours = {"STREAM_KAFKA": self.kafka, "STREAM_REDIS": self.redis, "STREAM_SECRET": SECRET}
        return {**others, "PATH": path, **ours, "STREAM_WEB": "", "STREAM_KAFKA_SESSION": "4000"}

    def begin(self, *words: str, **more: str) -> "subprocess.Popen[bytes]":
        """Start a command that goes on; what it says is written to `said`."""
        with (self.folder / "said").open("wb") as said:
            return subprocess.Popen(
                words,
                cwd=self.folder,
                env={**self.env, **more},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )

    def said(self) -> str:
        """What the command has said that was started last."""
        return (self.folder / "said").read_text()

    def addressed(self, text: str) -> str:
        """Put the addresses of this installation in place of the usual ones."""
        return text.replace("redis://127.0.0.1:6379/0", self.redis).replace(
            "127.0.0.1:9092", self.kafka
        )


def ended(process: "subprocess.Popen[bytes]", by: signal.Signals = signal.SIGTERM) -> int:
    """Ask a process to end; its exit code."""
    process.send_signal(by)
    try:
        return process.wait(PATIENCE)
    finally:
        process.kill()
        process.wait()


def events() -> Iterator[dict[str, Any]]:
    """What the shop of the documents has to tell; now, so that no clock of a machine is before."""
    now = int(time.time() * 1000)
    mug = {"product_id": "mug-7", "category": "mugs", "price": 12.5}
    yield {**mug, "time": now, "title": "Blue mug", "stock": 40}
    for n, user in enumerate(("user-1042", "user-17", "user-18", "user-19")):
        click = {"type": "add_to_cart" if n else "view_item", "user_id": user, **mug}
        yield {"event_id": f"c-{n}", "time": now + n, **click}
    item = {"product_id": "mug-7", "quantity": 1, "price": 12.5}
    order = {"type": "purchase", "order_id": "order-1", "user_id": "user-19", "items": [item]}
    yield {"event_id": "o-1", "time": now + 9, **order}


def write_files(folder: Path) -> None:
    """Write the files that the documents speak of."""
    lines = "".join(json.dumps(event) + "\n" for event in events())
    (folder / "events.ndjson").write_text(lines)
    (folder / "promotions.ndjson").write_text(
        "".join(b.text for b in blocks("json") if '"promotion_id"' in b.text)
    )
    (folder / "tills.csv").write_text(*(b.text for b in blocks("csv")))
    (folder / "tills.toml").write_text(*(b.text for b in blocks("toml")))
    row = "2019-10-01 00:00:00 UTC,view,1,2,electronics.phone,brand,9.90,3,visit"
    names = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id"
    with gzip.open(folder / "2019-Oct.csv.gz", "wt") as log:
        log.write(f"{names},user_session\n{row}\n")


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Do what the README tells to do first."""
    folder = tmp_path_factory.mktemp("docs")
    write_files(folder)
    (start,) = (c.words for c in commands() if c.words[:2] == ["stream", "embedded"])
    start = [sys.executable, "-m", *start, "--kafka-port", "0", "--redis-port", "0", "--json"]
    with subprocess.Popen(start, cwd=folder, stdout=subprocess.PIPE) as servers:
        try:
            assert servers.stdout is not None
            made = Installation(folder, **json.loads(servers.stdout.readline()))
            for words in ("topics", "produce events.ndjson"):
                subprocess.run(
                    ["stream", *words.split()], cwd=folder, env=made.env, check=True, timeout=60
                )
            worker = made.begin("stream", "worker")
            try:
                with Redis.from_url(made.redis) as redis:
                    wanted = ("candidates:mug-7", "score:mug-7", "metrics:conversion")
                    assert happens(lambda: redis.exists(*wanted) == len(wanted)), made.said()
                yield made
            finally:
                code = ended(worker)
            assert code == 0
        finally:
            ended(servers, signal.SIGINT)


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variables of whoever runs the tests count."""
    for name in list(os.environ):
        if name.upper().startswith("STREAM_"):
            monkeypatch.delenv(name)


# Commands


@pytest.mark.parametrize("command", HERE, ids=lambda c: f"{c.document}: {' '.join(c.words)}")
def test_every_command_works(
    command: Command, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a reader enters does its work and says so; what goes on begins to, and ends in order."""
    monkeypatch.chdir(installation.folder)
    match command.words:
        case ["stream", "worker", *_] as words:
            # A prefix of its own: it shall not take partitions from the worker of the others.
            worker = installation.begin(*words, STREAM_PREFIX="another:")
            begun = happens(lambda: "partitions [" in installation.said())
            assert (begun, ended(worker)) == (True, 0), installation.said()
        case ["stream", *_, "--watch"] as words:
            watch = installation.begin(*words)
            begun = happens(lambda: "mug-7" in installation.said())
            assert (begun, ended(watch, signal.SIGINT)) == (True, 0), installation.said()
        case ["stream", *words]:
            done = CliRunner().invoke(main, words, env=installation.env)
            assert done.exit_code == 0, done.output
            assert done.output
        case ["redis-cli", *words]:
            with Redis.from_url(installation.redis) as redis:
                assert redis.execute_command(*words)
        case ["make", *words]:
            subprocess.run(["make", *words], cwd=ROOT, check=True, capture_output=True)
        case words:
            pytest.fail(f"nobody knows how to run {words}")


@pytest.mark.parametrize("command", NOT_HERE, ids=lambda c: f"{c.document}: {' '.join(c.words)}")
def test_what_is_not_run_here_could_be(command: Command) -> None:
    """Make has such a target, `stream` such options, the repository such files."""
    match command.words:
        case ["make", *words]:
            done = subprocess.run(
                ["make", "--dry-run", *words], cwd=ROOT, capture_output=True, check=False
            )
            assert done.returncode == 0, done.stderr
        case ["stream", name, *words]:
            known = main.get_command(main.make_context("stream", [], resilient_parsing=True), name)
            assert known is not None
            files = [word for word in words if word.endswith((".gz", ".ndjson"))]
            words = [str(ROOT / "README.md") if word in files else word for word in words]
            known.make_context(name, words)
        case [".venv/bin/python", script, *_]:
            assert (ROOT / script).exists()
        case ["kubectl", "apply", "-k", folder]:
            assert (ROOT / folder / "kustomization.yaml").exists()
        case ["docker", "compose", *_]:
            assert (ROOT / "docker-compose.yml").exists()
        case _:
            pass


def test_every_command_of_stream_is_shown() -> None:
    """Readers of the documents meet all that there is."""
    assert {c.words[1] for c in commands() if c.words[0] == "stream"} == set(COMMANDS)


def test_what_is_not_run_here_is_in_the_documents() -> None:
    """The list of exceptions holds nothing that is gone."""
    texts = [" ".join(command.words) for command in commands()]
    assert [s for s in ELSEWHERE if not any(text.startswith(s) for text in texts)] == []


# Examples


@pytest.mark.parametrize("block", blocks("python"), ids=lambda b: f"{b.document}:{b.line}")
def test_every_python_example_runs(block: Block, installation: Installation) -> None:
    """As it stands, but for the addresses."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", installation.addressed(block.text)],
        cwd=installation.folder,
        env=installation.env,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert ("print(" in block.text) <= bool(done.stdout.replace("None", "").strip())


class Sent(NamedTuple):
    """An example on its way."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


@pytest.mark.parametrize("block", blocks("json"), ids=lambda b: f"{b.document}:{b.line}")
def test_every_event_example_is_read(block: Block) -> None:
    """What producers are shown is what is taken."""
    event = json.loads(block.text)
    order, click = "items" in event, "user_id" in event
    market = event.get("type") in ("promotion", "signal")
    topic: Topic = "orders" if order else "clicks" if click else "market" if market else "catalog"
    ((_, _, read),) = decode(topic, [Sent(0, NOW, None, block.text.encode())], ahead=0)
    assert not isinstance(read, Refused), read


def test_the_example_of_a_mapping_means_what_it_says(tmp_path: Path) -> None:
    """A look, and two lines of one receipt."""
    write_files(tmp_path)
    said = list(read_log(str(tmp_path / "tills.csv"), load_mapping(str(tmp_path / "tills.toml"))))
    look, order = (event.value for event in said if isinstance(event, Event))
    assert look["type"] == "view_item"
    assert [(i["quantity"], i["price"]) for i in order["items"]] == [(2, 12.5), (1, 9.9)]


# Tables


def _settings() -> list[tuple[str, ...]]:
    rows = []
    for name, field in Settings.model_fields.items():
        default = field.default
        shown = "" if default in (None, "") else f"`{default}`"
        if isinstance(default, int) and (field.description or "").endswith("ms"):
            shown += f" ({span_name(Millis(default))})"
        rows.append((f"`{variable(name)}`", shown, field.description or _MEANINGS[name]))
    return [("variable", "default", "meaning"), *rows]


_MEANINGS = {
    "kafka_security": "`PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`",
    "kafka_sasl": "`PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`",
    "kafka_username": "user, with SASL",
    "kafka_password": "password, with SASL",
    "redis_username": "user of Redis's access control list",
    "redis_password": "password of that user, or of Redis",
}
"""Of the settings that the code gives no sentence."""


def _kept(config: Mapping[str, str]) -> str:
    if config.get("cleanup.policy") == "compact":
        return "compacted"
    match config.get("retention.ms"):
        case None:
            return "your brokers' default"
        case "-1":
            return "for good"
        case span:
            return f"{int(span) // DAY} days"


def _topics() -> list[tuple[str, ...]]:
    rows = [
        (
            f"`{plan.name}`",
            plan.purpose,
            "1" if plan.single else "`STREAM_PARTITIONS`",
            _kept(plan.config),
        )
        for plan in TOPICS
    ]
    return [("topic", "what it holds", "partitions", "kept"), *rows]


def _segments() -> list[tuple[str, ...]]:
    return [("segment", "who"), *((f"`{s.name}`", s.meaning) for s in SEGMENTS)]


def _counters() -> list[tuple[str, ...]]:
    rows = [(f"`stream_{name}_total`", meaning) for name, meaning in HELP.items()]
    return [("counter", "counts"), *rows]


def _faults() -> list[tuple[str, ...]]:
    rows = [
        (name, day, f"{rate:,}", *figures(outcome), outcome.said)
        for name, (day, rate, outcome) in kept().items()
    ]
    return [("fault", "day", "events/s", *COLUMNS, ""), *rows]


TABLES: dict[str, Callable[[], list[tuple[str, ...]]]] = {
    "settings": _settings,
    "topics": _topics,
    "segments": _segments,
    "counters": _counters,
    "faults": _faults,
    "formats": lambda: [("format",), *((f"`{name}`",) for name in known_formats())],
}
_MARKED = re.compile(r"<!-- (table|list): (\w+) -->(.*?)<!-- end -->", re.DOTALL)


def _made(match: re.Match[str]) -> str:
    kind, name = match[1], match[2]
    head, *rows = TABLES[name]()
    if kind == "list":
        text = ", ".join(row[0] for row in rows)
    else:
        lines = [head, ("---",) * len(head), *rows]
        text = "".join(f"\n| {' | '.join(line)} |" for line in lines) + "\n"
    return f"<!-- {kind}: {name} -->{text}<!-- end -->"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_made_tables_are_fresh(document: Path) -> None:
    """Mend it with: python tests/test_docs.py."""
    text = document.read_text("utf-8")
    assert text == _MARKED.sub(_made, text)


def test_every_fault_is_in_the_table_and_went_well() -> None:
    """In the order of the code: nothing was lost, nothing counted twice, nothing else was wrong."""
    found = kept()
    assert list(found) == [fault.name for fault in FAULTS]
    assert [row for row in found.values() if not row.outcome.right] == []


@cache
def _written(mark: str) -> dict[str, list[str]]:
    """Read the table behind a mark: cells by each name in its first column."""
    texts = "".join(path.read_text("utf-8") for path in DOCUMENTS)
    (table,) = re.findall(rf"<!-- {mark} -->\n((?:\|.*\n)+)", texts)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    return {name: row for row in rows for name in re.findall(r"`([^`]+)`", row[0])}


@pytest.mark.parametrize("document", [Score, Customer], ids=lambda d: d.__name__)
def test_every_field_of_a_document_is_explained(document: Any) -> None:
    """No more, no less."""
    assert _written(f"fields: {document.__name__}").keys() == document.model_fields.keys()


@pytest.mark.parametrize(
    "event", [Click, Order, Item, Product, Promotion, Signal], ids=lambda e: e.__name__
)
def test_every_field_of_an_event_is_explained(event: Any) -> None:
    """And which are needed."""
    rows = _written(f"fields: {event.__name__}")
    assert rows.keys() == event.__annotations__.keys()
    assert {name for name, row in rows.items() if row[1]} == event.__required_keys__


def test_every_reason_of_a_refusal_is_explained() -> None:
    """In the order of the code."""
    assert tuple(_written("reasons")) == get_args(Reason)


def test_public_keys_are_named_as_they_are() -> None:
    """A reader in another language builds them from the document."""
    text = (ROOT / "docs/recommendation-services.md").read_text("utf-8")
    names = [keys.score("<product>"), keys.category("<category>"), keys.top_products()]
    names += [keys.top_products("<category>"), keys.TOP_CATEGORIES, keys.SCORE_CHANGES]
    names += [keys.candidates("<product>"), keys.customer("<pseudonym>"), keys.metrics("demand")]
    assert [name for name in names if f"`{name}`" not in text] == []


# What is spoken of


@cache
def _sentences() -> list[str]:
    """All texts in the code."""
    trees = (ast.parse(path.read_text("utf-8")) for path in (ROOT / "stream").rglob("*.py"))
    nodes = (
        node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)
    )
    return [text for text in nodes if isinstance(text, str)]


def test_every_message_that_is_explained_exists() -> None:
    """Operators look for what they have read."""
    table = (ROOT / "docs/operators.md").read_text("utf-8").partition("## Messages")[2]
    messages = re.findall(r"^\| `(.+?)` \|", table, re.MULTILINE)
    assert messages
    assert [m for m in messages if not any(m in text for text in _sentences())] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_settings_and_commands_in_the_text_exist(document: Path) -> None:
    """No STREAM_… that nothing reads, no `stream …` that is no command."""
    text = document.read_text("utf-8")
    known = {variable(name) for name in Settings.model_fields}
    assert set(re.findall(r"STREAM_[A-Z_]*[A-Z]", text)) <= known
    assert set(re.findall(r"`stream ([a-z][a-z-]*)", text)) <= COMMANDS.keys()


if __name__ == "__main__":
    for path in DOCUMENTS:
        path.write_text(_MARKED.sub(_made, path.read_text("utf-8")), "utf-8")
