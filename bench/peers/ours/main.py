"""The same small job through the record-batch transport: the engine alone, without its product.

With PEER_SERVED it does it the way the product does: River learns, plain numbers predict, and of
what led to nothing a sample of a bounded size is learned from.
"""

import asyncio
import os

from asked import GROUP, KAFKA, REDIS, Stopwatch
from job import Job, Scores, ServedJob

from stream.agents.app import make_app
from stream.customers.sampling import Sampling
from stream.settings import Settings


async def main() -> None:
    """Run one agent over both topics until all events have been seen."""
    settings = Settings(kafka=KAFKA, redis=REDIS, prefix=f"{GROUP}-", _env_file=None)
    served = "PEER_SERVED" in os.environ
    job = ServedJob(Sampling(settings.window).weigh) if served else Job()
    watch, scores = Stopwatch(), Scores(REDIS)

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
