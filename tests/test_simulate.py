"""The simulated shop: it lives by its seed, keeps the contract, and does what its truth says."""

import gzip
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import islice, pairwise, takewhile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from pydantic import TypeAdapter

from stream.cli import main
from stream.cli.pace import paced
from stream.errors import Misconfigured
from stream.events.logs import Event, load_mapping, read_log
from stream.events.types import KEYS, PUBLIC
from stream.simulate.calendar import Trend
from stream.simulate.plan import DelayLaw, ShopPlan
from stream.simulate.shop import Shop
from stream.units import DAY, HOUR, MINUTE, Millis

DAYS = 15
PLAN = ShopPlan(
    seed=7,
    products=300,
    customers=2_000,
    events_per_day=12_000,
    takeoffs=0.012,
    fads=0.008,
    declines=0.002,
    listings=0.003,
)
END = Millis(PLAN.start + DAYS * DAY)
VIEWS = ("view_item", "select_item")


@pytest.fixture(scope="module")
def shop() -> Shop:
    """A small shop where much goes on."""
    return Shop(PLAN)


@pytest.fixture(scope="module")
def events(shop: Shop) -> list[Event]:
    """All that it did."""
    return list(takewhile(lambda event: event.time < END, shop.events()))


@pytest.fixture(scope="module")
def clicks(events: list[Event]) -> list[Event]:
    """What its customers did, short of buying."""
    return [event for event in events if event.topic == "clicks"]


@pytest.fixture(scope="module")
def orders(events: list[Event]) -> list[Event]:
    """Purchases and refunds."""
    return [event for event in events if event.topic == "orders"]


def first_events(plan: ShopPlan, count: int = 10_000) -> list[Event]:
    """Live a little."""
    return list(islice(Shop(plan).events(), count))


def test_a_shop_does_the_same_again(events: list[Event]) -> None:
    """Everything follows from the plan, whatever somebody has asked about the time to come."""
    curious = Shop(PLAN)
    curious.takeoffs(Millis(END + 100 * DAY))
    assert list(islice(curious.events(), 10_000)) == events[:10_000] == first_events(PLAN)


def test_a_seed_makes_a_shop_of_its_own() -> None:
    """Two seeds share no event, not even an id."""
    ids = [
        {event.value["event_id"] for event in first_events(plan) if "event_id" in event.value}
        for plan in (ShopPlan(seed=1), ShopPlan(seed=2))
    ]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_events_come_in_order_of_time(events: list[Event]) -> None:
    """No event is earlier than the one before it, and each says the time that it has."""
    assert all(one.time <= other.time for one, other in pairwise(events))
    assert all(event.value["time"] == event.time for event in events)
    assert events[0].time == PLAN.start


def test_every_event_keeps_the_contract(events: list[Event]) -> None:
    """What is written is what `stream schema` describes, under the key that it names."""
    for topic, model in PUBLIC.items():
        if topic == "market":
            continue  # the simulated shop announces nothing
        values = [event.value for event in events if event.topic == topic]
        assert values
        TypeAdapter(list[model]).validate_python(values)  # type: ignore[valid-type]
    assert all(event.key == event.value[KEYS[event.topic]] for event in events)


def test_event_ids_are_unique(events: list[Event]) -> None:
    """An id names one event, so nothing of a shop is taken for a duplicate."""
    ids = [event.value["event_id"] for event in events if event.topic != "catalog"]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_mix_is_that_of_a_shop(seed: int) -> None:
    """About 93 % views, 4 % carts, wishes and removals, 3 % orders, and as many as planned."""
    plan = ShopPlan(seed=seed, customers=5_000, events_per_day=20_000)
    week = takewhile(lambda e: e.time < plan.start + 7 * DAY, Shop(plan).events(catalog=False))
    types = Counter(event.value["type"] for event in week)
    count = types.total()
    assert count == pytest.approx(7 * plan.events_per_day, rel=0.05)
    assert 0.91 < sum(types[kind] for kind in VIEWS) / count < 0.95
    assert 0.030 < types["add_to_cart"] / count < 0.045
    assert 0.036 < (count - sum(types[k] for k in (*VIEWS, "purchase", "refund"))) / count < 0.05
    assert 0.025 < (types["purchase"] + types["refund"]) / count < 0.035


