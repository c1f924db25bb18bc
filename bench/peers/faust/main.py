"""Faust as its documentation has it: an agent, one event at a time, counts in a table."""

import tempfile

import faust
from asked import GROUP, KAFKA, REDIS, TOPICS, Stopwatch
from job import Job, Scores

app = faust.App(
    GROUP,
    broker=f"kafka://{KAFKA}",
    value_serializer="raw",
    web_enabled=False,
    datadir=tempfile.mkdtemp(),
    topic_partitions=4,
    topic_disable_leader=True,
    consumer_auto_offset_reset="earliest",
)
counts = app.Table("counts", default=int, partitions=4)
watch, job, scores = Stopwatch(), Job(), Scores(REDIS)


@app.agent(app.topic(*TOPICS, value_serializer="raw"))
async def agent(events):
    """Do the job for each event."""
    async for raw in events:
        product, score = job.take(raw)
        counts[product] += 1
        scores.put(product, score)
        if watch.count():
            scores.flush()
            watch.answer()


app.main()
