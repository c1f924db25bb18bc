"""The contract of the checkpoints: all or nothing, once, by the owner.

It is kept by a real Redis, and by what stands in for one where histories are simulated.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis
from simulation.faults import Faults
from simulation.line import DirectLine, WorkerLine
from simulation.store import MemoryCheckpoints, MemoryStore

from stream import keys
from stream.agents.worker import PATIENCE
from stream.embedded import Addresses
from stream.errors import Fenced, Misconfigured, StoreDown
from stream.redis.checkpoints import Checkpoints, RedisCheckpoints
from stream.redis.clients import Address, make_async_redis
from stream.settings import Stage
from stream.shards import Changes, Drop, Letter, Publication, Put, Rank, Say, Unrank

STAGE: Stage = "products"
SHARD: tuple[Stage, int] = (STAGE, 3)
PARTITIONS = 4
ROW = b"row \x00\xff"


class Store(Protocol):
    """The checkpoints of one test, and their store as somebody else sees it.

    Attributes:
        checkpoints: Under test, as a worker makes them.
    """

    checkpoints: Checkpoints

    async def contents(self) -> dict[bytes, bytes]:
        """All that was written, in a form of the store's own."""
        ...

    async def document(self, key: str) -> bytes | None:
        """A public document."""
        ...

    async def ranking(self, key: str) -> list[str]:
        """The members of a ranking, the worst first."""
        ...

    async def said(self, key: str) -> int:
        """Entries of a stream."""
        ...

    def full(self) -> AbstractAsyncContextManager[None]:
        """Let it refuse writes."""
        ...

    def cut(self) -> AbstractAsyncContextManager[Checkpoints]:
        """The same checkpoints, where a save goes through and its answer does not come."""
        ...

    async def forget(self, work: Awaitable[None]) -> None:
        """Let work be done, and then lose the notes that it wrote, as a crash does."""
        ...

    async def lose(self) -> None:
        """Lose everything."""
        ...


@dataclass
class RedisStore:
    """A part of a real Redis.

    Attributes:
        checkpoints: Under test, as a worker makes them.
        redis: For looking, and for playing tricks.
        prefix: This test's own.
        url: Where it is.
    """

    checkpoints: Checkpoints
    redis: Redis
    prefix: str
    url: str

    def key(self, name: str) -> str:
        """A key as it stands in Redis."""
        return self.prefix + name

    async def contents(self) -> dict[bytes, bytes]:
        """All that was written, in Redis's own form."""
        names = sorted([name async for name in self.redis.scan_iter(f"{self.prefix}*")])
        return {name: await self.redis.dump(name) or b"" for name in names}

    async def document(self, key: str) -> bytes | None:
        """A public document."""
        found: Any = await self.redis.get(self.key(key))
        return found if found is None else bytes(found)

    async def ranking(self, key: str) -> list[str]:
        """The members of a ranking, the worst first."""
        found: list[Any] = await self.redis.zrange(self.key(key), 0, -1)
        return [name.decode() for name in found]

    async def said(self, key: str) -> int:
        """Entries of a stream."""
        return int(await self.redis.xlen(self.key(key)))

    @asynccontextmanager
    async def full(self) -> AsyncIterator[None]:
        """Let it refuse writes."""
        limit = (await self.redis.config_get("maxmemory"))["maxmemory"] or 0
        await self.redis.config_set("maxmemory", 1)
        try:
            yield
        finally:
            await self.redis.config_set("maxmemory", limit)

    @asynccontextmanager
    async def cut(self) -> AsyncIterator[Checkpoints]:
        """The same checkpoints at the end of a line that is cut."""
        async with Cut(self.url) as address, make_async_redis(Address(address)) as redis:
            yield RedisCheckpoints(redis, self.prefix, PARTITIONS)

    async def forget(self, work: Awaitable[None]) -> None:
        """Let work be done, and then lose the notes that it wrote."""
        checkpoint = self.key(keys.checkpoint(*SHARD))
        older = await self.redis.dump(checkpoint)
        await work
        assert older is not None
        await self.redis.restore(checkpoint, 0, older, replace=True)

    async def lose(self) -> None:
        """Lose everything."""
        await self.redis.delete(*await self.contents())


