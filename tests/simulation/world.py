"""Workers among a log, a store and a coordinator, all in one event loop."""

import asyncio
import logging
from asyncio import Handle
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import Context
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import orjson

from simulation.faults import Faults
from simulation.group import SESSION, App, Group
from simulation.line import WorkerLine
from simulation.log import Logged, MemoryLog, MemoryProducer, Place
from simulation.loop import ACTOR, Loop
from simulation.store import MemoryCheckpoints, MemoryStore, Name
from stream import shards
from stream.agents import desk, turns
from stream.agents.app import Carry
from stream.agents.shards import MakeShard
from stream.agents.stage import StageRun
from stream.agents.transport import Positions
from stream.customers.pseudonyms import Pseudonyms
from stream.customers.shard import CustomersPlan, CustomersShard
from stream.kafka.post import Post
from stream.kafka.topics import SOURCES
from stream.learner.shard import LearnerPlan, LearnerShard
from stream.patience import Patience
from stream.products.serving import Serving
from stream.products.shard import ProductsPlan, ProductsShard
from stream.redis.checkpoints import Opened
from stream.settings import STAGES, Settings, Stage
from stream.shards import Memory, Shard
from stream.units import DAY, HOUR, MINUTE

PARTITIONS = 2
BEGIN = 1_760_000_000_000
NAMES = Pseudonyms(b"a secret of the simulation")
WAIT, WINDOW = 10 * MINUTE, 2 * HOUR
SETTINGS = Settings(partitions=PARTITIONS, _env_file=None)  # type: ignore[call-arg]
PLAIN = Serving()
"""The models where none are stored: made once, for they are large."""
SHARDS: tuple[Name, ...] = (
    *(("customers", number) for number in range(PARTITIONS)),
    *(("products", number) for number in range(PARTITIONS)),
    ("learner", 0),
)
RESTART = 0.6
"""Seconds after which a worker that has crashed is started again."""
QUIET = 1.6
"""Seconds without anything new after which all is said to have come to rest."""
STUCK = 200.0
"""Seconds after which it is said that it never will."""


@dataclass(frozen=True)
class Size:
    """How large things are in one history: small, so that limits are met.

    Attributes:
        rows: Most rows that a shard keeps in memory.
        run: Records of one batch.
        limit: Entries that are folded at once.
        unsaved: Records that are worth a checkpoint at once.
        models: Models are stored and served.
        forgets: When Redis loses what it has stored in the last second, s; 0: never.
    """

    rows: int = 1_000
    run: int = 5
    limit: int = 500
    unsaved: int = 30_000
    models: bool = False
    forgets: float = 0.0


class Worker:
    """One process, from its start to its crash or its end.

    Attributes:
        name: Which, and which of its lives.
        asleep: It does nothing now: frozen, or dead.
        kept: What it would have done meanwhile.
        dead: It will never wake.
        runs: Its stages.
        apps: Its memberships, past ones included.
    """

    def __init__(self, world: "World", number: int, life: int) -> None:
        self.name = f"w{number}" + "'" * life
        self.number = number
        self.life = life
        self.asleep = False
        self.kept: list[Handle] = []
        self.dead = False
        self.apps: list[App] = []
        self.stop = asyncio.Event()
        self._world = world
        self._steps = 0
        self._gaps = 0
        self._next = 0
        self._plan_step()
        self._context = Context()
        self._context.run(ACTOR.set, self)
        line = WorkerLine(world.loop, world.faults, self)
        post = Post(lambda: MemoryProducer(world.log, line))
        self._line = line
        self._post = post
        checkpoints = MemoryCheckpoints(world.store, line, PARTITIONS)
        patience, turns_of_all = Patience(), turns.Turns()
        self.runs = [
            StageRun(
                name,
                SETTINGS,
                world.maker(name),
                checkpoints,
                post,
                patience=patience,
                turns=turns_of_all,
                behind=lambda: False,
                make_app=self._made_app,
            )
            for name in STAGES
        ]
        self.tasks = [world.loop.go(run.run(self.stop), self._context) for run in self.runs]

    def _made_app(
        self,
        stage: Stage,
        settings: Settings,  # noqa: ARG002
        *,
        positions: Positions,
        carry: Carry,
    ) -> Any:
        world = self._world
        app = App(
            world.groups[stage],
            world.log,
            self._line,
            positions,
            carry,
            most=world.size.run,
            acked=Acked(world, stage),
            asleep=lambda: self.asleep,
        )
        self.apps.append(app)
        return app

    def _plan_step(self) -> None:
        self._gaps += 1
        self._next += self._world.faults.gap(self.name, self._gaps)

    def step(self) -> bool:
        """Take note that it is about to go on; False if it is stopped just here."""
        self._steps += 1
        if self._steps < self._next:
            return True
        self._plan_step()
        place, fault, _ = self._world.faults.amid(self.name, self._steps)
        if fault is None:
            return True
        self.tell(f"{place}: {fault.kind}")
        match fault.kind:
            case "moved":
                self.move(fault.span)
            case "freeze":
                self.freeze(fault.span)
            case _:
                self.crash()
        return not self.asleep

    def crash(self) -> None:
        """End here and now. Its group finds out after a while; somebody starts it again."""
        if not self.dead:
            self.dead = self.asleep = True
            self._world.loop.serve(SESSION, self._given_up)
            self._world.loop.serve(RESTART, self._world.start, self.number, self.life + 1)

    def freeze(self, span: float) -> None:
        """Do nothing for some seconds, and go on as if nothing had been."""
        if not self.asleep:
            self.asleep = True
            self._world.loop.serve(SESSION, self._given_up)
            self._world.loop.serve(span, self._wake)

    def move(self, span: float) -> None:
        """Lose the partitions to others, and hear of it after some seconds."""
        for app in self.apps:
            app.consumer.in_touch = False
            app.group.leave(app)
        self._world.loop.serve(span, self._hear_again)

    def _wake(self) -> None:
        if not self.dead:
            self.tell(f"{self.name} wakes up")
            self._world.loop.wake(self)

    def _hear_again(self) -> None:
        for app in self.apps:
            app.consumer.in_touch = True

    def _given_up(self) -> None:
        if self.asleep:
            for app in self.apps:
                app.group.leave(app)

    def tell(self, text: str) -> None:
        """Write a line of the history."""
        self._world.tell(text)


