"""The pipeline without any process: its real decisions over a log, a store and a clock in memory.

loop.py     an event loop whose time passes when nothing else is left to do
faults.py   what goes wrong where: a pure function of a seed and a place
line.py     a worker's connections: where requests are delayed, lost, or done and not heard of
log.py      Kafka: partitions, producers          store.py   Redis: checkpoints, documents
group.py    Kafka's group coordinator, and what Faust is to a stage
world.py    workers among all of that             history.py one history: events, faults, verdict
shrinking.py  the shortest history that fails likewise
"""
