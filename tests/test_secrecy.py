"""What is written nowhere: user ids behind the first stage, and secrets. And who may listen."""

import asyncio
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
from aiokafka import ConsumerRecord
from click.testing import CliRunner
from pydantic import SecretStr
from running import PARTITIONS, SECRET, Sent, Shop, evidence
from test_end_to_end import refused, shoppers

from stream.cli import COMMANDS, main
from stream.customers.pseudonyms import Pseudonyms
from stream.embedded import Servers, embedded_servers
from stream.embedded.ports import free_port
from stream.kafka.topics import TOPICS
from stream.operating.erasing import carried_out, request_erasure
from stream.settings import Settings

MARK = "marked-5d1a7"
"""In every user id."""
LINUX = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="it reads Linux's /proc")
NOWHERE = "127.0.0.1:1"


# User ids


class Traces(NamedTuple):
    """Everything that an installation has written by its end, by where.

    Attributes:
        ours: What the first stage has let out, and where no user id may be.
        theirs: What the shop has sent, and the dead letters' bytes.
    """

    ours: dict[str, bytes]
    theirs: dict[str, bytes]


def marked(number: int) -> list[Sent]:
    """Let marked customers do all that customers do, some of them unknown to the shop."""
    events = []
    for topic, value, _ in shoppers(number, "secret "):
        assert isinstance(value, dict)
        name = str(value["user_id"]).replace("secret user", MARK)
        user = f"anonymous:{name}" if name.endswith("7") else name
        events.append(Sent(topic, value | {"user_id": user}, user.encode()))
        if value["type"] == "purchase" and len(events) % 3 == 0:
            back = {"event_id": f"back {value['event_id']}", "type": "refund", "user_id": user}
            events.append(Sent(topic, value | back, user.encode()))
    return events


def marked_and_refused() -> Iterator[Sent]:
    """Records that are refused for every reason, with the mark wherever it can stand."""
    for reason, raws in refused().items():
        for raw in raws[:8] if reason != "record_too_large" else raws[:1]:
            topic = "orders" if b'"items"' in raw else "clicks"
            named = raw.replace(b'"user_id":"u"', b'"user_id":"%s"' % MARK.encode())
            yield Sent(topic, named, MARK.encode())
    click = {"event_id": "e", "type": "view_item", "time": 1, "user_id": MARK, "product_id": "p"}
    order = {"event_id": "e", "type": "purchase", "time": 1, "order_id": MARK, "user_id": MARK}
    for name in (*click, "price", "category", "session_id", "channel", MARK):
        for value in (MARK, [MARK], {MARK: MARK}, MARK * 30, None, f"{MARK}\x00", f"{MARK}é" * 9):
            yield Sent("clicks", orjson.dumps(click | {name: value}), MARK.encode())
            items = [{"product_id": "p", "quantity": 1, "price": 1, name: value}]
            yield Sent("orders", orjson.dumps(order | {"items": items}), MARK.encode())
    for broken in (f'{{"user_id":"{MARK}', f'{{"user_id":"{MARK}\\ud800"}}', MARK, f'"{MARK}"'):
        yield Sent("clicks", broken.encode(), MARK.encode())


async def what_is_written(folder: Path) -> Traces:
    """Run an installation on marked customers, and collect all that it writes."""
    page = f"127.0.0.1:{free_port()}"
    with embedded_servers(folder) as servers:
        shop = Shop(servers, folder, "secret:", WEB=page)
        await shop.open()
        good, bad = marked(1_500), list(marked_and_refused())
        events, dice = [*good, *bad], random.Random(1)
        dice.shuffle(events)
        expected = evidence(e for e in good if e.value["type"] != "refund")  # type: ignore[call-overload]
        with shop.worker("--verbose") as worker:
            await shop.send(events, lambda *_: dice.randrange(PARTITIONS))
            assert shop.happens(lambda: shop.totals("secret ")["views"] == expected["views"])
            await shop.settle()
            await forget(shop, f"{MARK}-1")
            metrics = page_of(f"http://{page}/metrics")
            line = command_line(worker.process.pid)
            assert shop.counts()["strays"] > 500
            assert worker.end()[0] == 0
        assert shop.totals("secret ")["views"] == expected["views"]
        ours = {"metrics": metrics, "command line": line, "log": worker.said.encode()}
        theirs: dict[str, bytes] = {}
        for plan in TOPICS:
            records = await shop.read(plan.name)
            ours[f"{plan.name}, headers"] = joined([raw for r in records for _, raw in r.headers])
            where = theirs if plan.name in ("clicks", "orders", "dead-letters") else ours
            where[plan.name] = joined(content(records))
        for key, document in shop.documents("customer:*").items():
            ours[key] = orjson.dumps(document)
    # Redis's log holds each command that it was ever given.
    written = [path for path in (folder / "redis").rglob("*") if path.is_file()]
    ours |= {f"redis, {path.name}": path.read_bytes() for path in written}
    assert any(b"HSET" in raw for name, raw in ours.items() if name.startswith("redis, append"))
    return Traces(ours, theirs)


