"""Both readers answer the same questions with the same answers, from a real Redis."""

import asyncio
import inspect
import json
import string
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from published import CATEGORY, CHANGE, CUSTOMER, PSEUDONYM, SCORE, SECRET, USER, publish
from redis import Redis

from stream import AsyncScoreReader, ScoreReader
from stream.customers.pseudonyms import Pseudonyms
from stream.embedded import Addresses, embedded_redis
from stream.errors import Misconfigured, StoreDown, StreamError
from stream.redis.clients import CONNECTIONS
from stream.redis.documents import Candidate, Ranked, RankedCategory, Score, ScoreChange, Similar
from stream.redis.queries import Queries

Answer = TypeVar("Answer")
Reader = ScoreReader | AsyncScoreReader
BOTH = pytest.mark.parametrize("kind", [ScoreReader, AsyncScoreReader])


@pytest.fixture
def redis(servers: Addresses) -> Iterator[Redis]:
    """A client for playing the scorer."""
    with Redis.from_url(servers.redis) as client:
        yield client


@pytest.fixture
def prefix() -> str:
    """What keeps the keys of a test apart from those of all others."""
    return f"test-{uuid4().hex}:"


@pytest.fixture(params=[ScoreReader, AsyncScoreReader])
async def reader(
    request: pytest.FixtureRequest, servers: Addresses, redis: Redis, prefix: str
) -> AsyncIterator[Reader]:
    """A reader of a published shop, of either kind."""
    publish(redis, prefix)
    made: Reader = request.param(servers.redis, prefix=prefix, secret=SECRET)
    yield made
    await settled(made.close())


async def settled(answer: Awaitable[Answer] | Answer) -> Answer:
    """Wait for the answer, if it is of the kind that is waited for."""
    return await answer if inspect.isawaitable(answer) else answer


async def first_changes(reader: Reader, n: int, since: str) -> list[ScoreChange]:
    """Watch until there are n changes."""
    if isinstance(reader, ScoreReader):
        return await asyncio.to_thread(lambda: list(islice(reader.watch(since), n)))
    seen: list[ScoreChange] = []
    async for change in reader.watch(since):
        seen.append(change)
        if len(seen) == n:
            break
    return seen


async def test_a_score_comes_back_whole(reader: Reader) -> None:
    """Everything that was published is in the answer, and nothing else; times are times."""
    score = await settled(reader.score("P-1"))
    assert score is not None
    assert json.loads(score.model_dump_json()) == SCORE
    assert score.as_of == datetime(2019, 10, 1, 12, 0, 0, 250_000, UTC)


def test_a_document_that_lacks_the_newest_fields_is_read() -> None:
    """A newer reader beside an older scorer."""
    older = {**SCORE, "demand": {"1d": {"p10": 3.0, "p50": 8.0, "p90": 15.0}}}
    del older["interval"]
    score = Score.model_validate(older)
    assert (score.interval, score.demand["1d"].mean) == (None, None)


async def test_a_category_comes_back_whole(reader: Reader) -> None:
    """A category's document is a score without a product."""
    category = await settled(reader.category("mugs"))
    assert category is not None
    assert json.loads(category.model_dump_json()) == CATEGORY


async def test_many_scores_come_by_product(reader: Reader) -> None:
    """Those without a score are left out; the same product twice is one."""
    scores = await settled(reader.scores(["P-2", "P-1", "P-1"]))
    assert list(scores) == ["P-1"]
    assert scores["P-1"] == await settled(reader.score("P-1"))
    assert await settled(reader.scores([])) == {}


def test_many_scores_are_one_request() -> None:
    """However many products, Redis is asked once; without any, it is not asked."""
    assert Queries("x:").scores(["a", "b", "a"]).command == ("MGET", "x:score:a", "x:score:b")
    assert Queries().scores([]).command == ()


async def test_rankings_begin_with_the_highest(reader: Reader) -> None:
    """All four rankings, each with its own kind of row."""
    assert await settled(reader.top()) == [
        Ranked("P-3", 0.91),
        Ranked("P-1", 0.83),
        Ranked("P-2", 0.5),
    ]
    assert await settled(reader.top(1)) == [Ranked("P-3", 0.91)]
    assert await settled(reader.top(5, "mugs")) == [Ranked("P-1", 0.83)]
    assert await settled(reader.top_categories(1)) == [RankedCategory("mugs", 0.83)]
    assert await settled(reader.candidates("P-1", 1)) == [Candidate(PSEUDONYM, 0.3)]
    assert await settled(reader.similar("P-1", 1)) == [Similar("P-3", 0.95)]


async def test_a_ranking_of_nobody_is_refused(reader: Reader) -> None:
    """To Redis, `0 to -1` is everything: that must not be what `top(0)` asks for."""
    with pytest.raises(ValueError, match="at least 1"):
        await settled(reader.top(0))


async def test_a_customer_is_found_by_either_name(reader: Reader) -> None:
    """A candidate's pseudonym and the shop's user id lead to the same document."""
    customer = await settled(reader.customer(USER))
    assert customer is not None
    assert json.loads(customer.model_dump_json()) == CUSTOMER
    assert await settled(reader.customer_by_pseudonym(PSEUDONYM)) == customer


