"""A learner for tests, by itself."""

from collections.abc import Sequence
from typing import Any

from making import BEGIN, recorded

from stream.learner.shard import LearnerPlan, LearnerShard
from stream.shards import Batch, Changes, Memory
from stream.units import HOUR
from stream.wire import Entry, pack

PLAN = LearnerPlan(HOUR, 1_000)


class Bench:
    """A learner by itself, what is stored of it, and the messages that reach it."""

    def __init__(self, plan: LearnerPlan = PLAN) -> None:
        self._plan = plan
        self.shard = LearnerShard(0, plan, Memory(birth="b"))
        self.rows: dict[str, bytes | None] = {}
        self.notes: dict[str, bytes] = {}
        self.waiting: dict[str, bytes] = {}
        self._serial = 0

    def restart(self) -> None:
        """Go on from the checkpoint, as after a crash."""
        self.shard = LearnerShard(
            0, self._plan, Memory(dict(self.notes), dict(self.waiting), birth="b")
        )

    def offer(
        self,
        told: Sequence[list[Any]],
        *,
        times: int = 1,
        mark: int = BEGIN,
        sender: str = "products.0",
    ) -> None:
        """Receive one message, as often as it is sent; fold nothing yet."""
        placed: list[Entry] = []
        for one in told:
            self._serial += 1
            placed.append([sender, self._serial, *one])
        (raw,) = pack(sender, "b", mark, placed)
        for _ in range(times):
            self.shard.offer(Batch("examples", 0, recorded([raw], self._serial), 1), None)

    def fold(self, limit: int = 7) -> None:
        """Fold all that is there."""
        while (missing := self.shard.due(limit)) is not None:
            self.shard.fold({id_: self.rows.get(id_) for id_ in missing})

    def hear(self, told: Sequence[list[Any]], **how: Any) -> None:
        """Receive a message and fold it."""
        self.offer(told, **how)
        self.fold()

    def changes(self) -> Changes:
        """Store what has come."""
        changes = self.shard.changes()
        assert changes is not None
        self.rows.update(changes.rows)
        self.notes.update(changes.notes)
        for id_, value in changes.waiting.items():
            self.waiting.pop(id_, None)
            if value is not None:
                self.waiting[id_] = value
        return changes

    def learned(self) -> dict[str, bytes]:
        """All models, bit for bit."""
        return dict(self.shard.models.snapshots(0))
