"""The page that probes and Prometheus read: /healthz, /readyz and /metrics."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from aiohttp import web

from stream.agents.worker import Worker
from stream.errors import Misconfigured, StreamError
from stream.operating.metrics import CONTENT_TYPE, ShardReport, exposition, families
from stream.redis.clients import redis_errors
from stream.units import Millis

PATIENCE = 2.0
"""Seconds that Redis has for its answer. A probe waits five."""
FAREWELL = 1.0
"""Seconds that a request under way has when the worker ends."""

WORKER = web.AppKey("worker", Worker)

log = logging.getLogger("stream")


@asynccontextmanager
async def serving(worker: Worker) -> AsyncIterator[str | None]:
    """Serve the page of a worker, from before it is connected until the end of the block.

    Yields:
        Where, as an URL; None if the settings want no page.

    Raises:
        Misconfigured: It cannot listen there.
    """
    if not worker.settings.web:
        yield None
        return
    host, _, port = worker.settings.web.rpartition(":")
    app = web.Application()
    app[WORKER] = worker
    app.router.add_get("/healthz", _healthy)
    app.router.add_get("/readyz", _ready)
    app.router.add_get("/metrics", _metrics)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=FAREWELL)
    await runner.setup()
    try:
        await _listen(runner, host.strip("[]"), int(port))
        url = f"http://{host}:{runner.addresses[0][1]}"
        log.info("Health and metrics are served on %s", url)
        yield url
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise Misconfigured(
            f"The health page cannot listen on {host}:{port}: {error.strerror or error}. "
            "Set STREAM_WEB to another host:port, or to nothing for no page."
        ) from error


async def unready(worker: Worker) -> list[str]:
    """Say what keeps a worker from its work; nothing if all is well."""
    at_work = {run.stage for run in worker.runs if run.assigned}
    lines = [
        f"The stage {stage} waits for Kafka to give it its partitions."
        for stage in worker.stages
        if stage not in at_work
    ]
    try:
        with redis_errors():
            async with asyncio.timeout(PATIENCE):
                await worker.redis.ping()
    except TimeoutError:
        lines.append("Redis does not answer.")
    except StreamError as error:
        lines.append(str(error))
    return lines


def reports(worker: Worker) -> Iterator[ShardReport]:
    """Tell what the open shards have to report."""
    for run in worker.runs:
        for partition, desk in sorted(run.desks.items()):
            shard = desk.shard
            watermark = shard.watermark if run.stage == "products" else None
            yield ShardReport(run.stage, partition, shard.counts, desk.saves, desk.lag(), watermark)


async def _healthy(_: web.Request) -> web.Response:
    # Whoever gets this answer knows that the event loop turns.
    return web.Response(text="ok\n")


async def _ready(request: web.Request) -> web.Response:
    wrong = await unready(request.app[WORKER])
    if wrong:
        return web.Response(status=503, text="".join(f"{line}\n" for line in wrong))
    return web.Response(text="ready\n")


async def _metrics(request: web.Request) -> web.Response:
    worker = request.app[WORKER]
    ready = not await unready(worker)
    now = Millis(time.time_ns() // 1_000_000)
    text = exposition(families(reports(worker), now, ready=ready))
    return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})
