"""What Redis says of a running worker, put together for one look at it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import orjson

from stream import keys
from stream.redis.clients import Address, make_redis, redis_errors
from stream.redis.documents import Ranked, Score
from stream.redis.reader import ScoreReader
from stream.settings import STAGES, Settings, Stage

MODELS = ("conversion", "potential", "demand")
TOP = 10


@dataclass(frozen=True, slots=True)
class Look:
    """A worker at a moment.

    Attributes:
        top: The highest scores, highest first.
        documents: Theirs, by product.
        metrics: How right each model has been of late, by its name.
        entered: Entries counted by product.
        unlearned: Labels that have settled and are not learned yet.
        refused: Events that were refused.
    """

    top: Sequence[Ranked] = ()
    documents: Mapping[str, Score] | None = None
    metrics: Mapping[str, Mapping[str, Any]] | None = None
    entered: int = 0
    unlearned: int = 0
    refused: int = 0


class Window:
    """Looks at a worker's Redis."""

    def __init__(self, settings: Settings) -> None:
        self._partitions = settings.partitions
        self._reader = ScoreReader.from_settings(settings)
        self._redis = make_redis(Address.of(settings))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        self._redis.close()

    def is_open(self) -> bool:
        """Whether the worker has taken all shards of all stages."""
        return all(None not in self._notes(stage, "owner") for stage in STAGES)

    def look(self) -> Look:
        """Look at everything but the sums, which take longer."""
        top = self._reader.top(TOP)
        reports = {name: self._reader.metrics(name) for name in MODELS}
        customers, products, learner = (self._counts(stage) for stage in STAGES)
        settled = products["windows"] + products["positives"] + products["negatives"]
        return Look(
            top=top,
            documents=self._reader.scores([product for product, _ in top]),
            metrics={name: report for name, report in reports.items() if report is not None},
            entered=products["events"],
            unlearned=settled - learner["window"] - learner["click"],
            refused=sum(n for what, n in customers.items() if what.startswith("refused:")),
        )

    def totals(self) -> Counter[str]:
        """Add up the evidence of all products."""
        totals = Counter[str]()
        with redis_errors():
            names = list(self._redis.scan_iter(keys.score("*"), count=5_000))
            raws: list[Any] = self._redis.mget(names) if names else []
        for raw in raws:
            totals.update(orjson.loads(raw)["evidence"])
        return totals

    def _counts(self, stage: Stage) -> Counter[str]:
        counts = Counter[str]()
        for note in self._notes(stage, "counts"):
            counts.update(orjson.loads(note or b"{}"))
        return counts

    def _notes(self, stage: Stage, field: str) -> list[bytes | None]:
        """Read a note of each shard's checkpoint; None where there is none."""
        shards = 1 if stage == "learner" else self._partitions
        with redis_errors():
            pipe = self._redis.pipeline(transaction=False)
            for partition in range(shards):
                pipe.hget(keys.checkpoint(stage, partition), field)
            return pipe.execute()
