"""What the shop announces: read, refused, kept, learned from, and known to whoever starts later."""

from dataclasses import replace
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from making import BEGIN, Event, cut, folded, recorded

from stream import keys
from stream.learner.market import Market
from stream.learner.shard import LearnerPlan, LearnerShard
from stream.models import snapshots
from stream.models.promotions import Promotion, Promotions
from stream.models.signals import MOST_SIGNALS, Signals
from stream.products.forecasts import Forecast
from stream.products.serving import Serving
from stream.replay import Replay
from stream.settings import Settings
from stream.shards import Batch, Changes, Memory, Put
from stream.units import DAY, HOUR, Millis

PLAN = LearnerPlan(HOUR, 1_000)
WEEK = 7 * DAY
SECRET = "a secret of these tests"  # noqa: S105 (it keeps nothing secret)


def promotion(name: str = "sale", starts: int = BEGIN, days: int = 7, **more: object) -> Event:
    """A promotion of the whole shop, unless more is said."""
    fixed = {"type": "promotion", "promotion_id": name, "discount": 0.25}
    return {**fixed, "starts": starts, "ends": starts + days * DAY, **more}


def signal(time: int, value: float, name: str = "rain", **more: object) -> Event:
    """A signal."""
    return {"type": "signal", "name": name, "time": time, "value": value, **more}


def heard(*said: Event | bytes, notes: dict[str, bytes] | None = None) -> tuple[Any, Changes]:
    """A learner that has read these, and what has come of it."""
    shard = LearnerShard(0, PLAN, Memory(notes or {}, birth="b"))
    first = shard.positions().get("market", 0)
    folded(shard, Batch("market", 0, recorded(said, first), first + len(said)))
    changes = shard.changes()
    assert changes is not None
    return shard, changes


def published(changes: Changes) -> dict[str, bytes]:
    """Documents by key."""
    return {said.key: said.value for said in changes.published if isinstance(said, Put)}


def served(changes: Changes) -> Serving:
    """What a products shard makes of what is published."""
    documents = published(changes)
    _, market = snapshots.decode(documents[keys.MARKET], "market")
    promotions = Promotions.restored(market["promotions"])
    version, state = snapshots.decode(documents[keys.SERVING], "serving")
    return Serving.restored(version, state, replace(Serving(), promotions=promotions))


# reading


def test_products_shards_are_told_what_was_announced() -> None:
    """Also one that starts long after: it is published, not sent."""
    shard, changes = heard(promotion(product_id="p"), promotion("other", category="mugs"))
    mine, theirs = shard.serving(), served(changes)
    assert theirs == mine
    assert theirs.market == theirs.version
    assert theirs.promotions.strength("p", "mugs", BEGIN, WEEK) == pytest.approx(1.0)


def test_a_restart_forgets_no_promotion() -> None:
    """What was read once is not read again, and is known."""
    _, before = heard(promotion(), signal(BEGIN, 3.0))
    again, changes = heard(promotion("next", BEGIN + WEEK), notes=dict(before.notes))
    assert {p.id for p in again.serving().promotions.all()} == {"sale", "next"}
    assert again.positions()["market"] == 3
    report = orjson.loads(published(changes)[keys.metrics("market")])
    assert [(s["name"], s["value"]) for s in report["signals"]] == [("rain", 3.0)]


@pytest.mark.parametrize("lengths", [[], [1], [1, 1, 1], [2, 1]])
def test_cuts_change_nothing(lengths: list[int]) -> None:
    """Read in one go or one after the other, folded in whatever portions."""
    said = [signal(BEGIN + n * DAY, float(n)) for n in range(3)]
    said.append(promotion())
    shard = LearnerShard(0, PLAN, Memory(birth="b"))
    offset = 0
    for run in cut(said, lengths):
        folded(shard, Batch("market", 0, recorded(run, offset), offset + len(run)), limit=1)
        offset += len(run)
    changes = shard.changes()
    assert changes is not None
    for note in ("market", "signals"):
        assert changes.notes[note] == heard(*said)[1].notes[note]


def test_what_cannot_be_read_goes_to_dead_letters() -> None:
    """With its reason; what stands beside it is taken."""
    bad = [b"{", orjson.dumps({"type": "party"}), orjson.dumps(promotion(discount=7))]
    shard, changes = heard(*bad, promotion())
    reasons = [dict(letter.headers)["reason"] for letter in changes.letters]
    assert reasons == [b"not_json", b"unknown_type", b"bad_number"]
    assert {letter.topic for letter in changes.letters} == {"dead-letters"}
    assert [letter.value for letter in changes.letters] == bad
    assert len(shard.serving().promotions) == 1
    assert shard.counts["refused:not_json"] == 1


def test_the_calendar_is_published_only_when_it_changes() -> None:
    """It may be large."""
    shard, _ = heard(promotion())
    folded(shard, Batch("examples", 0, recorded([b'["products.0","b",1,[]]']), 1))
    folded(shard, Batch("market", 0, recorded([signal(BEGIN, 3.0)], 1), 2))
    changes = shard.changes()
    assert changes is not None
    assert keys.MARKET not in published(changes)
    assert "market" not in changes.notes


# keeping


def test_what_is_withdrawn_is_gone() -> None:
    """A promotion that is said to last no time any more."""
    shard, _ = heard(promotion(), promotion(days=0))
    assert not len(shard.serving().promotions)