async def test_metrics_come_as_they_are(reader: Reader) -> None:
    """They are a free-form mapping."""
    metrics = await settled(reader.metrics("conversion"))
    assert metrics == {"auc": 0.72, "baseline": {"auc": 0.5}}


async def test_what_is_not_there_is_nothing(reader: Reader) -> None:
    """None for a document, an empty list for a ranking; never an error."""
    assert await settled(reader.score("P-9")) is None
    assert await settled(reader.category("hats")) is None
    assert await settled(reader.customer("user-9")) is None
    assert await settled(reader.metrics("nothing")) is None
    assert await settled(reader.top(3, "hats")) == []
    assert await settled(reader.candidates("P-9", 3)) == []


@pytest.mark.parametrize(
    "product", ["a:b", "Tasse über 1 €", "{products.3}", "a\nb", "*", "x" * 256]
)
async def test_any_id_will_do(reader: Reader, redis: Redis, prefix: str, product: str) -> None:
    """An id may hold whatever a shop puts into it."""
    redis.set(f"{prefix}score:{product}", json.dumps({**SCORE, "product": product}))
    redis.zadd(f"{prefix}top:products", {product: 1.0})
    score = await settled(reader.score(product))
    assert score is not None
    assert score.product == product
    assert await settled(reader.top(1)) == [Ranked(product, 1.0)]


async def test_older_and_newer_documents_are_read(
    reader: Reader, redis: Redis, prefix: str
) -> None:
    """What may be missing may be missing; what is new is ignored."""
    needed = {name: SCORE[name] for name in ("product", "score", "conversion", "as_of", "model")}
    redis.set(f"{prefix}score:P-2", json.dumps({**needed, "invented_later": 1}))
    score = await settled(reader.score("P-2"))
    assert score is not None
    assert (score.trend, score.cold, score.demand, score.reasons) == (1.0, False, {}, ())
    assert (score.evidence.views, score.price, score.title) == (0, None, None)


@pytest.mark.parametrize("value", ["no JSON", '{"product": "P-2"}', '{"score": NaN}'])
async def test_an_unreadable_document_is_named(
    reader: Reader, redis: Redis, prefix: str, value: str
) -> None:
    """The error says which key somebody has to look at."""
    redis.set(f"{prefix}score:P-2", value)
    with pytest.raises(Misconfigured, match="score:P-2"):
        await settled(reader.score("P-2"))


async def test_a_key_of_somebody_else_is_no_bug(reader: Reader, redis: Redis, prefix: str) -> None:
    """A hash where a string should be means that two products share the database."""
    redis.hset(f"{prefix}score:P-2", "a", "b")
    with pytest.raises(Misconfigured, match="STREAM_PREFIX"):
        await settled(reader.score("P-2"))


async def test_all_changes_after_an_id_are_seen(reader: Reader, redis: Redis, prefix: str) -> None:
    """Who comes back with the last id that he has seen misses nothing and sees nothing twice."""
    for score in ("0.1", "0.2", "0.3"):
        redis.xadd(f"{prefix}stream:scores", {**CHANGE, "score": score})
    first, second = await first_changes(reader, 2, "0")
    (third,) = await first_changes(reader, 1, second.id)
    assert [first.score, second.score, third.score] == [0.1, 0.2, 0.3]
    assert (third.product, third.previous) == ("P-1", 0.5)


async def test_a_first_score_has_no_previous(reader: Reader, redis: Redis, prefix: str) -> None:
    """An empty field is nothing, not an error."""
    redis.xadd(f"{prefix}stream:scores", {**CHANGE, "previous": ""})
    (change,) = await first_changes(reader, 1, "0")
    assert change.previous is None


async def test_watching_begins_now(reader: Reader, redis: Redis, prefix: str) -> None:
    """Unless told otherwise, what has been before is not seen."""
    redis.xadd(f"{prefix}stream:scores", {**CHANGE, "product": "before"})
    watching = asyncio.create_task(first_changes(reader, 1, "$"))
    while not watching.done():
        await asyncio.sleep(0.05)
        redis.xadd(f"{prefix}stream:scores", CHANGE)
    (change,) = await watching
    assert change.product == "P-1"


async def test_a_place_to_begin_must_be_one(reader: Reader) -> None:
    """A date is no id."""
    with pytest.raises(ValueError, match="since must be"):
        await first_changes(reader, 1, "2019-10-01")


@BOTH
async def test_watching_outlives_an_outage(kind: type[Reader]) -> None:
    """Redis is killed and comes back: the watcher goes on behind the last change it saw."""
    with embedded_redis() as server, Redis.from_url(server.address) as redis:
        redis.config_set("appendfsync", "always")
        reader = kind(server.address)
        redis.xadd("stream:scores", {**CHANGE, "product": "before"})
        watching = asyncio.create_task(first_changes(reader, 2, "0"))
        await asyncio.sleep(0.3)
        server.kill()
        await asyncio.sleep(0.8)
        server.start()
        redis.xadd("stream:scores", {**CHANGE, "product": "after"})
        changes = await asyncio.wait_for(watching, timeout=20)
        await settled(reader.close())
    assert [change.product for change in changes] == ["before", "after"]


