"""A recorded log through the very shards that run live: real shop data, and one drawn by hand."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from making import BEGIN, Event, click, counted, topic_of
from strategies import histories

from stream.events.logs import BadRow, load_mapping, read_log
from stream.events.logs import Event as Logged
from stream.replay import Replay, counts
from stream.settings import Settings
from stream.units import DAY, MINUTE

DATA = Path(__file__).parents[2] / "shared" / "data"
REES46 = DATA / "rees46_2019-10-01_first_2h50.csv.gz"
SECRET = "a secret of these tests"  # noqa: S105 (it keeps nothing secret)


def replay(log: list[Logged] | list[Event], partitions: int = 1) -> Replay:
    """All of a log."""
    done = Replay(Settings(_env_file=None, partitions=partitions), SECRET)  # type: ignore[call-arg]
    for one in log:
        if isinstance(one, Logged):
            done.feed(one.topic, one.value)
        else:
            done.feed(topic_of(one), one)
    done.finish()
    return done


@lru_cache
def shop() -> list[Logged]:
    """A recorded log, all of whose rows can be read."""
    if not REES46.exists():
        pytest.skip(f"{REES46.name} is not here: the shared data are no part of the project")
    log = list(read_log(str(REES46), load_mapping("rees46")))
    assert not [one for one in log if isinstance(one, BadRow)]
    return [one for one in log if isinstance(one, Logged)]


def evidence(done: Replay) -> dict[str, dict[str, int]]:
    """Totals by product, as they are published."""
    return {
        key.removeprefix("score:"): found
        for key, raw in done.documents.items()
        if key.startswith("score:") and any((found := orjson.loads(raw)["evidence"]).values())
    }


@lru_cache
def replayed(partitions: int, *, orders_first: bool = False) -> Replay:
    """That log, as it stands or with all orders before all clicks."""
    log = shop()
    return replay(sorted(log, key=lambda one: orders_first and one.topic != "orders"), partitions)


def test_rees46_is_counted_to_the_last_event() -> None:
    """17,055 views, 165 carts, 214 order lines; 4 views and 1 cart stand there twice."""
    done, totals = replayed(1), replayed(1).totals()
    assert (totals["views"], totals["carts"], totals["orders"]) == (17_055 - 4, 165 - 1, 214)
    assert done.refused == {}
    assert counts(done.customers)["duplicates"] == 5
    assert counts(done.products)["events"] == len(shop()) - 5
    assert evidence(done) == counted([one.value for one in shop()])


def test_rees46_comes_to_the_same_on_four_partitions() -> None:
    """Product by product, and with the same customers."""
    one, four = replayed(1), replayed(4)
    assert evidence(one) == evidence(four)
    assert _customers(one) == _customers(four)
    assert set(one.rankings["top:products"]) == set(four.rankings["top:products"])


def test_rees46_comes_to_the_same_when_its_orders_are_read_first() -> None:
    """A topic that is far ahead of the other changes no total."""
    assert evidence(replayed(4, orders_first=True)) == evidence(replayed(1))


def _customers(done: Replay) -> dict[str, list[Any]]:
    profiles = {k: orjson.loads(v) for k, v in done.documents.items() if k.startswith("customer:")}
    return {
        key: [profile[name] for name in ("first_seen", "frequency", "spend")]
        for key, profile in profiles.items()
    }


@settings(max_examples=25, deadline=None)
@given(histories(), st.sampled_from([1, 4]), st.booleans())
def test_any_log_is_counted_exactly(
    events: list[Event],
    partitions: int,
    orders_first: bool,  # noqa: FBT001 (drawn)
) -> None:
    """Whatever the order, with duplicates and refunds."""
    if orders_first:
        events = sorted(events, key=lambda e: topic_of(e) != "orders")
    assert evidence(replay(events, partitions)) == counted(events)


def test_what_is_refused_is_counted_by_reason() -> None:
    """And leaves the rest alone."""
    done = replay(
        [click("a"), click("b", type="gaze"), click("c", BEGIN // 1_000), click("d", price=-1)]
    )
    assert done.refused == {"unknown_type": 1, "seconds_for_milliseconds": 1, "bad_number": 1}
    assert done.totals()["views"] == 1


def test_the_best_come_first() -> None:
    """What is looked at more and more stands above what nobody looks at any more."""
    early = [click(f"f{n}", BEGIN + n * MINUTE, product_id="fallen") for n in range(60)]
    early.append(click("r", BEGIN + 60 * MINUTE, product_id="rising"))
    late = [
        click(f"r{n}", BEGIN + 6 * DAY + n * MINUTE, product_id="rising", user_id=f"u{n}")
        for n in range(60)
    ]
    late.append(click("f", BEGIN + 6 * DAY + 60 * MINUTE, product_id="fallen"))
    done = replay([*early, *late])
    assert [product for product, _ in done.top(2)] == ["rising", "fallen"]


def test_a_replay_is_the_same_each_time() -> None:
    """No clock, no chance: the same log leads to the same documents, byte for byte."""
    log = [click(f"e{n}", BEGIN + n * MINUTE, user_id=f"u{n % 7}", product_id=f"p{n % 3}")
           for n in range(200)]  # fmt: skip
    first, again = replay(log, 2), replay(log, 2)
    assert first.documents == again.documents
    assert first.rankings == again.rankings
