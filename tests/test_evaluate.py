"""The evaluation: what it says was true, that it knows no future, and its measures."""

import random
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from making import BEGIN, Event, click, purchase, topic_of

from stream.cli import main
from stream.evaluation import batch, measures
from stream.evaluation.evaluating import Evaluation
from stream.evaluation.plan import Plan
from stream.events.logs import BadRow, load_mapping, read_log
from stream.events.logs import Event as Logged
from stream.models.judging import auc
from stream.settings import Settings
from stream.units import DAY, HOUR, MINUTE, Millis, rfc3339

DATA = Path(__file__).parents[2] / "shared" / "data"
RETAILROCKET = DATA / "retailrocket_5k_visitors.csv.gz"
WINDOW = DAY
DAYS = 24
FROM = BEGIN + 15 * DAY
SETTINGS = Settings(_env_file=None)  # type: ignore[call-arg]
EARLY = ("--score-from", rfc3339(Millis(BEGIN + 13 * DAY)))
Row = dict[str, Any]


def shop(seed: int = 1, clicks: int = 2_400, days: int = DAYS) -> list[Event]:
    """A few weeks of a small shop in the order of time: carts are bought more often than views."""
    chance, log = random.Random(seed), []
    for n in range(clicks):
        time = BEGIN + chance.randrange(days * DAY)
        user, product = f"u{chance.randrange(60)}", f"p{chance.randrange(12)}"
        cart = chance.random() < 0.2
        kind = "add_to_cart" if cart else "view_item"
        log.append(click(f"c{n}", time, type=kind, user_id=user, product_id=product))
        if chance.random() < (0.5 if cart else 0.05):
            later = time + int(chance.expovariate(1 / (2 * HOUR)))
            line = product, chance.randrange(1, 4)
            log.append(purchase(f"b{n}", later, line, user_id=user, order_id=f"o{n}"))
            if chance.random() < 0.1:
                back = purchase(f"r{n}", later + HOUR, (product, 1), user_id=user, order_id=f"o{n}")
                log.append({**back, "type": "refund"})
    return sorted(log, key=lambda event: event["time"])


def shelved(events: Sequence[Event]) -> list[Event]:
    """They with categories: clicks name them, one product moves to another after half the time."""
    middle = BEGIN + DAYS * DAY // 2
    told = []
    for e in events:
        if "items" in e:
            told.append(e)
            continue
        number = int(e["product_id"][1:])
        moved = number == 3 and e["time"] >= middle
        told.append({**e, "category": "moved to" if moved else f"k{number % 3}"})
    return told


def logged(events: Sequence[Event]) -> list[Logged]:
    """They as a log holds them."""
    return [Logged(topic_of(e), e["user_id"], Millis(e["time"]), e) for e in events]  # type: ignore[arg-type]


def evaluated(
    log: Sequence[Logged], score_from: int = FROM, **more: Any
) -> tuple[list[Row], Row, Evaluation]:
    """Dump and report of a log."""
    rows: list[Row] = []
    fixed: Row = {"bucket": DAY, "window": WINDOW, "horizons": (DAY, 7 * DAY), "batch": False}
    plan = Plan(log[0].time, score_from, score_from, **{**fixed, **more})
    run = Evaluation(plan, SETTINGS, rows.append)
    for event in log:
        run.take(event)
    return rows, run.finish(), run


def said_before(rows: list[Row], time: int) -> list[bytes]:
    """What was predicted before a time, without what came of it."""
    until = rfc3339(Millis(time))
    truth = ("label", "actual", "censored")
    return sorted(
        orjson.dumps({k: v for k, v in row.items() if k not in truth})
        for row in rows
        if row["time"] < until
    )


def of_kind(rows: list[Row], kind: str) -> list[Row]:
    """Dump rows of one kind."""
    return [row for row in rows if row["kind"] == kind]


