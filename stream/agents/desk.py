"""The desk of one shard: it carries out what the shard decides, and decides nothing."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from typing import TypeVar

from stream.agents.turns import Turns
from stream.kafka.dead_letters import TOPIC as DEAD_LETTERS
from stream.kafka.post import Post
from stream.patience import Patience
from stream.redis.checkpoints import Checkpoints, Opened
from stream.shards import FEW_RENEWED, MOST_RENEWED, Batch, Changes, Letter, Shard
from stream.units import Millis

LIMIT = 300
"""Entries that are folded before other work gets its turn."""
MOST_QUEUED = 4
"""Batches of one shard that wait to be folded; Faust and Kafka hold back the rest."""
ENOUGH_UNSAVED = 30_000
"""Records that are worth a checkpoint at once."""
MOST_UNSAVED = 60_000
"""Records that may wait for one before reading pauses."""
REST = 3.0
"""From one checkpoint of a shard to the next it is so many times as long as the one took, at least:
where much is to be done they take longer, and become fewer and larger …"""
MOST_REST = 1.0
"""… but for that no more than so many seconds: a Redis that answers late is no reason for more."""
PAUSE_BEHIND = 5.0
"""Least time between two checkpoints of a shard whose worker is behind, s: fewer and larger."""
GLANCE = 0.1
"""Seconds between two looks whether it still is."""
TICK = 1.0
"""Seconds between two looks at the clock."""

T = TypeVar("T")
Ack = Callable[[], object]
Hold = Callable[[Collection[str]], None]
"""Told which topics are not to be read for now."""


def wall_clock() -> Millis:
    """Now."""
    return Millis(time.time_ns() // 1_000_000)


class Desk:
    """One shard at work: fetch what it misses, checkpoint what came of it, then send.

    While one checkpoint is under way the next batches are folded; what has gathered goes into
    the next one. A quiet shop sees its scores at once, a busy one pays by time, not by event.

    Attributes:
        shard: Who decides.
        saves: Checkpoints of this shard so far, those of earlier owners included.
    """

    def __init__(
        self,
        shard: Shard,
        opened: Opened,
        checkpoints: Checkpoints,
        post: Post,
        patience: Patience,
        *,
        turns: Turns,
        pause: float,
        hold: Hold,
        behind: Callable[[], bool],
    ) -> None:
        """Take over an opened shard.

        Args:
            shard: Made of `opened.memory`.
            opened: What `checkpoints` gave out.
            checkpoints: Where it is stored.
            post: Who sends its letters.
            patience: Who waits for neighbours.
            turns: Says when it may decide.
            pause: Least time between two checkpoints, s.
            hold: Called when the topics change that are not to be read for now.
            behind: Says whether much is left to be read, so that public documents of now would
                soon be of the past.
        """
        self.shard = shard
        self._owner = opened.owner
        self.saves = opened.saves
        self._letters = opened.letters
        self._checkpoints = checkpoints
        self._post = post
        self._patience = patience
        self._turns = turns
        self._pause = pause
        self._hold = hold
        self._behind = behind
        self._held: set[str] = set()
        self._queue: asyncio.Queue[tuple[Batch, Ack] | None] = asyncio.Queue(MOST_QUEUED)
        # Held from `due` to the end of `folding`: no checkpoint in between.
        self._busy = asyncio.Lock()
        self._stirred = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._ends: dict[str, int] = {}
        self._unsaved = 0
        self._acks: list[tuple[str, int, Ack]] = []
        self._more = False
        self._stopping = False

    def begin(self, batch: Batch) -> None:
        """Tell the shard where a topic ends before any of it is read."""
        self._ends[batch.topic] = batch.end
        self.shard.offer(batch, None)

    def lag(self) -> dict[str, int]:
        """Records by topic that the partition was last seen to hold and that are not folded yet."""
        positions = self.shard.positions()
        return {topic: max(0, end - positions.get(topic, 0)) for topic, end in self._ends.items()}

    async def put(self, batch: Batch, ack: Ack) -> None:
        """Hand over a batch; waits while there is enough to do.

        Args:
            batch: What was read.
            ack: To be called when a checkpoint holds it.
        """
        self._ends[batch.topic] = batch.end
        if not self._stopping:
            await self._queue.put((batch, ack))

    async def run(self) -> None:
        """Work until stopped. What is raised ends the work: fenced, misconfigured, or a bug."""
        await self._send(self._letters)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._reading())
            group.create_task(self._saving())

    def stop(self) -> None:
        """Let `run` return after one last checkpoint, or none if a neighbour is down."""
        self._stopping = True
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(None)
        self._room.set()
        self._stirred.set()

    async def _reading(self) -> None:
        while (item := await self._queue.get()) is not None:
            batch, ack = item
            await self._room.wait()
            async with self._busy:
                self.shard.offer(batch, wall_clock())
                self._acks.append((batch.topic, batch.read - 1, ack))
                self._unsaved += len(batch.records)
                if self._unsaved >= MOST_UNSAVED and not self._stopping:
                    self._room.clear()
            await self._fold()

    async def _fold(self) -> None:
        """Fold all that can be folded; a checkpoint may come between two rounds."""
        while not self._stopping and await self._fold_some():
            self._stirred.set()
            await asyncio.sleep(0)
        full = set(self.shard.full())
        if full != self._held and not self._stopping:
            self._held = full
            self._hold(full)

    async def _fold_some(self) -> bool:
        await self._busy.acquire()
        missing = self.shard.due(LIMIT)
        if missing is not None:
            await self._turns.take(self.shard.folding(await self._fetched(missing)))
        # Not in a `finally`: what is due and not folded must never be in a checkpoint.
        self._busy.release()
        return missing is not None

    async def _fetched(self, missing: Sequence[str]) -> dict[str, bytes | None]:
        stage, partition = self.shard.stage, self.shard.partition
        if not missing:
            return {}
        return await self._patiently(lambda: self._checkpoints.fetch(stage, partition, missing))

    async def _saving(self) -> None:
        ticked = time.monotonic()
        while not self._stopping:
            began = time.monotonic()
            if not self._more:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stirred.wait(), TICK)
            self._stirred.clear()
            due = time.monotonic() >= ticked + TICK
            if due:
                ticked = time.monotonic()
                async with self._busy:
                    self.shard.tick(wall_clock())
            if due or self._more:
                await self._fold()
            saves, saving = self.saves, time.monotonic()
            await self._checkpoint()
            rest = min(MOST_REST, REST * (time.monotonic() - saving))
            if due and self.saves == saves:
                await self._confirm()
            await self._gather_work(began, max(self._pause, rest))
        await self._checkpoint()

    async def _gather_work(self, began: float, pause: float) -> None:
        """Wait until a checkpoint is due: so many seconds after the last one began, or more."""
        while not self._stopping and self._unsaved < ENOUGH_UNSAVED:
            least = max(pause, PAUSE_BEHIND) if self._behind() else pause
            left = began + least - time.monotonic()
            if left <= 0:
                return
            await asyncio.sleep(min(left, GLANCE))

    async def _checkpoint(self) -> None:
        """Store what has come, then send what it leads to, then acknowledge what it holds.

        Only dead letters are sent first: whether a record is one does not depend on the checkpoint.
        """
        async with self._busy:
            renewals = FEW_RENEWED if self._behind() else MOST_RENEWED
            changes = await self._turns.take(self.shard.changing(renewals))
            positions = self.shard.positions()
            self._unsaved = 0
        if changes is None and self._letters:
            changes = Changes()  # nothing new, but the last letters need not be sent again
        if changes is not None:
            self._more = changes.more
            refused = [letter for letter in changes.letters if letter.topic == DEAD_LETTERS]
            if refused:
                # Before the checkpoint, and not in its outbox: they may name a customer, and Redis
                # is not to hold that. What is refused would be refused again after a crash.
                changes.letters = [x for x in changes.letters if x.topic != DEAD_LETTERS]
                await self._send(refused)
            await self._save(changes)
            self._letters = changes.letters
            await self._send(changes.letters)
        self._room.set()
        held, self._acks = self._acks, []
        for topic, offset, ack in held:
            if offset < positions.get(topic, 0):
                ack()
            else:
                self._acks.append((topic, offset, ack))

    async def _save(self, changes: Changes) -> None:
        stage, partition = self.shard.stage, self.shard.partition
        await self._patiently(
            lambda: self._checkpoints.save(stage, partition, self._owner, self.saves, changes)
        )
        self.saves += 1

    async def _confirm(self) -> None:
        """Find out while nothing is to be saved, too, that the shard must be loaded again.

        A quiet one would not notice that Redis has lost its last second, and what was lost would
        be missing until the next event.
        """
        stage, partition = self.shard.stage, self.shard.partition
        await self._patiently(
            lambda: self._checkpoints.confirm(stage, partition, self._owner, self.saves)
        )

    async def _send(self, letters: Sequence[Letter]) -> None:
        if letters:
            await self._patiently(lambda: self._post.send(letters))

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        return await self._patience.out(work, lambda: self._stopping)