async def error_of(kind: type[Reader], url: str) -> StreamError:
    """Ask in vain."""
    reader = kind(url)
    with pytest.raises(StreamError) as caught:
        await settled(reader.top())
    await settled(reader.close())
    return caught.value


@BOTH
async def test_a_redis_that_is_not_there_is_told_soon(kind: type[Reader]) -> None:
    """Nothing listens: a service gets its error within a second or two."""
    with embedded_redis() as server:
        url = server.address
    began = time.monotonic()
    error = await error_of(kind, url)
    assert isinstance(error, StoreDown)
    assert "STREAM_REDIS" in str(error)
    assert time.monotonic() - began < 3


@BOTH
async def test_credentials_are_somebodys_task(
    kind: type[Reader], servers: Addresses, redis: Redis
) -> None:
    """A wrong password and a missing right are no outage: waiting would not help."""
    name = f"test-{uuid4().hex}"
    redis.acl_setuser(name, enabled=True, passwords=["+right"], keys=["*"], commands=["+get"])
    host = servers.redis.removeprefix("redis://")
    try:
        wrong = await error_of(kind, f"redis://{name}:wrong@{host}")
        forbidden = await error_of(kind, f"redis://{name}:right@{host}")
    finally:
        redis.acl_deluser(name)
    assert isinstance(wrong, Misconfigured)
    assert "credentials" in str(wrong)
    assert isinstance(forbidden, Misconfigured)
    assert "zrevrange" in str(forbidden)


@BOTH
@pytest.mark.parametrize(
    ("url", "ca"),
    [
        ("localhost:6379", None),
        ("redis://localhost?no_such_option=1", None),
        ("redis://localhost", "ca.pem"),
        ("rediss://localhost", "there/is/no/such/file.pem"),
    ],
)
def test_a_bad_address_is_refused_at_once(kind: type[Reader], url: str, ca: str | None) -> None:
    """A reader that could never work is not made."""
    with pytest.raises(Misconfigured, match="STREAM_REDIS"):
        kind(url, ca=ca)


@BOTH
async def test_a_customer_needs_the_secret(kind: type[Reader]) -> None:
    """Without the secret or with a short one, the error says what to do."""
    with pytest.raises(Misconfigured, match="STREAM_SECRET"):
        await settled(kind().customer(USER))
    with pytest.raises(Misconfigured, match="token_urlsafe"):
        kind(secret="short")  # noqa: S106 (that is the point)


async def test_a_crowd_shares_the_connections(servers: Addresses, prefix: str) -> None:
    """A thousand questions at once are answered; none is turned away for want of a connection."""
    async with AsyncScoreReader(servers.redis, prefix=prefix) as reader:
        answers = await asyncio.gather(*(reader.score("P-1") for _ in range(16 * CONNECTIONS)))
    assert set(answers) == {None}


def test_a_reader_is_made_from_the_environment(
    servers: Addresses, redis: Redis, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Address, prefix and secret come from where a worker takes them."""
    publish(redis, prefix)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STREAM_REDIS", servers.redis)
    monkeypatch.setenv("STREAM_PREFIX", prefix)
    monkeypatch.setenv("STREAM_SECRET", SECRET)
    with ScoreReader.from_env() as reader:
        assert reader.score("P-1") is not None
        assert reader.customer(USER) is not None


def test_both_readers_ask_the_same() -> None:
    """Every question of one is one of the other, with the same arguments."""

    def questions(kind: type[Reader]) -> dict[str, list[tuple[str, object]]]:
        return {
            name: [(argument.name, argument.default) for argument in parameters(member)]
            for name, member in vars(kind).items()
            if not name.startswith("_")
        }

    def parameters(member: Callable[..., object]) -> list[inspect.Parameter]:
        return list(inspect.signature(member).parameters.values())

    assert questions(ScoreReader) == questions(AsyncScoreReader)


def test_importing_the_reader_is_light() -> None:
    """A recommendation service does not pay for Kafka and the models."""
    code = "import stream, sys; print(*(name.partition('.')[0] for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"aiokafka", "faust", "river", "numpy"} & set(done.stdout.split())


@given(users=st.sets(st.text(st.characters(exclude_categories=["Cs"])), max_size=20))
def test_pseudonyms_tell_customers_apart(users: set[str]) -> None:
    """22 letters that fit a key, the same for the same customer, another for another."""
    first, again = Pseudonyms(b"a secret of 16 b"), Pseudonyms(b"a secret of 16 b")
    names = {user: first.of(user) for user in users}
    assert len(set(names.values())) == len(users)
    assert all(names[user] == again.of(user) for user in users)
    letters = set(string.ascii_letters + string.digits + "-_")
    assert all(len(name) == 22 and set(name) <= letters for name in names.values())


def test_another_secret_makes_strangers() -> None:
    """Nobody finds a customer without the secret that named him."""
    assert Pseudonyms(b"a secret of 16 b").of(USER) != Pseudonyms(b"another of 16 by").of(USER)
