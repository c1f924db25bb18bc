"""Kafka and Redis over TLS, with users that may do what docs/security.md lists, and no more."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from guarded import PASSWORDS, Guarded, commands, guarded
from redis import Redis

from stream import ScoreReader
from stream.cli import main
from stream.errors import Misconfigured
from stream.redis.clients import redis_errors

STREAM = str(Path(sys.executable).with_name("stream"))
SECRET = "a secret of this test"  # noqa: S105 (it keeps nothing secret)
PATIENCE = 120.0
REDIS_PASSWORDS = {
    words[2]: next(word[1:] for word in words if word[0] == ">") for words in commands("redis-cli")
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Both servers, guarded, with the topics that an operator has made."""
    with guarded(tmp_path_factory.mktemp("guarded")) as site:
        made = run(settings(site, "operator"), "topics")
        assert made.exit_code == 0, made.output
        yield site


def settings(site: Guarded, user: str, **more: str) -> dict[str, str]:
    """Settings of a user of both."""
    ca = site.authority.file("ca")
    names = {
        "KAFKA": site.kafka["INSIDE"],
        "KAFKA_SECURITY": "SASL_SSL",
        "KAFKA_SASL": "SCRAM-SHA-512",
        "KAFKA_USERNAME": user,
        "KAFKA_PASSWORD": PASSWORDS.get(user, ""),
        "KAFKA_CA": ca,
        "KAFKA_SESSION": "4000",
        "REDIS": site.redis["server"],
        "REDIS_USERNAME": user,
        "REDIS_PASSWORD": REDIS_PASSWORDS.get(user, ""),
        "REDIS_CA": ca,
        "PREFIX": "shop:",
        "SECRET": SECRET,
        "WEB": "",
    }
    return {f"STREAM_{name}": value for name, value in (names | more).items()}


