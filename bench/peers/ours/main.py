"""The same small job through the record-batch transport: the engine alone, without its product."""

import asyncio

from asked import GROUP, KAFKA, REDIS, Stopwatch
from job import Job, Scores

from stream.agents.app import make_app
from stream.settings import Settings


async def main() -> None:
    """Run one agent over both topics until all events have been seen."""
    watch, job, scores = Stopwatch(), Job(), Scores(REDIS)
    settings = Settings(kafka=KAFKA, redis=REDIS, prefix=f"{GROUP}-", _env_file=None)

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
