"""Public documents that are to be renewed: what is urgent at once, the rest as it fell behind.

A checkpoint renews some of them. The names of the others are stored with it, so that a document
that fell behind just before a crash is renewed after it.
"""

from collections.abc import Iterable, Mapping
from itertools import islice

AT_LEAST = 50
"""Documents that have a turn though they are not urgent, if so many may be renewed …"""
SHARE = 100
"""… or one in so many of those that wait, if that is more: half of any backlog in 70 turns."""
_LETTER = "r"
"""In front of an id among what waits in a shard."""


class Renewals:
    """What is to be renewed, and what the checkpoint says of it."""

    __slots__ = ("_stored", "_touched", "_waiting")

    def __init__(self, waiting: Mapping[str, bytes]) -> None:
        """Go on from what was stored.

        Args:
            waiting: All that waits in the shard, by id.
        """
        self._waiting = dict.fromkeys(id_[1:] for id_ in waiting if id_.startswith(_LETTER))
        self._stored = set(self._waiting)
        self._touched: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, ids: Iterable[str]) -> None:
        """These have changed. Who waits already keeps the place."""
        for id_ in ids:
            if id_ not in self._waiting:
                self._waiting[id_] = None
                self._touched[id_] = None

    def remove(self, id_: str) -> None:
        """This one is renewed, or gone for good."""
        if id_ in self._waiting:
            del self._waiting[id_]
            self._touched[id_] = None

    def turn(self, urgent: Iterable[str], most: int) -> list[str]:
        """Whose turn it is: the urgent ones, then some of those that have waited longest.

        What waits while more comes of it is renewed once for all of that.
        """
        first = dict.fromkeys(islice(urgent, most))
        share = max(AT_LEAST, len(self._waiting) // SHARE)
        others = islice(self._waiting, min(share, most - len(first)))
        return [*first, *(id_ for id_ in others if id_ not in first)]

    def next(self, most: int) -> list[str]:
        """Those that have waited longest."""
        return list(islice(self._waiting, most))

    def changes(self) -> dict[str, bytes | None]:
        """What is to be stored since the last call, by id; None deletes."""
        touched, self._touched = self._touched, {}
        changes: dict[str, bytes | None] = {}
        for id_ in touched:
            if id_ in self._waiting:
                if id_ not in self._stored:
                    self._stored.add(id_)
                    changes[_LETTER + id_] = b""
            elif id_ in self._stored:
                self._stored.remove(id_)
                changes[_LETTER + id_] = None
        return changes


def without_renewals(waiting: Mapping[str, bytes]) -> dict[str, bytes]:
    """What else waits in a shard."""
    return {id_: raw for id_, raw in waiting.items() if not id_.startswith(_LETTER)}
