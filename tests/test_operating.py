"""The operators' commands on a real Kafka and a real Redis, and what a worker refuses."""

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from uuid import uuid4

import pytest
from aiokafka import ConsumerRecord
from click.testing import CliRunner, Result
from redis import Redis

from stream import keys
from stream.cli import main
from stream.customers.pseudonyms import Pseudonyms
from stream.embedded import Addresses, Server, embedded_kafka, embedded_redis
from stream.embedded.ports import free_port
from stream.errors import Misconfigured
from stream.events.dead_letters import dead_letter
from stream.events.decode import Refusal, Refused
from stream.kafka.clients import make_producer
from stream.kafka.dead_letters import TOPIC
from stream.kafka.reading import partitions_of, read_to_end, reader
from stream.kafka.topics import TOPICS, misfit, partition_counts
from stream.operating.checks import findings, refuse_unfit_store
from stream.partitions import home
from stream.settings import Settings, read_settings
from stream.shards import Letter

STREAM = str(Path(sys.executable).with_name("stream"))
SECRET = "a secret of this test"  # noqa: S105 (it keeps nothing secret)
NOWHERE = "127.0.0.1:1"
BEGIN = 1_569_888_000_000


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither a .env nor the variables of whoever runs the tests count."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.upper().startswith("STREAM_"):
            monkeypatch.delenv(name)