class SimulatedStore:
    """A store made of plain data.

    Attributes:
        checkpoints: Under test, as a simulated worker makes them.
    """

    def __init__(self) -> None:
        self._store = MemoryStore()
        self.checkpoints: Checkpoints = MemoryCheckpoints(self._store, DirectLine(), PARTITIONS)

    async def contents(self) -> dict[bytes, bytes]:
        """All that was written, in a form of its own."""
        store = self._store
        parts: list[Mapping[Any, Any]]
        parts = [store.shards, store.documents, store.rankings, store.streams]
        return {
            f"{number} {name}".encode(): repr(content).encode()
            for number, part in enumerate(parts)
            for name, content in part.items()
        }

    async def document(self, key: str) -> bytes | None:
        """A public document."""
        return self._store.documents.get(key)

    async def ranking(self, key: str) -> list[str]:
        """The members of a ranking, the worst first."""
        ranking = self._store.rankings[key]
        return sorted(ranking, key=lambda member: (ranking[member], member))

    async def said(self, key: str) -> int:
        """Entries of a stream."""
        return len(self._store.streams[key])

    @asynccontextmanager
    async def full(self) -> AsyncIterator[None]:
        """Let it refuse writes."""
        self._store.full = True
        yield
        self._store.full = False

    @asynccontextmanager
    async def cut(self) -> AsyncIterator[Checkpoints]:
        """The same checkpoints at the end of a line on which every answer is lost."""
        faults = Faults(0, 1.0, ["unheard"])
        line = WorkerLine(asyncio.get_running_loop(), faults, Nobody())
        yield MemoryCheckpoints(self._store, line, PARTITIONS)

    async def forget(self, work: Awaitable[None]) -> None:
        """Let work be done, and then lose the notes that it wrote."""
        older = deepcopy(self._store.shards[SHARD])
        await work
        self._store.shards[SHARD] = older

    async def lose(self) -> None:
        """Lose everything."""
        self._store.lose()


class Nobody:
    """A worker to whom nothing happens."""

    name = "nobody"

    def crash(self) -> None:
        """Not here."""

    def freeze(self, span: float) -> None:
        """Not here."""

    def move(self, span: float) -> None:
        """Not here."""

    def tell(self, text: str) -> None:
        """Not here."""


class Cut:
    """A line to Redis that is cut when a save has gone through, before the answer."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._talk, "127.0.0.1")
        port = self._server.sockets[0].getsockname()[1]
        return self._url._replace(netloc=f"127.0.0.1:{port}").geturl()

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _talk(self, asker: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        reader, writer = await asyncio.open_connection(self._url.hostname, self._url.port)
        with suppress(ConnectionError):
            while said := await asker.read(1 << 20):
                writer.write(said)
                heard = await reader.read(1 << 20)
                if ROW in said:
                    break
                answer.write(heard)
        for end in (writer, answer):
            end.close()


@pytest.fixture
async def redis_store(
    servers: Addresses, request: pytest.FixtureRequest
) -> AsyncIterator[RedisStore]:
    """Checkpoints in a real Redis that hold nothing yet."""
    prefix = f"{request.node.originalname}:"  # without the brackets of a parameter
    async with make_async_redis(Address(servers.redis), PATIENCE) as redis:
        checkpoints = RedisCheckpoints(redis, prefix, PARTITIONS)
        yield RedisStore(checkpoints, redis, prefix, servers.redis)


@pytest.fixture(params=["redis", "memory"])
def store(request: pytest.FixtureRequest) -> Store:
    """Checkpoints that hold nothing yet."""
    if request.param == "memory":
        return SimulatedStore()
    found: Store = request.getfixturevalue("redis_store")
    return found


EVERYTHING = Changes(
    rows={"mug": ROW, "cup": b"another"},
    waiting={"click": b"waits"},
    notes={"positions": b'{"activity":7}'},
    letters=[Letter("scores", None, b"mug", b"{}")],
    published=[
        Put("score:mug", b"{}"),
        Put("score:cup", b"{}"),
        Rank("top:products", {"mug": 0.7, "cup": 0.2}),
        Say("stream:scores", {"product": "mug"}, 10),
    ],
)
"""Something of every kind that a checkpoint may hold."""


async def test_a_shard_wakes_up_with_what_was_saved_last(store: Store) -> None:
    """Notes, waiting entries and letters are there after opening; rows when they are asked for."""
    opened = await store.checkpoints.open(*SHARD)
    assert (opened.saves, opened.partitions, opened.letters) == (0, None, [])
    assert opened.memory.waiting == {}

    await store.checkpoints.save(*SHARD, opened.owner, 0, EVERYTHING)
    again = await store.checkpoints.open(*SHARD)

    assert (again.saves, again.partitions) == (1, PARTITIONS)
    assert again.owner != opened.owner
    assert again.memory.notes["positions"] == EVERYTHING.notes["positions"]
    assert again.memory.waiting == EVERYTHING.waiting
    assert again.memory.birth == opened.memory.birth != ""
    assert again.letters == EVERYTHING.letters
    assert await store.checkpoints.fetch(*SHARD, ["cup", "never seen", "mug"]) == {
        "cup": b"another",
        "never seen": None,
        "mug": ROW,
    }


async def test_a_shard_that_lost_its_partition_writes_nothing(store: Store) -> None:
    """Whoever opens a shard shuts out who had it: that one's next save is refused as a whole."""
    first = await store.checkpoints.open(*SHARD)
    second = await store.checkpoints.open(*SHARD)
    before = await store.contents()

    with pytest.raises(Fenced, match="another worker"):
        await store.checkpoints.save(*SHARD, first.owner, 0, EVERYTHING)
    assert await store.contents() == before

    await store.checkpoints.save(*SHARD, second.owner, 0, EVERYTHING)
    assert await store.document("score:mug") == b"{}"