def knows_no_future(log: list[Logged], at: int, score_from: int) -> None:
    """Cut and shuffle what comes after a time."""
    time = log[at].time
    before = [event for event in log if event.time < time]
    after = [event for event in log if event.time >= time]
    random.Random(at).shuffle(after)
    rows = evaluated(log, score_from)[0]
    clicks = said_before(of_kind(rows, "conversion"), time)
    assert clicks
    cut = evaluated(before, score_from)[0]
    assert said_before(of_kind(cut, "conversion"), time) == clicks
    # A forecast is settled only where the log fills its horizon.
    left = said_before(cut, time)
    assert set(left) <= set(said_before(rows, time))
    shuffled = evaluated([*before, *after], score_from)[0]
    assert said_before(of_kind(shuffled, "conversion"), time) == clicks
    earlier = time - 7 * DAY
    assert said_before(shuffled, earlier) == said_before(rows, earlier)


@pytest.mark.parametrize("at", [700, 1_531, 2_000])
def test_no_future_is_known(at: int) -> None:
    """Whatever comes after a time, what was said before it is the same, bit for bit."""
    knows_no_future(logged(shelved(shop())), at, FROM)


def recorded() -> list[Logged]:
    """The first events of a recorded log."""
    if not RETAILROCKET.exists():
        pytest.skip(f"{RETAILROCKET.name} is not here: the shared data are no part of the project")
    log = read_log(str(RETAILROCKET), load_mapping("retailrocket"))
    return list(islice((event for event in log if not isinstance(event, BadRow)), 2_500))


def test_no_future_is_known_in_a_real_shop() -> None:
    """The same on a recorded log."""
    log = recorded()
    knows_no_future(log, 1_733, log[1_200].time)


def another_future(log: Sequence[Logged], time: int, seed: int) -> list[Logged]:
    """A log with the same past, and from a time on other events: at other times, of other people.

    It ends when the log does, so that the same forecasts are settled.
    """
    chance = random.Random(seed)
    after = [event for event in log if event.time >= time]
    users = [event.key for event in after]
    times = [event.time for event in after[:-1]]
    chance.shuffle(users)
    chance.shuffle(times)
    times.append(log[-1].time)
    changed = []
    for event, user, at in zip(after, users, times, strict=True):
        items = event.value.get("items")
        more = {"items": [{**item, "quantity": 900} for item in items]} if items else {}
        value = {**event.value, "user_id": user, "time": at, **more}
        changed.append(event._replace(key=user, time=Millis(at), value=value))
    kept = [event for event in log if event.time < time]
    return kept + sorted(changed, key=lambda event: event.time)


def is_blind_to(other: Sequence[Logged], log: Sequence[Logged], time: int) -> None:
    """Whatever was said before a time of the one log was said of the other, bit for bit."""
    score_from = log[len(log) // 2].time
    rows, rows_of_other = (evaluated(each, score_from)[0] for each in (log, other))
    said = said_before(rows, time)
    assert said
    assert said == said_before(rows_of_other, time)


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.3, 0.99))
def test_another_future_would_have_changed_no_prediction(seed: int, share: float) -> None:
    """Conversion, demand, potential and return: of any shop, from any moment on."""
    log = logged(shop(seed, clicks=300, days=50))
    time = log[int(share * len(log))].time
    is_blind_to(another_future(log, time, seed), log, time)


def test_another_future_would_have_changed_no_prediction_of_a_real_shop() -> None:
    """The same on a recorded log."""
    log = recorded()[:1_200]
    time = log[833].time
    is_blind_to(another_future(log, time, 1), log, time)


def test_a_prediction_of_each_kind_is_compared() -> None:
    """None of them is missing from what the tests of the future look at."""
    log = logged(shop(3, clicks=300, days=50))
    said = said_before(evaluated(log)[0], log[-1].time)
    kinds = {orjson.loads(row)["kind"] for row in said}
    assert kinds == {"conversion", "demand", "potential", "return"}


def test_a_log_that_is_there_twice_says_the_same() -> None:
    """Each event right behind itself."""
    log = logged(shelved(shop()))
    twice = [event for event in log for _ in range(2)]
    assert evaluated(twice)[0] == evaluated(log)[0]


