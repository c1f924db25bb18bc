"""`stream worker`."""

import asyncio
import logging
import os
import signal
from collections.abc import Coroutine
from typing import Any, cast

import click

from stream.operating.checks import refuse_unfit_secret, refuse_unfit_store
from stream.settings import STAGES, Settings, Stage, read_settings


def chosen_stages(_ctx: click.Context, _param: click.Parameter, value: str) -> tuple[Stage, ...]:
    """Read a comma-separated list of stages."""
    names = tuple(name.strip() for name in value.split(",") if name.strip())
    unknown = [name for name in names if name not in STAGES]
    if unknown or not names:
        raise click.BadParameter(f"choose from {', '.join(STAGES)}, comma-separated")
    return cast("tuple[Stage, ...]", names)


def quiet_logs(level: int) -> None:
    """Log what we say; of the libraries only what went wrong."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("stream").setLevel(level)
    # While Kafka is down they write a hundred lines a second, and what ends them is raised to us.
    for name in ("faust", "mode", "aiokafka"):
        logging.getLogger(name).setLevel(logging.CRITICAL if level > logging.DEBUG else level)
    if level <= logging.DEBUG:
        # It would log requests and records as they are: passwords and user ids.
        logging.getLogger("aiokafka").setLevel(logging.INFO)


async def run_worker(
    settings: Settings,
    stages: tuple[Stage, ...],
    *,
    lenient: bool = False,
    accept_loss: bool = False,
) -> None:
    """Run a worker until SIGTERM or Ctrl-C.

    Args:
        settings: Of the installation.
        stages: What it does.
        lenient: Warn only of a Redis that could lose what is counted, as a demo does.
        accept_loss: Go on where Kafka no longer holds what was not read.
    """
    if "customers" in stages:
        refuse_unfit_secret(settings)
    from stream.agents.worker import Worker  # noqa: PLC0415 (Faust takes a second to import)
    from stream.operating.web import serving  # noqa: PLC0415

    worker = Worker(settings, stages, accept_loss=accept_loss)
    # Served first: a worker that waits for Redis or Kafka is healthy, though not ready.
    async with serving(worker):
        if await _unless_stopped(refuse_unfit_store(settings, lenient=lenient)):
            worker.stop_on_signals()
            await worker.run()


async def _unless_stopped(work: Coroutine[Any, Any, None]) -> bool:
    """Do a piece of work to its end, if SIGTERM or Ctrl-C do not come before."""
    task = asyncio.ensure_future(work)
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, task.cancel)
    await asyncio.wait([task])
    return not task.cancelled() and task.result() is None


@click.command()
@click.option(
    "--stages",
    default=",".join(STAGES),
    show_default=True,
    callback=chosen_stages,
    help="What this worker does; each stage is a consumer group of its own.",
)
@click.option(
    "--accept-loss",
    is_flag=True,
    help="Go on, without them, where Kafka has deleted records before they were counted.",
)
@click.option("--verbose", is_flag=True, help="Say more.")
def worker(stages: tuple[Stage, ...], *, accept_loss: bool, verbose: bool) -> None:
    """Run the scorer: read clicks, orders and the catalogue, write scores.

    Start as many as there are partitions, at most. SIGTERM and Ctrl-C end it in order: it
    checkpoints, leaves the group and exits with 0. Killed, it loses and repeats nothing.

    \b
    Example: all stages in one process, or the learner apart
      stream worker
      stream worker --stages customers,products
      stream worker --stages learner
    """  # noqa: D301
    # The first seconds go into imports; stopped then, there is nothing to end in order. Not by
    # `sys.exit`: some of what is imported makes another error of it.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    quiet_logs(logging.DEBUG if verbose else logging.INFO)
    asyncio.run(run_worker(read_settings(), stages, accept_loss=accept_loss))
