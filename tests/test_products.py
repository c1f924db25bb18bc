"""The products stage: counts that do not depend on the order of reading, and what follows."""

from collections import Counter, defaultdict
from itertools import pairwise
from math import isclose
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from making import (
    BEGIN,
    NAMES,
    Event,
    World,
    click,
    cut,
    disturb,
    folded,
    purchase,
    recorded,
    settled,
)
from strategies import PRODUCTS, clicks, kinds, orders, products, steps

from stream import keys
from stream.clock import PATIENCE
from stream.customers.activity import PLAIN_CLICK
from stream.customers.known import known
from stream.customers.row import CustomerRow
from stream.models.rising import RISING
from stream.partitions import home
from stream.products.counting import SLOTS
from stream.products.features import FEATURES, interest
from stream.products.features import NAMES as NAMES_OF_FEATURES
from stream.products.publishing import Scores, is_urgent
from stream.products.row import (
    CARTS,
    HALF_LIVES,
    KINDS,
    ORDERS,
    UNITS,
    VIEWS,
    WIDTH,
    ProductRow,
)
from stream.products.serving import Serving
from stream.products.shard import ProductsPlan, ProductsShard
from stream.shards import Batch, Changes, Memory, Put, Rank, Unrank
from stream.units import DAY, HOUR, MINUTE, Millis
from stream.wire import Entry, pack

NOW = 1_700_000_000_000
PLAN = ProductsPlan(1, 0, HOUR, HOUR, DAY, 1_000)


def entry(
    kind: str,
    time: int,
    product: str = "p",
    customer: str = "u",
    *,
    category: str | None = None,
    price: float | None = None,
    quantity: int = 0,
    lines: int = 0,
) -> Entry:
    """What the customers stage tells of an event; its position is set when it is sent."""
    clicked = kind in SLOTS or kind == "remove_from_cart"
    facts = known(CustomerRow(), product, category, time) if clicked else None
    about = ["", 0, kind, time, product, customer]
    if clicked:
        return [*about, category, price, 0, 1.0, facts]
    return [*about, category, price, quantity, lines, 1.0] if lines or quantity else about


class Stage:
    """A products shard by itself, and the messages that reach it."""

    def __init__(self, plan: ProductsPlan = PLAN) -> None:
        self.shard = ProductsShard(0, plan, Memory(birth="b"))
        self._sent = 0
        self._letters = 0

    def hear(self, *entries: Entry, mark: int = 0, now: int | None = None) -> None:
        """Receive one message."""
        placed = [["clicks.0", self._sent + n, *e[2:]] for n, e in enumerate(entries)]
        self._sent += len(entries)
        (raw,) = pack("customers.0", "b", mark, placed)
        batch = Batch("activity", 0, recorded([raw], self._letters), self._letters + 1)
        self._letters += 1
        folded(self.shard, batch, now=now)

    def row(self, product: str = "p") -> ProductRow:
        """What is known of a product."""
        return self.shard._rows.held[product]

    def changes(self) -> Changes:
        """What has come since the last call."""
        changes = self.shard.changes()
        assert changes is not None
        return changes

    def examples(self) -> list[list[Any]]:
        """What the learner is told, without sender and serial."""
        letters = [x.value for x in self.changes().letters if x.topic == "examples"]
        return [e[2:] for raw in letters for e in orjson.loads(raw or b"")[3]]

    def candidates(self, product: str = "p") -> set[str]:
        """Who has become a candidate since the last call, less who has ceased to be one."""
        found: set[str] = set()
        for said in self.changes().published:
            if isinstance(said, Rank) and said.key == keys.candidates(product):
                found |= set(said.scores)
            if isinstance(said, Unrank) and said.key == keys.candidates(product):
                found -= set(said.members)
        return found


moments = st.integers(0, 60 * DAY).map(lambda age: BEGIN + age)
sales = st.tuples(st.integers(1, 5), moments, products)