def test_signals_are_bounded() -> None:
    """The latest are kept, and an older word changes nothing."""
    market = Market()
    for n in range(MOST_SIGNALS + 5):
        market.hear(signal(BEGIN + n, 1.0, f"s{n}"))
    market.hear(signal(BEGIN, 9.0, f"s{MOST_SIGNALS}"))
    values = {kept.name: kept.value for kept in market.signals}
    assert len(values) == MOST_SIGNALS
    assert "s4" not in values
    assert values[f"s{MOST_SIGNALS}"] == 1.0
    state = orjson.loads(orjson.dumps(market.signals.state()))
    assert Signals.restored(state).state() == market.signals.state()


@given(st.lists(st.tuples(st.integers(0, 10**12), st.floats(allow_nan=False)), max_size=30))
def test_a_wild_signal_makes_no_wild_deviation(said: list[tuple[int, float]]) -> None:
    """However large it is, or however often it is the same."""
    signals = Signals()
    for time, value in said:
        signals.hear("index", "mugs", time, max(-1e300, min(1e300, value)))
    unusual = signals.deviations().of("mugs", 10**12)
    assert -4.0 <= unusual.category <= 4.0
    assert unusual.shop == 0.0


# forecasting


def sold(day: int, product: str, number: int) -> list[Event]:
    """So many orders of a product in a day."""
    return [
        {"event_id": f"{product}.{day}.{n}", "type": "purchase", "time": BEGIN + day * DAY + n,
         "order_id": f"{product}.{day}.{n}", "user_id": f"u{n}",
         "items": [{"product_id": product, "quantity": 1, "price": 10.0}]}
        for n in range(number)
    ]  # fmt: skip


def shop_of_promotions(days: int, ahead: Event | None) -> Replay:
    """A shop in which promotions have doubled sales, and perhaps one more is announced."""
    settings = Settings(_env_file=None, partitions=1, bucket=DAY)  # type: ignore[call-arg]
    done = Replay(settings, SECRET)
    for day in range(days):
        if day % 28 == 14:
            done.feed("market", promotion(f"m{day}", BEGIN + day * DAY, product_id="p0"))
        running = day % 28 in range(14, 21)
        for n in range(5):
            for order in sold(day, f"p{n}", 8 if running and n == 0 else 4):
                done.feed("orders", order)
    if ahead is not None:
        done.feed("market", ahead)
    done.run()
    return done


def week(done: Replay, day: int) -> dict[str, Forecast]:
    """What is forecast for a week, by product."""
    return {
        f.product: f for f in done.products[0].forecasts(BEGIN + day * DAY) if f.horizon == WEEK
    }


def test_an_announced_promotion_lifts_the_forecast_of_its_product() -> None:
    """By what promotions have done before; that of others stays as it is."""
    days = 28 * 5
    next_one = promotion("next", BEGIN + days * DAY, product_id="p0")
    without = week(shop_of_promotions(days, None), days)
    announced = week(shop_of_promotions(days, next_one), days)
    assert announced["p0"].mean > 1.3 * without["p0"].mean
    assert announced["p0"].p90 > without["p0"].p90
    assert announced["p0"].chance is not None
    for n in range(1, 5):
        assert announced[f"p{n}"].mean == without[f"p{n}"].mean


def shop_of_signals(days: int, last: float) -> Replay:
    """A shop in which mugs sell twice as much on the day after a loud one; the last is as told."""
    settings = Settings(_env_file=None, partitions=1, bucket=DAY)  # type: ignore[call-arg]
    done, random = Replay(settings, SECRET), Random(5)
    loud = False
    for day in range(days):
        for n in range(30):
            for order in sold(day, f"p{n}", 8 if loud else 4):
                order["items"][0]["category"] = "mugs"
                done.feed("orders", order)
        loud = random.random() < 0.3
        value = last if day == days - 1 else 10.0 + 5.0 * loud
        done.feed("market", signal(BEGIN + (day + 1) * DAY - 1, value, "buzz", category="mugs"))
        done.run()
    done.tick(Millis(BEGIN + days * DAY))
    done.run()
    return done


def test_a_signal_of_its_category_moves_a_forecast() -> None:
    """By what such signals have led to before."""
    days = 120
    calm, loud = (
        next(f.mean for f in done.products[0].forecasts(BEGIN + days * DAY) if f.horizon == DAY)
        for done in (shop_of_signals(days, value) for value in (10.0, 15.0))
    )
    assert loud > 1.08 * calm


def test_a_replay_knows_nothing_of_what_is_announced_later() -> None:
    """A market event of a log holds from its place on, and changes nothing before it."""
    settings = Settings(_env_file=None, partitions=1)  # type: ignore[call-arg]
    with_it, without = Replay(settings, SECRET), Replay(settings, SECRET)
    for done in (with_it, without):
        for order in sold(0, "p", 5):
            done.feed("orders", order)
    with_it.feed("market", promotion())
    without.run()
    assert with_it.documents == without.documents
    with_it.run()
    assert len(with_it.learner.serving().promotions) == 1


def test_equal_calendars_are_equal() -> None:
    """Whatever the order in which they came."""
    one, other = Promotions(), Promotions()
    first, second = Promotion("a", 0, DAY), Promotion("b", 0, DAY, 0.5, "p")
    for calendar, several in ((one, (first, second)), (other, (second, first))):
        for each in several:
            calendar.announce(each)
    assert one == other
    other.withdraw("a")
    assert one != other
