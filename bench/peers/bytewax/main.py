"""Bytewax: a dataflow on its Kafka source, with the job as a stateful step of one worker."""

from asked import KAFKA, REDIS, TOPICS, Stopwatch
from bytewax import operators as op
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulLogic
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import run_main
from job import Job, Scores


class JobLogic(StatefulLogic):
    """The job, as Bytewax wants it."""

    def __init__(self) -> None:
        self._job = Job()

    def on_item(self, value):
        """Do it for one event."""
        return [self._job.take(value)], StatefulLogic.RETAIN

    def snapshot(self):
        """Recovery is off: there is nothing to be stored."""
        return


class _Sink(StatelessSinkPartition):
    def __init__(self) -> None:
        self._scores, self._watch = Scores(REDIS), Stopwatch()

    def write_batch(self, items) -> None:
        for _, (product, score) in items:
            self._scores.put(product, score)
        if self._watch.count(len(items)):
            self._scores.flush()
            self._watch.answer()


class RedisSink(DynamicSink):
    """Scores to Redis."""

    def build(self, _step_id, _worker_index, _worker_count):
        """Make the sink of this worker."""
        return _Sink()


flow = Dataflow("peer")
source = kop.input("in", flow, brokers=[KAFKA], topics=TOPICS, tail=True, batch_size=1_000)
keyed = op.map("key", source.oks, lambda message: ("all", message.value))
scored = op.stateful("job", keyed, lambda _state: JobLogic())
op.output("out", scored, RedisSink())
run_main(flow)