def test_labels_are_what_a_look_at_the_whole_log_says() -> None:
    """Reckoned another way: all events at hand."""
    events = shop()
    rows = evaluated(logged(events))[0]
    bought = [
        (e["user_id"], line["product_id"], e["time"])
        for e in events
        if e["type"] == "purchase"
        for line in e["items"]
    ]
    clicks = {e["event_id"]: e for e in events if topic_of(e) == "clicks"}
    found = {row["event_id"]: row["label"] for row in of_kind(rows, "conversion")}
    assert found == {
        id_: int(
            any(
                who == e["user_id"] and what == e["product_id"] and 0 <= at - e["time"] <= WINDOW
                for who, what, at in bought
            )
        )
        for id_, e in clicks.items()
    }
    assert 0 < sum(found.values()) < len(found)


def test_demand_is_what_a_look_at_the_whole_log_says() -> None:
    """Units of each window less refunds, at the time of the purchase."""
    events = shop()
    rows = evaluated(logged(events))[0]
    times = {e["order_id"]: e["time"] for e in events if e["type"] == "purchase"}
    units: dict[tuple[str, int], int] = {}
    for e in events:
        for line in e.get("items", ()):
            day = (times[e["order_id"]] - BEGIN) // DAY
            sign = 1 if e["type"] == "purchase" else -1
            name = line["product_id"], day
            units[name] = units.get(name, 0) + sign * line["quantity"]
    days = {rfc3339(Millis(BEGIN + n * DAY)): n for n in range(DAYS + 1)}
    daily = [row for row in of_kind(rows, "demand") if row["horizon"] == "1d"]
    wrong = [
        row
        for row in daily
        if row["actual"] != units.get((row["product_id"], days[row["time"]]), 0)
    ]
    # A refund after midnight comes when that day is settled.
    assert len(wrong) <= 3
    weekly = [row for row in of_kind(rows, "potential") if row["horizon"] == "7d"]
    assert weekly
    assert not any("category" in row for row in weekly)
    for row in weekly:
        first = days[row["time"]]
        now, last = (
            sum(units.get((row["product_id"], day), 0) for day in range(start, start + 7))
            for start in (first, first - 7)
        )
        assert row["label"] == (now >= 1.5 * last and now >= 3)


def test_labels_of_categories_are_what_a_look_at_the_whole_log_says() -> None:
    """An order line belongs to the category that its product had been given by then."""
    events = shelved(shop())
    rows = evaluated(logged(events))[0]
    given: dict[str, str] = {}
    lines: dict[tuple[str, str], tuple[int, str]] = {}
    units: dict[tuple[str, int], int] = {}
    known: dict[str, int] = {}
    for e in events:
        if "category" in e:
            given[e["product_id"]] = e["category"]
            known.setdefault(e["category"], e["time"])
        for item in e.get("items", ()):
            name = e["order_id"], item["product_id"]
            sign = 1 if e["type"] == "purchase" else -1
            if sign > 0 and item["product_id"] in given:
                lines[name] = (e["time"] - BEGIN) // DAY, given[item["product_id"]]
            if name in lines:
                day, category = lines[name]
                units[category, day] = units.get((category, day), 0) + sign * item["quantity"]
    said = [row for row in of_kind(rows, "potential") if "category" in row]
    for horizon, length in (("1d", 1), ("7d", 7)):
        labels = {
            (row["category"], row["time"]): row["label"]
            for row in said
            if row["horizon"] == horizon
        }
        expected = {}
        for first in range(length, DAYS - length + 1, length):
            for category, since in known.items():
                now, last = (
                    sum(units.get((category, day), 0) for day in range(start, start + length))
                    for start in (first, first - length)
                )
                if since < BEGIN + first * DAY:
                    time = rfc3339(Millis(BEGIN + first * DAY))
                    expected[category, time] = int(now >= 1.5 * last and now >= 3)
        assert labels.keys() == expected.keys()
        # A refund after midnight comes when that day is settled.
        assert sum(labels[name] != expected[name] for name in labels) <= 1
        assert "moved to" in {category for category, _ in labels}
        assert 0 < sum(labels.values()) < len(labels)


