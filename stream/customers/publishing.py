"""What the public sees of customers who have changed: their profiles."""

from collections.abc import Generator, Mapping

from stream import keys
from stream.customers.looking import Looking
from stream.customers.profile import profile, worth_a_profile
from stream.customers.row import CustomerRow
from stream.renewals import Renewals
from stream.rows import Rows
from stream.shards import Drop, Publication, Put, portions


class Profiles(Renewals):
    """Profiles that are to be renewed, and those that must go."""

    __slots__ = ("_erased",)

    def __init__(self, waiting: Mapping[str, bytes]) -> None:
        super().__init__(waiting)
        self._erased: dict[str, None] = {}

    def erase(self, customer: str) -> None:
        """This one must go."""
        self._erased[customer] = None
        self.remove(customer)

    def publishing(
        self, rows: Rows[CustomerRow], looking: Looking, watermark: int, most: int
    ) -> Generator[None, None, list[Publication]]:
        """Write profiles, in steps.

        Args:
            rows: Of the shard.
            looking: Who says whether a customer comes back.
            watermark: Event time up to which everything is believed to be known, ms.
            most: Profiles that are renewed.
        """
        published: list[Publication] = []
        held = rows.held
        changed = [id_ for id_ in rows.changed if worth_a_profile(held[id_])]
        self.add(changed)
        for customers in portions(self.turn(changed, most)):
            for customer in [customer for customer in customers if customer in held]:
                self.remove(customer)
                row = rows.change(customer)
                row.published = row.last
                now = max(watermark, row.last)
                document = profile(customer, row, now, looking.predict(customer, row, now + 1))
                published.append(Put(keys.customer(customer), document))
            yield
        gone = [customer for customer in self._erased if not held[customer].last]
        published.extend(Drop(keys.customer(customer)) for customer in gone)
        self._erased.clear()
        return published
