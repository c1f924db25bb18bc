"""How a Redis is set up."""

from typing import NamedTuple

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from stream.redis.clients import redis_errors

_NAMES = ("maxmemory", "maxmemory-policy", "appendonly", "save")


class Store(NamedTuple):
    """How a Redis is set up; None where it does not say.

    Attributes:
        bounded: There is a limit to its memory.
        policy: What it does at that limit.
        persists: It writes its contents to disk.
    """

    bounded: bool | None
    policy: str | None
    persists: bool | None


async def look_at_store(redis: Redis) -> Store:
    """Ask Redis how it is set up, in two ways: some that are rented do not let CONFIG pass."""
    with redis_errors():
        try:
            # One by one: before release 7 it took one name.
            found = [(await redis.config_get(name)).get(name) for name in _NAMES]
        except ResponseError:
            return await _informed(redis)
    limit, policy, appends, saves = found
    return Store(limit != "0", policy, appends == "yes" or bool(saves))


async def _informed(redis: Redis) -> Store:
    try:
        info = {**await redis.info("memory"), **await redis.info("persistence")}
    except ResponseError:
        return Store(None, None, None)
    limit = info.get("maxmemory")
    # Without a log there may still be snapshots, of which INFO does not speak.
    return Store(
        None if limit is None else limit != 0,
        info.get("maxmemory_policy"),
        True if info.get("aof_enabled") else None,
    )
