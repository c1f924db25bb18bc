"""Everything that can go wrong, filed by who acts next.

    StreamError
    ├── Misconfigured   us: refuse to start, say what to do
    │   └── BadSnapshot     a model snapshot that cannot be read; the last good one stays in use
    ├── NeighbourDown   a neighbour: wait, then the same work again
    │   ├── StoreDown       Redis
    │   └── BrokerDown      Kafka
    └── Fenced          nobody: another worker owns this shard now; drop it and load again

Bad input is not an exception: it is a `Refusal`, a value that ends in the dead letters.
Anything else that is raised is a bug and stops the worker.
"""


class StreamError(Exception):
    """Something this product knows how to speak of. Its text says what to do."""


class Misconfigured(StreamError):
    """The settings, the topics or the stores do not fit. Somebody has to mend them."""


class BadSnapshot(Misconfigured):
    """A model snapshot has the wrong version, a wrong checksum or is no snapshot at all."""


class NeighbourDown(StreamError):
    """Kafka or Redis does not answer. The same work is done again when it does."""


class StoreDown(NeighbourDown):
    """Redis does not answer."""


class BrokerDown(NeighbourDown):
    """Kafka does not answer."""


class Fenced(StreamError):
    """Another worker has loaded this shard since. What was in memory is void."""
