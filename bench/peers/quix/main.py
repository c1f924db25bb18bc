"""Quix Streams, as its documentation has it: a streaming data frame with the job applied."""

from asked import GROUP, KAFKA, REDIS, TOPICS, Stopwatch
from job import Job, Scores
from quixstreams import Application

app = Application(
    broker_address=KAFKA, consumer_group=GROUP, auto_offset_reset="earliest", loglevel="ERROR"
)
watch, job, scores = Stopwatch(), Job(), Scores(REDIS)


def take(raw: bytes) -> None:
    """Do the job for one event; stop after the last."""
    scores.put(*job.take(raw))
    if watch.count():
        scores.flush()
        watch.answer()


for name in TOPICS:
    frame = app.dataframe(app.topic(name, value_deserializer="bytes"))
    frame.update(take)
app.run()
