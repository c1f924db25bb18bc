"""Kafka's group coordinator, and what Faust is to a stage: one that obeys it, and carries batches.

What is not obeyed in time is not waited for: a worker that sleeps loses its partitions, and finds
out when it wakes up.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from contextvars import Context
from typing import Any, NamedTuple, TypeVar

from aiokafka.errors import KafkaConnectionError
from faust.types import TP

from simulation.line import Line
from simulation.log import MemoryLog
from simulation.loop import Loop
from stream.agents.app import Carry
from stream.agents.transport import Positions
from stream.kafka.topics import SOURCES
from stream.settings import Stage
from stream.shards import Batch

T = TypeVar("T")

SESSION = 1.0
"""Seconds after which a member that does not answer is given up."""
REVOKING = 6.0
"""Seconds that a member has to let go of its partitions."""
GATHERING = 0.1
"""Seconds in which more members may come before partitions are shared out."""
HEARTBEAT = 1.0
"""Seconds between two looks of a member whether it still is one."""
BUFFER = 8
"""Batches that wait between consumer and agent."""


class Group:
    """The members of one stage, and who of them has which partitions.

    Attributes:
        generation: Counts the rounds in which partitions were shared out.
    """

    def __init__(self, stage: Stage, log: MemoryLog, loop: Loop) -> None:
        self.stage = stage
        self.generation = 0
        self._log = log
        self._loop = loop
        self._members: dict[App, None] = {}
        self._ready: dict[App, None] = {}
        self._balancing: asyncio.Task[None] | None = None
        self._again = False

    def join(self, app: "App") -> None:
        """Let somebody in."""
        self._members[app] = None
        self._ready.pop(app, None)
        app.member = True
        self._move()
        self._loop.serve(SESSION, self._look_at, app)

    def leave(self, app: "App") -> None:
        """Let somebody go, or shut out somebody who does not answer."""
        if self._members.pop(app, 0) is None:
            self._ready.pop(app, None)
            app.member = False
            self._move()

    def _look_at(self, app: "App") -> None:
        """Give up somebody who did not live to hear that it was let in."""
        if app.stopped or app.asleep():
            self.leave(app)

    def miss(self, app: "App") -> None:
        """Hear no heartbeat of somebody any more."""
        self._loop.serve(SESSION, self.leave, app)

    def _move(self) -> None:
        self._again = True
        if self._balancing is None or self._balancing.done():
            self._balancing = self._loop.go(self._balance(), Context())

    async def _balance(self) -> None:
        """Take all partitions back, wait for the members, share the partitions out anew."""
        while self._again:
            await asyncio.sleep(GATHERING)
            self._again = False
            left = {app: app.revoke() for app in self._members if app not in self._ready}
            if left:
                await asyncio.wait(left.values(), timeout=REVOKING)
            for app, done in left.items():
                if app in self._members:
                    if done.done():
                        self._ready[app] = None
                    else:
                        self.leave(app)
            if not self._again:
                self._share_out()

    def _share_out(self) -> None:
        self.generation += 1
        members, self._ready = list(self._members), {}
        numbers = sorted(
            {n for topic in SOURCES[self.stage] for t, n in self._log.places if t == topic}
        )
        for place, app in enumerate(members):
            mine = [n for n in numbers if (n + self.generation) % len(members) == place]
            assigned = {
                TP(topic, n)
                for topic in SOURCES[self.stage]
                for n in mine
                if (topic, n) in self._log.places
            }
            app.assign(self.generation, assigned)


class _Message(NamedTuple):
    generation_id: int


class Carried(NamedTuple):
    """One batch on its way to the agent, as Faust's events are."""

    value: Batch
    message: _Message
    app: "App"

    def ack(self) -> None:
        """Say that it is done."""
        self.app.acknowledged(self.value)