async def test_an_owner_can_ask_whether_it_is_one(store: Store) -> None:
    """Without writing: it is told what its next save would be told."""
    first = await store.checkpoints.open(*SHARD)
    await store.checkpoints.save(*SHARD, first.owner, 0, EVERYTHING)
    before = await store.contents()
    await store.checkpoints.confirm(*SHARD, first.owner, 1)
    with pytest.raises(Fenced, match="lost"):
        await store.checkpoints.confirm(*SHARD, first.owner, 2)
    assert await store.contents() == before

    await store.checkpoints.open(*SHARD)
    with pytest.raises(Fenced, match="another worker"):
        await store.checkpoints.confirm(*SHARD, first.owner, 1)


async def test_of_two_owners_at_once_one_writes(store: Store) -> None:
    """However opening and saving interleave, a save is seen whole or not at all."""
    for _ in range(30):
        opened = await store.checkpoints.open(*SHARD)
        saving = asyncio.create_task(
            store.checkpoints.save(*SHARD, opened.owner, opened.saves, EVERYTHING)
        )
        other = await store.checkpoints.open(*SHARD)
        error = (await asyncio.gather(saving, return_exceptions=True))[0]

        kept = (await store.checkpoints.open(*SHARD)).saves
        assert error is None or isinstance(error, Fenced | StoreDown)
        assert other.saves == opened.saves or error is None
        assert kept == opened.saves + (error is None)


async def test_everything_or_nothing(store: Store) -> None:
    """A transaction that Redis refuses leaves no trace, however much of it was in order."""
    opened = await store.checkpoints.open(*SHARD)
    before = await store.contents()

    async with store.full():
        with pytest.raises(StoreDown):
            await store.checkpoints.save(*SHARD, opened.owner, 0, EVERYTHING)
    assert await store.contents() == before

    await store.checkpoints.save(*SHARD, opened.owner, 0, EVERYTHING)
    assert len(await store.contents()) > len(before)


async def test_a_public_key_that_somebody_else_uses_costs_no_event(redis_store: RedisStore) -> None:
    """It is reported, and rows and positions still agree: nothing is counted twice or left out."""
    store = redis_store
    opened = await store.checkpoints.open(*SHARD)
    await store.redis.set(store.key("top:products"), "no ranking")

    with pytest.raises(Misconfigured, match="STREAM_PREFIX"):
        await store.checkpoints.save(*SHARD, opened.owner, 0, EVERYTHING)

    again = await store.checkpoints.open(*SHARD)
    rows = await store.checkpoints.fetch(*SHARD, ["mug"])
    assert (again.saves == 1) == ("positions" in again.memory.notes) == (rows["mug"] == ROW)