def test_the_catalogue_says_to_which_category_an_order_line_belongs() -> None:
    """From when it is read, whatever events say; what sells nothing is there with 0."""
    listing = {"product_id": "p", "time": BEGIN, "category": "listed"}
    events = [
        click("c", BEGIN + HOUR, category="clicked"),
        *(
            purchase(
                f"o{day}", BEGIN + day * DAY + 2 * HOUR, ("p", 1 + 2 * day), order_id=f"o{day}"
            )
            for day in range(3)
        ),
        *(
            click(f"d{day}", BEGIN + day * DAY, product_id="q", category="other")
            for day in range(4)
        ),
        click("end", BEGIN + 4 * DAY, product_id="q"),
    ]
    log = [
        Logged("catalog", "p", Millis(BEGIN), listing),
        *logged(sorted(events, key=lambda e: e["time"])),
    ]
    rows = evaluated(log, BEGIN)[0]
    found = [
        (row["category"], row["time"][:10], row["label"])
        for row in of_kind(rows, "potential")
        if row["horizon"] == "1d" and "category" in row
    ]
    days = [rfc3339(Millis(BEGIN + day * DAY))[:10] for day in (1, 2, 3)]
    labels = {"listed": (1, 1, 0), "other": (0, 0, 0)}
    assert sorted(found) == sorted(
        (name, day, label)
        for name, of_days in labels.items()
        for day, label in zip(days, of_days, strict=True)
    )


def test_where_labels_are_permuted_nothing_is_learned() -> None:
    """Orders by others than those who clicked: the AUC is that of chance."""
    chance, events = random.Random(5), shop()
    orders = [e for e in events if "items" in e]
    users = [e["user_id"] for e in orders]
    products = [e["items"] for e in orders]
    chance.shuffle(users)
    chance.shuffle(products)
    mixed = iter(zip(users, products, strict=True))
    other = [
        {**e, "user_id": (pair := next(mixed))[0], "items": pair[1]} if "items" in e else e
        for e in events
        if e["type"] != "refund"
    ]
    said = evaluated(logged(other))[1]["conversion"]
    low, high = said["auc_ci"] or (0.0, 1.0)
    assert low - 0.1 <= 0.5 <= high + 0.1


def test_what_the_end_cuts_short_is_marked_or_left_out() -> None:
    """Clicks of the last day, bought or not."""
    log = logged(shop())
    end = log[-1].time
    rows, report, _ = evaluated(log)
    cut = {row["event_id"] for row in rows if row.get("censored")}
    assert cut == {
        e.value["event_id"] for e in log if e.topic == "clicks" and e.time + WINDOW > end
    }
    strict_rows, strict, _ = evaluated(log, strict=True)
    assert not any(row.get("censored") for row in strict_rows)
    assert strict["conversion"]["n"] == report["conversion"]["n"] - len(cut)
    assert strict["conversion"]["censored"] == 0
    assert report["conversion"]["calibration_to_end"] is not None


def test_a_horizon_that_the_log_does_not_fill_is_not_counted() -> None:
    """The last week begun is in no row."""
    log = logged(shop())
    for row in of_kind(evaluated(log)[0], "demand"):
        days = 7 if row["horizon"] == "7d" else 1
        assert row["time"] <= rfc3339(Millis(log[-1].time - days * DAY))


def write(path: Path, events: Sequence[Event]) -> str:
    """Events as a file."""
    path.write_bytes(b"".join(orjson.dumps(e) + b"\n" for e in events))
    return str(path)


def ran(*words: str) -> Any:
    """What the command prints as JSON."""
    done = CliRunner().invoke(main, ["evaluate", *words, "--json"])
    assert done.exit_code == 0, done.output
    return orjson.loads(done.stdout)


