"""`stream evaluate --market`: what the shop announces counts in forecasts, from when it says so."""

import random
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pytest
from click.testing import CliRunner
from making import BEGIN, Event

from stream.cli import main
from stream.units import DAY, HOUR, Millis, rfc3339

WEEK = 7 * DAY
WEEKS = 20
PRODUCTS = 6
FROM = BEGIN // DAY * DAY + 14 * WEEK
"""A boundary of weeks, as all that are counted from midnight of the log's first day."""
Row = dict[str, Any]
Promoted = Callable[[int, int], float]
"""Times the usual sales, by product and week."""


@cache
def weeks_of(product: int) -> frozenset[int]:
    """A quarter of the weeks, others for each product."""
    return frozenset(random.Random(product).sample(range(WEEKS), WEEKS // 4))


def each_its_own(product: int, week: int) -> float:
    """Promotions of products double sales."""
    return 2.0 if week in weeks_of(product) else 1.0


def by_category(product: int, week: int) -> float:
    """Those of a category do."""
    return each_its_own(product % 3, week)


def of_the_shop(_: int, week: int) -> float:
    """Those of the whole shop do."""
    return each_its_own(0, week)


def start_of(week: int) -> int:
    """Its first moment, ms."""
    return FROM + (week - 14) * WEEK


def orders(promoted: Promoted) -> list[Event]:
    """A steady shop, and what promotions add to it."""
    chance, log = random.Random(3), []
    for day in range(WEEKS * 7):
        for product in range(PRODUCTS):
            pace = (3.0 + product) * promoted(product, day // 7)
            for n in range(round(chance.gauss(pace, pace**0.5))):
                time = start_of(0) + day * DAY + chance.randrange(HOUR, DAY)
                name = f"{day}.{product}.{n}"
                line = {"product_id": f"p{product}", "category": f"c{product % 3}"}
                log.append(
                    {"event_id": name, "type": "purchase", "time": time, "order_id": name,
                     "user_id": f"u{chance.randrange(200)}",
                     "items": [{**line, "quantity": 1, "price": 5.0}]}
                )  # fmt: skip
    return sorted(log, key=lambda event: event["time"])


def promotion(name: str, week: int, **more: object) -> Event:
    """One that lasts a week."""
    span = {"starts": start_of(week), "ends": start_of(week + 1)}
    return {"type": "promotion", "promotion_id": f"{name}-{week}", **span, **more}


def of_products(**more: object) -> list[Event]:
    """One for each product and week."""
    return [
        promotion(f"p{product}", week, product_id=f"p{product}", **more)
        for product in range(PRODUCTS)
        for week in weeks_of(product)
    ]


def of_two_kinds() -> list[Event]:
    """Two that overlap for each product and week: one in a few stores, one in most."""
    return [
        {**each, "promotion_id": f"{kind}-{each['promotion_id']}", "discount": discount}
        for kind, discount in (("display", 0.1), ("mailer", 0.7))
        for each in of_products()
    ]


def of_categories() -> list[Event]:
    """One for each category and week."""
    return [
        promotion(f"c{n}", week, category=f"c{n}", discount=0.3)
        for n in range(3)
        for week in weeks_of(n)
    ]


def of_all() -> list[Event]:
    """Of the whole shop."""
    return [promotion("all", week) for week in weeks_of(0)]


def write(path: Path, events: Sequence[Event]) -> str:
    """Events as a file."""
    path.write_bytes(b"".join(orjson.dumps(e) + b"\n" for e in events))
    return str(path)


def evaluated(promoted: Promoted, market: Sequence[Event] = ()) -> tuple[Row, list[Row]]:
    """The report, and what was forecast of demand."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        dump = folder / "dump"
        words = ["--orders", write(folder / "orders", orders(promoted)), "--json"]
        words += ["--score-from", rfc3339(Millis(FROM)), "--dump", str(dump)]
        if market:
            words += ["--market", write(folder / "market", market)]
        done = CliRunner().invoke(main, ["evaluate", *words])
        assert done.exit_code == 0, done.output
        rows = [orjson.loads(line) for line in dump.read_bytes().splitlines()]
    report: Row = orjson.loads(done.stdout)
    return report, [row for row in rows if row["kind"] == "demand"]


without = cache(evaluated)
"""The same where nothing is announced."""


def forecasts_at(rows: list[Row], time: int) -> dict[str, Row]:
    """What was said at a moment, by product."""
    return {row["product_id"]: row for row in rows if row["time"] == rfc3339(Millis(time))}


@pytest.mark.parametrize(
    ("promoted", "market"),
    [
        (each_its_own, of_products()),
        (each_its_own, of_products(discount=0.25)),
        (each_its_own, of_two_kinds()),
        (by_category, of_categories()),
        (of_the_shop, of_all()),
    ],
    ids=["products", "with a discount", "overlapping", "categories", "the whole shop"],
)
def test_with_the_calendar_forecasts_are_clearly_better(
    promoted: Promoted, market: list[Event]
) -> None:
    """Where promotions double sales, whatever they are of and whether or not they say how much."""
    unknown = without(promoted)[0]["demand"]["7d"]
    known = evaluated(promoted, market)[0]["demand"]["7d"]
    assert known["n"] == unknown["n"]
    assert known["rmsse"] < 0.6 * unknown["rmsse"]
    assert known["mae"] < 0.6 * unknown["mae"]
    assert abs(known["bias"]) < 0.05
    assert 0.65 < known["coverage"] <= 1.0


def test_what_is_announced_counts_from_then_on() -> None:
    """At a boundary, what has been said up to that moment is known, and nothing that is later."""
    past = [each for each in of_products() if each["starts"] < FROM]
    next_one = promotion("new", 14, product_id="p1")
    assert 14 not in weeks_of(1)

    def said(*, at: int | None) -> dict[str, Row]:
        news = [] if at is None else [{**next_one, "time": at}]
        return forecasts_at(evaluated(each_its_own, [*past, *news])[1], FROM)

    silent, late = said(at=None), said(at=FROM + 1)
    assert late == silent
    for early in (said(at=FROM - 3 * DAY), said(at=FROM)):
        assert early["p1"]["mean"] > 1.5 * silent["p1"]["mean"]
        assert {k: v for k, v in early.items() if k != "p1"} == {
            k: v for k, v in silent.items() if k != "p1"
        }


def test_what_is_announced_too_late_does_no_harm() -> None:
    """An hour after each week has begun: no forecast knows its promotions, only those of before."""
    late = [{**each, "time": each["starts"] + HOUR} for each in of_products()]
    unknown = without(each_its_own)[0]["demand"]["7d"]
    known = evaluated(each_its_own, late)[0]["demand"]["7d"]
    assert known["rmsse"] < 1.05 * unknown["rmsse"]
    assert known["mae"] < 1.05 * unknown["mae"]


def test_a_calendar_does_not_move_the_log() -> None:
    """Announced long before the first order, or for times after the last: windows stay theirs."""
    far = [
        promotion("before", -3, time=start_of(-9)),
        promotion("after", WEEKS + 1),
        promotion("long after", WEEKS + 9, time=start_of(WEEKS + 5)),
    ]
    before, plain = without(each_its_own)
    known, rows = evaluated(each_its_own, far)
    assert [(r["time"], r["product_id"], r["actual"]) for r in rows] == [
        (r["time"], r["product_id"], r["actual"]) for r in plain
    ]
    assert known["until"] == before["until"]
    assert known["demand"]["7d"]["n"] == before["demand"]["7d"]["n"] > 0