def page_of(url: str) -> bytes:
    """Read a page of ours."""
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 (our own)
        page: bytes = answer.read()
        return page


def command_line(pid: int) -> bytes:
    """What whoever lists the processes sees of one."""
    path = Path(f"/proc/{pid}/cmdline")
    return path.read_bytes() if path.exists() else b""


async def forget(shop: Shop, user: str) -> None:
    """Let a customer be forgotten."""
    settings = shop.settings.model_copy(update={"secret": SecretStr(SECRET)})
    assert await carried_out(settings, await request_erasure(settings, user), patience=60)


def joined(parts: Sequence[bytes | None]) -> bytes:
    """All of it in one piece, to be searched."""
    return b"\n".join(part for part in parts if part)


def content(records: Sequence[ConsumerRecord]) -> list[bytes | None]:
    """Keys and values."""
    return [part for record in records for part in (record.key, record.value)]


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Traces:
    """What an installation has written, once for all tests."""
    return asyncio.run(what_is_written(tmp_path_factory.mktemp("traces")))


def test_no_user_id_leaves_the_first_stage(traces: Traces) -> None:
    """None in internal topics, Redis and its log, logs, metrics, or headers of dead letters."""
    assert [name for name, raw in traces.ours.items() if MARK.encode() in raw] == []


def test_the_search_would_find_one(traces: Traces) -> None:
    """Ids lie where the shop has put them, and among the dead letters, as they came."""
    assert {name for name, raw in traces.theirs.items() if MARK.encode() in raw} == set(
        traces.theirs
    )
    pseudonym = Pseudonyms(SECRET.encode()).of(f"{MARK}-2")
    found = {
        name.partition(":")[0] for name, raw in traces.ours.items() if pseudonym.encode() in raw
    }
    assert {"activity", "strays", "customer"} <= found
    assert any(name.startswith("redis, ") for name in found)
    assert b"not_json" in traces.ours["dead-letters, headers"]


def test_strays_of_unknown_customers_stay_unknown(traces: Traces) -> None:
    """Under a pseudonym it could not be told from the id whether the shop knows who it is."""
    assert b'"anonymous:' in traces.theirs["clicks"]
    assert b'"user_id":"anonymous:' in traces.ours["strays"]


# Secrets

HIDDEN = "hidden-91c3e"
SETTINGS = {
    "SECRET": f"{HIDDEN} and long enough",
    "KAFKA": NOWHERE,
    "KAFKA_SECURITY": "SASL_PLAINTEXT",
    "KAFKA_USERNAME": "shop",
    "KAFKA_PASSWORD": HIDDEN,
    "REDIS": f"redis://shop:{HIDDEN}@{NOWHERE}/0",
    "REDIS_PASSWORD": HIDDEN,
    "WEB": "",
}
WORDS = (
    *([name, "--help"] for name in COMMANDS),
    ["--help"],
    ["--version"],
    ["topics"],
    ["topics", "--check"],
    ["check"],
    ["check", "--json"],
    ["top"],
    ["score", "p"],
    ["customer", "u"],
    ["customer", "--pseudonym", "x"],
    ["dead-letters"],
    ["dead-letters", "--counts"],
    ["dead-letters", "--resend"],
    ["erase", "u", "--yes"],
)
WRONG: tuple[dict[str, str], ...] = (
    {},
    {"REDIS": f"{HIDDEN}"},
    {"REDIS": f"redis://:{HIDDEN}/x@{NOWHERE}"},
    {"REDIS": f"redis://{NOWHERE}/0?password={HIDDEN}&socket_timeout=x"},
    {"REDIS": f"redis://{NOWHERE}/0?passwort={HIDDEN}"},
    {"REDIS": f"unix:///nowhere?password={HIDDEN}"},
    {"KAFKA": f"shop:{HIDDEN}@{NOWHERE}"},
    {"PARTITIONS": HIDDEN},
    {"ROWS": "1"},
)