def test_the_report_has_its_shape(tmp_path: Path) -> None:
    """With batch models, pictures and a dump."""
    events = shelved(shop())
    file, dump, plots = write(tmp_path / "log", events), tmp_path / "dump", tmp_path / "plots"
    words = ["--dump", str(dump), "--plots", str(plots), "--best-sellers", "5", *EARLY]
    said = ran("--clicks", file, "--horizon", "1d", "--horizon", "7d", *words)
    kinds = {"conversion", "potential", "demand", "demand_categories", "return"}
    assert kinds <= said.keys()
    assert said["demand_categories"]["7d"]["products"] == 4
    conversion = said["conversion"]
    assert len(conversion["auc_ci"]) == 2
    assert {"auc", "log_loss"} <= conversion["batch"].keys()
    names = {"n", "positives", "auc", "log_loss", "constant_log_loss", "calibration"}
    assert names <= conversion.keys()
    assert {"accuracy", "precision", "recall", "f1", "momentum"} <= said["potential"].keys()
    for potential in (said["potential"], said["potential"]["categories"]):
        daily = potential["horizons"]["1d"]
        assert {"auc", "log_loss", "f1"} <= daily["batch_lags"].keys() & daily["batch"].keys()
        assert potential["horizons"]["7d"]["n"] == potential["n"] > 0
    week = said["demand"]["7d"]
    assert {"n", "mae", "rmse", "rmsse", "r2", "bias", "coverage", "baselines"} <= week.keys()
    assert {"mae", "rmsse"} <= week["baselines"]["naive"].keys()
    assert abs(week["hindsight"]["bias"]) < 1e-9
    assert week["neighbours"] is None
    day = said["demand"]["1d"]
    windows = day["n"] / day["products"]
    expected = day["hindsight"]["rmse"] * windows / (windows - 1)
    assert day["neighbours"]["rmse"] == pytest.approx(expected)
    assert week["products"] == 5
    rows = [orjson.loads(line) for line in dump.read_bytes().splitlines()]
    scored = [
        row for row in of_kind(rows, "conversion") if row["time"] >= said["score_from"]
    ]  # fmt: skip
    judged = sorted((row["p"], bool(row["label"]), 1.0) for row in scored)
    assert len(scored) == conversion["n"]
    assert auc(judged) == pytest.approx(conversion["auc"])
    assert len(list(plots.glob("*.png"))) >= 6


def test_orders_alone_will_do(tmp_path: Path) -> None:
    """Demand and potential of a shop that records no clicks."""
    orders = [event for event in shop() if "items" in event]
    said = ran("--orders", write(tmp_path / "orders", orders), *EARLY)
    assert said["conversion"] is None
    assert said["demand"]["7d"]["n"] > 0
    assert said["potential"]["n"] > 0


def test_without_its_extra_the_batch_model_is_null(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the reader is told how to get it."""
    monkeypatch.setattr(batch, "find_spec", lambda _: None)
    said = ran("--clicks", write(tmp_path / "log", shop()))
    assert said["conversion"]["batch"] is None
    assert batch.HOW_TO_INSTALL in said["notices"]


def test_measures_are_those_of_scikit_learn() -> None:
    """On random numbers, with ties."""
    metrics = pytest.importorskip("sklearn.metrics")
    chance = np.random.default_rng(3)
    p = np.round(chance.random(500), 2)
    y = (chance.random(500) < p).astype(float)
    assert measures.auc(p, y) == pytest.approx(metrics.roc_auc_score(y, p))
    sure = np.clip(p, 0.01, 0.99)
    assert measures.log_loss(sure, y) == pytest.approx(metrics.log_loss(y, sure))
    assert measures.confusion(p, y, 0.5)["f1"] == pytest.approx(metrics.f1_score(y, p >= 0.5))
    best = measures.confusion(p, y, measures.best_threshold(p, y))["f1"]
    assert best == max(measures.confusion(p, y, edge)["f1"] or 0.0 for edge in np.unique(p))


def test_rmsse_by_hand() -> None:
    """Two products: errors of 2 at a scale of 1, of 3 at a scale of 3; one without a scale."""
    error, product = np.array([2.0, -2.0, 3.0, 9.0]), np.array([0, 0, 1, 2])
    assert measures.rmsse(error, product, np.array([1.0, 3.0, 0.0])) == pytest.approx(1.5)


def test_a_click_and_its_order_at_one_moment_belong_together() -> None:
    """Whichever stands first in the log."""
    time = BEGIN + MINUTE
    both = [click("c", time), purchase("o", time)]
    for events in (both, both[::-1]):
        assert [row["label"] for row in evaluated(logged(events), BEGIN)[0]] == [1]