def test_refunds_take_back_no_more_than_was_bought(orders: list[Event]) -> None:
    """A refund comes at least a day after its purchase, names it, and keeps within its lines."""
    bought: dict[str, Event] = {}
    partial = whole = 0
    for event in orders:
        order = event.value["order_id"]
        if event.value["type"] == "purchase":
            assert order not in bought
            bought[order] = event
            continue
        purchase = bought.pop(order)  # at most one refund for each
        assert event.time >= purchase.time + DAY
        assert event.key == purchase.key
        lines = {item["product_id"]: item for item in purchase.value["items"]}
        for item in event.value["items"]:
            line = lines.pop(item["product_id"])
            assert 1 <= item["quantity"] <= line["quantity"]
            assert item["price"] == line["price"]
        if event.value["items"] == purchase.value["items"]:
            whole += 1
        else:
            partial += 1
    assert partial
    assert whole


def test_orders_hold_several_lines_at_times(orders: list[Event]) -> None:
    """Some orders have several products, some several units of one."""
    purchases = [event.value["items"] for event in orders if event.value["type"] == "purchase"]
    assert 0.1 < np.mean([len(items) > 1 for items in purchases]) < 0.5
    assert 0.05 < np.mean([item["quantity"] > 1 for items in purchases for item in items]) < 0.3


def test_what_is_bought_was_looked_at(clicks: list[Event], orders: list[Event]) -> None:
    """Nobody orders what he has not seen, and the cart tells much about who will order."""
    seen = {(click.key, click.value["product_id"]) for click in clicks}
    carted = {
        (click.key, click.value["product_id"])
        for click in clicks
        if click.value["type"] == "add_to_cart"
    }
    bought = {
        (order.key, item["product_id"])
        for order in orders
        if order.value["type"] == "purchase"
        for item in order.value["items"]
    }
    assert bought <= seen
    with_cart = len(bought & carted) / len(carted)
    without = len(bought - carted) / len(seen - carted)
    assert with_cart > 10 * without


def test_customers_buy_their_favourites_and_what_is_cheap(
    clicks: list[Event], orders: list[Event]
) -> None:
    """Orders per view are more in a customer's first category, and for prices below the middle."""
    tastes: dict[str, Counter[str]] = defaultdict(Counter)
    prices: dict[str, list[float]] = defaultdict(list)
    for click in clicks:
        tastes[click.key][click.value["category"]] += 1
        prices[click.value["category"]].append(click.value["price"])
    favourite = {user: categories.most_common(1)[0][0] for user, categories in tastes.items()}
    middle = {category: float(np.median(some)) for category, some in prices.items()}
    looked: Counter[tuple[str, bool]] = Counter()
    ordered: Counter[tuple[str, bool]] = Counter()

    def count(where: Counter[tuple[str, bool]], user: str, value: dict[str, object]) -> None:
        category = str(value["category"])
        where["favourite", favourite[user] == category] += 1
        where["cheap", float(str(value["price"])) < middle[category]] += 1

    for click in clicks:
        if click.value["type"] in VIEWS:
            count(looked, click.key, click.value)
    for order in orders:
        if order.value["type"] == "purchase":
            for item in order.value["items"]:
                count(ordered, order.key, item)
    share = {what: ordered[what] / looked[what] for what in looked}
    assert share["favourite", True] > 1.2 * share["favourite", False]
    assert share["cheap", True] > 1.2 * share["cheap", False]