async def test_a_save_that_is_tried_again_counts_once(store: Store) -> None:
    """After an answer that was not heard, the same save changes nothing and is in order."""
    opened = await store.checkpoints.open(*SHARD)
    await store.checkpoints.save(*SHARD, opened.owner, 0, EVERYTHING)
    before = await store.contents()

    await store.checkpoints.save(*SHARD, opened.owner, 0, EVERYTHING)

    assert await store.contents() == before
    assert await store.said("stream:scores") == 1
    await store.checkpoints.save(*SHARD, opened.owner, 1, EVERYTHING)
    assert await store.said("stream:scores") == 2


async def test_an_answer_that_was_lost_is_no_other_error(store: Store) -> None:
    """A connection cut in the middle of a save is a neighbour that is down; once more is once."""
    opened = await store.checkpoints.open(*SHARD)
    async with store.cut() as cut:
        with pytest.raises(StoreDown):
            await cut.save(*SHARD, opened.owner, 0, EVERYTHING)

    await store.checkpoints.save(*SHARD, opened.owner, 0, EVERYTHING)
    assert await store.said("stream:scores") == 1


async def test_a_redis_that_lost_the_last_saves_is_noticed(store: Store) -> None:
    """What a crash of Redis took back must be done again, so the shard is loaded anew."""
    opened = await store.checkpoints.open(*SHARD)
    await store.checkpoints.save(*SHARD, opened.owner, 0, EVERYTHING)
    await store.forget(store.checkpoints.save(*SHARD, opened.owner, 1, EVERYTHING))

    with pytest.raises(Fenced, match="lost"):
        await store.checkpoints.save(*SHARD, opened.owner, 2, EVERYTHING)
    assert (await store.checkpoints.open(*SHARD)).saves == 1


async def test_a_redis_that_lost_everything_is_noticed(store: Store) -> None:
    """An empty Redis belongs to nobody, and what is written to it later has another birth."""
    opened = await store.checkpoints.open(*SHARD)
    await store.checkpoints.save(*SHARD, opened.owner, 0, EVERYTHING)
    await store.lose()

    with pytest.raises(Fenced):
        await store.checkpoints.save(*SHARD, opened.owner, 1, EVERYTHING)
    assert await store.contents() == {}
    again = await store.checkpoints.open(*SHARD)
    assert (again.saves, again.letters) == (0, [])
    assert again.memory.birth != opened.memory.birth


async def test_letters_come_back_byte_for_byte(store: Store) -> None:
    """Refused records are any bytes, or none; they and their headers survive the outbox."""
    letters = [
        Letter("activity", 2, None, b'["customers.1","birth",5,[]]'),
        Letter(
            "dead-letters",
            None,
            bytes(range(256)),
            b"\n[\n\x00\xff\n",
            (("reason", b"\xc3\xa9\n"),),
        ),
        Letter("dead-letters", None, None, None, (("topic", b""), ("partition", b"0"))),
        Letter("dead-letters", 0, b"", b""),
        Letter("scores", None, "Tasse à thé".encode(), b"x" * 100_000),
    ]
    opened = await store.checkpoints.open(*SHARD)
    await store.checkpoints.save(*SHARD, opened.owner, 0, Changes(letters=letters))

    assert (await store.checkpoints.open(*SHARD)).letters == letters


async def test_letters_of_an_earlier_save_are_not_sent_for_ever(store: Store) -> None:
    """A save replaces the letters of the one before, which were sent by then."""
    opened = await store.checkpoints.open(*SHARD)
    await store.checkpoints.save(*SHARD, opened.owner, 0, EVERYTHING)
    await store.checkpoints.save(*SHARD, opened.owner, 1, Changes(notes={"clock": b"1"}))

    assert (await store.checkpoints.open(*SHARD)).letters == []


