"""Customers who are to be looked at when event time comes to a moment."""

import heapq
from collections.abc import Mapping

_LETTER = "b"
"""In front of an id among what waits in a shard."""


class Reminders:
    """One moment for each customer, and what the checkpoint says of them."""

    __slots__ = ("_due", "_queue", "_touched")

    def __init__(self, waiting: Mapping[str, bytes]) -> None:
        """Go on from what was stored.

        Args:
            waiting: All that waits in the shard, by id.
        """
        self._due = {id_[1:]: int(raw) for id_, raw in waiting.items() if id_.startswith(_LETTER)}
        self._queue = [(due, customer) for customer, due in self._due.items()]
        heapq.heapify(self._queue)
        self._touched: dict[str, None] = {}

    def set(self, customer: str, due: int) -> None:
        """Look at a customer when event time reaches `due`, and not at what was said before."""
        self._due[customer] = due
        self._touched[customer] = None
        heapq.heappush(self._queue, (due, customer))

    def remove(self, customer: str) -> None:
        """There is nothing more to look at."""
        if self._due.pop(customer, None) is not None:
            self._touched[customer] = None

    def pop(self, watermark: int, limit: int) -> list[str]:
        """Name customers whose moment has come, each once; they stay until they are set anew."""
        queue = self._queue
        names: list[str] = []
        while queue and queue[0][0] <= watermark and len(names) < limit:
            due, customer = heapq.heappop(queue)
            if self._due.get(customer) == due:
                names.append(customer)
        return names

    def changes(self) -> dict[str, bytes | None]:
        """What is to be stored since the last call, by id; None deletes."""
        touched, self._touched = self._touched, {}
        return {
            _LETTER + customer: b"%d" % self._due[customer] if customer in self._due else None
            for customer in touched
        }