class Installation:
    """Where Kafka and Redis are, and the commands with these settings."""

    def __init__(self, kafka: str, redis: str, **more: str) -> None:
        """Choose a prefix of its own."""
        self.prefix = f"test-{uuid4().hex}:"
        settings = {"KAFKA": kafka, "REDIS": redis, "PREFIX": self.prefix, "SECRET": SECRET}
        settings |= {"WEB": ""} | more
        self.env = {f"STREAM_{name}": value for name, value in settings.items()}

    def run(self, *words: str) -> Result:
        """Run a command in this process."""
        return CliRunner().invoke(main, words, env=self.env)

    def json(self, *words: str) -> Any:
        """Run a command that succeeds and prints JSON."""
        done = self.run(*words, "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    def refusal(self) -> str:
        """Start a worker that refuses to work, and return its sentence."""
        done = subprocess.run(
            [STREAM, "worker"],
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 1, done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr[done.stderr.index("Error: ") :]

    @contextmanager
    def worker(self, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
        """Run a worker; it has to end well."""
        with log.open("wb") as said:
            process = subprocess.Popen([STREAM, "worker"], env=self._environment(), stderr=said)
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0, log.read_text()
        finally:
            process.kill()
            process.wait()

    def settings(self) -> Settings:
        """Read the settings as a command does."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.env.items():
                patch.setenv(name, value)
            return read_settings()

    def send(self, *letters: Letter) -> None:
        """Put records into Kafka."""
        asyncio.run(self._send(letters))

    def records(self, topic: str) -> list[ConsumerRecord]:
        """Read all of a topic."""
        return asyncio.run(self._read(topic))

    def _environment(self) -> dict[str, str]:
        others = {k: v for k, v in os.environ.items() if not k.upper().startswith("STREAM_")}
        return others | self.env

    async def _send(self, letters: tuple[Letter, ...]) -> None:
        async with make_producer(self.settings()) as producer:
            for x in letters:
                await producer.send(x.topic, x.value, key=x.key, headers=list(x.headers))

    async def _read(self, topic: str) -> list[ConsumerRecord]:
        settings = self.settings()
        partitions = await partitions_of(settings, topic)
        async with reader(settings) as consumer:
            return [record async for record in read_to_end(consumer, partitions)]


def page(url: str) -> str:
    """Read a page; empty if it is not there or says no."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 (our own page)
            text: str = answer.read().decode()
            return text
    except URLError:
        return ""


def happens(claim: Callable[[], object], within: float = 25) -> bool:
    """Wait for a claim to come true."""
    deadline = time.monotonic() + within
    while not claim():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def view(user: str, number: int = 0) -> Letter:
    """A view as a shop sends it."""
    fields = {"event_id": f"{user}-{number}", "type": "view_item", "time": BEGIN + number}
    event = {**fields, "user_id": user, "product_id": "p"}
    return Letter("clicks", None, user.encode(), json.dumps(event).encode())


def refused(offset: int, value: bytes, reason: Any = "not_json") -> Letter:
    """A dead letter as a worker writes it."""
    record = ConsumerRecord("clicks", 0, offset, 0, 0, b"key", value, None, 0, 0, ())
    return dead_letter("clicks", 0, Refused(record, Refusal(reason, "Mend it.")))


@pytest.fixture(scope="module")
def bare() -> Iterator[Server]:
    """A Kafka without topics."""
    with embedded_kafka() as kafka:
        yield kafka


@pytest.fixture
def shop(servers: Addresses) -> Installation:
    """An installation with its topics, in which nothing has happened yet."""
    shop = Installation(servers.kafka, servers.redis)
    assert shop.run("topics").exit_code == 0
    return shop


@pytest.fixture(scope="module")
def page_of_live() -> str:
    """Where the live worker serves its page."""
    return f"127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def live(
    servers: Addresses, page_of_live: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """An installation with a worker at work."""
    folder = tmp_path_factory.mktemp("live")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        live = Installation(servers.kafka, servers.redis, WEB=page_of_live)
        assert live.run("topics").exit_code == 0
        with live.worker(folder / "log"):
            assert happens(lambda: page(f"http://{page_of_live}/readyz") == "ready\n")
            yield live


# Topics


def test_an_installation_begins_with_its_topics(bare: Server, servers: Addresses) -> None:
    """A worker refuses to begin without them; they are created once, and stay as they are."""
    new = Installation(bare.address, servers.redis, PARTITIONS="2")
    assert "Error: Topics are missing: clicks" in new.run("topics", "--check").stderr
    assert "Create them with: stream topics" in new.refusal()

    made = new.json("topics", "--partitions", "3")["topics"]
    assert {topic["name"]: topic["partitions"] for topic in made} == {
        plan.name: 1 if plan.single else 3 for plan in TOPICS
    }
    assert all(topic["created"] for topic in made)
    again = new.json("topics")
    assert not any(topic["created"] for topic in again["topics"])
    assert (again["fit"], again["problem"]) == (True, None)

    lines = new.run("topics", "--check").stdout.splitlines()
    assert lines[0].split()[:4] == ["clicks", "there", "3", "partitions"]
    other = new.run("topics", "--partitions", "5")
    assert (other.exit_code, "have 3 partitions, not 5" in other.stderr) == (1, True)


def test_topics_need_no_secret(shop: Installation) -> None:
    """Whoever creates topics has no business with the key of the pseudonyms."""
    del shop.env["STREAM_SECRET"]
    assert shop.run("topics").exit_code == 0


def test_topics_that_do_not_fit_are_said_so() -> None:
    """Keyed topics are alike; examples has one partition; the rest is free."""
    fit = {plan.name: 1 if plan.single else 4 for plan in TOPICS}
    assert misfit(fit | {"scores": 2, "dead-letters": 1}) is None
    assert "missing: orders" in str(misfit({k: v for k, v in fit.items() if k != "orders"}))
    assert "activity 5" in str(misfit(fit | {"activity": 5}))
    assert "examples must have one partition, not 4" in str(misfit(fit | {"examples": 4}))


# A worker refuses


def test_a_worker_refuses_to_begin_without_the_secret(shop: Installation) -> None:
    """Missing, blank or short: it says what to set, and how to make one."""
    shop.env |= {"STREAM_SECRET": "  "}
    assert "Error: Set STREAM_SECRET" in shop.refusal()
    shop.env |= {"STREAM_SECRET": "short"}
    assert "Error: STREAM_SECRET must have at least 16 characters" in shop.refusal()


def test_a_worker_refuses_checkpoints_of_other_partitions(
    shop: Installation, servers: Addresses
) -> None:
    """Customers live by partition: with another number they would be looked for elsewhere."""
    with Redis.from_url(servers.redis) as redis:
        redis.hset(shop.prefix + keys.checkpoint("customers", 0), "partitions", 99)
    assert "Error: The checkpoints were made with 99 partitions" in shop.refusal()
    assert "made with 99 partitions" in shop.run("check").stdout


def test_a_worker_refuses_a_redis_that_drops_keys(servers: Addresses) -> None:
    """An evicting or forgetful Redis is refused with what to set; a demo only warns."""
    with embedded_redis() as server, Redis.from_url(server.address) as redis:
        shop = Installation(servers.kafka, server.address)
        redis.config_set("maxmemory", "1gb")
        redis.config_set("maxmemory-policy", "allkeys-lru")
        assert "Error: A full Redis would drop keys (maxmemory-policy allkeys-lru)" in (
            shop.refusal()
        )
        redis.config_set("appendonly", "no")
        with pytest.raises(Misconfigured, match=r"noeviction\n.*Set: appendonly yes"):
            asyncio.run(refuse_unfit_store(shop.settings()))


def test_a_redis_is_fit_without_limit_or_with_snapshots(caplog: pytest.LogCaptureFixture) -> None:
    """Without a limit the policy does not matter; snapshots are a way to persist."""
    with embedded_redis() as server, Redis.from_url(server.address) as redis:
        shop = Installation(NOWHERE, server.address)
        redis.config_set("maxmemory-policy", "allkeys-lru")
        redis.config_set("appendonly", "no")
        redis.config_set("save", "900 1")
        asyncio.run(refuse_unfit_store(shop.settings()))
        assert not caplog.records
        redis.config_set("save", "")
        asyncio.run(refuse_unfit_store(shop.settings(), lenient=True))
        assert "Redis writes nothing to disk" in caplog.text


@pytest.mark.parametrize(
    ("right", "wrong"), [("+info", "would drop keys"), ("-info", "does not say what it drops")]
)
def test_a_redis_that_hides_its_configuration_is_asked_otherwise(
    caplog: pytest.LogCaptureFixture, right: str, wrong: str
) -> None:
    """A rented Redis may not allow CONFIG: then INFO counts, and what is unknown is warned of."""
    with embedded_redis() as server, Redis.from_url(server.address) as redis:
        redis.config_set("maxmemory", "1gb")
        redis.config_set("maxmemory-policy", "volatile-lru")
        redis.execute_command(
            "ACL", "SETUSER", "shop", "on", ">pw", "~*", "+@all", "-config", right
        )
        shop = Installation(NOWHERE, server.address, REDIS_USERNAME="shop", REDIS_PASSWORD="pw")  # noqa: S106
        caplog.set_level(logging.WARNING)
        asyncio.run(refuse_unfit_store(shop.settings(), lenient=True))
        assert wrong in caplog.text


def test_a_worker_waits_for_redis_and_can_be_stopped_meanwhile(tmp_path: Path) -> None:
    """It says so once, is healthy, and ends with 0."""
    web = f"127.0.0.1:{free_port()}"
    shop = Installation(NOWHERE, f"redis://{NOWHERE}", WEB=web)
    log = tmp_path / "log"
    with shop.worker(log):
        assert happens(lambda: "Waiting." in log.read_text())
        assert page(f"http://{web}/healthz") == "ok\n"
        time.sleep(1)
    assert log.read_text().count("Waiting.") == 1


# Check


def test_an_installation_that_is_fit(live: Installation) -> None:
    """Every line says ok, with the settings that are in force and without the secret."""
    done = live.run("check")
    assert done.exit_code == 0, done.stdout
    settings, answers = done.stdout.split("\n\n")
    assert f"STREAM_PREFIX={live.prefix}" in settings.splitlines()
    assert "STREAM_SECRET=***" in settings.splitlines()
    assert all(line.startswith("ok ") for line in answers.splitlines())
    assert [line.split()[1].rstrip(":") for line in answers.splitlines()][:3] == [
        "secret",
        "kafka",
        "topics",
    ]
    found = live.json("check")
    assert found["fit"] is True
    assert SECRET not in json.dumps(found) + done.stdout


def test_an_installation_that_is_not_fit() -> None:
    """Everything that is wrong is said at once, and the exit status is 1."""
    shop = Installation(NOWHERE, f"redis://:hidden@{NOWHERE}", PARTITONS="3", SECRET="short")  # noqa: S106
    done = shop.run("check", "--json")
    assert done.exit_code == 1
    wrong = {x["name"]: x["text"] for x in json.loads(done.stdout)["findings"] if not x["ok"]}
    assert wrong.keys() == {"settings", "secret", "kafka", "redis"}
    assert "Is STREAM_PARTITIONS meant?" in wrong["settings"]
    assert "hidden" not in done.output
    assert "mend kafka: Kafka does not answer" in shop.run("check").stdout


def test_a_wrong_setting_is_a_finding() -> None:
    """Where settings cannot be read, nothing can be asked; the reason comes as the others do."""
    shop = Installation(NOWHERE, NOWHERE, ROWS="1")
    done = shop.run("check", "--json")
    assert done.exit_code == 1
    texts = [x["text"] for x in json.loads(done.stdout)["findings"]]
    assert [text.split(":")[0] for text in texts] == ["STREAM_REDIS", "STREAM_ROWS"]


def test_progress_is_that_of_the_checkpoints(shop: Installation, servers: Addresses) -> None:
    """What Kafka holds beyond the checkpoints is behind; what it no longer holds is wrong."""

    def lag() -> Any:
        found = {x.name: x for x in asyncio.run(findings(shop.settings()))}
        return found["lag"]

    shop.send(*(view("lag", n) for n in range(3)))
    partitions = asyncio.run(partition_counts(shop.settings()))["clicks"]
    where = home("lag", partitions)
    end = max(r.offset for r in shop.records("clicks") if r.partition == where) + 1
    with Redis.from_url(servers.redis) as redis:
        key = shop.prefix + keys.checkpoint("learner", 0)
        redis.hset(key, mapping={"partitions": partitions, "positions": "{}"})
        examples = len(shop.records("examples"))
        assert f"learner {examples:,}." in lag().text
        key = shop.prefix + keys.checkpoint("customers", where)
        ends = {"clicks": end - 2, "orders": 0, "strays": 0, "erasures": 0}
        redis.hset(key, mapping={"partitions": partitions, "positions": json.dumps(ends)})
        behind = int(lag().text.split("customers ")[1].split(",")[0])
        assert behind >= 2
        redis.hset(key, "positions", json.dumps({"clicks": end + 1}))
        assert (lag().ok, "created anew" in lag().text) == (False, True)


# The page


def test_a_live_worker_counts(live: Installation, page_of_live: str) -> None:
    """What it has read is on its page; so is what it refused, by reason."""
    mark = uuid4().hex
    live.send(view(mark), Letter("clicks", None, b"k", f"{{{mark}".encode()))

    def numbers() -> dict[str, float]:
        lines = page(f"http://{page_of_live}/metrics").splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line and line[0] != "#")
        return {name: float(value) for name, value in pairs}

    def seen(beginning: str, part: str = "") -> float:
        return sum(v for k, v in numbers().items() if k.startswith(beginning) and part in k)

    assert happens(lambda: seen("stream_clicks_total") and seen("stream_refused_total", "not_json"))
    assert happens(lambda: seen("stream_lag_records") == 0)
    assert seen("stream_ready") == 1
    assert seen("stream_saves_total", "customers") > 0
    # Partitions that have told nothing yet are waited for at first.
    assert happens(lambda: seen("stream_watermark_age_seconds", 'stage="products"') > 0)


# Dead letters


def test_what_is_refused_is_listed(live: Installation) -> None:
    """With reason, advice, place and beginning; nothing in it can steer a terminal."""
    mark = uuid4().hex
    value = f"{{{mark}\x1b[2J".encode() + b"\xff" * 300
    live.send(Letter("clicks", None, b"k", value))

    def mine() -> list[dict[str, Any]]:
        letters = live.json("dead-letters", "--reason", "not_json", "--limit", "500")
        return [letter for letter in letters if mark in letter["value"]]

    assert happens(mine)
    (letter,) = mine()
    assert (letter["topic"], letter["reason"], letter["bytes"]) == ("clicks", "not_json", 337)
    assert "JSON" in letter["detail"]
    (record,) = [r for r in live.records("clicks") if r.value == value]
    assert (letter["partition"], letter["offset"]) == (record.partition, record.offset)
    listed = live.run("dead-letters", "--limit", "500").stdout
    assert f"{{{mark}�[2J" in listed
    assert "\x1b" not in listed
    assert live.json("dead-letters", "--counts")["not_json"] >= 1


def test_letters_are_sent_again_once(bare: Server, servers: Addresses) -> None:
    """The same bytes under the same key; another time only what has come since."""
    shop = Installation(bare.address, servers.redis)
    assert shop.run("topics").exit_code == 0
    assert shop.run("dead-letters").stdout == "Nothing was refused.\n"
    assert shop.json("dead-letters", "--resend") == {"sent": 0}
    foreign = Letter(TOPIC, None, None, b"not ours")
    shop.send(refused(1, b"one"), refused(2, b"two", "bad_id"), refused(3, b"three"), foreign)
    shop.send(refused(3, b"three"))  # a worker that crashed has sent it twice
    assert shop.json("dead-letters", "--counts") == {"not_json": 3, "bad_id": 1, "unknown": 1}
    assert [x["offset"] for x in shop.json("dead-letters", "--limit", "1")] == [3]

    assert shop.json("dead-letters", "--resend", "--reason", "bad_id") == {"sent": 1}
    assert shop.json("dead-letters", "--resend", "--limit", "1") == {"sent": 1}
    assert shop.run("dead-letters", "--resend").stdout == "Sent again: 1 letter.\n"
    assert shop.json("dead-letters", "--resend") == {"sent": 0}
    shop.send(refused(4, b"four"))
    assert shop.json("dead-letters", "--resend") == {"sent": 1}

    records = shop.records("clicks")
    assert sorted(r.value for r in records) == [b"four", b"one", b"three", b"two"]
    assert {r.key for r in records} == {b"key"}
    assert len({r.partition for r in records}) == 1


def test_dead_letters_are_either_counted_or_sent(shop: Installation) -> None:
    """What excludes each other is a mistake in the command, as is a reason that there is not."""
    assert shop.run("dead-letters", "--counts", "--resend").exit_code == 2
    assert shop.run("dead-letters", "--reason", "bad_luck").exit_code == 2


# Rebuilding


def test_a_rebuild_is_asked_for(shop: Installation, servers: Addresses) -> None:
    """Neither a slip of the finger nor a prefix that looks like a pattern costs anybody a key."""
    ours = [keys.score("mug"), keys.checkpoint("products", 0), keys.BIRTH, keys.SCORE_CHANGES]
    shop.prefix = shop.env["STREAM_PREFIX"] = f"sh[o]p*{uuid4().hex}:"
    kept = [shop.prefix + name for name in (keys.RESENT, "cart:17")]
    kept += [shop.prefix.replace("[o]", "o") + keys.score("mug"), keys.score(shop.prefix)]
    with Redis.from_url(servers.redis) as redis:
        redis.mset(dict.fromkeys([*kept, *(shop.prefix + name for name in ours)], 1))
        asked = shop.run("rebuild")
        assert (asked.exit_code, "Aborted" in asked.stderr) == (1, True), asked.output
        assert redis.exists(*(shop.prefix + name for name in ours)) == len(ours)
        assert shop.json("rebuild", "--yes")["dropped"] == len(ours)
        assert redis.exists(*kept) == len(kept)
        assert shop.run("rebuild", "--yes").stdout.startswith("Dropped 0 keys. Workers that start")
        redis.delete(*kept)


# Erasures


def test_a_customer_is_forgotten(live: Installation, servers: Addresses) -> None:
    """Known before, unknown after; the command returns when it is done."""
    user = f"user-{uuid4().hex}"
    live.send(*(view(user, n) for n in range(3)))
    document = live.prefix + keys.customer(Pseudonyms(SECRET.encode()).of(user))
    with Redis.from_url(servers.redis) as redis:
        assert happens(lambda: redis.exists(document))
        done = live.run("erase", user)
        assert done.stdout.startswith("The customer is forgotten"), done.output
        assert not redis.exists(document)
    assert live.json("erase", user, "--yes")["carried_out"] is True


def test_an_erasure_is_recorded_where_no_worker_runs(shop: Installation) -> None:
    """It lies where that customer's shard will find it, and does not name the customer."""
    user = f"user-{uuid4().hex}"
    done = shop.json("erase", user, "--wait", "0")
    assert done["carried_out"] is False
    (record,) = [r for r in shop.records("erasures") if r.key.decode() == done["customer"]]
    partitions = asyncio.run(partition_counts(shop.settings()))["erasures"]
    assert record.partition == done["partition"] == home(user, partitions)
    assert json.loads(record.value)["customer"] == Pseudonyms(SECRET.encode()).of(user)
    assert user.encode() not in record.key + record.value
    assert "recorded in Kafka" in shop.run("erase", user, "--wait", "0").stdout


def test_nobody_is_found_without_the_secret(shop: Installation) -> None:
    """With another one a stranger would be forgotten."""
    del shop.env["STREAM_SECRET"]
    done = shop.run("erase", "user-1")
    assert (done.exit_code, "Set STREAM_SECRET" in done.stderr) == (1, True)


@pytest.mark.parametrize("words", [["topics"], ["dead-letters"], ["erase", "user-1"]])
def test_no_kafka_is_said_so(words: list[str]) -> None:
    """A sentence and exit status 1, nothing else."""
    done = Installation(NOWHERE, f"redis://{NOWHERE}").run(*words)
    assert done.exit_code == 1
    assert done.output.startswith("Error: Kafka does not answer")