class Signal:
    """Somebody who is to be told."""

    def __init__(self) -> None:
        self._told: list[Any] = []

    def connect(self, told: Any) -> None:
        """Tell this one, too."""
        self._told.append(told)

    async def send(self) -> None:
        """Tell everybody."""
        for told in self._told:
            await told()


class Consumer:
    """What a stage asks of Faust's consumer."""

    def __init__(self, app: "App") -> None:
        self._app = app
        self.in_touch = True
        self.refusal = None

    def assignment(self) -> set[TP]:
        """Partitions of this worker, as far as it knows."""
        return set(self._app.assigned)

    def pause_partitions(self, partitions: Collection[TP]) -> None:
        """Read these no more for now."""
        self._app.paused.update(partitions)

    def resume_partitions(self, partitions: Collection[TP]) -> None:
        """Read these again."""
        self._app.paused.difference_update(partitions)
        self._app.news.set()

    async def earliest_offsets(self, *partitions: TP) -> Mapping[TP, int]:
        """Where partitions begin."""
        begins: Mapping[TP, int] = dict.fromkeys(partitions, 0)
        return await self._app.ask("asks for begins", lambda: begins)

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:
        """Where partitions end."""
        log = self._app.log
        return await self._app.ask(
            "asks for ends", lambda: {tp: log.end((tp.topic, tp.partition)) for tp in partitions}
        )


