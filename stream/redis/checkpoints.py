"""Checkpoints in Redis: rows, notes, outbox and public documents in one fenced transaction."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol
from uuid import uuid4

import orjson
from redis.asyncio import Redis

from stream import keys
from stream.errors import Fenced, Misconfigured
from stream.redis.clients import redis_errors
from stream.redis.transaction import MOST_ARGUMENTS, Command, as_one, write_watching
from stream.settings import Stage
from stream.shards import Changes, Drop, Letter, Memory, Put, Rank, Say, Unrank

FORMAT = 1
"""Of the notes and of what waits. Whoever changes what a shard stores raises it."""


class Opened(NamedTuple):
    """A shard's last checkpoint, taken into possession."""

    owner: str
    """Whoever opens a shard next gets another; writes in the name of this one are refused then."""
    saves: int
    partitions: int | None
    """Of the topics, when the shard was first stored."""
    memory: Memory
    letters: list[Letter]
    """Decided before, perhaps not sent."""


class Checkpoints(Protocol):
    """Where shards are stored: `RedisCheckpoints`, or what stands in for them in a simulation."""

    async def open(self, stage: Stage, partition: int) -> Opened:
        """Take a shard: read its checkpoint, and shut out whoever had it."""
        ...

    async def fetch(
        self, stage: Stage, partition: int, ids: Sequence[str]
    ) -> dict[str, bytes | None]:
        """Read rows; None for those that are not stored."""
        ...

    async def save(
        self, stage: Stage, partition: int, owner: str, saves: int, changes: Changes
    ) -> None:
        """Write everything or nothing."""
        ...

    async def confirm(self, stage: Stage, partition: int, owner: str, saves: int) -> None:
        """See that the next save would not be refused."""
        ...


def may_write(name: str, owner: str, saves: int, found: Sequence[bytes | None]) -> bool:
    """Decide about a save by what is stored; False if it has been written before.

    Args:
        name: Of the shard.
        owner: In whose name it is written.
        saves: How many came before it.
        found: The owner that is stored, and the number of saves.

    Raises:
        Fenced: It must not be written, now or later.
    """
    if found[0] != owner.encode():
        raise Fenced(f"{name} belongs to another worker now")
    stored = int(found[1] or 0)
    if stored not in (saves, saves + 1):
        raise Fenced(f"Redis has lost the last checkpoints of {name}")
    return stored == saves


