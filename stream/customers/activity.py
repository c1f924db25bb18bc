"""What the products stage is told: one entry for each thing that happened to a product.

    click              [source, offset, kind, time, product, customer, category, price, first]
    … in the sample    [… the same …, weight, known]
    purchase, refund   [source, offset, kind, time, product, customer, category, price,
                        quantity, lines, weight]
    forget, erase      [source, offset, kind, time, product, customer]

`customer` is a pseudonym, empty where nobody is to be known by name. `first` is 1 where the
customer was not known to have touched the product before. `known` are the facts of `known.Known`;
`weight` says how many clicks one in the sample stands for, 0 for one that is told in full without
being in it.
"""

from stream.memo import Memo
from stream.partitions import home
from stream.wire import Entry

PLAIN_CLICK = 9
"""Length of the entry of a click that is not told in full."""
MOST_PRODUCTS = 100_000
"""Products of which the partition is remembered."""


class Activity:
    """What is to be told, by the partition of the product that it is about."""

    __slots__ = ("_home", "entries")

    def __init__(self, partitions: int) -> None:
        self._home = Memo(lambda product: home(product, partitions), MOST_PRODUCTS)
        self.entries: list[list[Entry]] = [[] for _ in range(partitions)]

    def tell(self, entry: Entry) -> None:
        """Leave word for the shard of the entry's product."""
        self.entries[self._home[entry[4]]].append(entry)

    def tell_all(self, entry: Entry) -> None:
        """Leave word for every shard."""
        for entries in self.entries:
            entries.append(entry)

    def take(self, partition: int) -> list[Entry]:
        """What is to be told to a partition, once."""
        entries, self.entries[partition] = self.entries[partition], []
        return entries
