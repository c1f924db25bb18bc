"""Dead letters sent again, each once for good."""

import sys
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

from redis.asyncio import Redis

from stream import keys
from stream.kafka.dead_letters import DeadLetter, read_dead_letters, returning
from stream.redis.clients import Address, make_async_redis, redis_errors
from stream.settings import Settings

PACK = 500
"""Letters that are sent before they are marked as sent. A crash in between sends them again."""


async def send_again(
    settings: Settings, reason: str | None = None, limit: int | None = None, *, dry: bool = False
) -> int:
    """Send back what was refused and never sent again, and remember in Redis that it was.

    Args:
        settings: Where Kafka and Redis are.
        reason: Only what was refused for it.
        limit: At most so many.
        dry: Send nothing, only count.

    Returns:
        How many letters were sent, or would be.
    """
    redis = make_async_redis(Address.of(settings))
    try:
        marks = Marks(redis, settings.prefix)
        async with returning(settings) as send, aclosing(_packs(settings)) as packs:
            done, oldest = 0, sys.maxsize
            async for pack in packs:
                oldest = min(oldest, *(letter.time for letter in pack))
                chosen = [x for x in pack if x.returnable and reason in (None, x.reason)]
                fresh = (await marks.unmarked(chosen))[: None if limit is None else limit - done]
                if not dry:
                    await send(fresh)
                    await marks.mark(fresh)
                done += len(fresh)
                if done == limit:
                    return done
            if not dry:
                await marks.forget(oldest)
            return done
    finally:
        await redis.aclose()


class Marks:
    """Which letters were sent again: a sorted set, by the time of their refusal."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self._key = prefix + keys.RESENT

    async def unmarked(self, letters: Iterable[DeadLetter]) -> list[DeadLetter]:
        """Choose those that were never sent again, each once."""
        by_source = {letter.source: letter for letter in letters}
        if not by_source:
            return []
        with redis_errors():
            times = await self._redis.zmscore(self._key, list(by_source))
        return [x for x, time in zip(by_source.values(), times, strict=True) if time is None]

    async def mark(self, letters: Iterable[DeadLetter]) -> None:
        """Remember them."""
        times = {letter.source: letter.time for letter in letters}
        if times:
            with redis_errors():
                await self._redis.zadd(self._key, times)

    async def forget(self, before: int) -> None:
        """Drop what is older than Kafka's oldest letter: nobody will ask for it."""
        with redis_errors():
            await self._redis.zremrangebyscore(self._key, "-inf", f"({before}")


async def _packs(settings: Settings) -> AsyncGenerator[list[DeadLetter], None]:
    pack: list[DeadLetter] = []
    async with aclosing(read_dead_letters(settings)) as letters:
        async for letter in letters:
            pack.append(letter)
            if len(pack) == PACK:
                yield pack
                pack = []
    if pack:
        yield pack
