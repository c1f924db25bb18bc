"""The same small job through the record-batch transport: the engine alone, without its product.

With PEER_SAMPLED it learns from what led to nothing as the product does in a busy shop: not from
all of it, but from a sample of a bounded size.
"""

import asyncio
import os

from asked import GROUP, KAFKA, REDIS, Stopwatch
from job import Job, Scores

from stream.agents.app import make_app
from stream.customers.sampling import Sampling
from stream.settings import Settings


async def main() -> None:
    """Run one agent over both topics until all events have been seen."""
    settings = Settings(kafka=KAFKA, redis=REDIS, prefix=f"{GROUP}-", _env_file=None)
    sampled = Sampling(settings.window).weigh if os.environ.get("PEER_SAMPLED") else None
    watch, job, scores = Stopwatch(), Job(sampled), Scores(REDIS)

    async def positions(assigned):
        return dict.fromkeys(assigned, 0)

    async def carry(event) -> None:
        for record in event.value.records:
            scores.put(*job.take(record.value))
        event.ack()
        if watch.count(len(event.value.records)):
            scores.flush()
            watch.answer()

    app = make_app("customers", settings, positions=positions, carry=carry)
    await app.start()
    await asyncio.Event().wait()


asyncio.run(main())
