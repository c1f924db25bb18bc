"""Rows in memory, and documents that wait to be renewed: bounded, and nothing forgotten."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.memo import Memo
from stream.renewals import Renewals, without_renewals
from stream.rows import PackedRows, Rows, WholeRows

ids = st.sampled_from("abcdefgh")


class Count:
    """A row that counts."""

    def __init__(self, number: int) -> None:
        self.number = number

    def encode(self) -> bytes:
        """Write it as plain bytes."""
        return b"%d" % self.number

    @classmethod
    def decode(cls, _: str, raw: bytes | None) -> "Count":
        """Read what `encode` wrote, or begin at nothing."""
        return cls(int(raw or b"0"))


kinds = pytest.mark.parametrize("kind", [WholeRows, PackedRows])


@kinds
@settings(max_examples=200, deadline=None)
@given(
    most=st.integers(0, 6),
    rounds=st.lists(st.tuples(st.lists(ids, max_size=4), st.booleans())),
)
def test_however_few_rows_are_kept_none_loses_a_count(
    kind: type[Rows[Count]], most: int, rounds: list[tuple[list[str], bool]]
) -> None:
    """Rows go and come back between checkpoints, and add up to what happened."""
    rows = kind(most, Count.decode)
    stored: dict[str, bytes | None] = {}
    flying: dict[str, bytes | None] = {}
    happened: dict[str, int] = {}
    for chosen, checkpoint in rounds:
        rows.add({id_: stored.get(id_) for id_ in rows.missing(dict.fromkeys(chosen))})
        for id_ in chosen:
            rows.change(id_).number += 1
            happened[id_] = happened.get(id_, 0) + 1
        if checkpoint:
            stored.update(flying)  # the one before has arrived by now
            flying = rows.stored()
    stored.update(flying)
    stored.update(rows.stored())
    assert {id_: int(raw or b"") for id_, raw in stored.items()} == happened


@kinds
def test_rows_that_were_not_used_for_long_are_forgotten(kind: type[Rows[Count]]) -> None:
    """Memory holds no more than it may, however many customers come by."""
    rows = kind(100, Count.decode)
    for n in range(1_000):
        rows.add(dict.fromkeys(rows.missing([str(n)])))
        rows.change(str(n))
        rows.stored()
    assert not rows.missing([str(n) for n in range(950, 1_000)])
    assert len(rows.missing([str(n) for n in range(900)])) == 900


@kinds
def test_planned_work_keeps_its_rows(kind: type[Rows[Count]]) -> None:
    """A checkpoint between choosing and folding takes nothing away."""
    rows = kind(0, Count.decode)
    rows.add({"a": b"1", "b": b"2"})
    rows.stored(needed=["a", "not here"])
    assert rows.held["a"].number == 1


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["add", "remove", "store", "crash"]), ids)))
def test_what_waits_survives_a_crash(steps: list[tuple[str, str]]) -> None:
    """As of the last checkpoint, in whatever order things changed since."""
    stored: dict[str, bytes | None] = {"c7": b"a click"}
    renewals, expected, safe = Renewals({}), dict[str, None](), dict[str, None]()
    for step, id_ in steps:
        match step:
            case "add":
                renewals.add([id_])
                expected.setdefault(id_)
            case "remove":
                renewals.remove(id_)
                expected.pop(id_, None)
            case "store":
                stored.update(renewals.changes())
                safe = dict(expected)
            case _:
                waiting = {name: raw for name, raw in stored.items() if raw is not None}
                assert without_renewals(waiting) == {"c7": b"a click"}
                renewals, expected = Renewals(waiting), dict(safe)
        assert set(renewals.next(100)) == set(expected)
        assert len(renewals) == len(expected)


def test_who_waits_longest_comes_first() -> None:
    """A change of one that waits does not send it to the end of the line."""
    renewals = Renewals({})
    renewals.add("abc")
    renewals.add("a")
    assert renewals.next(2) == ["a", "b"]


def test_what_is_urgent_does_not_wait_for_a_backlog() -> None:
    """Nor does it keep the backlog waiting for ever, nor is anything renewed twice in a turn."""
    renewals = Renewals({})
    renewals.add(f"old {n}" for n in range(10_000))
    renewals.add(["new", "old 1"])
    assert renewals.turn(["new", "old 1"], 1_000)[:3] == ["new", "old 1", "old 0"]
    assert renewals.turn(["new", "old 1"], 3) == ["new", "old 1", "old 0"]
    turns = 0
    while renewals:
        turn = renewals.turn(["new"] if turns == 0 else [], 1_000)
        assert len(turn) == len(set(turn)) <= 1_000
        for id_ in turn:
            renewals.remove(id_)
        turns += 1
    assert turns < 300


def test_a_memo_asks_once_and_stays_small() -> None:
    """Until there are too many answers; then it begins anew."""
    asked: list[str] = []
    memo = Memo(lambda word: asked.append(word) or len(word), most=3)  # type: ignore[func-returns-value]
    assert [memo[word] for word in ("one", "three", "one")] == [3, 5, 3]
    assert asked == ["one", "three"]
    for word in ("a", "b", "c", "d"):
        assert memo[word] == 1
        assert len(memo) <= 3
