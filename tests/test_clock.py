"""Event time: nobody's wrong clock pushes it, and silence neither stops it nor lets it jump."""

from hypothesis import given, settings
from hypothesis import strategies as st
from making import BEGIN

from stream.clock import PATIENCE, Clock, Frontier
from stream.units import DAY, HOUR, SECOND, Millis

seen = st.lists(st.tuples(st.integers(1, 1_000), st.sampled_from("abcdefg")), max_size=40)
NOW = 1_700_000_000_000


def frontier(events: list[tuple[int, str]], cuts: list[int]) -> Frontier:
    """A frontier that saw the events in runs of these lengths."""
    new = Frontier()
    for length in cuts:
        new.see(events[:length])
        events = events[length:]
    new.see(events)
    return new


@settings(deadline=None)
@given(seen, st.lists(st.integers(0, 9)), st.randoms(use_true_random=False))
def test_a_mark_is_the_third_latest_customer_s(
    events: list[tuple[int, str]], cuts: list[int], random: object
) -> None:
    """In whatever order and batches the events come, and after a restart."""
    latest = sorted({who: max(t for t, w in events if w == who) for _, who in events}.values())
    expected = latest[-3:][0] if latest else 0
    assert frontier(events, cuts).mark == expected
    shuffled = events.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert frontier(shuffled, []).mark == expected
    assert Frontier(frontier(events, cuts).state()).mark == expected


@given(st.lists(st.tuples(st.integers(1, 1_000), st.sampled_from("abc")), min_size=1))
@settings(deadline=None)
def test_one_wrong_clock_pushes_no_mark(events: list[tuple[int, str]]) -> None:
    """A single customer in the future leaves the mark where the others are."""
    pushed = frontier([*events, (10**9, "wrong")], [])
    assert pushed.mark <= max(time for time, _ in events)


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.integers(0, 10**6)), min_size=1))
@settings(deadline=None)
def test_a_watermark_never_goes_back(heard: list[tuple[str, int]]) -> None:
    """Whatever its sources say, with a wall clock or without."""
    for wall in (None, NOW):
        clock, last = Clock(), 0
        for source, mark in heard:
            clock.hear(source, mark, None if wall is None else Millis(wall))
            assert clock.watermark >= last
            last = clock.watermark


def test_the_slowest_source_sets_the_watermark() -> None:
    """All that has been heard of counts, the least of them decides."""
    clock = Clock()
    clock.hear("a", BEGIN, None)
    clock.hear("b", BEGIN + HOUR, None)
    clock.hear("a", BEGIN + DAY, None)
    assert clock.watermark == BEGIN + HOUR


def test_in_a_replay_no_source_falls_silent() -> None:
    """Without a wall clock the slowest is waited for without end."""
    clock = Clock()
    clock.hear("a", BEGIN, None)
    for step in range(100):
        clock.hear("b", BEGIN + step * DAY, None)
    assert clock.watermark == BEGIN


def test_a_silent_source_holds_the_watermark_for_a_while_only() -> None:
    """After `PATIENCE` the others go on without it."""
    clock = Clock()
    clock.hear("silent", BEGIN, Millis(NOW))
    clock.hear("a", BEGIN + HOUR, Millis(NOW + PATIENCE - 1))
    assert clock.watermark == BEGIN
    clock.hear("a", BEGIN + HOUR, Millis(NOW + PATIENCE))
    assert clock.watermark == BEGIN + HOUR


#   heard ──── PATIENCE ────┤ at the wall clock's pace ────▶
def test_in_silence_time_goes_on_at_the_wall_clock_s_pace() -> None:
    """A replayed year stays in its year: event time does not jump to now."""
    clock = Clock()
    clock.hear("a", BEGIN, Millis(NOW))
    for second in range(1, 61):
        clock.tick(Millis(NOW + second * SECOND))
    # One second of patience is spent in the tick that ends it.
    assert BEGIN + 60 * SECOND - PATIENCE <= clock.watermark <= BEGIN + 60 * SECOND


def test_nothing_goes_on_before_the_first_event() -> None:
    """Without an event there is no event time."""
    clock = Clock()
    clock.tick(Millis(NOW))
    clock.tick(Millis(NOW + HOUR))
    assert clock.watermark == 0


def test_a_wall_clock_that_is_set_back_stops_time() -> None:
    """It does not turn it round."""
    clock = Clock(b"[%d,{}]" % BEGIN)
    clock.tick(Millis(NOW))
    clock.tick(Millis(NOW - HOUR))
    assert clock.watermark == BEGIN
    clock.tick(Millis(NOW - HOUR + SECOND))
    assert clock.watermark == BEGIN + SECOND


def test_a_restart_keeps_the_watermark_and_not_the_pause() -> None:
    """The hours for which nothing ran do not count as time that went on."""
    clock = Clock()
    clock.hear("a", BEGIN, Millis(NOW))
    again = Clock(clock.state())
    again.tick(Millis(NOW + DAY))
    assert again.watermark == BEGIN


def test_a_source_from_before_a_restart_is_waited_for() -> None:
    """The first sender that is heard again does not push time past a slower one."""
    clock = Clock()
    clock.hear("b", BEGIN, Millis(NOW))
    clock.hear("a", BEGIN + HOUR, Millis(NOW))
    again = Clock(clock.state())
    again.hear("a", BEGIN + 2 * HOUR, Millis(NOW + DAY))
    assert again.watermark == BEGIN
    again.tick(Millis(NOW + DAY + PATIENCE))
    again.hear("a", BEGIN + 2 * HOUR, Millis(NOW + DAY + PATIENCE))
    assert again.watermark == BEGIN + 2 * HOUR


def test_a_source_that_was_never_heard_is_waited_for_for_a_while() -> None:
    """Of several that begin together, the first to be heard does not drag time along."""
    clock = Clock(awaited=["a", "b"])
    clock.hear("a", BEGIN + HOUR, Millis(1_000))
    assert clock.watermark == 0
    clock.hear("b", BEGIN, Millis(2_000))
    assert clock.watermark == BEGIN
    lonely = Clock(awaited=["a", "b"])
    lonely.hear("a", BEGIN, Millis(1_000))
    lonely.hear("a", BEGIN + HOUR, Millis(1_000 + PATIENCE))
    assert lonely.watermark == BEGIN + HOUR
    silent = Clock(awaited=["a", "b"])
    silent.hear("a", BEGIN, Millis(1_000))
    silent.tick(Millis(1_000 + PATIENCE))
    silent.tick(Millis(2_000 + PATIENCE))
    assert silent.watermark >= BEGIN + 1_000


def test_those_that_begin_late_are_waited_for_from_the_first_word_on() -> None:
    """Whoever was there long before the others does not take their silence for an answer."""
    clock = Clock(awaited=["a", "b"])
    for second in range(60):
        clock.tick(Millis(NOW + second * SECOND))
    clock.hear("a", BEGIN + HOUR, Millis(NOW + 60 * SECOND))
    assert clock.watermark == 0
    clock.hear("b", BEGIN, Millis(NOW + 61 * SECOND))
    assert clock.watermark == BEGIN


def test_a_replay_waits_for_no_source_that_was_never_heard() -> None:
    """There is no wall clock by which it would ever be over."""
    clock = Clock(awaited=["a", "b"])
    clock.hear("a", BEGIN, None)
    assert clock.watermark == BEGIN
