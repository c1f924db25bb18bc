"""A Faust transport that hands on whole runs of records instead of single ones.

Faust spends some 80 µs on a message before an agent sees it. Kafka delivers runs of hundreds of
records; here each run travels as one Faust message whose value is a `Batch`. Assignment, flow
control, commit and rebalance stay Faust's.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from aiokafka.consumer.fetcher import OffsetResetStrategy
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from mode.utils.futures import maybe_async

from stream.errors import BrokerDown
from stream.shards import Batch

Positions = Callable[[set[TP]], Awaitable[Mapping[TP, int]]]
"""Says where to read each partition from."""

COMMITTING = 2.0
"""Seconds for a commit. With Kafka down aiokafka would try for ever, and not end before."""
GLANCE = 0.1
"""Seconds after which it is asked anew what there is, and of which partitions."""
FETCH_MS = 50
"""How long Kafka may wait for news before it answers a fetch, ms."""
FEW = 20.0
"""Records read of late, under which Kafka is to answer at the first; …"""
MUCH = 64 << 10
"""… or else it waits for so many bytes, or until that time is over: to ask for each record takes
more of a busy worker's time than the record does."""
HALF = 0.5
"""Seconds in which the number of those of late falls to a half."""


class _InLoop(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """aiokafka's consumer in the event loop of the app.

    Faust gives it a loop and a thread of its own. They would wait for the interpreter at each
    other's every step: scores came half as late again.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, thread_loop=asyncio.get_running_loop(), **options)
        self._serving: asyncio.Task[None] | None = None
        self._of_late = 0.0
        self._read_at = time.monotonic()

    async def start(self) -> None:
        """Start; what is raised is passed on to the app."""
        self._thread_started.set()
        self._thread_running = self.parent_loop.create_future()
        self.parent_loop.set_exception_handler(_unheard)
        self._serving = self.parent_loop.create_task(self._serve())
        self._serving.add_done_callback(_heard)
        await self._thread_running

    async def call_thread(self, fun: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Call it here."""
        return await maybe_async(fun(*args, **options))

    async def _gather_remaining_tasks(self) -> None:
        """Leave alone what else the loop does; Faust would end it all."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        """Make the consumer; Faust would have it wait for 1.5 s at partitions without news.

        While it does, it asks for none of the partitions whose records it still held. And Faust
        would have it read what a producer has taken back.
        """
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_MS  # noqa: SLF001
        consumer._isolation_level = "read_committed"  # noqa: SLF001
        return consumer

    async def getmany(
        self,
        active_partitions: set[TP] | None,
        timeout: float,  # noqa: ASYNC109 (Faust calls it so)
    ) -> Mapping[Any, list[Any]]:
        """Fetch from where that ends which was handed on last.

        What a fetch has brought is not handed on when a rebalance begins; the position has moved.
        """
        consumer, handed = self._ensure_consumer(), self.consumer.handed
        for tp, position in self.positions().items():
            if handed.get(tp, position) != position:
                consumer.seek(driver.ensure_aiokafka_TP(tp), handed[tp])
        records: Mapping[Any, list[Any]] = await super().getmany(active_partitions, timeout)
        self._of_late *= 0.5 ** ((time.monotonic() - self._read_at) / HALF)
        self._of_late += sum(map(len, records.values()))
        self._read_at = time.monotonic()
        least = MUCH if self._of_late > FEW else 1
        consumer._fetcher._fetch_min_bytes = least  # noqa: SLF001
        return records

    def highwater(self, tp: TP) -> int | None:
        """Offset after the last record that can be read: an open transaction's are not yet."""
        end: int | None = self._ensure_consumer().last_stable_offset(tp)
        return end

    def positions(self) -> dict[TP, int]:
        """Where each assigned partition is read next. Markers of transactions are behind it."""
        subscription = self._ensure_consumer()._subscription.subscription  # noqa: SLF001
        assignment = None if subscription is None else subscription.assignment
        if assignment is None:
            return {}
        states = {tp: assignment.state_value(tp) for tp in assignment.tps}
        return {
            ensure_TP(tp): state.position
            for tp, state in states.items()
            if state is not None and state.has_valid_position
        }

    def allow_gaps(self, *, allowed: bool) -> None:
        """Say what happens where records are gone before they were read.

        Until the shards are open, nobody knows better than to begin at the first there is; from
        then on it must be an error.
        """
        strategy = OffsetResetStrategy.EARLIEST if allowed else OffsetResetStrategy.NONE
        self._ensure_consumer()._fetcher._default_reset_strategy = strategy  # noqa: SLF001

    async def on_thread_stop(self) -> None:
        """Leave the group and close the connections."""
        try:
            await super().on_thread_stop()
        except asyncio.CancelledError:  # aiokafka trips over a fetch that it has cancelled itself
            await self._ensure_consumer()._client.close()  # noqa: SLF001

    def on_crash(self, msg: str, *fmt: Any, **_options: Any) -> None:
        """Write no stack trace: the app is told of the error, and the stage reports it."""

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Tell Kafka how far we are, or let it be: only lag monitors read it."""
        consumer = self._ensure_consumer()
        assigned = consumer.assignment()
        known = {
            driver.ensure_aiokafka_TP(tp): OffsetAndMetadata(offset, "")
            for tp, offset in offsets.items()
            if tp in assigned
        }
        try:
            await asyncio.wait_for(consumer.commit(known), COMMITTING)
        except (KafkaError, TimeoutError):
            return False
        return True


class Consumer(driver.Consumer):  # type: ignore[misc]  # Faust is not typed for mypy
    """Yields one message for each run of records, and starts where the checkpoints say.

    Attributes:
        handed: Where what was handed on ends, by partition.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.handed: dict[TP, int] = {}

    @property
    def in_touch(self) -> bool:
        """Whether the group's coordinator is known and answered the last heartbeat."""
        client = self._thread._consumer  # noqa: SLF001 (Faust has no public way to it)
        return client is not None and client._coordinator.coordinator_id is not None  # noqa: SLF001

    @property
    def refusal(self) -> BaseException | None:
        """What the group is not permitted. Faust asks for it only once it has partitions."""
        client = self._thread._consumer  # noqa: SLF001
        return None if client is None else client._coordinator._pending_exception  # noqa: SLF001

    def _new_consumer_thread(self) -> _InLoop:
        return _InLoop(self, loop=self.loop, beacon=self.beacon)

    async def getmany(
        self,
        timeout: float,  # noqa: ASYNC109 (Faust calls it so)
    ) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """Fetch, and hand on what each partition has."""
        # Partitions that are read again meanwhile would have to wait until the time is over.
        try:
            records, _ = await self._wait_next_records(min(timeout, GLANCE))
        except OffsetOutOfRangeError as error:
            raise BrokerDown("Kafka no longer holds what is to be read next") from error
        generation = self.app.consumer_generation_id
        # Made before any is handed on: while one is, a rebalance may begin and end, and what was
        # true of the positions before it must not be said after it.
        for tp, message in self._messages(records or {}, generation):
            if (
                self.should_stop
                or not self.flow_active
                or self.app.consumer_generation_id != generation
            ):
                return  # a rebalance is under way: these are read again
            self.handed[tp] = message.value.read
            yield tp, message

    def _messages(
        self, records: Mapping[Any, list[Any]], generation: int
    ) -> list[tuple[TP, ConsumerMessage]]:
        """Make a message of each run, and one of each partition in which only markers were read."""
        runs = {ensure_TP(partition): run for partition, run in records.items() if run}
        messages = []
        for tp, position in self._thread.positions().items():
            run = runs.get(tp, [])
            if run or position > self.handed.get(tp, position):
                batch = Batch(tp.topic, tp.partition, run, self.highwater(tp) or 0, position)
                batch = batch._replace(end=max(batch.end, batch.read))
                values = (*tp, batch.read - 1, 0.0, 0, [], None, batch, None)
                message = ConsumerMessage(*values, tp=tp, generation_id=generation)
                messages.append((tp, message))
        return messages

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Remember no gap: Faust would list the offset of every record between two batches."""

    def _new_offset(self, tp: TP) -> int | None:
        """Offset to commit: desks acknowledge in order, so what lies before the last is done."""
        acked = self._acked[tp]
        if not acked:
            return None
        offset: int = max(acked) + 1
        self._acked_index[tp].difference_update(acked)
        acked.clear()
        return offset

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Stop, until the shards of what comes next are open."""
        self._thread.allow_gaps(allowed=True)
        await super().on_partitions_revoked(revoked)

    async def perform_seek(self) -> None:
        """Go where the checkpoints say, instead of to the committed offsets."""
        positions = await self.transport.positions(self.assignment())
        self.handed = dict(positions)
        await self.seek_wait(positions)
        self._thread.allow_gaps(allowed=False)
        for tp, offset in positions.items():
            self._read_offset[tp] = offset or None
            self._committed_offset[tp] = offset or None


def _heard(task: "asyncio.Task[None]") -> None:
    """Take note of what the app has been told of."""
    if not task.cancelled():
        task.exception()


def _unheard(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Let nothing be logged of commits that came too late; nobody waits for them any more."""
    if not isinstance(context.get("exception"), KafkaError):
        loop.default_exception_handler(context)


for _service in (Consumer, _InLoop):
    _service.logger = driver.logger  # Faust's, so that they are as quiet as Faust


class Transport(driver.Transport):  # type: ignore[misc]
    """Faust's Kafka transport with that consumer.

    Attributes:
        positions: Set before the app starts.
    """

    Consumer = Consumer
    positions: Positions
