"""Sampling: all clicks while there is room, a fair sample of a rush, never more than fits."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from random import Random
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from making import BEGIN

from stream.customers.sampling import CAPACITY, SLOTS, Sampling
from stream.units import DAY, HOUR, MINUTE, SECOND

FEW = 2_000
"""A capacity that is reached soon: what matters is the ratio of the pace to it."""


class Seen(NamedTuple):
    """A click and what became of it."""

    time: int
    kind: str
    weight: float
    share: float


def clicks(pace: float, begin: int, span: int, seed: int = 1) -> Iterator[tuple[int, str, str]]:
    """So many clicks a second for a while: time, kind, customer."""
    random = Random(seed)
    for n in range(int(pace * span / SECOND)):
        kind = "add_to_cart" if n % 20 == 0 else "view_item"
        yield begin + int(n * SECOND / pace), kind, f"u{random.getrandbits(40)}"


def weighed(sampling: Sampling, drawn: Iterable[tuple[int, str, str]]) -> Iterator[Seen]:
    """Let clicks come."""
    for time, kind, customer in drawn:
        weight = sampling.weigh(kind, time, customer, "p")
        yield Seen(time, kind, weight, sampling.share)


def most_waiting(seen: Iterable[Seen], window: int) -> int:
    """Clicks that were kept and have waited at the same time, at most."""
    waiting: deque[int] = deque()
    most = 0
    for one in seen:
        if one.weight:
            waiting.append(one.time)
            while waiting[0] <= one.time - window:
                waiting.popleft()
            most = max(most, len(waiting))
    return most


def test_all_is_kept_while_there_is_room() -> None:
    """Also of a burst: a ledger that would overflow if it went on has not overflowed yet."""
    sampling = Sampling(DAY)
    burst = list(weighed(sampling, clicks(1_000, BEGIN, 4 * SECOND)))
    assert {one.weight for one in burst} == {1.0}
    assert sampling.waiting == len(burst) < CAPACITY


def test_a_rush_fits() -> None:
    """As many clicks as would fill the ledger 180 times over, for two windows."""
    window = HOUR
    sampling = Sampling(window, capacity=FEW)
    seen = list(weighed(sampling, clicks(100, BEGIN, 2 * window)))
    assert most_waiting(seen, window) < 2 * FEW
    late = [one for one in seen if one.time >= BEGIN + 3 * window // 2]
    assert sum(one.weight > 0 for one in late) > FEW / 16
    for kind in ("view_item", "add_to_cart"):
        there = [one for one in seen if one.kind == kind]
        told = sum(one.weight / one.share for one in there)
        assert abs(told / len(there) - 1.0) < 0.07


def test_a_rush_from_calm_fits() -> None:
    """What was kept before goes on waiting, and there is still room; later all is kept again."""
    window = HOUR
    sampling = Sampling(window, capacity=FEW)
    calm = FEW / 4 / (window / SECOND)
    spans = [(calm, 2 * window), (40 * calm, window), (400 * calm, window // 4), (calm, 3 * window)]
    seen: list[Seen] = []
    begin = BEGIN
    for seed, (pace, span) in enumerate(spans):
        seen += weighed(sampling, clicks(pace, begin, span, seed))
        begin += span
    assert most_waiting(seen, window) < 2 * FEW
    shares = Counter(one.share for one in seen)
    assert min(shares) < 1 / 100
    assert seen[-1].share == 1.0


def test_carts_are_likelier_and_count_less() -> None:
    """So that together they weigh what all of them would."""
    sampling = Sampling(HOUR, b"[0.015625,0.0,0,0,[]]")
    kept = Counter[str]()
    for n in range(20_000):
        for kind in ("view_item", "add_to_cart"):
            weight = sampling.keeps(kind, f"u{n}", "p")
            assert weight in (0.0, 1.0 if kind == "view_item" else 1 / 16)
            assert weight or kind == "view_item" or not sampling.keeps("view_item", f"u{n}", "p")
            kept[kind] += weight > 0
    assert 0.8 < kept["view_item"] / (20_000 / 64) < 1.2
    assert 0.9 < kept["add_to_cart"] / (20_000 / 4) < 1.1


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 3_000), max_size=5), st.integers(1, 9))
def test_a_restart_changes_no_choice(cuts: list[int], seed: int) -> None:
    """The state is all that there is; late and early clicks included."""
    random = Random(seed)
    drawn = [
        (time + random.randrange(-20 * MINUTE, MINUTE), kind, customer)
        for time, kind, customer in clicks(2, BEGIN, 3_000 * SECOND // 2, seed)
    ]
    steady, stopped = Sampling(HOUR, capacity=200), Sampling(HOUR, capacity=200)
    for n, (time, kind, customer) in enumerate(drawn):
        if n in cuts:
            stopped = Sampling(HOUR, stopped.state(), capacity=200)
        mine, other = (s.weigh(kind, time, customer, "p") for s in (steady, stopped))
        assert (mine, steady.share, steady.waiting) == (other, stopped.share, stopped.waiting)
    assert steady.share < 1.0


def test_what_is_stored_is_bounded() -> None:
    """Slots of the latest window, whatever times come."""
    sampling = Sampling(DAY)
    random = Random(3)
    for n in range(20_000):
        sampling.weigh("view_item", BEGIN + random.randrange(30 * DAY), f"u{n}", "p")
    assert len(sampling.state()) < 40 * (SLOTS + 1)