class World:
    """Everything there is.

    Attributes:
        problems: What must not be, in the order in which it was seen.
        lines: The history, if it is to be told.
    """

    def __init__(self, loop: Loop, faults: Faults, size: Size, *, told: bool) -> None:
        self.loop = loop
        self.faults = faults
        self.size = size
        self.problems: list[str] = []
        self.lines: list[str] | None = [] if told else None
        self.jumped = 0
        self.log = MemoryLog(PARTITIONS, lambda: BEGIN + DAY)
        self.store = MemoryStore()
        self.store.saved = self._see_save
        self.log.appended.append(self._see_record)
        self.groups = {name: Group(name, self.log, loop) for name in STAGES}
        self.workers: dict[int, Worker] = {}
        if size.forgets:
            loop.serve(size.forgets - 1.0, self._remember)
        self.everybody: list[Worker] = []

    def tell(self, text: str) -> None:
        """Write a line of the history."""
        if self.lines is not None:
            self.lines.append(f"{self.loop.time():8.3f}  {text}")

    # What shards are told of the time, in place of the module `time`.

    def monotonic(self) -> float:
        """Seconds."""
        return self.loop.time()

    def time_ns(self) -> int:
        """Wall clock."""
        return (BEGIN + self.jumped + int(self.loop.time() * 1000)) * 1_000_000

    def maker(self, name: Stage) -> MakeShard:
        """Make them of what is stored."""
        wake = self.waking(name)

        async def make(partition: int, opened: Opened) -> Shard:
            return wake(partition, opened.memory)

        return make

    def waking(self, name: Stage) -> Callable[[int, Memory], Shard]:
        """Say how shards are made: as `shards.py` of the agents does, but small."""
        rows = self.size.rows
        customers = CustomersPlan(PARTITIONS, NAMES, 0, rows, WINDOW)
        products = ProductsPlan(PARTITIONS, 0, HOUR, WAIT, WINDOW, rows)
        learner = LearnerPlan(HOUR, 1_000, stored=self.size.models)
        match name:
            case "customers":
                return lambda p, memory: CustomersShard(p, customers, memory)
            case "products":
                return lambda p, memory: self._serving(ProductsShard(p, products, memory))
            case "learner":
                return lambda p, memory: LearnerShard(p, learner, memory)

    def _serving(self, shard: ProductsShard) -> ProductsShard:
        if not self.size.models:
            shard.serve(PLAIN)
        return shard

    def start(self, number: int, life: int = 0) -> None:
        """Start a worker, for the first time or again."""
        self.tell(f"w{number}{chr(39) * life} starts")
        worker = Worker(self, number, life)
        self.workers[number] = worker
        self.everybody.append(worker)

    # What must hold at every moment.

    def _see_save(
        self, name: Name, before: Mapping[str, bytes], after: Mapping[str, bytes]
    ) -> None:
        old = orjson.loads(before.get("positions", b"{}"))
        new = orjson.loads(after["positions"]) if "positions" in after else old
        if self.lines is not None:
            moves = ", ".join(
                f"{t} {old.get(t, 0)}→{n}" for t, n in sorted(new.items()) if n != old.get(t, 0)
            )
            self.tell(f"Redis: checkpoint of {name[0]}.{name[1]}  {moves}")
        for topic, offset in old.items():
            if new.get(topic, 0) < offset and not self.size.forgets:
                self.problems.append(
                    f"offsets: {topic}.{name[1]} went back from {offset} to {new.get(topic, 0)}"
                )

    def _remember(self) -> None:
        forget = self.store.remember()

        def forgets() -> None:
            self.tell("Redis forgets its last second")
            forget()

        self.loop.serve(1.0, forgets)

    def _see_record(self, place: Place, record: Logged) -> None:
        if self.lines is not None:
            said = (record.value or b"").decode("utf-8", "replace")
            self.tell(f"Kafka: {place[0]}.{place[1]} @{record.offset}  {said[:150]}")

    def positions(self, name: Name) -> dict[str, int]:
        """Where a shard's checkpoint stands."""
        positions: dict[str, int] = orjson.loads(
            self.store.shards[name].notes.get("positions", b"{}")
        )
        return positions

    # What is waited for.

    def heal(self) -> None:
        """Let nothing go wrong any more, and let all that sleep wake up."""
        self.tell("nothing goes wrong any more")
        self.faults.over = True
        self.store.down = self.log.down = 0.0

    def behind(self) -> list[str]:
        """What is not done yet."""
        left = []
        for name in SHARDS:
            positions = self.positions(name)
            for topic in SOURCES[name[0]]:
                end = self.log.end((topic, name[1])) if (topic, name[1]) in self.log.places else 0
                if positions.get(topic, 0) != end:
                    left.append(f"{topic}.{name[1]} is read to {positions.get(topic, 0)} of {end}")
            stale = orjson.loads(self.store.shards[name].notes.get("stale", b"0"))
            if stale:
                left.append(f"{stale} documents of {name[0]}.{name[1]} are stale")
        return left

    async def rest(self) -> None:
        """Wait until everything is read, and all that came of it; or say what is not."""
        began, quiet, sign = self.loop.time(), self.loop.time(), None
        while True:
            await asyncio.sleep(0.5)
            now = self.loop.time()
            ends = [len(records) for records in self.log.places.values()]
            left = self.behind() or list(self._unsettled())
            if left or ends != sign or self._died():
                quiet, sign = now, ends
            if now - quiet >= QUIET:
                return
            if self._died() or now - began > STUCK:
                self.problems += self._died() or [f"stuck: {', '.join(left)}"]
                return

    def _unsettled(self) -> Iterator[str]:
        """Who is not at work, as far as the coordinator or it itself knows."""
        for worker in self.workers.values():
            if worker.asleep:
                yield f"{worker.name} sleeps"
            for run in worker.runs:
                if not run.assigned or not any(
                    a.member for a in worker.apps if a.group.stage == run.stage
                ):
                    yield f"{run.stage} of {worker.name} is not assigned"

    def _died(self) -> list[str]:
        return [
            f"died: {worker.name} of {task.exception()!r}"
            for worker in self.everybody
            for task in worker.tasks
            if task.done() and not task.cancelled() and task.exception()
        ]

    async def close(self) -> None:
        """End all workers in order."""
        for worker in self.workers.values():
            worker.stop.set()
        living = [task for worker in self.workers.values() for task in worker.tasks]
        _, late = await asyncio.wait(living, timeout=30)
        self.problems += [f"ending: {task} does not" for task in late]
        self.problems += self._died()

    async def clean(self) -> None:
        """End whatever is left of workers that crashed. What it does is of no account any more."""
        for worker in self.everybody:
            worker.dead = True
            self.loop.wake(worker)
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for _ in range(20):
            others = [task for task in others if not task.done()]
            for task in others:
                task.cancel()
            if not others:
                break
            await asyncio.wait(others, timeout=1)


class Acked(dict[Any, int]):
    """Acknowledged offsets of one stage, each looked at."""

    def __init__(self, world: World, name: Stage) -> None:
        super().__init__()
        self._world = world
        self._name = name

    def __setitem__(self, tp: Any, offset: int) -> None:
        """See that a checkpoint holds what is acknowledged."""
        stored = self._world.positions((self._name, tp.partition)).get(tp.topic, 0)
        if offset > stored and not self._world.size.forgets:
            self._world.problems.append(
                f"acks: {tp.topic}.{tp.partition} up to {offset}, stored up to {stored}"
            )


@contextmanager
def simulated(world: World) -> Iterator[None]:
    """Let the agents' code see the simulation's clock, and meet its limits early."""
    log = logging.getLogger("stream")
    level = log.level
    with ExitStack() as stack:
        for target, name, value in (
            (desk, "time", world),
            (turns, "time", world),
            (turns, "TURN", 0.0),
            (shards, "STEP", 2),
            (desk, "LIMIT", world.size.limit),
            (desk, "ENOUGH_UNSAVED", world.size.unsaved),
            (desk, "MOST_UNSAVED", 2 * world.size.unsaved),
        ):
            stack.enter_context(patch.object(target, name, value))
        log.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            log.setLevel(level)
