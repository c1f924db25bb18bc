"""Exactly once, checked without any process: thousands of histories in which anything may happen.

The shards and the agents are the real ones; Kafka, Redis and the clock are plain data. At every
request, and in the middle of anything, a worker may crash, freeze, be told a failure that was
none, or lose its partitions without knowing. SEEDS=100000 is the long form.
"""

import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple
from unittest.mock import patch

import orjson
import pytest
from simulation.faults import KINDS, Fault
from simulation.history import Verdict, drawn, forgetful, run
from simulation.shrinking import shortest, told

from stream.agents import stage
from stream.agents.desk import Desk
from stream.errors import NeighbourDown
from stream.redis import checkpoints
from stream.shards import Changes
from stream.wire import Inbox, Message

SEEDS = int(os.environ.get("SEEDS", "1000"))
BLOCK = 50
WITHIN = 200
"""Seeds within which each planted bug is found."""


class Block(NamedTuple):
    """What came of some histories.

    Attributes:
        failed: Seeds of those in which something was wrong.
        struck: How often each kind of fault has struck.
    """

    failed: list[int]
    struck: Counter[str]


def happened(first: int) -> Block:
    """Let a block of histories happen."""
    block = Block([], Counter())
    for seed in range(first, min(first + BLOCK, SEEDS)):
        verdict = run(drawn(seed))
        block.struck.update(fault.kind for fault in verdict.struck.values())
        if verdict.problems:
            block.failed.append(seed)
    return block


def test_no_history_loses_or_repeats_anything() -> None:
    """Totals are what was sent, each label is learned once, scores are those of the stored rows.

    And no offset ever goes back, nothing is acknowledged before it is stored, and in the end
    everything comes to rest. Every kind of fault strikes.
    """
    processes = min(os.cpu_count() or 1, 4, 1 + SEEDS // BLOCK)
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        blocks = list(pool.map(happened, range(0, SEEDS, BLOCK)))
    struck = sum((block.struck for block in blocks), Counter[str]())
    print(f"{SEEDS} histories, {struck.total()} faults")  # noqa: T201 (for `pytest -s`)
    for seed in (seed for block in blocks for seed in block.failed):
        pytest.fail(told(shortest(drawn(seed))), pytrace=False)
    assert SEEDS < 200 or set(struck) == set(KINDS)


def test_a_history_happens_the_same_way_again() -> None:
    """What a seed has shown once can be looked at, and shrunk."""
    for seed in (3, 4):
        first, again = (run(drawn(seed), told=True) for _ in range(2))
        assert first.lines == again.lines
        scripted = run(replace(drawn(seed), script=first.struck), told=True)
        assert scripted.lines == first.lines


def test_every_fault_at_every_request_of_a_short_history() -> None:
    """One click, one order: whatever strikes wherever, once, is of no consequence.

    A third of the kinds at each request, in turn; all of them in the long form.
    """
    turns = 3 if SEEDS < 10_000 else 1
    plan = drawn(1)
    orders = [arrival for arrival in plan.arrivals if arrival.topic == "orders"]
    clicks = [arrival for arrival in plan.arrivals if arrival.topic == "clicks"]
    plan = replace(plan, arrivals=(clicks[0], orders[0]), workers=2, script={})
    for number, place in enumerate(run(plan).asked):
        for kind in KINDS[number % turns :: turns]:
            faulty = replace(plan, script={place: Fault(kind, 1.5)})
            assert not run(faulty).problems, told(faulty)


def test_a_redis_that_loses_its_last_second_costs_no_count() -> None:
    """If nothing came twice in it. What was told to the learner may be told twice, or otherwise."""
    for seed in range(SEEDS // 5):
        plan = forgetful(drawn(seed))
        if run(plan).problems:
            pytest.fail(told(shortest(plan)), pytrace=False)


# Five classic bugs, and one more. Each is a decision of the product, taken wrongly.


class UnsentDesk(Desk):
    """Checkpoint before send: what was stored and perhaps not sent is forgotten."""

    async def run(self) -> None:
        """Work, without a look at the outbox."""
        self._letters = []
        await super().run()


class HastyDesk(Desk):
    """Send before checkpoint: what is told may be decided otherwise after a crash."""

    async def _save(self, changes: Changes) -> None:
        await self._send(changes.letters)
        await super()._save(changes)


class CarelessDesk(Desk):
    """Ack on error: a checkpoint that fails is taken for done."""

    async def _save(self, changes: Changes) -> None:
        name = (self.shard.stage, self.shard.partition)
        try:
            await self._checkpoints.save(*name, self._owner, self.saves, changes)
        except NeighbourDown:
            return
        self.saves += 1


_may_write, _begin = checkpoints.may_write, stage._begin


def whoever_writes(name: str, _: str, saves: int, found: Any) -> bool:
    """No epoch: who owns a shard is not looked at."""
    return _may_write(name, found[0].decode(), saves, found)


def one_too_far(tp: Any, position: int, begin: int, end: int) -> int:
    """Offset off by one: the checkpoint's next offset is taken for its last."""
    return _begin(tp, position, begin, end) + (position > 0)


def of_all_sources(inbox: Inbox, raw: bytes) -> Message | None:
    """Dedupe by the highest offset over all sources."""
    sender, birth, mark, entries = orjson.loads(raw)
    if birth != inbox._birth:
        return None
    highest = max(inbox._seen.values(), default=-1)
    fresh = [entry for entry in entries if entry[1] > highest]
    for source, offset, *_ in fresh:
        inbox._seen[source] = max(offset, inbox._seen.get(source, -1))
    return Message(sender, mark, fresh)


PLANTED: dict[str, tuple[Any, str, Any]] = {
    "checkpoint before send": (stage, "Desk", UnsentDesk),
    "send before checkpoint": (stage, "Desk", HastyDesk),
    "no epoch": (checkpoints, "may_write", whoever_writes),
    "offset off by one": (stage, "_begin", one_too_far),
    "dedupe over all sources": (Inbox, "open", of_all_sources),
    "ack on error": (stage, "Desk", CarelessDesk),
}


@contextmanager
def planted(bug: str) -> Iterator[None]:
    """The product with a bug."""
    where, name, wrong = PLANTED[bug]
    with patch.object(where, name, wrong):
        yield


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found(bug: str) -> None:
    """And what is left when all that is not needed is left out still shows it."""
    with planted(bug):
        failed = (seed for seed in range(WITHIN) if run(drawn(seed)).problems)
        seed = next(iter(islice(failed, 1)), None)
        assert seed is not None
        plan = shortest(drawn(seed))
        verdict: Verdict = run(plan, told=True)
    size = f"{len(plan.arrivals)} records, {len(verdict.struck)} faults, {len(verdict.lines)} lines"
    print(f"{bug}: seed {seed}, {size}")  # noqa: T201
    assert verdict.problems
    assert len(plan.arrivals) < len(drawn(seed).arrivals)
    assert not run(plan).problems, "without the bug all is well"