async def test_what_is_gone_is_deleted_and_the_rest_stays(store: Store) -> None:
    """None deletes a row or an entry that waits; dropped documents and members go, others stay."""
    opened = await store.checkpoints.open(*SHARD)
    await store.checkpoints.save(*SHARD, opened.owner, 0, EVERYTHING)
    gone = Changes(
        rows={"mug": None, "never seen": None},
        waiting={"click": None, "other": b"waits"},
        published=[Drop("score:mug"), Unrank("top:products", ["mug"])],
    )
    await store.checkpoints.save(*SHARD, opened.owner, 1, gone)

    again = await store.checkpoints.open(*SHARD)
    assert again.memory.waiting == {"other": b"waits"}
    assert again.memory.notes["positions"] == EVERYTHING.notes["positions"]
    rows = await store.checkpoints.fetch(*SHARD, ["mug", "cup"])
    assert rows == {"mug": None, "cup": b"another"}
    assert await store.document("score:mug") is None
    assert await store.document("score:cup") is not None
    assert await store.ranking("top:products") == ["cup"]


async def test_what_is_published_last_holds(store: Store) -> None:
    """Within one checkpoint a document may be dropped and put again, or the other way round."""
    opened = await store.checkpoints.open(*SHARD)
    published: list[Publication] = [
        Put("score:a", b"1"),
        Drop("score:a"),
        Drop("score:b"),
        Put("score:b", b"2"),
        Rank("candidates:a", {"x": 0.1, "y": 0.3, "z": 0.2}, most=2),
    ]
    await store.checkpoints.save(*SHARD, opened.owner, 0, Changes(published=published))

    assert await store.document("score:a") is None
    assert await store.document("score:b") == b"2"
    assert await store.ranking("candidates:a") == ["z", "y"]


async def test_every_key_carries_the_prefix(servers: Addresses, redis_store: RedisStore) -> None:
    """Nothing is written outside, so that two installations may share a Redis."""
    store = redis_store
    async with make_async_redis(Address(servers.redis)) as redis:
        before = {name async for name in redis.scan_iter()}
        opened = await store.checkpoints.open(*SHARD)
        await store.checkpoints.save(*SHARD, opened.owner, 0, EVERYTHING)
        new = {name async for name in redis.scan_iter()} - before

    assert len(new) == 9  # birth, checkpoint, rows, waiting, outbox, 2 documents, ranking, stream
    assert all(name.startswith(store.prefix.encode()) for name in new)


async def test_shards_do_not_touch_each_other(store: Store) -> None:
    """Neither another partition nor another stage is fenced or changed by a shard's opening."""
    opened = await store.checkpoints.open(*SHARD)
    await store.checkpoints.open(STAGE, 2)
    await store.checkpoints.open("customers", 3)

    await store.checkpoints.save(*SHARD, opened.owner, 0, EVERYTHING)

    assert (await store.checkpoints.open(STAGE, 2)).saves == 0
    assert await store.checkpoints.fetch("customers", 3, ["mug"]) == {"mug": None}


async def test_a_large_checkpoint_is_one_transaction(store: Store) -> None:
    """20,000 rows of together 10 MB, and as many documents, are stored at once and come back."""
    opened = await store.checkpoints.open(*SHARD)
    ids = [f"product {n}" for n in range(20_000)]
    large = Changes(
        rows=dict.fromkeys(ids, b"r" * 512),
        letters=[Letter("scores", None, id_.encode(), b"l" * 256) for id_ in ids],
        published=[Put(f"score:{id_}", b"d" * 256) for id_ in ids],
    )
    await store.checkpoints.save(*SHARD, opened.owner, 0, large)

    again = await store.checkpoints.open(*SHARD)
    assert (again.saves, len(again.letters)) == (1, 20_000)
    assert set((await store.checkpoints.fetch(*SHARD, ids)).values()) == {b"r" * 512}


async def test_a_long_ledger_opens(store: Store) -> None:
    """100,000 clicks that wait for their label are read back when a shard opens."""
    opened = await store.checkpoints.open(*SHARD)
    waiting: dict[str, bytes | None] = {f"click {n}": b"w" * 300 for n in range(100_000)}
    await store.checkpoints.save(*SHARD, opened.owner, 0, Changes(waiting=waiting))

    assert (await store.checkpoints.open(*SHARD)).memory.waiting == waiting