@pytest.mark.parametrize("minutes", [2, 10, 60, 6 * 60, 24 * 60, 3 * 24 * 60])
def test_delays_keep_their_law(minutes: int) -> None:
    """What the law says of its share within a span is what it draws."""
    law = DelayLaw()
    drawn = law.draw(np.random.default_rng(1), 100_000)
    assert np.mean(drawn <= minutes * MINUTE) == pytest.approx(
        law.share_within(Millis(minutes * MINUTE)), abs=0.01
    )
    assert law.least <= drawn.min()
    assert drawn.max() <= law.longest


def test_orders_come_after_their_clicks_by_the_law(
    clicks: list[Event], orders: list[Event]
) -> None:
    """Most orders come within minutes of the last click on their product, some a day later."""
    touched: dict[tuple[str, str], list[int]] = defaultdict(list)
    for click in clicks:
        touched[click.key, click.value["product_id"]].append(click.time)
    delays = np.array(
        [
            order.time - max(t for t in touched[order.key, item["product_id"]] if t < order.time)
            for order in orders
            if order.value["type"] == "purchase"
            for item in order.value["items"]
        ]
    )
    # Looking again before a late order shortens what is measured.
    assert np.mean(delays <= HOUR) == pytest.approx(
        PLAN.delays.share_within(Millis(HOUR)), abs=0.05
    )
    assert np.mean(delays <= 10 * MINUTE) > 0.6
    assert np.mean(delays > 12 * HOUR) > 0.02


def daily(
    trends: Sequence[Trend], amounts: Counter[tuple[str, int]], begin: str, shift: int
) -> float:
    """Add up three days of some trends' products, from a number of days before or after a point."""
    total = 0
    for trend in trends:
        day = (getattr(trend, begin) - PLAN.start) // DAY + shift
        total += sum(amounts[trend.product_id, d] for d in range(day, day + 3))
    return total / 3


