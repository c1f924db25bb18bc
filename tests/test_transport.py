"""What the transport hands on, and what it must not say when partitions move meanwhile."""

from types import SimpleNamespace
from typing import Any

from faust.types import TP
from making import recorded

from stream.agents.transport import Consumer
from stream.shards import Batch

CLICKS, ORDERS = TP("clicks", 0), TP("orders", 0)


class Member(Consumer):
    """A member of a group that has read some records, and been told where it stands."""

    should_stop = False
    flow_active = True

    def __init__(self, records: dict[TP, Any], positions: dict[TP, int]) -> None:
        self.app = SimpleNamespace(consumer_generation_id=1)
        self._thread = SimpleNamespace(positions=lambda: dict(positions))
        self.handed = dict.fromkeys(positions, 0)
        self._records = records

    def highwater(self, tp: TP) -> int:
        """Offset after the last record."""
        return self._thread.positions()[tp]  # type: ignore[no-any-return]

    async def _wait_next_records(self, _: float) -> tuple[dict[TP, Any], None]:
        return self._records, None

    def move(self) -> None:
        """Lose all partitions, and be given them again, to be read from the beginning."""
        self.app.consumer_generation_id += 1
        self.handed = dict.fromkeys(self.handed, 0)


async def handed_on(member: Member, *, moving: bool = False) -> list[tuple[TP, Batch]]:
    """Take all that it hands on, while partitions move or do not."""
    batches = []
    async for tp, message in member.getmany(1.0):
        batches.append((tp, message.value))
        assert message.generation_id == 1
        if moving:
            member.move()
    return batches


async def test_markers_are_passed_over() -> None:
    """Behind records, and where there are none: the position says more than the last record."""
    run = recorded([b"{}", b"{}"])
    member = Member({CLICKS: run}, {CLICKS: 3, ORDERS: 1})
    found = {tp: (batch.records, batch.read, batch.end) for tp, batch in await handed_on(member)}
    assert found == {CLICKS: (run, 3, 3), ORDERS: ([], 1, 1)}
    member._records = {}
    assert await handed_on(member) == []


async def test_a_position_is_not_told_after_a_rebalance() -> None:
    """What lay behind it will be read again by whoever has the partition now."""
    member = Member({CLICKS: recorded([b"{}"])}, {CLICKS: 1, ORDERS: 1})
    assert [tp for tp, _ in await handed_on(member, moving=True)] == [CLICKS]
