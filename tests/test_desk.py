"""The desk of one shard, where one await or another goes wrong."""

import asyncio
from collections.abc import Sequence

import pytest
from making import KAFKA_TIME, NAMES, click, recorded
from simulation.line import DirectLine
from simulation.log import MemoryLog, MemoryProducer
from simulation.store import MemoryCheckpoints, MemoryStore, Name

from stream.agents.desk import Desk
from stream.agents.turns import Turns
from stream.customers.shard import CustomersPlan, CustomersShard
from stream.errors import StoreDown
from stream.kafka.post import Post
from stream.patience import Patience
from stream.settings import Stage
from stream.shards import Batch, Changes
from stream.units import DAY

SHARD: Name = ("customers", 0)


async def desk_of(checkpoints: MemoryCheckpoints) -> Desk:
    """The desk of a customers shard."""
    opened = await checkpoints.open(*SHARD)
    log = MemoryLog(1, lambda: KAFKA_TIME)
    return Desk(
        CustomersShard(0, CustomersPlan(1, NAMES, 0, 1_000, DAY), opened.memory),
        opened,
        checkpoints,
        Post(lambda: MemoryProducer(log, DirectLine())),
        Patience(),
        turns=Turns(),
        pause=0.05,
        hold=lambda _: None,
        behind=lambda: False,
    )


class Failing(MemoryCheckpoints):
    """Checkpoints that cannot be read from while the desk is asked to stop, only written."""

    desk: Desk

    async def fetch(
        self,
        stage: Stage,  # noqa: ARG002
        partition: int,  # noqa: ARG002
        ids: Sequence[str],  # noqa: ARG002
    ) -> dict[str, bytes | None]:
        """Fail, when whoever writes checkpoints waits for its turn already."""
        self.desk.stop()
        for _ in range(5):
            await asyncio.sleep(0)
        raise StoreDown("Redis does not answer")

    async def save(
        self, stage: Stage, partition: int, owner: str, saves: int, changes: Changes
    ) -> None:
        """Write at once."""
        self._store.save((stage, partition), owner, saves, changes, partitions=1)


async def test_what_was_due_and_is_not_folded_is_in_no_checkpoint() -> None:
    """Rows cannot be fetched while the partition goes: the event is left for the next owner."""
    store = MemoryStore()
    checkpoints = Failing(store, DirectLine(), 1)
    checkpoints.desk = desk = await desk_of(checkpoints)
    running = asyncio.create_task(desk.run())
    await desk.put(Batch("clicks", 0, recorded([click("e1")]), 1), lambda: None)

    with pytest.raises(ExceptionGroup):
        await running
    assert b'"clicks":1' not in store.shards[SHARD].notes.get("positions", b"")


class Slow(MemoryCheckpoints):
    """Checkpoints that take their time."""

    took = 0.0

    async def save(
        self, stage: Stage, partition: int, owner: str, saves: int, changes: Changes
    ) -> None:
        """Write after a while."""
        await asyncio.sleep(self.took)
        self._store.save((stage, partition), owner, saves, changes, partitions=1)


async def saves_in_a_rush(took: float) -> int:
    """Checkpoints of a shard in .8 s that brings an event every 5 ms; each takes so long."""
    store = MemoryStore()
    checkpoints = Slow(store, DirectLine(), 1)
    checkpoints.took = took
    desk = await desk_of(checkpoints)
    running = asyncio.create_task(desk.run())
    for n in range(160):
        batch = Batch("clicks", 0, recorded([click(f"e{n}")], n), n + 1)
        await desk.put(batch, lambda: None)
        await asyncio.sleep(0.005)
    desk.stop()
    await running
    assert b'"clicks":160' in store.shards[SHARD].notes["positions"]
    return desk.saves


async def test_checkpoints_that_take_longer_become_fewer() -> None:
    """A shard rests after each, so that a busy worker counts more than it saves."""
    assert await saves_in_a_rush(0.0) > 8
    assert await saves_in_a_rush(0.08) < 6
