"""Several topics read as one, by event time."""

from hypothesis import given, settings
from hypothesis import strategies as st
from making import cut

from stream.clock import PATIENCE
from stream.customers.merge import MOST_QUEUED, Item, Merge
from stream.units import HOUR

TOPICS = ("clicks", "orders", "strays")
NOW = 1_700_000_000_000
logs = st.fixed_dictionaries({topic: st.lists(st.integers(0, 50), max_size=25) for topic in TOPICS})
deliveries = st.lists(st.tuples(st.sampled_from(TOPICS), st.integers(0, 9), st.integers(0, 9)))


def items(times: list[int]) -> list[Item]:
    """What a partition holds. Offsets have gaps, as compaction and tombstones leave them."""
    return [(time, 2 * n, f"{n}") for n, time in enumerate(times)]


def taken(merge: Merge, most: int, now: int | None) -> list[tuple[str, Item]]:
    """What is handed out, one by one."""
    return [(topic, item) for topic, run in merge.take(most, now) for item in run]


def merged(
    logs: dict[str, list[int]], deliveries: list[tuple[str, int, int]]
) -> list[tuple[str, Item]]:
    """What comes out when Kafka delivers such runs, and so many are taken after each."""
    merge = Merge(dict.fromkeys(TOPICS, 0))
    left = {topic: items(times) for topic, times in logs.items()}
    ends = {topic: 2 * len(times) for topic, times in logs.items()}
    for topic in TOPICS:
        merge.put(topic, [], 0, ends[topic], None)
    out: list[tuple[str, Item]] = []
    rest = [(topic, length, 10**6) for topic, length in dict.fromkeys(TOPICS, 10**6).items()]
    for topic, length, most in [*deliveries, *rest]:
        run, left[topic] = left[topic][:length], left[topic][length:]
        read = run[-1][1] + 2 if run else 0
        merge.put(topic, run, read, ends[topic], None)
        out += taken(merge, most, None)
        handed = {t: [item[1] for where, item in out if where == t] for t in TOPICS}
        for name in TOPICS:
            position = merge.position(name)
            assert all(offset < position for offset in handed[name])
            assert all(i[1] in handed[name] for i in items(logs[name]) if i[1] < position)
    return out


@settings(max_examples=150, deadline=None)
@given(logs, deliveries)
def test_any_cut_gives_the_same_order(
    logs: dict[str, list[int]], deliveries: list[tuple[str, int, int]]
) -> None:
    """While there is a backlog the order does not depend on what Kafka delivers first.

    And positions never pass what was not handed out, nor stay behind what was.
    """
    out = merged(logs, deliveries)
    assert out == merged(logs, [])
    for topic in TOPICS:
        assert [item for where, item in out if where == topic] == items(logs[topic])


@settings(max_examples=100, deadline=None)
@given(logs, deliveries)
def test_sorted_topics_come_out_sorted(
    logs: dict[str, list[int]], deliveries: list[tuple[str, int, int]]
) -> None:
    """Topics that are each in order of time are read as one that is."""
    out = merged({topic: sorted(times) for topic, times in logs.items()}, deliveries)
    times = [item[0] for _, item in out]
    assert times == sorted(times)
    assert len(times) == sum(map(len, logs.values()))


def test_a_topic_at_its_end_is_not_waited_for() -> None:
    """A quiet shop has no orders for hours; its clicks go on."""
    merge = Merge({"clicks": 0, "orders": 7})
    merge.put("orders", [], 0, 7, None)
    merge.put("clicks", items([1, 2]), 4, 4, None)
    assert len(taken(merge, 9, None)) == 2


def test_a_topic_that_is_behind_is_waited_for() -> None:
    """As long as it holds what was not read, in a replay without end."""
    merge = Merge({"clicks": 0, "orders": 0})
    merge.put("orders", [], 0, 1, None)
    merge.put("clicks", items([1, 2]), 4, 4, None)
    assert not taken(merge, 9, None)
    merge.put("orders", [(1, 0, "order")], 1, 1, None)
    assert [topic for topic, _ in taken(merge, 9, None)] == ["clicks", "orders", "clicks"]


def test_waiting_ends_when_patience_does() -> None:
    """A topic that has not delivered for `PATIENCE` is overtaken."""
    merge = Merge({"clicks": 0, "orders": 0})
    merge.put("orders", [(1, 0, "order")], 1, 3, NOW)
    merge.put("clicks", items([2]), 2, 2, NOW)
    assert len(taken(merge, 9, NOW)) == 1
    assert not taken(merge, 9, NOW + PATIENCE - 1)
    assert len(taken(merge, 9, NOW + PATIENCE)) == 1


def test_a_topic_that_never_delivers_is_waited_for_no_longer_than_others() -> None:
    """What a transaction leaves at a topic's end is no record: it is never read."""
    merge = Merge({"clicks": 0, "orders": 6})
    merge.put("orders", [], 0, 7, None)
    merge.put("clicks", items([1]), 2, 2, NOW)
    assert not taken(merge, 9, NOW)
    assert len(taken(merge, 9, NOW + PATIENCE)) == 1


def test_what_was_read_without_events_moves_the_position() -> None:
    """Tombstones are not read again."""
    merge = Merge({"clicks": 3})
    merge.put("clicks", [], 8, 8, None)
    assert merge.position("clicks") == 8


def test_a_topic_with_much_waiting_asks_for_a_pause() -> None:
    """What waits for another topic must not fill the memory."""
    merge = Merge({"clicks": 0, "orders": 0})
    merge.put("orders", [], 0, 1, None)
    times = [HOUR] * MOST_QUEUED
    for run in cut(items(times), [MOST_QUEUED - 1]):
        assert merge.full() == []
        merge.put("clicks", run, run[-1][1] + 1, 10**6, None)
    assert merge.full() == ["clicks"]
