"""Where a key belongs: the partitioner of Kafka's Java clients."""

from aiokafka.partitioner import murmur2


def home(key: str, partitions: int) -> int:
    """Partition of a key, as Java's default partitioner has it.

    >>> home("u1", 4), home("u2", 4)
    (0, 2)
    """
    return int(murmur2(key.encode()) & 0x7FFFFFFF) % partitions