def environment(more: dict[str, str]) -> dict[str, str]:
    """Settings full of secrets, some of them wrong."""
    return {f"STREAM_{name}": value for name, value in (SETTINGS | more).items()}


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_no_command_shows_a_secret(
    words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither its help, nor its answer, nor its error, nor the error behind that one."""
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, words, env=environment({}))
    assert done.exit_code in (0, 1)
    assert HIDDEN not in done.output
    assert HIDDEN not in chain(done.exception)


@pytest.mark.parametrize("more", WRONG, ids=str)
@pytest.mark.parametrize("words", [["check"], ["top"], ["topics"]], ids=" ".join)
def test_no_error_shows_a_secret(
    words: list[str], more: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where a setting is wrong, what was expected is said, and not what was given."""
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, words, env=environment(more))
    assert done.exit_code in (0, 1)
    assert done.output
    assert HIDDEN not in done.output + chain(done.exception)


def chain(error: BaseException | None) -> str:
    """Everything that a stack trace would say."""
    texts = []
    while error is not None:
        texts.append(repr(error))
        error = error.__cause__ or error.__context__
    return " ".join(texts)


@pytest.mark.parametrize("more", [{}, {"REDIS": f"redis://{NOWHERE}"}], ids=str)
def test_a_worker_that_says_all_it_can_says_no_secret(more: dict[str, str], tmp_path: Path) -> None:
    """Not in its log, and not to whoever lists the processes."""
    log = tmp_path / "log"
    others = {k: v for k, v in os.environ.items() if not k.startswith("STREAM_")}
    with log.open("wb") as said:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("stream"), "worker", "--verbose"],
            env=others | environment(more),
            cwd=tmp_path,
            stdout=said,
            stderr=said,
        )
    try:
        deadline = time.monotonic() + 60
        while "Waiting" not in log.read_text() and time.monotonic() < deadline:
            time.sleep(0.1)
        line = command_line(process.pid).decode()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    assert "Waiting" in log.read_text()
    assert HIDDEN not in log.read_text() + line


# Who listens


def listening(pid: int) -> set[str]:
    """Addresses on which a process listens, as Linux tells."""
    links = [link for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()]
    sockets = set(re.findall(r"socket:\[(\d+)]", " ".join(str(link.readlink()) for link in links)))
    found = set()
    for table in ("tcp", "tcp6"):
        for row in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *rest = row.split()
            if state == "0A" and rest[5] in sockets:
                found.add(address(bytes.fromhex(local.partition(":")[0])))
    return found


def address(raw: bytes) -> str:
    """Read an address as the kernel writes it: words of four bytes, each in the machine's order."""
    words = [raw[at : at + 4] for at in range(0, len(raw), 4)]
    plain = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    if plain.startswith(bytes(10) + b"\xff\xff"):  # IPv4 within IPv6
        plain = plain[12:]
    return socket.inet_ntop(socket.AF_INET if len(plain) == 4 else socket.AF_INET6, plain)


@LINUX
def test_nothing_listens_beyond_this_machine(tmp_path: Path) -> None:
    """Kafka, Redis and a worker with the usual settings are reached from this machine only."""
    servers: Servers
    with embedded_servers(tmp_path) as servers:
        shop = Shop(servers, tmp_path, WEB=f"127.0.0.1:{free_port()}")
        asyncio.run(shop.open())
        with shop.worker() as worker:
            assert shop.happens(worker.has_begun)
            for pid in (servers.kafka.pid, servers.redis.pid, worker.process.pid):
                assert pid is not None
                assert listening(pid) == {"127.0.0.1"}


@LINUX
def test_who_listens_to_all_would_be_noticed() -> None:
    """An open socket of this process is seen as what it is."""
    with socket.create_server(("0.0.0.0", 0)):  # noqa: S104 (it is what is looked for)
        assert "0.0.0.0" in listening(os.getpid())  # noqa: S104


def test_the_page_is_for_this_machine_unless_told_otherwise() -> None:
    """By default nobody else reads health and metrics."""
    fields: Any = Settings.model_fields
    assert fields["web"].default.startswith("127.0.0.1:")
