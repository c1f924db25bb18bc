"""Checkpoints in Redis: rows, notes, outbox and public documents in one fenced transaction."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

import hiredis
import orjson
from redis.asyncio import Redis

from stream import keys
from stream.errors import Fenced, Misconfigured
from stream.redis.clients import redis_errors
from stream.settings import Stage
from stream.shards import Changes, Drop, Letter, Memory, Put, Rank, Say, Unrank

_NOT_THE_OWNER, _LOST = -1, -2
_TRANSACTION = """
local found = redis.call('HMGET', KEYS[1], 'owner', 'saves')
local saves = tonumber(found[2] or '0')
if found[1] ~= ARGV[1] then return -1 end
if saves == tonumber(ARGV[2]) + 1 then return 0 end
if saves ~= tonumber(ARGV[2]) then return -2 end
local at = 3
while at <= #ARGV do
  local size = tonumber(ARGV[at])
  redis.call(unpack(ARGV, at + 1, at + size))
  at = at + size + 1
end
return 1
"""
"""Compares owner and number of saves, then runs the commands that follow, each after its length.

A script is one transaction, as WATCH, MULTI and EXEC are, in one round trip instead of three,
and without an answer to each of its commands.
"""
_MOST_ARGUMENTS = 4_000
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
        commands = [
            *self._storing(stage, partition, saves + 1, changes),
            *self._publishing(changes),
        ]
        flat: list[Any] = [owner, saves]
        for command in commands:
            flat += [len(command), *command]
        with redis_errors():
            verdict = await self._eval(self._prefix + keys.checkpoint(stage, partition), flat)
        if verdict == _NOT_THE_OWNER:
            raise Fenced(f"{stage}.{partition} belongs to another worker now")
        if verdict == _LOST:
            raise Fenced(f"Redis has lost the last checkpoints of {stage}.{partition}")

    async def _eval(self, checkpoint: str, arguments: list[Any]) -> Any:
        """Run the transaction: one command of thousands of arguments.

        hiredis packs it in C; redis-py's asyncio client would spend a microsecond on each.
        """
        pool = self._redis.connection_pool
        connection: Any = await pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            packed = hiredis.pack_command(("EVAL", _TRANSACTION, 1, checkpoint, *arguments))
            await connection.send_packed_command(packed)
            return await connection.read_response()
        finally:
            await pool.release(connection)

    def _storing(
        self, stage: Stage, partition: int, saves: int, changes: Changes
    ) -> Iterator[list[Any]]:
        for key, content in ((keys.rows, changes.rows), (keys.waiting, changes.waiting)):
            name = self._prefix + key(stage, partition)
            gone = [id_ for id_, raw in content.items() if raw is None]
            present = [part for pair in content.items() if pair[1] is not None for part in pair]
            yield from _chunked(["HSET", name], present)
            yield from _chunked(["HDEL", name], gone)
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

    def _publishing(self, changes: Changes) -> Iterator[list[Any]]:
        documents: dict[str, bytes] = {}
        for publication in changes.published:
            key = self._prefix + publication.key
            match publication:
                case Put(_, value):
                    documents[key] = value
                case Drop():
                    documents.pop(key, None)
                    yield ["DEL", key]
                case Rank(_, scores, most):
                    ranks = [part for member, score in scores.items() for part in (score, member)]
                    yield from _chunked(["ZADD", key], ranks)
                    if most is not None:
                        yield ["ZREMRANGEBYRANK", key, 0, -most - 1]
                case Unrank(_, members):
                    yield from _chunked(["ZREM", key], list(members))
                case Say(_, fields, most):
                    said = [part for pair in fields.items() for part in pair]
                    yield ["XADD", key, "MAXLEN", "~", most, "*", *said]
        yield from _chunked(["MSET"], [part for pair in documents.items() for part in pair])


def _chunked(command: list[Any], arguments: list[Any]) -> Iterator[list[Any]]:
    """Cut a command that would have more arguments than Lua can hand on at once."""
    for start in range(0, len(arguments), _MOST_ARGUMENTS):
        yield [*command, *arguments[start : start + _MOST_ARGUMENTS]]


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
