"""Redis as plain data: the checkpoints' contract, kept in memory."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from simulation.line import Line, Neighbour
from stream.errors import Misconfigured, StoreDown
from stream.redis import checkpoints
from stream.redis.checkpoints import FORMAT, Opened, pack_letters, unpack_letters
from stream.settings import Stage
from stream.shards import Changes, Drop, Letter, Memory, Publication, Put, Rank, Say, Unrank

Name = tuple[Stage, int]


@dataclass
class Stored:
    """What is stored of a shard."""

    owner: bytes | None = None
    saves: bytes | None = None
    partitions: int | None = None
    form: int = FORMAT
    notes: dict[str, bytes] = field(default_factory=dict)
    rows: dict[str, bytes] = field(default_factory=dict)
    waiting: dict[str, bytes] = field(default_factory=dict)
    outbox: bytes = b""


class MemoryStore(Neighbour):
    """The contents of one Redis.

    Attributes:
        shards: What is stored of each shard.
        documents: Public documents by key.
        rankings: Scores by member by key.
        streams: Entries by key.
        birth: Name of these contents; empty before the first shard is opened.
        full: It refuses to store anything.
        saved: Told of every checkpoint: the shard, and its notes before and after.
    """

    def __init__(self) -> None:
        super().__init__("Redis")
        self.shards: dict[Name, Stored] = defaultdict(Stored)
        self.documents: dict[str, bytes] = {}
        self.rankings: dict[str, dict[str, float]] = defaultdict(dict)
        self.streams: dict[str, list[Mapping[str, str]]] = defaultdict(list)
        self.birth = ""
        self.full = False
        self.saved: Callable[[Name, Mapping[str, bytes], Mapping[str, bytes]], None] | None = None
        self._numbers = count(1)

    def lose(self) -> None:
        """Lose everything."""
        for part in (self.shards, self.documents, self.rankings, self.streams):
            part.clear()
        self.birth = ""

    def remember(self) -> Callable[[], None]:
        """What forgets everything from now on, as a crash of Redis does."""
        parts: list[dict[Any, Any]] = [self.shards, self.documents, self.rankings, self.streams]
        before, birth = deepcopy([dict(part) for part in parts]), self.birth

        def forget() -> None:
            for part, old in zip(parts, before, strict=True):
                part.clear()
                part.update(old)
            self.birth = birth

        return forget

    def open(self, name: Name) -> Opened:
        """Give a shard to a new owner."""
        shard = self.shards[name]
        self.birth = self.birth or f"birth {next(self._numbers)}"
        owner = f"owner {next(self._numbers)}"
        shard.owner = owner.encode()
        if shard.form != FORMAT:
            raise Misconfigured(f"The checkpoint of {name} has format {shard.form}")
        return Opened(
            owner,
            int(shard.saves or 0),
            shard.partitions,
            Memory(dict(shard.notes), dict(shard.waiting), self.birth),
            unpack_letters(shard.outbox),
        )

    def fetch(self, name: Name, ids: Sequence[str]) -> dict[str, bytes | None]:
        """Read rows."""
        shard = self.shards.get(name) or Stored()
        return {id_: shard.rows.get(id_) for id_ in ids}

    def save(
        self, name: Name, owner: str, saves: int, changes: Changes, *, partitions: int
    ) -> None:
        """Write everything or nothing."""
        shard = self.shards.get(name) or Stored()
        found = (shard.owner, shard.saves)
        # Looked up in its module, where a test may have put another.
        if not checkpoints.may_write(f"{name[0]}.{name[1]}", owner, saves, found):
            return
        if self.full:
            raise StoreDown("Redis refuses writes")
        if self.saved is not None:
            self.saved(name, shard.notes, changes.notes)
        shard.saves, shard.partitions = b"%d" % (saves + 1), partitions
        shard.notes.update(changes.notes)
        for old, new in ((shard.rows, changes.rows), (shard.waiting, changes.waiting)):
            for id_, raw in new.items():
                if raw is None:
                    old.pop(id_, None)
                else:
                    old[id_] = raw
        shard.outbox = pack_letters(changes.letters)
        for publication in changes.published:
            self._publish(publication)

    def confirm(self, name: Name, owner: str, saves: int) -> None:
        """See that the next save would not be refused."""
        shard = self.shards.get(name) or Stored()
        checkpoints.may_write(f"{name[0]}.{name[1]}", owner, saves, (shard.owner, shard.saves))

    def _publish(self, publication: Publication) -> None:
        match publication:
            case Put(key, value):
                self.documents[key] = value
            case Drop(key):
                self.documents.pop(key, None)
                self.rankings.pop(key, None)
            case Rank(key, scores, most):
                ranking = self.rankings[key]
                ranking.update(scores)
                worst_first = sorted(ranking, key=lambda member: (ranking[member], member))
                for member in worst_first[: -most if most else 0]:
                    del ranking[member]
            case Unrank(key, members):
                for member in members:
                    self.rankings[key].pop(member, None)
            case Say(key, fields, most):
                self.streams[key] = [*self.streams[key], fields][-most:]

    def letters(self, name: Name) -> list[Letter]:
        """The outbox of a shard."""
        return unpack_letters(self.shards[name].outbox)


class MemoryCheckpoints:
    """Checkpoints in such a store, at the end of a line."""

    def __init__(self, store: MemoryStore, line: Line, partitions: int) -> None:
        """Use a store.

        Args:
            store: Where they are kept.
            line: How it is reached.
            partitions: Of the topics, to be remembered with each shard.
        """
        self._store = store
        self._line = line
        self._partitions = partitions

    async def open(self, stage: Stage, partition: int) -> Opened:
        """Take a shard: read its checkpoint, and shut out whoever had it."""
        return await self._line.ask(
            self._store,
            f"opens {stage}.{partition}",
            lambda: self._store.open((stage, partition)),
            _lost,
        )

    async def fetch(
        self, stage: Stage, partition: int, ids: Sequence[str]
    ) -> dict[str, bytes | None]:
        """Read rows; None for those that are not stored."""
        if not ids:
            return {}
        return await self._line.ask(
            self._store,
            f"fetches {stage}.{partition}",
            lambda: self._store.fetch((stage, partition), ids),
            _lost,
        )

    async def save(
        self, stage: Stage, partition: int, owner: str, saves: int, changes: Changes
    ) -> None:
        """Write everything or nothing."""
        name: Name = (stage, partition)
        await self._line.ask(
            self._store,
            f"saves {stage}.{partition}",
            lambda: self._store.save(name, owner, saves, changes, partitions=self._partitions),
            _lost,
        )

    async def confirm(self, stage: Stage, partition: int, owner: str, saves: int) -> None:
        """See that the next save would not be refused."""
        await self._line.ask(
            self._store,
            f"confirms {stage}.{partition}",
            lambda: self._store.confirm((stage, partition), owner, saves),
            _lost,
        )


def _lost() -> Exception:
    return StoreDown("Redis does not answer")
