"""One stage of one worker: a Faust app that carries batches to the desks of its shards."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import faust
from faust.types import TP
from faust.types.events import EventT

from stream.agents.app import MakeApp, make_app
from stream.agents.desk import Desk
from stream.agents.shards import MakeShard
from stream.agents.turns import Turns
from stream.errors import (
    BrokerDown,
    Fenced,
    Misconfigured,
    NeighbourDown,
    StoreDown,
    StreamError,
)
from stream.kafka.clients import DENIED, kafka_errors
from stream.kafka.post import Post
from stream.kafka.topics import SOURCES
from stream.patience import Patience
from stream.redis.checkpoints import Checkpoints
from stream.settings import Settings, Stage
from stream.shards import Batch

PAUSES: Mapping[Stage, float] = {"customers": 0.05, "products": 0.1, "learner": 0.5}
"""Least time between two checkpoints of a shard, s."""
OPENING = 60.0
"""Seconds for opening shards. Left to itself, Faust gives up after 90 s and never reads again."""
FAREWELL = 4.0
"""Seconds for the last checkpoints when partitions go or the worker stops."""
LEAVE = 3.0
"""Seconds for leaving the group."""
REJOIN = 2.0
"""Seconds before a stage that fell joins its group again."""

log = logging.getLogger("stream")


class StageRun:
    """A stage at work: joins its consumer group, opens the shards it is given, feeds them.

    Attributes:
        desks: By partition, those that are open.
    """

    def __init__(
        self,
        stage: Stage,
        settings: Settings,
        make_shard: MakeShard,
        checkpoints: Checkpoints,
        post: Post,
        *,
        patience: Patience,
        turns: Turns,
        behind: Callable[[], bool],
        accept_loss: bool = False,
        make_app: MakeApp = make_app,
    ) -> None:
        """Prepare a stage.

        Args:
            stage: Which.
            settings: Of the installation.
            make_shard: Makes the shard of a partition from its memory.
            checkpoints: Where shards are stored.
            post: Who sends their letters.
            patience: Who waits for neighbours.
            turns: Those of all shards of the process.
            behind: Says whether the worker has much left to read.
            accept_loss: Whether to go on where Kafka no longer holds what was not read.
            make_app: Makes the member of the consumer group; a simulation has its own.
        """
        self.stage = stage
        self.desks: dict[int, Desk] = {}
        self._settings = settings
        self._make_shard = make_shard
        self._checkpoints = checkpoints
        self._post = post
        self._patience = patience
        self._turns = turns
        self._behind = behind
        self._accept_loss = accept_loss
        self._make_app = make_app
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._fallen: asyncio.Future[BaseException] | None = None
        self._app: faust.App | None = None

    @property
    def assigned(self) -> bool:
        """Whether Kafka has given this worker its part of the stage, perhaps none, and answers.

        Faust is `rebalancing` until the shards are open; its generation is 0 before the first.
        """
        app = self._app
        return (
            app is not None
            and app.consumer_generation_id > 0
            and not app.rebalancing
            and app.consumer.in_touch
        )

    @property
    def adrift(self) -> bool:
        """Whether it has been a member of its group, and Kafka does not answer now."""
        app = self._app
        return app is not None and app.consumer_generation_id > 0 and not app.consumer.in_touch

    async def run(self, stop: asyncio.Event) -> None:
        """Work until told to stop; begin again after being fenced or losing Kafka.

        Raises:
            Misconfigured: Somebody has to mend something.
        """
        while not stop.is_set():
            error = await self._stay(stop)
            if not stop.is_set():
                self._judge(error)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), REJOIN)

    async def _stay(self, stop: asyncio.Event) -> BaseException:
        """Be a member of the group until told to stop or something goes wrong; say what."""
        fallen = self._fallen = asyncio.get_running_loop().create_future()
        app = self._app = self._make_app(
            self.stage, self._settings, positions=self._open, carry=self._carry
        )
        app.on_partitions_revoked.connect(self._revoked)
        starting = asyncio.ensure_future(app.start())
        ends = [
            fallen,
            asyncio.ensure_future(stop.wait()),
            asyncio.ensure_future(app.wait_until_stopped()),
            asyncio.ensure_future(self._refused(app)),
        ]
        try:
            await asyncio.wait([starting, *ends], return_when=asyncio.FIRST_COMPLETED)
            if starting.done() and not starting.exception():
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            reasons: list[BaseException | None] = [
                fallen.result() if fallen.done() else None,
                app.crash_reason,
                starting.exception() if starting.done() else None,
            ]
            return next((r for r in reasons if r is not None), BrokerDown("Kafka was left"))
        finally:
            self._app = None  # what is assigned from now on is not opened any more
            await self._close()
            await asyncio.wait([starting], timeout=LEAVE)  # or else it would stay in the group
            await asyncio.wait([asyncio.ensure_future(app.stop())], timeout=LEAVE)
            for task in (starting, *ends):
                task.cancel()

    async def _refused(self, app: faust.App) -> None:
        """Look again and again whether Kafka refuses the group something; then fall."""
        while True:
            await asyncio.sleep(REJOIN)
            if (error := app.consumer.refusal) is not None:
                self._fall(error)

    def _judge(self, error: BaseException) -> None:
        """Decide whether a stage that fell may begin again."""
        if isinstance(error, Fenced):
            log.warning("%s. Loading it again.", error)
        elif isinstance(error, NeighbourDown) or (_of_kafka(error) and not _denied(error)):
            log.warning("%s: %s. Joining again.", self.stage, str(error).rstrip("."))
        else:
            with kafka_errors():
                raise error

    def _judge_loss(self, gone: Mapping[TP, int]) -> None:
        """Go on without records that are gone only if somebody has said so."""
        listed = ", ".join(f"{tp.topic}-{tp.partition} {n:,}" for tp, n in sorted(gone.items()))
        text = (
            f"Kafka no longer holds {sum(gone.values()):,} records that were not counted: {listed}."
        )
        if not self._accept_loss:
            raise Misconfigured(f"{text} To go on without them: stream worker --accept-loss")
        log.warning("%s Going on without them.", text)

    async def _carry(self, event: EventT[Batch]) -> None:
        app, batch = self._app, event.value
        desk = self.desks.get(batch.partition)
        if desk is None or app is None or event.message.generation_id != app.consumer_generation_id:
            return  # read before the last rebalance: it will be read again
        await desk.put(batch, event.ack)

    async def _revoked(self, *_: Any, **__: Any) -> None:
        await self._close()

    async def _open(self, assigned: set[TP]) -> Mapping[TP, int]:
        """Open the shards of the assigned partitions and say where to read them from."""
        try:
            async with asyncio.timeout(OPENING):
                return await self._opened(assigned)
        except StreamError as error:
            self._fall(error)
        except TimeoutError:
            self._fall(StoreDown(f"The shards could not be opened within {OPENING:.0f} s"))
        return {}

    async def _opened(self, assigned: set[TP]) -> Mapping[TP, int]:
        await self._close()
        app = self._app
        if app is None or not assigned:
            return {}
        opened = {
            partition: await self._patience.out(
                lambda p=partition: self._checkpoints.open(self.stage, p),  # type: ignore[misc]
                lambda: self._app is not app,
            )
            for partition in sorted({tp.partition for tp in assigned})
        }
        shards = {p: await self._make_shard(p, opened[p]) for p in opened}
        # Only now: until a shard was opened, another worker may have gone on with it.
        begins = await app.consumer.earliest_offsets(*assigned)
        ends = await app.consumer.highwaters(*assigned)
        if self._app is not app:
            return {}
        offsets: dict[TP, int] = {}
        gone: dict[TP, int] = {}
        desks: dict[int, Desk] = {}
        for partition, checkpoint in opened.items():
            desk = Desk(
                shards[partition],
                checkpoint,
                self._checkpoints,
                self._post,
                self._patience,
                turns=self._turns,
                pause=PAUSES[self.stage],
                hold=partial(self._hold, app, partition),
                behind=self._behind,
            )
            known = desk.shard.positions()
            for tp in (tp for tp in assigned if tp.partition == partition):
                position, begin = known.get(tp.topic, 0), begins[tp]
                offsets[tp] = _begin(tp, position, begin, ends[tp])
                if 0 < position < begin:
                    gone[tp] = begin - position
                desk.begin(
                    Batch(tp.topic, partition, [], ends[tp], begin if position < begin else 0)
                )
            desks[partition] = desk
        if gone:
            self._judge_loss(gone)
        for partition, desk in desks.items():
            self._start(partition, desk)
        log.info("%s: partitions %s", self.stage, sorted(self.desks))
        return offsets

    def _hold(self, app: faust.App, partition: int, topics: Collection[str]) -> None:
        """Read no more of these topics of a partition for now, and of its other topics again."""
        if self._app is not None and self._app is app and partition in self.desks:
            held = {TP(topic, partition) for topic in topics}
            rest = {TP(topic, partition) for topic in SOURCES[self.stage]} - held
            assigned = app.consumer.assignment()
            app.consumer.pause_partitions(held & assigned)
            app.consumer.resume_partitions(rest & assigned)

    def _start(self, partition: int, desk: Desk) -> None:
        task = asyncio.create_task(desk.run(), name=f"{self.stage}.{partition}")

        def ended(task: "asyncio.Task[None]") -> None:
            if task.cancelled() or (error := task.exception()) is None:
                return
            if isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            # A desk that is closed may find that its shard has a new owner already.
            if self._tasks.get(partition) is task or not isinstance(error, Fenced | NeighbourDown):
                self._fall(error)

        task.add_done_callback(ended)
        self.desks[partition] = desk
        self._tasks[partition] = task

    def _fall(self, error: BaseException) -> None:
        if self._fallen is not None and not self._fallen.done():
            self._fallen.set_result(error)

    async def _close(self) -> None:
        """Let every desk write its last checkpoint. Who cannot in time loses nothing by it."""
        tasks = list(self._tasks.values())
        for desk in self.desks.values():
            desk.stop()
        self.desks, self._tasks = {}, {}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=FAREWELL)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)


def _begin(tp: TP, position: int, begin: int, end: int) -> int:
    """Say where to read from, given the checkpoint's position and what Kafka holds."""
    if position > end:
        raise Misconfigured(
            f"{tp.topic}-{tp.partition} ends at {end}, but {position} of its records are "
            "counted: it was created anew. Begin anew with another STREAM_PREFIX."
        )
    return max(position, begin)


def _denied(error: BaseException) -> bool:
    return isinstance(error, DENIED)


def _of_kafka(error: BaseException) -> bool:
    return type(error).__module__.startswith(("aiokafka", "kafka")) or isinstance(error, OSError)