def run(env: dict[str, str], *words: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(main, words, env=env)


@contextmanager
def worker(env: dict[str, str], folder: Path, *words: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a worker; what it says is written to `log`."""
    others = {k: v for k, v in os.environ.items() if not k.startswith("STREAM_")}
    with (folder / "log").open("wb") as said:
        process = subprocess.Popen(
            [STREAM, "worker", *words], env=others | env, cwd=folder, stdout=said, stderr=said
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def refusal(env: dict[str, str], folder: Path) -> str:
    """Start a worker that must refuse to work; its last line."""
    with worker(env, folder) as process:
        try:
            code: int | None = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            code = None
    said = (folder / "log").read_text()
    assert code == 1, said
    assert "Traceback" not in said
    return said.strip().splitlines()[-1]


def happens(claim: Callable[[], object]) -> bool:
    """Wait for a claim to come true."""
    deadline = time.monotonic() + PATIENCE
    while not claim():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def log_of(folder: Path) -> Path:
    """Events of two customers, with new ids each time."""
    now = int(time.time() * 1000)
    click = {
        "event_id": f"c{now}",
        "type": "view_item",
        "time": now,
        "user_id": "u",
        "product_id": "p",
    }
    item = {"product_id": "p", "quantity": 1, "price": 2}
    order = {
        "event_id": f"o{now}",
        "type": "purchase",
        "time": now,
        "order_id": f"{now}",
        "items": [item],
    }
    path = folder / "events.ndjson"
    events: list[Any] = [click, {**order, "user_id": "v"}]
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return path


def test_the_rights_that_are_listed_are_enough(site: Guarded, tmp_path: Path) -> None:
    """The shop sends, a worker counts, a reader reads, operators look and forget; over TLS."""
    sent = run(settings(site, "shop"), "produce", str(log_of(tmp_path)))
    assert sent.exit_code == 0, sent.output
    with worker(settings(site, "stream"), tmp_path) as process:
        with ScoreReader(
            site.redis["server"],
            prefix="shop:",
            username="reader",
            password=REDIS_PASSWORDS["reader"],
            ca=site.authority.file("ca"),
            secret=SECRET,
        ) as reader:
            counted = happens(lambda: (s := reader.score("p")) and s.evidence.units == 1)
            assert counted, (tmp_path / "log").read_text()
            assert [product for product, _ in reader.top(5)] == ["p"]
            assert happens(lambda: reader.customer("v"))
            assert reader.candidates("p") is not None
        for words in (["score", "p"], ["top"], ["customer", "v"]):
            shown = run(settings(site, "reader"), *words)
            assert shown.exit_code == 0, shown.output
        asking = settings(site, "operator")
        for words in (["check"], ["dead-letters", "--resend"]):
            asked = run(asking, *words)
            assert asked.exit_code == 0, asked.output
        forgotten = run(asking, "erase", "v", "--yes", "--json", "--wait", "60")
        assert json.loads(forgotten.stdout)["carried_out"] is True, forgotten.output
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    dropping = {
        "REDIS_USERNAME": "rebuilder",
        "REDIS_PASSWORD": REDIS_PASSWORDS["rebuilder"],
    }
    rebuilt = run(settings(site, "operator", **dropping), "rebuild", "--yes", "--json")
    assert json.loads(rebuilt.stdout)["dropped"] > 0, rebuilt.output


def test_who_may_not_see_workers_does_not_take_them_for_absent(site: Guarded) -> None:
    """Nothing is dropped by somebody who cannot tell whether anybody is at work."""
    done = run(settings(site, "shop"), "rebuild", "--yes")
    assert (done.exit_code, "Kafka does not permit this user" in done.stderr) == (1, True)


def test_a_password_that_is_sent_plainly_is_not_logged(site: Guarded, tmp_path: Path) -> None:
    """Whatever the mechanism: `--verbose` says that somebody has logged in, not how."""
    with worker(settings(site, "stream", KAFKA_SASL="PLAIN"), tmp_path, "--verbose") as process:
        log = tmp_path / "log"
        assert happens(lambda: "partitions [" in log.read_text()), log.read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    hidden = (PASSWORDS["stream"], REDIS_PASSWORDS["stream"], SECRET)
    assert not [word for word in hidden if word in log.read_text()]


def test_a_worker_of_redis_touches_nothing_beyond_its_prefix(site: Guarded) -> None:
    """Neither by a command nor by a script, and nobody reads more than is listed."""
    address = site.redis["plain"].replace("://", f"://stream:{REDIS_PASSWORDS['stream']}@")
    with Redis.from_url(address.replace(" ", "%20")) as redis:
        redis.set("shop:x", 1)
        for command in (
            ["SET", "x", "1"],
            ["GET", "other:x"],
            ["EVAL", "return redis.call('GET', 'x')", "0"],
            ["KEYS", "*"],
            ["FLUSHALL"],
            ["CONFIG", "SET", "maxmemory", "1"],
            ["ACL", "LIST"],
        ):
            with pytest.raises(Misconfigured, match="does not permit"), redis_errors():
                redis.execute_command(*command)


WRONG_KAFKA = {
    "wrong password": ({"KAFKA_PASSWORD": "wrong"}, "Kafka refuses these credentials"),
    "unknown user": ({"KAFKA_USERNAME": "stranger"}, "Kafka refuses these credentials"),
    "no password": ({"KAFKA_PASSWORD": ""}, "Set STREAM_KAFKA_USERNAME and STREAM_KAFKA_PASSWORD"),
    "no log-in": ({"KAFKA_SECURITY": "SSL"}, "Kafka does not answer"),
    "expired": ({"KAFKA": "EXPIRED"}, "certificate has expired"),
    "authority": ({"KAFKA_CA": "other-ca"}, "Kafka's certificate is not trusted"),
    "no authority": ({"KAFKA_CA": ""}, "Kafka's certificate is not trusted"),
    "no file": ({"KAFKA_CA": "nowhere"}, "STREAM_KAFKA_CA: there is no file"),
    "no PEM": ({"KAFKA_CA": "log4j2.properties"}, "must be PEM files"),
    "no TLS there": ({"KAFKA": "PLAIN"}, "Kafka does not answer"),
    "may see nothing": (
        {"KAFKA_USERNAME": "nobody", "KAFKA_PASSWORD": PASSWORDS["nobody"]},
        "Topics are missing",
    ),
}
WRONG_REDIS = {
    "wrong password": ({"REDIS_PASSWORD": "wrong"}, "Redis refuses these credentials"),
    "unknown user": ({"REDIS_USERNAME": "stranger"}, "Redis refuses these credentials"),
    "expired": ({"REDIS": "expired"}, "certificate has expired"),
    "another host": ({"REDIS": "elsewhere"}, "Redis's certificate is not trusted"),
    "authority": ({"REDIS_CA": "other-ca"}, "Redis's certificate is not trusted"),
    "no file": ({"REDIS_CA": "nowhere"}, "STREAM_REDIS_CA: there is no file"),
    "another prefix": ({"PREFIX": "theirs:"}, "Redis does not permit this user"),
}


def placed(site: Guarded, wrong: dict[str, str]) -> dict[str, str]:
    """Put addresses and paths in place of their names."""
    found = dict(wrong)
    for name, value in wrong.items():
        if name == "KAFKA":
            found[name] = site.kafka[value]
        elif name == "REDIS":
            found[name] = site.redis[value]
        elif name.endswith("_CA") and value:
            path = Path(site.authority.file(value))
            found[name] = str(path if path.exists() else path.with_name(value))
    return found


@pytest.mark.parametrize("case", WRONG_KAFKA)
def test_who_is_not_let_into_kafka_is_told_why(site: Guarded, case: str) -> None:
    """In one line, with exit code 1, and without the password."""
    wrong, said = WRONG_KAFKA[case]
    done = run(settings(site, "operator", **placed(site, wrong)), "topics", "--check")
    assert done.exit_code == 1, done.output
    line = done.stderr.strip()
    assert line.startswith("Error: ")
    assert said in line
    assert "\n" not in line
    assert not [p for p in PASSWORDS.values() if p in line]


@pytest.mark.parametrize("case", WRONG_REDIS)
def test_who_is_not_let_into_redis_is_told_why(site: Guarded, case: str) -> None:
    """In one line, with exit code 1, and without the password."""
    wrong, said = WRONG_REDIS[case]
    env = settings(site, "reader", **placed(site, wrong))
    done = run(env, "score", "p")
    assert done.exit_code == 1, done.output
    line = done.stderr.strip()
    assert line.startswith("Error: ")
    assert said in line
    assert "\n" not in line
    assert not [p for p in REDIS_PASSWORDS.values() if p in line]


def test_a_client_may_be_known_by_its_certificate(site: Guarded) -> None:
    """Mutual TLS: with the key it may do what its user may; without, or with another's, nothing."""
    client = site.authority.file("client")
    mutual = {"KAFKA": site.kafka["MUTUAL"], "KAFKA_SECURITY": "SSL"}
    own = {"KAFKA_CERT": client, "KAFKA_KEY": client}
    done = run(settings(site, "operator", **mutual, **own), "topics", "--check")
    assert done.exit_code == 0, done.output
    other = site.authority.file("stranger")
    for cert in ({}, {"KAFKA_CERT": other, "KAFKA_KEY": other}):
        done = run(settings(site, "operator", **mutual, **cert), "topics", "--check")
        assert done.exit_code == 1
        assert "do not agree on TLS" in done.stderr


DENIED = {
    "kafka password": ({"KAFKA_PASSWORD": "wrong"}, "Kafka refuses these credentials"),
    "kafka expired": ({"KAFKA": "EXPIRED"}, "certificate has expired"),
    "redis password": ({"REDIS_PASSWORD": "wrong"}, "Redis refuses these credentials"),
    "group": ({"KAFKA_USERNAME": "ungrouped"}, "Kafka does not permit this user"),
    "read": ({"KAFKA_USERNAME": "unread"}, "Kafka does not permit this user"),
    "write": ({"KAFKA_USERNAME": "unwritten"}, "Kafka does not permit this user"),
    "redis rights": (
        {"REDIS_USERNAME": "reader", "REDIS_PASSWORD": REDIS_PASSWORDS["reader"]},
        "Redis does not permit this user",
    ),
}


@pytest.mark.parametrize("case", DENIED)
def test_a_worker_that_may_not_do_its_work_says_so_and_ends(
    site: Guarded, tmp_path: Path, case: str
) -> None:
    """One clear line and exit code 1; it does not wait for what will not come."""
    wrong, said = DENIED[case]
    env = settings(site, "stream", **placed(site, wrong))
    if (user := wrong.get("KAFKA_USERNAME")) is not None:
        env["STREAM_KAFKA_PASSWORD"] = PASSWORDS[user]
        assert run(settings(site, "shop"), "produce", str(log_of(tmp_path))).exit_code == 0
    line = refusal(env, tmp_path)
    assert line.startswith("Error: ")
    assert said in line
