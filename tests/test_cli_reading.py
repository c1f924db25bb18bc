"""The reading commands: `stream top`, `stream score`, `stream customer`."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, cast
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result
from published import CATEGORY, CUSTOMER, PSEUDONYM, SCORE, SECRET, USER, publish
from redis import Redis

from stream.cli import main
from stream.embedded import Addresses

COMMAND = [sys.executable, "-c", "from stream.cli import main; main()"]


@pytest.fixture
def shop(servers: Addresses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Redis, str]:
    """A published shop, with the environment that leads to it: a client and the prefix."""
    prefix = f"test-{uuid4().hex}:"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STREAM_REDIS", servers.redis)
    monkeypatch.setenv("STREAM_PREFIX", prefix)
    monkeypatch.setenv("STREAM_SECRET", SECRET)
    with Redis.from_url(servers.redis) as redis:
        publish(redis, prefix)
    return redis, prefix


def run(*words: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(main, words)


@pytest.mark.usefixtures("shop")
def test_top_lists_the_products_by_score() -> None:
    """Highest first; with title, pace, tomorrow's units and the main reason where known."""
    lines = run("top").stdout.splitlines()
    assert [line.split()[1] for line in lines[1:4]] == ["P-3", "P-1", "P-2"]
    assert lines[2].split("  ")[-1].strip() == "4 carts in the last hour"
    assert lines[2].split()[:7] == ["2", "P-1", "Blue", "mug", "0.830", "2.0", "8"]
    assert "as of 2019-10-01T12:00:00Z" in lines[4]


@pytest.mark.usefixtures("shop")
def test_top_is_cut_to_n_and_to_a_category() -> None:
    """One product is asked for, one is listed; a category lists its own."""
    assert [row["product"] for row in json.loads(run("top", "1", "--json").stdout)] == ["P-3"]
    listed = json.loads(run("top", "--category", "mugs", "--json").stdout)
    assert listed == [SCORE]


@pytest.mark.usefixtures("shop")
def test_top_ranks_categories() -> None:
    """The same list, of categories."""
    listed = json.loads(run("top", "--categories", "--json").stdout)
    assert listed == [CATEGORY, {"category": "plates", "score": 0.2}]
    assert run("top", "--categories").stdout.split()[1] == "category"


@pytest.mark.usefixtures("shop")
def test_top_of_nothing_says_so() -> None:
    """No scores are no error; a script gets an empty list."""
    result = run("top", "--category", "hats")
    assert (result.exit_code, "No scores yet" in result.stdout) == (0, True)
    assert json.loads(run("top", "--category", "hats", "--json").stdout) == []


def test_titles_cannot_steer_the_terminal(shop: tuple[Redis, str]) -> None:
    """Control codes and markup of a catalogue come out as text."""
    redis, prefix = shop
    redis.set(f"{prefix}score:P-1", json.dumps({**SCORE, "title": "[red]mug\x1b[2J\a"}))
    for result in (run("top"), run("score", "P-1")):
        assert "[red]mug�[2J�" in result.stdout


def test_watch_follows_in_plain_lines(shop: tuple[Redis, str]) -> None:
    """A pipe gets the list again when it has changed, until Ctrl-C, which is no error."""
    redis, prefix = shop
    words = [*COMMAND, "top", "1", "--watch", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env={**os.environ}, text=True) as watch:
        lines = cast("IO[str]", watch.stdout)
        assert json.loads(lines.readline())[0]["product"] == "P-3"
        redis.zadd(f"{prefix}top:products", {"P-2": 0.99})
        assert json.loads(lines.readline())[0]["product"] == "P-2"
        watch.send_signal(signal.SIGINT)
        assert watch.wait(10) == 0


@pytest.mark.usefixtures("shop")
def test_score_says_it_in_words() -> None:
    """Score, demand with its range, evidence, and one reason a line with its signed effect."""
    text = run("score", "P-1").stdout
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "Score 0.83, the probability that demand is about to rise" in lines
    assert "Conversion 4.1% of the clicks that come now lead to an order" in lines
    assert "Trend 2 times its usual pace" in lines
    assert "Demand next 1h: 0.4 units, 0 to 2 in 8 cases of 10" in lines
    assert "next 1d: 8 units, 3 to 15 in 8 cases of 10" in lines
    assert "Evidence 1,203 views, 44 carts, 1 wish, 20 orders, 31 units" in lines
    assert "Reasons +0.42 4 carts in the last hour" in lines
    assert "-0.10 dearer than its category" in lines
    assert "\x1b" not in text


@pytest.mark.usefixtures("shop")
def test_documents_come_as_json() -> None:
    """A script reads what Redis holds."""
    assert json.loads(run("score", "P-1", "--json").stdout) == SCORE
    assert json.loads(run("score", "mugs", "--category", "--json").stdout) == CATEGORY
    assert json.loads(run("customer", USER, "--json").stdout) == CUSTOMER
    assert json.loads(run("customer", "--pseudonym", PSEUDONYM, "--json").stdout) == CUSTOMER


@pytest.mark.usefixtures("shop")
def test_customer_says_it_in_words() -> None:
    """Everything of the document, for people."""
    lines = [" ".join(line.split()) for line in run("customer", USER).stdout.splitlines()]
    assert lines == [
        f"Customer {PSEUDONYM}",
        "Segment regular",
        "First seen 2019-09-01T08:00:00Z",
        "Last seen 2019-09-30T12:00:00Z, 1 day before",
        "Orders 2 orders of 61.50 in all, the last 2019-09-28T10:00:00Z",
        "Events 57",
        "Likes mugs (60%), plates (40%)",
        "Returns 31% within 28 days",
        "As of 2019-10-01T12:00:00Z",
    ]


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    "words", [("score", "P-9"), ("score", "hats", "--category"), ("customer", "user-9")]
)
def test_the_unknown_is_told_plainly(words: tuple[str, ...]) -> None:
    """Exit code 1, one sentence that names what was asked for, no traceback."""
    result = run(*words)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: There is no ")
    assert words[1] in result.stderr


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("words", [("top",), ("score", "P-1"), ("customer", USER)])
def test_a_lost_redis_is_told_plainly(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1 and what to look at."""
    monkeypatch.setenv("STREAM_REDIS", "redis://127.0.0.1:1/0")
    result = run(*words)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: Redis does not answer.")


@pytest.mark.usefixtures("shop")
def test_a_customer_without_the_secret_is_told_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    """The way out is named."""
    monkeypatch.delenv("STREAM_SECRET")
    result = run("customer", USER)
    assert (result.exit_code, "STREAM_SECRET" in result.stderr) == (1, True)


@pytest.mark.parametrize(
    "words",
    [
        ("top", "--category", "mugs", "--categories"),
        ("customer",),
        ("customer", "u", "--pseudonym", "p"),
    ],
)
def test_a_muddled_command_is_refused(words: tuple[str, ...]) -> None:
    """What contradicts itself gets the usage and exit code 2."""
    assert run(*words).exit_code == 2