class RedisCheckpoints:
    """The checkpoints of all shards of an installation."""

    def __init__(self, client: Redis, prefix: str, partitions: int) -> None:
        """Use a client that answers in bytes.

        Args:
            client: Connected when needed.
            prefix: In front of every key.
            partitions: Of the topics, to be remembered with each shard.
        """
        self._redis = client
        self._prefix = prefix
        self._partitions = partitions

    async def open(self, stage: Stage, partition: int) -> Opened:
        """Take a shard: read its checkpoint, and shut out whoever had it."""
        owner = uuid4().hex
        checkpoint = self._prefix + keys.checkpoint(stage, partition)
        with redis_errors():
            await self._redis.set(self._prefix + keys.BIRTH, uuid4().hex, nx=True)
            pipe = self._redis.pipeline(transaction=True)
            pipe.hset(checkpoint, "owner", owner)
            pipe.hgetall(checkpoint)
            pipe.hgetall(self._prefix + keys.waiting(stage, partition))
            pipe.get(self._prefix + keys.outbox(stage, partition))
            pipe.get(self._prefix + keys.BIRTH)
            _, fields, waiting, outbox, birth = await pipe.execute()
        notes = {name.decode(): value for name, value in fields.items()}
        form = int(notes.pop("format", FORMAT))
        if form != FORMAT:
            raise Misconfigured(
                f"The checkpoint of {stage}.{partition} has format {form}, this release reads "
                f"{FORMAT}. Run the release that wrote it, or count anew from Kafka with another "
                "STREAM_PREFIX."
            )
        stored = notes.pop("partitions", None)
        return Opened(
            owner=owner,
            saves=int(notes.pop("saves", 0)),
            partitions=int(stored) if stored else None,
            memory=Memory(
                notes, {id_.decode(): raw for id_, raw in waiting.items()}, birth.decode()
            ),
            letters=unpack_letters(outbox or b""),
        )

    async def fetch(
        self, stage: Stage, partition: int, ids: Sequence[str]
    ) -> dict[str, bytes | None]:
        """Read rows; None for those that are not stored."""
        if not ids:
            return {}
        with redis_errors():
            found: list[Any] = await self._redis.hmget(
                self._prefix + keys.rows(stage, partition), list(ids)
            )
        return dict(zip(ids, found, strict=True))

    async def save(
        self, stage: Stage, partition: int, owner: str, saves: int, changes: Changes
    ) -> None:
        """Write everything or nothing.

        Args:
            stage: Of the shard.
            partition: Of the shard.
            owner: Who opened it.
            saves: How many saves came before this one. A save whose outcome was not heard of
                may be tried again: it counts once.
            changes: What to write.

        Raises:
            Fenced: Somebody else has opened the shard since, or Redis has lost what was saved.
        """
        commands = [*self._storing(stage, partition, saves + 1, changes)]
        await asyncio.sleep(0)  # there may be thousands of rows, and as many documents
        commands += self._publishing(changes)
        with redis_errors():
            await write_watching(
                self._redis,
                self._prefix + keys.checkpoint(stage, partition),
                ("owner", "saves"),
                partial(may_write, f"{stage}.{partition}", owner, saves),
                commands,
            )

    async def confirm(self, stage: Stage, partition: int, owner: str, saves: int) -> None:
        """See that the next save would not be refused.

        Raises:
            Fenced: It would be.
        """
        key = self._prefix + keys.checkpoint(stage, partition)
        with redis_errors():
            found: list[Any] = await self._redis.hmget(key, ["owner", "saves"])
        may_write(f"{stage}.{partition}", owner, saves, found)

    def _storing(
        self, stage: Stage, partition: int, saves: int, changes: Changes
    ) -> Iterator[Command]:
        for key, content in ((keys.rows, changes.rows), (keys.waiting, changes.waiting)):
            name = self._prefix + key(stage, partition)
            gone = [id_ for id_, raw in content.items() if raw is None]
            present = [part for pair in content.items() if pair[1] is not None for part in pair]
            if present:
                yield ["HSET", name, *present]
            if gone:
                yield ["HDEL", name, *gone]
        notes = {
            **changes.notes,
            "saves": saves,
            "partitions": self._partitions,
            "format": FORMAT,
        }
        pairs = [part for pair in notes.items() for part in pair]
        yield ["HSET", self._prefix + keys.checkpoint(stage, partition), *pairs]
        outbox = self._prefix + keys.outbox(stage, partition)
        yield ["SET", outbox, pack_letters(changes.letters)]

    def _publishing(self, changes: Changes) -> Iterator[Command]:
        documents: dict[str, bytes] = {}
        small: list[Command] = []
        for publication in changes.published:
            key = self._prefix + publication.key
            match publication:
                case Put(_, value):
                    documents[key] = value
                case Drop():
                    documents.pop(key, None)
                    small.append(["DEL", key])
                case Rank(_, scores, most):
                    ranks = [part for member, score in scores.items() for part in (score, member)]
                    small += _chunked(["ZADD", key], ranks)
                    if most is not None:
                        small.append(["ZREMRANGEBYRANK", key, 0, -most - 1])
                case Unrank(_, members):
                    small += _chunked(["ZREM", key], list(members))
                case Say(_, fields, most):
                    said = [part for pair in fields.items() for part in pair]
                    small.append(["XADD", key, "MAXLEN", "~", most, "*", *said])
        yield from as_one(small)
        if documents:
            yield ["MSET", *[part for pair in documents.items() for part in pair]]


def _chunked(command: list[Any], arguments: list[Any]) -> Iterator[Command]:
    """Cut a command that may have very many arguments."""
    for start in range(0, len(arguments), MOST_ARGUMENTS):
        yield [*command, *arguments[start : start + MOST_ARGUMENTS]]


def pack_letters(letters: Iterable[Letter]) -> bytes:
    """Write letters as bytes: for each a line of JSON with its lengths, then key and value."""
    parts = []
    for topic, partition, key, value, headers in letters:
        sizes = [None if part is None else len(part) for part in (key, value)]
        named = [[name, raw.decode("latin-1")] for name, raw in headers]
        parts += [orjson.dumps([topic, partition, *sizes, named]), b"\n", key or b"", value or b""]
    return b"".join(parts)


def unpack_letters(raw: bytes) -> list[Letter]:
    """Read what `pack_letters` wrote.

    >>> letters = [Letter("scores", None, b"p1", b"{}"), Letter("strays", 0, None, b"[]")]
    >>> unpack_letters(pack_letters(letters)) == letters
    True
    """
    letters = []
    at = 0
    while at < len(raw):
        line = raw.index(b"\n", at)
        topic, partition, key_size, value_size, named = orjson.loads(raw[at:line])
        at = line + 1
        parts: list[bytes | None] = []
        for size in (key_size, value_size):
            parts.append(None if size is None else raw[at : at + size])
            at += size or 0
        headers = tuple((name, text.encode("latin-1")) for name, text in named)
        letters.append(Letter(topic, partition, parts[0], parts[1], headers))
    return letters
