"""The worker: the stages of one process, their neighbours, and an orderly end."""

import asyncio
import contextlib
import gc
import logging
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from redis.asyncio import Redis

from stream import keys
from stream.agents.desk import wall_clock
from stream.agents.shards import shard_maker
from stream.agents.stage import StageRun
from stream.agents.turns import Turns
from stream.customers.shard import CustomersShard
from stream.errors import BadSnapshot, BrokerDown, NeighbourDown
from stream.kafka.clients import make_producer
from stream.kafka.post import Post
from stream.kafka.topics import fitting_partitions
from stream.models import snapshots
from stream.models.promotions import Promotions
from stream.patience import Patience
from stream.products.serving import Serving
from stream.products.shard import ProductsShard
from stream.redis.checkpoints import RedisCheckpoints
from stream.redis.clients import Address, make_async_redis, redis_errors
from stream.settings import Settings, Stage

REFRESH = 1.0
"""Seconds between two looks for a newer snapshot of the models."""
PATIENCE = 10.0
"""Seconds that Redis has for an answer. A checkpoint is some megabytes, and a disk may be slow."""
YOUNG = 5_000
"""Objects after which the garbage collector looks at the young."""
NEVER = 1_000_000_000
"""Of those looks, until the collector looks at what is older."""
BEHIND = 2_000
"""Records that lie unread in a worker that is behind …"""
PAST = 10_000
"""… and what it reads happened so long ago, ms."""
LOOK = 0.1
"""Seconds between two looks whether it is."""
LOST = 1.0
"""Seconds between two looks whether Kafka answers."""
FAREWELL = 1.0
"""Seconds that what was begun has to give up when the worker is stopped."""

log = logging.getLogger("stream")


class Worker:
    """All that runs in one process.

    Attributes:
        runs: The stages at work.
    """

    def __init__(
        self, settings: Settings, stages: Sequence[Stage], *, accept_loss: bool = False
    ) -> None:
        """Prepare; nothing is connected yet.

        Args:
            settings: Of the installation.
            stages: What it does.
            accept_loss: Whether to go on where Kafka no longer holds what was not read.
        """
        self.settings = settings
        self.stages = stages
        self._accept_loss = accept_loss
        self.runs: list[StageRun] = []
        self.redis: Redis = make_async_redis(Address.of(settings), PATIENCE)
        self._post = Post(partial(make_producer, settings, at_once=True))
        self._patience = Patience()
        self._stop = asyncio.Event()
        self._serving = Serving()
        self._behind = False
        self._looked = 0.0

    async def run(self) -> None:
        """Work until `stop`.

        Raises:
            Misconfigured: The topics, the checkpoints or the settings do not fit.
        """
        try:
            partitions = await self._partitions()
            if partitions is not None:
                await self._work(partitions)
        finally:
            await self._post.close()
            await self.redis.aclose()

    async def _partitions(self) -> int | None:
        """Ask Kafka for the number of partitions; None if the worker is stopped meanwhile."""
        asking = asyncio.ensure_future(
            self._patience.out(lambda: fitting_partitions(self.settings))
        )
        stopping = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait([asking, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if asking.done():
            return asking.result()
        asking.cancel()
        await asyncio.wait([asking], timeout=FAREWELL)
        return None

    async def _work(self, partitions: int) -> None:
        checkpoints = RedisCheckpoints(self.redis, self.settings.prefix, partitions)
        turns = Turns()
        self.runs = [
            StageRun(
                stage,
                self.settings,
                shard_maker(stage, self.settings, partitions),
                checkpoints,
                self._post,
                patience=self._patience,
                turns=turns,
                behind=self.behind,
                accept_loss=self._accept_loss,
            )
            for stage in self.stages
        ]
        # Rows come and go by reference count. What goes round in circles (a failed request and
        # its stack) is found among the young; to look at all that is held takes half a second.
        gc.freeze()
        gc.set_threshold(YOUNG, NEVER)
        tasks = [asyncio.create_task(run.run(self._stop)) for run in self.runs]
        others = [asyncio.create_task(work) for work in (self._refresh(), self._watch())]
        await asyncio.wait([*tasks, *others], return_when=asyncio.FIRST_COMPLETED)
        self.stop()  # the other stages end in order when one cannot go on
        await asyncio.wait(tasks)
        for task in others:
            task.cancel()
        await asyncio.wait(others)
        for task in (*tasks, *others):
            if not task.cancelled() and (error := task.exception()):
                raise error

    def behind(self) -> bool:
        """Whether there is much to be read, and what could be said of it is of the past anyway.

        In a rush of what happens now, scores are worth as much as counts: both get their turns.
        """
        now = time.monotonic()
        if now >= self._looked + LOOK:
            self._looked = now
            desks = [desk for run in self.runs for desk in run.desks.values()]
            latest = max((desk.shard.watermark for desk in desks), default=0)
            unread = sum(sum(desk.lag().values()) for desk in desks)
            self._behind = unread > BEHIND and latest < wall_clock() - PAST
        return self._behind

    def stop(self) -> None:
        """Finish what is begun, checkpoint, leave the group."""
        self._stop.set()

    def stop_on_signals(self) -> None:
        """Stop on SIGTERM and Ctrl-C."""
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self.stop)

    async def _watch(self) -> None:
        """Say when Kafka is lost: its clients try again and again, and would not."""
        while True:
            await asyncio.sleep(LOST)
            if any(run.adrift for run in self.runs):
                await asyncio.sleep(LOST)  # or is only the group moving?
                await self._patience.out(self._see_kafka)

    async def _see_kafka(self) -> None:
        if any(run.adrift for run in self.runs):
            raise BrokerDown("Kafka does not answer. Is it up, and is STREAM_KAFKA its address?")

    async def _refresh(self) -> None:
        """Give shards the newest models; the last good ones if those are unreadable."""
        unreadable = 0
        while True:
            with contextlib.suppress(NeighbourDown):
                version = await self._newest()
                if version not in (self._serving.version, unreadable):
                    try:
                        await self._load()
                    except BadSnapshot as error:
                        unreadable = version
                        log.warning("%s. Models of %s stay in use.", error, self._serving.version)
            for desk in (desk for run in self.runs for desk in run.desks.values()):
                if isinstance(desk.shard, ProductsShard):
                    desk.shard.serve(self._serving)
                elif isinstance(desk.shard, CustomersShard):
                    desk.shard.serve(self._serving.returning)
            await asyncio.sleep(REFRESH)

    async def _newest(self) -> int:
        with redis_errors():
            return int(await self.redis.get(self.settings.prefix + keys.VERSION) or 0)

    async def _load(self) -> None:
        with redis_errors():
            raw = await self.redis.get(self.settings.prefix + keys.SERVING)
        if not isinstance(raw, bytes):
            return
        serving = Serving.restored(*snapshots.decode(raw, "serving"), self._serving)
        if serving.market != self._serving.market:
            serving = await self._with_market(serving)
        self._serving = serving

    async def _with_market(self, serving: Serving) -> Serving:
        """Put the promotions beside the models. A newer calendar than theirs will do as well."""
        with redis_errors():
            raw = await self.redis.get(self.settings.prefix + keys.MARKET)
        if not isinstance(raw, bytes):
            return serving
        version, state = snapshots.decode(raw, "market")
        promotions = Promotions.restored(state["promotions"])
        return replace(serving, market=version, promotions=promotions)