@st.composite
def activities(draw: st.DrawFn) -> list[Entry]:
    """Clicks, purchases, and refunds of some of them."""
    drawn = draw(st.lists(st.tuples(kinds, moments, products), max_size=20))
    entries = [entry(kind, time, product) for kind, time, product in drawn]
    for quantity, time, product in draw(st.lists(sales, max_size=8)):
        entries.append(entry("purchase", time, product, quantity=quantity, lines=1))
        back = draw(st.integers(0, quantity))
        if back:
            lines = int(back == quantity)
            entries.append(entry("refund", time, product, "", quantity=back, lines=lines))
    return entries


def amounts(entries: list[Entry], product: str) -> list[tuple[int, int, int]]:
    """What these entries count for a product: kind, time, amount."""
    found = []
    for _, _, kind, time, about, _, _, _, *counted in entries:
        sign = -1 if kind == "refund" else 1
        if about != product:
            continue
        if kind in SLOTS:
            slot = SLOTS[kind]
            if slot is not None:
                found.append((slot, time, 1))
        else:
            quantity, lines, _ = counted
            found += [(ORDERS, time, sign * lines), (UNITS, time, sign * quantity)]
    return found


@settings(max_examples=80, deadline=None)
@given(activities(), st.randoms(use_true_random=False), st.lists(st.integers(1, 9)))
def test_any_order_of_reading_gives_the_same_counts(
    entries: list[Entry], random: Any, cuts: list[int]
) -> None:
    """Totals exactly; faded counts and expected conversions to a millionth; buckets exactly."""
    random.shuffle(entries)
    stage = Stage()
    for run in cut(entries, cuts):
        stage.hear(*run)
    for product in {e[4] for e in entries}:
        row = stage.row(product)
        about = [e for e in entries if e[4] == product]
        counted = amounts(about, product)
        assert row.at == max(e[3] for e in about)
        totals = [sum(a for k, _, a in counted if k == kind) for kind in range(WIDTH)]
        assert row.totals == totals
        faded = row.faded_at(row.at)
        for n, half_life in enumerate(HALF_LIVES):
            for kind in range(WIDTH):
                worth = sum(
                    a * 0.5 ** ((row.at - t) / half_life) for k, t, a in counted if k == kind
                )
                assert isclose(faded[n * WIDTH + kind], worth, rel_tol=1e-6, abs_tol=1e-9)
        seen = [e[3] for e in about if e[2] in SLOTS or e[2] == "remove_from_cart"]
        worth = sum(0.5 ** ((row.at - t) / DAY) for t in seen)
        chance, clicks = row.expected(row.at)
        assert isclose(clicks, worth, rel_tol=1e-6, abs_tol=1e-9)
        assert isclose(chance, 0.02 * worth, rel_tol=1e-6, abs_tol=1e-9)
        buckets: dict[int, int] = defaultdict(int)
        for kind, time, amount in counted:
            if kind == UNITS:
                buckets[time // HOUR] += amount
        assert row.buckets == buckets


@settings(max_examples=40, deadline=None)
@given(activities(), st.sampled_from(PRODUCTS))
def test_a_row_survives_being_stored(entries: list[Entry], product: str) -> None:
    """What is read back is what was written, number for number."""
    stage = Stage()
    stage.hear(*entries, entry("view_item", BEGIN, product, category="mugs", price=9.9))
    raw = stage.changes().rows[product]
    again = ProductRow.decode(product, raw)
    assert again.encode() == raw
    for name in (
        "totals",
        "faded",
        "newcomers",
        "chance",
        "buckets",
        "at",
        "first",
        "category",
        "price",
    ):
        assert getattr(again, name) == getattr(stage.row(product), name)


def test_newcomers_are_those_who_had_not_touched_the_product_before() -> None:
    """However often they come back, and whatever else they look at."""
    world = World(1)
    visits = [("u0", "p"), ("u0", "p"), ("u1", "p"), ("u1", "q"), ("u0", "p"), ("u2", "p")]
    for n, (user, seen) in enumerate(visits):
        world.produce(click(f"e{n}", BEGIN, user_id=user, product_id=seen))
    world.settle()
    row = world.shards["products", 0]._rows.held["p"]
    assert isinstance(row, ProductRow)
    assert (row.newcomers, row.totals[VIEWS]) == (3.0, 5)
    assert row.new_share(BEGIN) == pytest.approx((3 + 1) / (5 + 2))
    assert row.new_share(BEGIN + 7 * DAY) == pytest.approx((1.5 + 1) / (2.5 + 2))
    assert ProductRow().new_share(BEGIN) is None


def test_a_refund_takes_back_exactly_what_was_counted() -> None:
    """As if the units had never been sold: totals, faded counts and buckets."""
    stage = Stage()
    sold = entry("purchase", BEGIN, quantity=7, lines=1)
    stage.hear(
        sold, entry("view_item", BEGIN + 3 * DAY), entry("refund", BEGIN, quantity=7, lines=1)
    )
    row = stage.row()
    assert row.totals == [1, 0, 0, 0, 0]
    assert row.buckets == {BEGIN // HOUR: 0.0}
    sold_faded = [x for n, x in enumerate(row.faded_at(row.at)) if n % WIDTH in (ORDERS, UNITS)]
    assert sold_faded == pytest.approx([0.0] * 6, abs=1e-12)


def test_an_order_that_is_late_amends_its_bucket() -> None:
    """Units belong to the hour in which they were sold, also when that has closed."""
    stage = Stage()
    stage.hear(entry("purchase", BEGIN + 5 * HOUR, quantity=1, lines=1), mark=BEGIN + 6 * HOUR)
    stage.hear(entry("purchase", BEGIN, quantity=2, lines=1), mark=BEGIN + 6 * HOUR)
    row, bucket = stage.row(), BEGIN // HOUR
    assert row.buckets == {bucket + 5: 1.0, bucket: 2.0}
    assert row.units(bucket + 6, HOUR).hour == 1.0
    assert row.units(bucket + 6, HOUR).day == 3.0
    assert row.first == BEGIN


def test_buckets_are_kept_for_two_weeks_of_features() -> None:
    """And not much longer."""
    stage = Stage()
    for day in range(40):
        time = BEGIN + day * DAY
        stage.hear(entry("purchase", time, quantity=1, lines=1), mark=time)
    row = stage.row()
    assert 15 <= len(row.buckets) <= 17
    assert row.units((BEGIN + 39 * DAY) // HOUR, HOUR).week_before == 7.0


# candidates


def test_who_is_interested_is_a_candidate() -> None:
    """Views, carts and wishes make one; taking out of the cart does not."""
    stage = Stage()
    for n, kind in enumerate([*SLOTS, "remove_from_cart"]):
        stage.hear(entry(kind, BEGIN + n, "p", f"u{n}"))
    assert stage.candidates() == {"u0", "u1", "u2", "u3"}


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("click_first", [True, False])
def test_who_has_bought_is_no_candidate(
    click_first: bool,  # noqa: FBT001 (parametrised)
    apart: bool,  # noqa: FBT001
) -> None:
    """Whether the click or the purchase is read first, in one batch or two."""
    stage = Stage()
    said = [entry("add_to_cart", BEGIN), entry("purchase", BEGIN + 1, quantity=1, lines=1)]
    if not click_first:
        said.reverse()
    for run in cut(said, [1] if apart else []):
        stage.hear(*run)
    assert stage.candidates() == set()


def test_who_comes_back_after_buying_is_a_candidate_again() -> None:
    """A click that is later than the purchase is a new interest."""
    stage = Stage()
    stage.hear(entry("purchase", BEGIN, quantity=1, lines=1), entry("view_item", BEGIN + 1))
    assert stage.candidates() == {"u"}


def test_a_forgotten_pair_is_no_candidate() -> None:
    """What a customer has not touched for long, or was erased."""
    stage = Stage()
    stage.hear(entry("view_item", BEGIN), entry("view_item", BEGIN, "p", "v"))
    stage.hear(entry("forget", BEGIN))
    assert stage.candidates() == {"v"}


def test_an_event_without_a_name_makes_no_candidate_and_no_label() -> None:
    """It is counted, and that is all."""
    stage = Stage()
    view = entry("view_item", BEGIN, "p", "")
    del view[PLAIN_CLICK:]
    stage.hear(view, entry("purchase", BEGIN, "p", "", quantity=1, lines=1))
    assert stage.row().totals == [1, 0, 0, 1, 1]
    assert stage.candidates() == set()
    assert len(stage.shard._ledger) == 1  # the product is watched


# time


def test_the_watermark_is_not_pushed_by_one_wrong_clock() -> None:
    """A customer who lives in the future labels nobody's clicks."""
    world = World(1)
    for n in range(5):
        world.produce(click(f"e{n}", BEGIN + n * MINUTE, user_id=f"u{n}"))
    world.produce(click("wrong", BEGIN + 1_000 * DAY, user_id="wrong"))
    world.settle()
    shard = world.shards["products", 0]
    assert isinstance(shard, ProductsShard)
    assert BEGIN < shard.watermark <= BEGIN + 4 * MINUTE


def test_in_a_quiet_shop_time_goes_on_at_the_wall_clock_s_pace() -> None:
    """Clicks get their labels also when nothing comes any more, and no sooner: no jump to now."""
    stage = Stage()
    stage.hear(entry("view_item", BEGIN), mark=BEGIN, now=NOW)
    stage.changes()
    for minute in range(1, 70):
        stage.shard.tick(Millis(NOW + minute * MINUTE))
        while (missing := stage.shard.due(100)) is not None:
            stage.shard.fold(dict.fromkeys(missing))
        assert abs(stage.shard.watermark - (BEGIN + minute * MINUTE)) <= MINUTE + PATIENCE
        if stage.shard.counts["negatives"]:
            break
    assert 60 <= minute <= 62


# labels


def closed(events: list[Event]) -> list[Event]:
    """Events in order of time, and what lets time reach the end of every window."""
    ends = [
        say(f"end {say.__name__} {n}", BEGIN + 40 * DAY, user_id=f"z{n}", **more)
        for say, more in ((click, {"product_id": "z"}), (purchase, {"order_id": "z"}))
        for n in range(3)
    ]
    for event in ends:
        for item in event.get("items", ()):
            item["product_id"] = "z"
    return [*sorted(events, key=lambda e: int(e["time"])), *ends]


def told(world: World, *about: str) -> list[list[Any]]:
    """What the learner has been told, each once."""
    unique: dict[tuple[str, int], list[Any]] = {}
    for record in world.kafka["examples", 0]:
        for sender, serial, *what in orjson.loads(record.value or b"")[3]:
            assert unique.setdefault((sender, serial), what) == what
    return [what for what in unique.values() if what[0] in about]


@settings(max_examples=40, deadline=None)
@given(clicks(), orders(), steps)
def test_crashes_change_no_label(
    clicks: list[Event], orders: list[Event], steps: list[tuple[int, int, int]]
) -> None:
    """Whatever crashes, the learner is told the same of every click and every forecast, once."""
    events = closed(clicks + orders)
    quiet = settled(events)
    world = World(1)
    for event in events:
        world.produce(event)
    disturb(world, steps)
    for kind in ("click", "window"):
        mine, other = (sorted(map(orjson.dumps, told(w, kind))) for w in (world, quiet))
        assert mine == other


@settings(max_examples=40, deadline=None)
@given(clicks(), orders())
def test_labels_are_what_came_true(clicks: list[Event], orders: list[Event]) -> None:
    """Every click is told once as it was by the end of the wait, late orders on top.

    Every forecast is told with what was sold in its horizon, and saw nothing of it.
    """
    orders = [e for e in orders if e["type"] == "purchase"]
    world = settled(closed(clicks + orders))
    bought = [(e["user_id"], i["product_id"], e["time"]) for e in orders for i in e["items"]]
    expected: Counter[tuple[int, bool, bool]] = Counter()
    for event in clicks:
        delays = [
            time - event["time"] for user, product, time in bought
            if (user, product) == (event["user_id"], event["product_id"])
            if 0 <= time - event["time"] <= PLAN.window
        ]  # fmt: skip
        in_time = bool(delays) and min(delays) <= PLAN.wait
        expected[event["time"], in_time, False] += 1
        if delays and not in_time:
            expected[event["time"], True, True] += 1
    labels = [(tail[0], y, late) for _, y, late, _, tail in told(world, "click")]
    assert Counter(label for label in labels if label[0] < BEGIN + 40 * DAY) == expected
    units = [(i["product_id"], e["time"], i["quantity"]) for e in orders for i in e["items"]]
    for _, product, horizon, sold, (time, last, *_) in told(world, "window"):
        if product != "z":
            mine = [(t, q) for p, t, q in units if p == product]
            assert sold == sum(q for t, q in mine if time <= t < time + horizon)
            assert last == sum(q for t, q in mine if time - horizon <= t < time)


@settings(max_examples=12, deadline=None)
@given(st.lists(sales, min_size=1, max_size=4), st.lists(st.integers(1, 30 * 24), max_size=9))
def test_how_time_leaps_changes_no_forecast(
    drawn: list[tuple[int, int, str]], leaps: list[int]
) -> None:
    """By hours as in a live shop, or by weeks as in the replay of a sparse log."""
    drawn = sorted(drawn, key=lambda sale: sale[1])
    said = [entry("purchase", time, p, quantity=q, lines=1) for q, time, p in drawn]
    found = []
    for hours_each in ([12] * (2 * 62), leaps, []):
        stage, left, now = Stage(), said, BEGIN
        for hours in hours_each:
            now = min(now + hours * HOUR, BEGIN + 100 * DAY)
            read, left = [e for e in left if e[3] <= now], [e for e in left if e[3] > now]
            stage.hear(*read, mark=now)
        stage.hear(*left, mark=BEGIN + 100 * DAY)
        found.append(sorted(orjson.dumps(e) for e in stage.examples() if e[0] == "window"))
    assert found[0] == found[1] == found[2]


def windows(stage: Stage) -> list[tuple[int, float]]:
    """When forecasts were made that are told since the last call, and what was sold."""
    return sorted((e[-1][0], e[3]) for e in stage.examples() if e[0] == "window")


def test_a_dormant_product_is_looked_at_once_a_week() -> None:
    """Whether it sells again or not; and no more when it has been quiet for half a year."""
    asleep, awake = Stage(), Stage()
    for stage in (asleep, awake):
        stage.hear(entry("purchase", BEGIN, quantity=1, lines=1), mark=BEGIN)
        for day in range(1, 31):
            stage.hear(mark=BEGIN + day * DAY)
    awake.hear(entry("purchase", BEGIN + 30 * DAY, quantity=5, lines=1), mark=BEGIN + 30 * DAY)
    for stage in (asleep, awake):
        for day in range(31, 300):
            stage.hear(mark=BEGIN + day * DAY)
    made = windows(asleep)
    dormant = [time for time, _ in made if time > BEGIN + 8 * DAY]
    assert {later - time for time, later in pairwise(dormant)} == {7 * DAY}
    assert BEGIN + 174 * DAY < dormant[-1] <= BEGIN + 182 * DAY
    assert {sold for time, sold in made if time > BEGIN} == {0.0}
    woken = windows(awake)
    before = [time for time, _ in woken if BEGIN + 8 * DAY < time <= BEGIN + 30 * DAY]
    assert before == [time for time in dormant if time <= BEGIN + 30 * DAY]
    assert [sold for time, sold in woken if time in before] == [0.0] * (len(before) - 1) + [5.0]


def test_no_more_dormant_products_are_followed_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And one that is not is not looked at because it sells again."""
    monkeypatch.setattr("stream.products.ledger.MOST_DORMANT", 1)
    stage = Stage()
    for name in ("p", "q"):
        stage.hear(entry("purchase", BEGIN, name, quantity=1, lines=1), mark=BEGIN)
    for day in range(1, 31):
        stage.hear(mark=BEGIN + day * DAY)
    for name in ("p", "q"):
        late = BEGIN + 30 * DAY
        stage.hear(entry("purchase", late, name, quantity=5, lines=1), mark=late)
    stage.hear(mark=BEGIN + 60 * DAY)
    told = [e for e in stage.examples() if e[0] == "window"]
    dormant = [e for e in told if BEGIN + 9 * DAY < e[-1][0] < BEGIN + 30 * DAY]
    assert len({e[1] for e in dormant}) == 1


def steady(stage: Stage, days: int, **more: Any) -> None:
    """Sell four lines each day, and let each day end."""
    for day in range(days):
        lines = [
            entry("purchase", BEGIN + day * DAY + n * HOUR, quantity=1, lines=1, **more)
            for n in range(4)
        ]
        stage.hear(*lines, mark=BEGIN + (day + 1) * DAY)


def listed(stage: Stage, time: int, stock: int) -> None:
    """Let the catalogue say how many are left."""
    said = product(time, stock=stock)
    folded(stage.shard, Batch("catalog", 0, recorded([said], time), time + 1))


def test_what_is_sold_out_is_not_taken_for_unwanted() -> None:
    """The level stays, and no horizon with such a bucket is learned from."""
    full, empty, unknown = Stage(PLAN), Stage(PLAN), Stage(PLAN)
    for stage in (full, empty, unknown):
        steady(stage, 40)
        stage.examples()
    listed(empty, BEGIN + 40 * DAY, 0)
    listed(full, BEGIN + 40 * DAY, 9)
    for day in range(41, 46):
        for stage in (full, empty, unknown):
            stage.hear(mark=BEGIN + day * DAY)
    means = [
        next(f.mean for f in stage.shard.forecasts(BEGIN + 45 * DAY) if f.horizon == 7 * DAY)
        for stage in (full, empty, unknown)
    ]
    assert means[0] == means[2] < 0.95 * means[1]
    assert empty.row().sold_out(BEGIN // HOUR + 40 * 24, BEGIN // HOUR + 45 * 24)
    assert not full.row().out
    told_empty = [e for e in empty.examples() if e[0] == "window"]
    told_full = [e for e in full.examples() if e[0] == "window"]
    assert len(told_empty) < len(told_full)
    assert not [e for e in told_empty if e[-1][0] >= BEGIN + 40 * DAY]


def test_to_forecast_changes_nothing() -> None:
    """An evaluation may ask whenever it likes: for each product, each horizon."""
    asked, left_alone = Stage(), Stage()
    for stage in (asked, left_alone):
        steady(stage, 10)
    said = list(asked.shard.forecasts(BEGIN + 10 * DAY))
    assert [f.horizon for f in said] == [HOUR, DAY, 7 * DAY]
    assert said == list(asked.shard.forecasts(BEGIN + 10 * DAY))
    for forecast in said:
        assert 0 <= forecast.p10 <= forecast.p50 <= forecast.p90
        assert (forecast.chance is None) == (not forecast.x) == (forecast.horizon == HOUR)
    assert said[2].mean == pytest.approx(28, rel=0.1)
    assert asked.changes() == left_alone.changes()


def test_forecasts_of_a_week_are_made_where_weeks_of_the_log_begin() -> None:
    """Also of a product that hardly anybody looks at; these count most."""
    stage = Stage()
    steady(stage, 30)
    made = [e[-1] for e in stage.examples() if e[0] == "window" and e[2] == 7 * DAY]
    assert [(noted[0] - BEGIN) // DAY for noted in made] == [7, 14, 21]
    assert {noted[-1] for noted in made} == {4.0}


def score_of(stage: Stage) -> dict[str, Any]:
    """The document of `p`."""
    key = keys.score("p")
    (raw,) = [p.value for p in stage.changes().published if isinstance(p, Put) and p.key == key]
    document: dict[str, Any] = orjson.loads(raw)
    return document


def test_a_score_of_which_little_is_known_has_a_wide_interval() -> None:
    """And it lies within it."""
    once, often = Stage(), Stage()
    steady(once, 1)
    steady(often, 60)
    documents = [score_of(stage) for stage in (once, often)]
    for document in documents:
        low, high = document["interval"]
        assert 0 <= low <= document["score"] <= high <= 1
    spans = [document["interval"][1] - document["interval"][0] for document in documents]
    assert spans[0] > 2 * spans[1]


def test_what_matters_is_scored_at_once() -> None:
    """First looks, what is sold, the catalogue's word; not one more look among hundreds."""
    row = ProductRow()
    scores = Scores(Serving(), Millis(BEGIN), HOUR)

    def urgent_after(kind: int) -> bool:
        scores.add("p", row)
        row.totals[kind] += 1
        return is_urgent(row)

    assert is_urgent(row)
    assert all(urgent_after(VIEWS) for _ in range(10))
    assert urgent_after(CARTS)
    row.totals[VIEWS] = 300
    assert not urgent_after(VIEWS)
    assert not urgent_after(VIEWS)
    for _ in range(32):  # together they are a tenth
        row.totals[VIEWS] += 1
    assert is_urgent(row)
    scores.add("p", row)
    row.hear_listing({"time": BEGIN, "category": "mugs"})
    assert is_urgent(row)


def test_a_shard_with_a_backlog_of_scores_tells_news_first() -> None:
    """Thousands that wait do not keep a new product from being scored with the next checkpoint."""
    stage = Stage()
    for n in range(1_500):
        stage.hear(entry("view_item", BEGIN, f"old-{n}"))
    turns = [stage.changes()]
    stage.hear(entry("view_item", BEGIN, "new"))
    while turns[-1].more:
        turns.append(stage.changes())
    scored = [[p.key for p in turn.published if isinstance(p, Put)] for turn in turns]
    assert len(scored[0]) == 1_000
    assert scored[1][0] == keys.score("new")
    assert len({key for turn in scored for key in turn}) == sum(map(len, scored)) == 1_501


def test_every_feature_has_its_sentence() -> None:
    """In the order in which they are numbered, with a number in it wherever there is one."""
    assert NAMES_OF_FEATURES[: len(RISING)] == RISING
    row = ProductRow()
    assert len(NAMES_OF_FEATURES) == len(RISING) + len(interest(row, BEGIN)) + 1
    assert NAMES_OF_FEATURES[-1] == "cover"
    for feature in FEATURES:
        for value in (-1.5, 0.0, 0.7):
            assert feature.text(value)


# the catalogue


def product(time: int, category: str = "mugs", **more: object) -> Event:
    """What the shop says of `p`."""
    return {"product_id": "p", "time": time, "category": category, **more}


def test_the_catalogue_s_latest_word_counts() -> None:
    """Whichever is read last; events are believed only while the catalogue is silent."""
    stage = Stage()
    stage.hear(entry("view_item", BEGIN, category="cups", price=5.0))
    assert (stage.row().category, stage.row().price) == ("cups", 5.0)
    said = [product(BEGIN + 2, "mugs", price=7.0, stock=3), product(BEGIN + 1, "bowls", price=6.0)]
    folded(stage.shard, Batch("catalog", 0, recorded(said), 2))
    stage.hear(entry("view_item", BEGIN + 3, category="cups", price=5.0))
    row = stage.row()
    assert (row.category, row.price, row.stock) == ("mugs", 7.0, 3.0)


def test_a_catalogue_record_on_another_partition_is_handed_on() -> None:
    """A producer that keys otherwise is served rightly, once, also when shards crash."""
    right = home("p", 3)
    world = World(3)
    for partition in range(3):
        raw = orjson.dumps(product(BEGIN + partition, title=f"from {partition}"))
        world.kafka["catalog", partition] = recorded([raw])
    world.produce(click("a"))
    disturb(world, [(0, n, 40) for n in range(6)] + [(6, n, 1) for n in range(6)])
    row = ProductRow.decode("p", world.stored["products", right].rows["p"])
    assert (row.title, row.category, row.totals[0]) == ("from 2", "mugs", 1)
    assert all("p" not in world.stored["products", n].rows for n in range(3) if n != right)
    assert orjson.loads(world.documents[keys.score("p")])["title"] == "from 2"


def test_a_product_that_is_only_listed_is_in_no_ranking() -> None:
    """Nobody has looked at it yet."""
    stage = Stage()
    folded(stage.shard, Batch("catalog", 0, recorded([product(BEGIN), b"{"]), 2))
    changes = stage.changes()
    assert not [said for said in changes.published if isinstance(said, Rank)]
    assert [x.topic for x in changes.letters] == ["dead-letters"]
    assert stage.shard.counts["refused:not_json"] == 1


def test_a_product_that_changes_its_category_leaves_the_ranking_of_the_old_one() -> None:
    """It is ranked once among all, and once in its category."""
    world = settled([click("a", category="cups")])
    assert set(world.rankings[keys.top_products("cups")]) == {"p"}
    world.kafka["catalog", 0] = recorded([product(BEGIN, "mugs")])
    world.settle()
    assert world.rankings[keys.top_products("cups")] == {}
    assert set(world.rankings[keys.top_products("mugs")]) == {"p"}
    assert set(world.rankings[keys.top_products()]) == {"p"}


@settings(max_examples=30, deadline=None)
@given(clicks(), orders(), st.sampled_from([0.0, 5e-324, 1e-9, 9.9, 1e12]))
def test_every_document_is_whole(clicks: list[Event], orders: list[Event], price: float) -> None:
    """Scores lie from 0 to 1, forecasts in order, and no number is missing."""
    for n, event in enumerate(clicks):
        event["price"] = price if n % 2 else 1e12
    world = settled(clicks + orders)
    for key, raw in world.documents.items():
        document = orjson.loads(raw)
        if key.startswith("score:"):
            assert 0 <= document["score"] <= 1
            assert 0 <= document["conversion"] <= 1
            assert list(document["demand"]) == ["1h", "1d", "7d"]
            for demand in document["demand"].values():
                assert 0 <= demand["p10"] <= demand["p50"] <= demand["p90"]
                assert demand["mean"] >= 0
            low, high = document["interval"]
            assert 0 <= low <= document["score"] <= high <= 1
            assert list(document["evidence"]) == list(KINDS)
            assert key.removeprefix("score:") in world.rankings[keys.top_products()]


def test_pseudonyms_and_no_user_ids_reach_the_learner_s_examples() -> None:
    """Not even pseudonyms do: what is learned is about nobody."""
    world = settled(closed([click("a", user_id="jane@shop"), purchase("b", user_id="jane@shop")]))
    text = b"".join(r.value or b"" for r in world.kafka["examples", 0])
    assert b"jane" not in text
    assert NAMES.of("jane@shop").encode() not in text