class App:
    """One member of a group, with the surface of a Faust app that a stage uses.

    Attributes:
        member: The coordinator counts it in. It may not know.
        assigned: Its partitions, as far as it knows.
        paused: Those of them that are not read for now.
        news: Set when there may be something to read.
    """

    def __init__(
        self,
        group: Group,
        log: MemoryLog,
        line: Line,
        positions: Positions,
        carry: Carry,
        *,
        most: int,
        acked: dict[TP, int],
        asleep: Callable[[], bool],
    ) -> None:
        """Prepare; nothing is joined yet.

        Args:
            group: Of the stage.
            log: What is read.
            line: How coordinator and log are reached.
            positions: Says where to read each partition from.
            carry: Is given every batch.
            most: Records of one batch.
            acked: Where the offsets go up to which is acknowledged.
            asleep: Says whether its worker is frozen or dead.
        """
        self.member = False
        self.assigned: set[TP] = set()
        self.paused: set[TP] = set()
        self.news = asyncio.Event()
        self.log = log
        self.rebalancing = True
        self.consumer_generation_id = 0
        self.crash_reason: BaseException | None = None
        self.on_partitions_revoked = Signal()
        self.consumer = Consumer(self)
        self.acked = acked
        self.asleep = asleep
        self.group = group
        self._line = line
        self._positions = positions
        self._carry = carry
        self._most = most
        self._next: dict[TP, int] = {}
        self._orders: asyncio.Queue[Any] = asyncio.Queue()
        self._buffer: deque[Carried] = deque()
        self._filled = asyncio.Event()
        self._taken = asyncio.Event()
        self._flowing = False
        self._seeking: asyncio.Task[None] | None = None
        self._stopped = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def ask(self, what: str, effect: Callable[[], T]) -> T:
        """Ask Kafka for something."""
        what = f"{what} of {self.group.stage}"
        return await self._line.ask(self.log, what, effect, KafkaConnectionError)

    # What a stage does with it.

    async def start(self) -> None:
        """Join the group and begin to read."""
        self.log.appended.append(self._hear)
        works = (self._obeying(), self._fetching(), self._agent(), self._beating())
        self._tasks = [asyncio.create_task(work) for work in works]
        await self.ask("joins", lambda: self.group.join(self))

    async def stop(self) -> None:
        """Leave the group."""
        self._stopped.set()
        for task in (*self._tasks, *([self._seeking] if self._seeking else [])):
            task.cancel()
        self.group.miss(self)
        with suppress(KafkaConnectionError):
            await self.ask("leaves", lambda: self.group.leave(self))
        if self._hear in self.log.appended:
            self.log.appended.remove(self._hear)

    @property
    def stopped(self) -> bool:
        """Whether it is over."""
        return self._stopped.is_set()

    async def wait_until_stopped(self) -> None:
        """Wait for its end."""
        await self._stopped.wait()

    def acknowledged(self, batch: Batch) -> None:
        """Take note of what is done."""
        tp = TP(batch.topic, batch.partition)
        self.acked[tp] = batch.records[-1].offset + 1

    # What the coordinator does with it.

    def revoke(self) -> "asyncio.Future[None]":
        """Order it to let go of its partitions."""
        done = asyncio.get_running_loop().create_future()
        self._orders.put_nowait(done)
        return done

    def assign(self, generation: int, assigned: set[TP]) -> None:
        """Give it its partitions."""
        self._orders.put_nowait((generation, assigned))

    # Its own life.

    async def _obeying(self) -> None:
        while True:
            order = await self._orders.get()
            if isinstance(order, asyncio.Future):
                await self._let_go()
                if not order.done():
                    order.set_result(None)
            else:
                await self._take(*order)

    async def _let_go(self) -> None:
        self.rebalancing, self._flowing = True, False
        self._buffer.clear()
        self._taken.set()
        if self.assigned:
            await self.on_partitions_revoked.send()

    async def _take(self, generation: int, assigned: set[TP]) -> None:
        self.consumer_generation_id = generation
        self.assigned = assigned
        self.paused.clear()
        if self._seeking is not None:
            self._seeking.cancel()
        self._seeking = asyncio.create_task(self._seek(generation))

    async def _seek(self, generation: int) -> None:
        try:
            positions = await self._positions(set(self.assigned)) if self.assigned else {}
        except Exception as error:  # noqa: BLE001 (as Faust does: whatever it is, the app is over)
            self.crash_reason = error
            self._stopped.set()
            return
        if generation == self.consumer_generation_id:
            self._next = dict(sorted(positions.items()))
            self.rebalancing, self._flowing = False, True
            self.news.set()

    async def _fetching(self) -> None:
        turn = 0
        while True:
            ready = self._readable()
            if not ready:
                self.news.clear()
                await self.news.wait()
                continue
            turn += 1
            tp = ready[turn % len(ready)]
            generation, offset = self.consumer_generation_id, self._next[tp]
            place = (tp.topic, tp.partition)
            try:
                run, end = await self._line.ask(
                    self.log,
                    f"reads {tp.topic}.{tp.partition}",
                    lambda p=place, o=offset: (  # type: ignore[misc]
                        self.log.read(p, o, self._most),
                        self.log.end(p),
                    ),
                    KafkaConnectionError,
                )
            except KafkaConnectionError:
                await asyncio.sleep(HEARTBEAT / 10)
                continue
            if not self._flowing or generation != self.consumer_generation_id or not run:
                continue
            self._next[tp] = run[-1].offset + 1
            batch = Batch(tp.topic, tp.partition, run, end)
            self._buffer.append(Carried(batch, _Message(generation), self))
            self._filled.set()
            while len(self._buffer) >= BUFFER:
                self._taken.clear()
                await self._taken.wait()

    def _readable(self) -> list[TP]:
        if not self._flowing:
            return []
        return [
            tp
            for tp, offset in self._next.items()
            if tp not in self.paused and offset < self.log.end((tp.topic, tp.partition))
        ]

    async def _agent(self) -> None:
        while True:
            while not self._buffer:
                self._filled.clear()
                await self._filled.wait()
            carried: Any = self._buffer.popleft()
            self._taken.set()
            await self._carry(carried)

    async def _beating(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT)
            if not self.member and self.consumer.in_touch:
                await self._rejoin()

    async def _rejoin(self) -> None:
        with suppress(KafkaConnectionError):
            done = self.revoke()
            await done
            await self.ask("joins", lambda: self.group.join(self))

    def _hear(self, place: Any, _: Any) -> None:
        if place[0] in SOURCES[self.group.stage]:
            self.news.set()