@pytest.fixture(scope="module")
def amounts(clicks: list[Event], orders: list[Event]) -> SimpleNamespace:
    """Views, carts and units by product and day."""
    views: Counter[tuple[str, int]] = Counter()
    carts: Counter[tuple[str, int]] = Counter()
    units: Counter[tuple[str, int]] = Counter()
    for click in clicks:
        key = click.value["product_id"], (click.time - PLAN.start) // DAY
        if click.value["type"] in VIEWS:
            views[key] += 1
        elif click.value["type"] == "add_to_cart":
            carts[key] += 1
    for order in orders:
        if order.value["type"] == "purchase":
            for item in order.value["items"]:
                units[item["product_id"], (order.time - PLAN.start) // DAY] += item["quantity"]
    return SimpleNamespace(views=views, carts=carts, units=units)


def complete(trends: Sequence[Trend]) -> list[Trend]:
    """Trends that have been at their height for three days before the end."""
    return [trend for trend in trends if trend.saturates + 4 * DAY < END]


def test_takeoffs_sell_more(shop: Shop, amounts: SimpleNamespace) -> None:
    """Views, carts and units of products that take off come to be several times what they were."""
    trends = complete(shop.trends("takeoff", END))
    assert len(trends) >= 5
    for kind in (amounts.views, amounts.carts, amounts.units):
        before = daily(trends, kind, "starts", -3)
        assert daily(trends, kind, "saturates", 1) > 2.5 * before > 0


def test_interest_comes_before_sales(shop: Shop) -> None:
    """While a product takes off its interest is always ahead of its sales, by hours to a day."""
    for trend in shop.trends("takeoff", END):
        assert 4 * HOUR <= trend.lag <= DAY
        middle = Millis(trend.starts + trend.rises // 2)
        assert 1 < trend.sales(middle) < trend.interest(middle) < trend.growth
        assert trend.sales(trend.starts) == trend.interest(trend.starts) == 1
        assert trend.sales(trend.saturates) == pytest.approx(trend.growth)
        assert trend.sales(trend.ends) == trend.interest(trend.ends) == 1
        assert 3 <= trend.growth <= 10


def test_fads_are_looked_at_and_do_not_sell(shop: Shop, amounts: SimpleNamespace) -> None:
    """A ranking by views is fooled by fads: views multiply, units stay."""
    trends = [trend for trend in shop.trends("fad", END) if trend.saturates + 3 * DAY < END]
    assert len(trends) >= 5
    views, units = amounts.views, amounts.units
    assert daily(trends, views, "saturates", 0) > 2.5 * daily(trends, views, "starts", -3)
    assert daily(trends, units, "saturates", 0) < 1.5 * daily(trends, units, "starts", -3)


def test_the_truth_says_who_is_taking_off(shop: Shop) -> None:
    """A product takes off from its start until its sales have got there; at first none does."""
    warm = Millis(PLAN.start + PLAN.warm_up * DAY)
    assert not shop.takeoffs(Millis(warm - 1))
    assert not shop.taking_off(Millis(PLAN.start - DAY))
    trend = shop.trends("takeoff", END)[0]
    assert shop.takeoffs(END)[trend.product_id] == trend.starts
    assert trend.product_id not in shop.taking_off(Millis(trend.starts - 1))
    assert trend.product_id in shop.taking_off(trend.starts)
    assert trend.product_id in shop.taking_off(Millis(trend.saturates - 1))
    assert trend.product_id not in shop.taking_off(trend.saturates)
    assert not shop.takeoffs(END).keys() & shop.fads(END).keys()


def test_takeoffs_never_end(shop: Shop) -> None:
    """A shop that has lived for two years still has products that take off."""
    late = Millis(PLAN.start + 730 * DAY)
    assert shop.taking_off(late)


def test_a_day_has_its_rhythm(clicks: list[Event]) -> None:
    """The evening is several times as busy as the night, and Sunday busier than Friday."""
    hours = Counter(click.time // HOUR % 24 for click in clicks)
    assert hours[20] > 5 * hours[3]
    weekdays = Counter((click.time // DAY + 3) % 7 for click in clicks)
    assert weekdays[6] > 1.1 * weekdays[4]


def test_clicks_show_the_price_that_the_catalog_told(events: list[Event]) -> None:
    """Every product is told of before it is clicked, and again whenever its price changes."""
    prices: dict[str, float] = {}
    changes = 0
    for event in events:
        if event.topic == "orders":
            continue
        product, price = event.value["product_id"], event.value["price"]
        if event.topic == "catalog":
            changes += prices.get(product, price) != price
            prices[product] = price
        else:
            assert prices[product] == price
    assert changes


def test_the_catalog_is_told_of_in_bounds(events: list[Event]) -> None:
    """Each product once, and then little: stock is told when it runs out, halves or comes back."""
    told = [event.value for event in events if event.topic == "catalog"]
    assert {record["product_id"] for record in told[: PLAN.products]} == {
        f"p{slot:05d}" for slot in range(PLAN.products)
    }
    assert len(told) < 10 * PLAN.products
    later = told[PLAN.products :]
    assert any(record["listed_at"] >= PLAN.start for record in later)
    assert any(record["stock"] == 0 for record in later)


def test_what_is_sold_out_is_not_sold(events: list[Event]) -> None:
    """From the record that says so until the next one, nobody can order it."""
    empty: set[str] = set()
    for event in events:
        if event.topic == "catalog":
            (empty.discard, empty.add)[event.value["stock"] == 0](event.value["product_id"])
        elif event.value["type"] == "purchase":
            assert not empty & {item["product_id"] for item in event.value["items"]}


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"products": 5}, "30 products"),
        ({"events_per_day": 0}, "events a day"),
        ({"seed": -1}, "seed"),
    ],
)
def test_a_plan_that_makes_no_shop_is_refused(wrong: dict[str, int], word: str) -> None:
    """The error says what is needed."""
    with pytest.raises(Misconfigured, match=word):
        ShopPlan(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("per_day", [10.0, 1_000_000.0, 50_000_000.0])
def test_any_rate_works(per_day: float) -> None:
    """A shop of ten events a day lives, and one of hundreds a second; the speed is printed."""
    plan = ShopPlan(products=100, customers=500, events_per_day=per_day)
    began = time.perf_counter()
    events = list(islice(Shop(plan).events(), 20_000 if per_day > 10 else 300))
    print(f"{per_day:,.0f} a day: {len(events) / (time.perf_counter() - began):,.0f} a second")  # noqa: T201
    assert all(one.time <= other.time for one, other in pairwise(events))


def test_events_are_handed_on_when_they_are_due() -> None:
    """At 60x a minute takes a second; what is late already is not held up."""
    clock = [100.0]
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(round(seconds, 6))
        clock[0] += seconds

    times = [0, 60_000, 60_000, 150_000, 150_030]
    log = (Event("clicks", "u", Millis(time), {}) for time in times)
    out = []
    for event in paced(log, 60, clock=lambda: clock[0], wait=wait):
        out.append(event.time)
        clock[0] += 0.7 if event.time == 150_000 else 0.0
    assert out == times
    assert waits == [1.0, 1.5]


@pytest.fixture
def simulated(tmp_path: Path) -> Callable[..., tuple[Path, str]]:
    """Run the command for half a day to a file; gives the file and what was said."""

    def run(name: str, *options: str) -> tuple[Path, str]:
        path = tmp_path / name
        small = ["--products", "60", "--customers", "100", "--days", "0.5", "--out", str(path)]
        result = CliRunner().invoke(main, ["simulate", *small, *options])
        assert result.exit_code == 0, result.output
        return path, result.output

    return run


def test_the_command_writes_the_same_log_twice(
    simulated: Callable[..., tuple[Path, str]],
) -> None:
    """A log made by a seed is the same to the byte, and unpacked the same as never packed."""
    one, _ = simulated("one.ndjson.gz")
    other, _ = simulated("other.ndjson.gz")
    plain, said = simulated("plain.ndjson", "--json")
    assert one.read_bytes() == other.read_bytes()
    assert gzip.decompress(one.read_bytes()) == plain.read_bytes()
    assert sum(json.loads(said)["sent"].values()) == len(plain.read_bytes().splitlines())


def test_the_command_writes_a_log_that_replay_reads(
    simulated: Callable[..., tuple[Path, str]],
) -> None:
    """Every line is an event of its topic again; --no-catalog leaves products out."""
    path, _ = simulated("log.ndjson", "--seed", "3")
    log = list(read_log(str(path), load_mapping("native")))
    plan = ShopPlan(seed=3, products=60, customers=100, events_per_day=2.3 * 86_400)
    assert log == list(islice(Shop(plan).events(), len(log)))
    path, _ = simulated("log.ndjson", "--no-catalog")
    topics = {
        event.topic
        for event in read_log(str(path), load_mapping("native"))
        if isinstance(event, Event)
    }
    assert topics == {"clicks", "orders"}


def test_the_command_tells_the_truth(tmp_path: Path) -> None:
    """--truth writes what took off within the time that was lived, and what only seemed to."""
    truth = tmp_path / "truth.json"
    options = "--days 8 --rate 0.01 --out /dev/null --truth"
    result = CliRunner().invoke(main, ["simulate", *options.split(), str(truth)])
    assert result.exit_code == 0, result.output
    told = json.loads(truth.read_text())
    plan = ShopPlan(events_per_day=864)
    expected = Shop(plan).takeoffs(Millis(plan.start + 8 * DAY))
    assert {trend["product_id"] for trend in told["takeoffs"]} <= expected.keys()
    assert told["takeoffs"]
    assert told["fads"]


def test_the_command_refuses_to_run_ahead_of_the_clock() -> None:
    """A worker would refuse events of the future, so they are not sent."""
    result = CliRunner().invoke(main, ["simulate", "--start", "2999-01-01", "--days", "1"])
    assert result.exit_code == 1
    assert "ahead of the clock" in result.output
