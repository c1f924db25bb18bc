"""A transaction of Redis that is written only if what it rests on allows it."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import hiredis
from redis.asyncio import Redis

Command = Sequence[Any]
"""Name and arguments: text, bytes, numbers."""

_EACH = """
local at = 1
while at <= #ARGV do
  local size = tonumber(ARGV[at])
  redis.call(unpack(ARGV, at + 1, at + size))
  at = at + size + 1
end
"""
MOST_ARGUMENTS = 4_000
"""Of one command among small ones: more than Lua can hand on at once end in an error."""


def as_one(commands: Iterable[Command]) -> Iterable[Command]:
    """Let Redis run many small commands as one, so that not each of them has to be answered.

    Large ones go better alone: a script copies each argument twice, and all others wait.
    """
    flat: list[Any] = []
    for command in commands:
        flat += [len(command), *command]
    if flat:
        yield ("EVAL", _EACH, 0, *flat)


async def write_watching(
    client: "Redis",
    key: str,
    fields: Sequence[str],
    may_write: Callable[[Sequence[bytes | None]], bool],
    commands: Sequence[Command],
) -> None:
    """Look at fields of a hash and write all commands or none, none of them on other terms.

    Args:
        client: One that answers in bytes.
        key: The hash.
        fields: What is looked at.
        may_write: Decides by what was found; what it raises ends the matter. If the hash has
            changed before all is written, it is asked again.
        commands: What is written.
    """
    pool = client.connection_pool
    connection: Any = await pool.get_connection()  # type: ignore[no-untyped-call]
    try:
        while True:
            looking = [("WATCH", key), ("HMGET", key, *fields)]
            found = (await _answers(connection, looking))[-1]
            if not may_write(found):
                await _answers(connection, [("UNWATCH",)])
                return
            answers = (await _answers(connection, [("MULTI",), *commands, ("EXEC",)]))[-1]
            if answers is not None:
                break
    except BaseException:
        await connection.disconnect(nowait=True)  # whoever gets it next shall watch nothing
        raise
    finally:
        await pool.release(connection)
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer


async def _answers(connection: Any, commands: Sequence[Command]) -> list[Any]:
    """Send commands together and read all answers.

    hiredis packs them in C; redis-py's asyncio client would spend a microsecond on each argument.
    """
    packed = []
    for command in commands:
        packed.append(hiredis.pack_command(tuple(command)))
        if len(command) > MOST_ARGUMENTS:
            await asyncio.sleep(0)  # others get their turn after a large one
    await connection.send_packed_command(b"".join(packed))
    return [await connection.read_response() for _ in commands]
