"""Messages between stages: what comes again counts once, however it was cut."""

from itertools import pairwise
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream import wire
from stream.wire import Inbox, pack

sources = st.sampled_from(["clicks.0", "orders.0", "strays.0"])
positions = st.lists(st.tuples(sources, st.integers(1, 3)), max_size=30)
"""For each record its source, and how many entries it leads to."""


def entries(positions: list[tuple[str, int]]) -> list[list[Any]]:
    """Entries as a shard writes them: those of one record together, offsets rising by source."""
    next_offset = {"clicks.0": 3, "orders.0": 0, "strays.0": 1_000}
    written = []
    for source, number in positions:
        next_offset[source] += 1
        written += [[source, next_offset[source], "view", n] for n in range(number)]
    return written


def opened(inbox: Inbox, messages: list[bytes]) -> list[list[Any]]:
    """All entries that an inbox lets in."""
    taken: list[list[Any]] = []
    for raw in messages:
        message = inbox.open(raw)
        assert message is not None
        taken += message.entries
    return taken


@settings(max_examples=150, deadline=None)
@given(positions, st.data())
def test_every_entry_is_let_in_once(positions: list[tuple[str, int]], data: st.DataObject) -> None:
    """A sender that crashes sends again what came after its checkpoint, in order."""
    written = entries(positions)
    # A checkpoint holds whole records: cut between them only.
    borders = [0, *(n for n in range(1, len(written)) if written[n][:2] != written[n - 1][:2])]
    inbox, taken = Inbox("birth"), []
    at = 0
    while at < len(written):
        until = next((b for b in borders if b > at + data.draw(st.integers(0, 9))), len(written))
        letters = pack("customers.0", "birth", 0, written[at:until])
        taken += opened(inbox, letters)
        for _ in range(data.draw(st.integers(0, 2))):
            taken += opened(inbox, letters)
        if data.draw(st.booleans()):  # the receiver crashes too, after its own checkpoint
            inbox = Inbox("birth", orjson.loads(inbox.state()))
        at = until
    assert taken == written


@settings(max_examples=100, deadline=None)
@given(positions, st.integers(60, 400))
def test_large_messages_are_cut_between_records(
    positions: list[tuple[str, int]], largest: int
) -> None:
    """The parts together hold everything, and no record is torn."""
    written = entries(positions)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire, "LARGEST", largest)
        letters = pack("customers.0", "birth", 7, written)
    parts = [orjson.loads(letter)[3] for letter in letters]
    assert [entry for part in parts for entry in part] == written
    for left, right in pairwise(parts):
        assert left[-1][:2] != right[0][:2]
    for letter, part in zip(letters, parts, strict=True):
        assert len(letter) <= largest or len({(s, o) for s, o, *_ in part}) <= 1
    assert opened(Inbox("birth"), letters) == written


def test_a_message_of_another_birth_is_void() -> None:
    """After Redis was lost everything is counted anew, and what was underway must not be."""
    inbox = Inbox("new")
    assert inbox.open(pack("customers.0", "old", 0, entries([("clicks.0", 1)]))[0]) is None
    assert inbox.open(pack("customers.0", "new", 5, entries([("clicks.0", 1)]))[0]) is not None


def test_a_message_without_entries_still_tells_the_time() -> None:
    """A quiet partition learns how far the others have come."""
    message = Inbox("b").open(pack("customers.3", "b", 17, [])[0])
    assert message is not None
    assert (message.sender, message.mark, message.entries) == ("customers.3", 17, [])


def test_sources_are_kept_apart() -> None:
    """The same offset of another partition is another event."""
    inbox = Inbox("b")
    letters = [pack("x", "b", 0, [[f"clicks.{n}", 5, "view"]])[0] for n in range(9)]
    Random(1).shuffle(letters)
    assert len(opened(inbox, letters * 2)) == 9


def test_what_is_cut_tells_the_time_with_its_last_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the first, a receiver would take for told what lies in the others."""
    monkeypatch.setattr(wire, "LARGEST", 200)
    written = entries([("clicks.0", 1)] * 40)
    marks = [orjson.loads(raw)[2] for raw in pack("customers.0", "birth", 9, written)]
    assert len(marks) > 2
    assert marks == [0] * (len(marks) - 1) + [9]
    begun = [orjson.loads(raw)[2] for raw in pack("customers.0", "birth", 9, written, begun=5)]
    assert begun == [5] * (len(marks) - 1) + [9]
