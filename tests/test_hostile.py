"""No example, however wild, spoils a model: its numbers stay finite, and below a stated bound.

Each model is given 20,000 examples, some five seconds in all; HOSTILE=1000000 makes it a million.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from math import inf, isfinite, nan
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, Protocol

import orjson
import pytest
from making import BEGIN, Event, click, purchase, topic_of
from test_evaluate import evaluated, logged

from stream.events.decode import EARLIEST_MS, LATEST_MS
from stream.events.types import MAX_ID, MAX_ITEMS, MAX_PRICE, MAX_QUANTITY
from stream.models import snapshots
from stream.models.bands import Bands
from stream.models.delays import DelayCurve
from stream.models.drift import LossWatch
from stream.models.ensemble import LARGEST, Ensemble
from stream.models.least_squares import FadingLeastSquares
from stream.models.levels import Levels
from stream.models.linear import CLIP, Linear
from stream.models.promotions import Course, Promotion
from stream.models.quality import ClassifierQuality, RegressionQuality
from stream.models.recalibration import SHIFTS, SLOPES, Recalibration
from stream.models.rhythm import Rhythm, RhythmCounts
from stream.models.rising import RISING, RisingClassifier
from stream.models.scaler import Guess
from stream.models.signals import FURTHEST, Signals
from stream.models.stacking import CANDIDATES, Outlook, Stack
from stream.replay import Replay
from stream.settings import Settings
from stream.units import DAY, HOUR, MINUTE

EXAMPLES = int(os.environ.get("HOSTILE", "20000"))
CHECKED = 20
"""How often a model's numbers are looked at meanwhile."""
NAMES = ("views", "carts", "price", "constant", "noise")
TINY, LARGEST_OF_ALL = 5e-324, 1.7e308
WILD: tuple[float, ...] = (
    0.0,
    -0.0,
    1.0,
    TINY,
    1e-308,
    -1e-308,
    1e9,
    -1e9,
    1e15,
    1e300,
    -1e300,
    1e308,
    -1e308,
)
WILD += (LARGEST_OF_ALL, -LARGEST_OF_ALL)
TIMES = (EARLIEST_MS, BEGIN, LATEST_MS - 1)
STEPS = (0, 1, MINUTE, HOUR, DAY, 40 * DAY)
PRICES = (0.0, TINY, 1e-308, 1.0, MAX_PRICE, None)
UNKNOWN = {"title", "category", "price", "stock", "return_probability", "last_order"}
"""Fields that are null where nothing has been said."""


class Model(Protocol):
    """What is taught."""

    def state(self) -> Any:
        """All of its numbers."""
        ...


class Subject(NamedTuple):
    """A model, how it is taught, and what it then says: numbers that must stay within a bound."""

    make: Callable[[], Any]
    teach: Callable[[Any, Random, int], object]
    says: Callable[[Any, Random], Iterator[float]]
    bound: float


def wild(random: Random) -> float:
    """Draw a number: mostly extreme, now and then a plain one."""
    return random.choice(WILD) if random.random() < 0.8 else random.gauss(0.0, 3.0)


def row(random: Random, length: int) -> list[float | None]:
    """Draw features; some are missing, some are no numbers."""
    odd = (None, nan, inf, -inf)
    return [random.choice(odd) if random.random() < 0.2 else wild(random) for _ in range(length)]


def positive(random: Random) -> float:
    """Draw a weight or an amount: any, from none to the largest number."""
    return abs(wild(random))


def day(random: Random) -> float:
    """Draw a time in days, of 1970 to 9999, in any order."""
    return random.choice([0.0, random.random() * 2.9e6, 20_000.0, 2.9e6])


def teach_ensemble(model: Ensemble, random: Random, _: int) -> None:
    """Any label, told at once or late."""
    late = random.random() < 0.2
    model.learn(row(random, len(NAMES)), random.random() < 0.5 or late, positive(random), late=late)


def linear_says(linear: Linear, random: Random) -> Iterator[float]:
    """Weights, intercept and log-odds."""
    yield from linear.weights
    yield linear.intercept
    yield linear.value(row(random, len(linear.names)))


def teach_rising(model: RisingClassifier, random: Random, _: int) -> None:
    """Any label."""
    model.learn(day(random), row(random, len(RISING)), random.random() < 0.5, positive(random))


def teach_law(model: FadingLeastSquares, random: Random, _: int) -> None:
    """Any response to anything."""
    x = [wild(random) for _ in NAMES]
    model.learn(x, wild(random), weight=positive(random), time=day(random))


def teach_stack(model: Stack, random: Random, _: int) -> None:
    """Any sales after any outlook, and any response to promotions."""
    simple = tuple(wild(random) for _ in CANDIDATES)
    outlook = Outlook(simple, positive(random), positive(random), 1.0 + positive(random))
    model.learn(day(random), outlook, wild(random), positive(random))
    model.respond(random.uniform(-3.0, 3.0), wild(random), positive(random))


def stack_says(model: Stack, _: Random) -> Iterator[float]:
    """Weights, response and quantiles."""
    served = model.frozen()
    yield from served.weights
    yield served.response
    yield from served.bands.quantiles(1.0)


def teach_bands(model: Bands, random: Random, _: int) -> None:
    """Any error."""
    model.learn(day(random), wild(random), wild(random))


def bands_say(model: Bands, random: Random) -> Iterator[float]:
    """Units, for what a product may be expected to sell, and the chance of any."""
    for expected in (0.0, 5e-324, 1.0, 1e12):
        yield from model.quantiles(expected)
        yield model.chance(expected, positive(random))


def hostile_course(random: Random) -> Course:
    """Promotions of any strength, at any time, however many at once."""
    starts = [random.randrange(3_000_000) for _ in range(random.randrange(3))]
    spans = [(start, start + random.randrange(1, 3_000_000)) for start in starts]
    return Course(
        Promotion(str(n), first * DAY, last * DAY, random.choice([None, 0.0, 1e-12, 1.0]))
        for n, (first, last) in enumerate(spans)
    )


def teach_levels(model: Levels, random: Random, _: int) -> None:
    """Any quantity that the contract allows, at any time."""
    quantity = random.choice([1.0, -1.0, 1.0 * MAX_QUANTITY, -1.0 * MAX_QUANTITY])
    course, bucket = hostile_course(random), random.randrange(3_000_000)
    strength = course.at(bucket * DAY)
    model.sell(quantity, bucket=bucket, length=DAY, strength=strength, course=course)
    model.sold_out(quantity, bucket=random.randrange(3_000_000), length=DAY, course=course)


def levels_say(model: Levels, _: Random) -> Iterator[float]:
    """Paces at the end of all times, and the response."""
    course = Course([Promotion("last", 2_999_990 * DAY, 3_000_010 * DAY)])
    for paces in (
        model.paces(3_000_000, DAY, Rhythm()),
        model.paces(3_000_000, DAY, Rhythm(), course, 0.1),
    ):
        yield from (*paces.units, *paces.lines, paces.bulk, paces.age, paces.response)


def teach_rhythm(model: RhythmCounts, random: Random, number: int) -> None:
    """Any lines, mostly of one age: each age that is new costs hours."""
    far = random.randrange(2_900_000 * 24) * HOUR if random.random() < 0.001 else 0
    model.add(far or number * HOUR, wild(random))


def rhythm_says(model: RhythmCounts, _: Random) -> Iterator[float]:
    """Paces."""
    rhythm = model.rhythm()
    yield from (*rhythm.days, *rhythm.hours)


def teach_quality(model: ClassifierQuality, random: Random, _: int) -> None:
    """Any probability, also what is none."""
    p = random.choice([0.0, 1.0, 5e-324, 0.5, wild(random)])
    model.add(p, 0.5, random.random() < 0.5, positive(random))
    model.late(p, 0.5, positive(random))


def report_says(model: ClassifierQuality | RegressionQuality, _: Random) -> Iterator[float]:
    """Every number of the report."""
    for part in model.report().values():
        if isinstance(part, float):
            yield part


def teach_regression(model: RegressionQuality, random: Random, _: int) -> None:
    """Any forecast and any actual."""
    model.add(*(wild(random) for _ in range(5)))


def teach_signals(model: Signals, random: Random, _: int) -> None:
    """Any value at any time."""
    where = random.choice([None, "mugs"])
    model.hear(f"s{random.randrange(9)}", where, round(day(random) * DAY), wild(random))


def signals_say(model: Signals, _: Random) -> Iterator[float]:
    """Deviations, as they are served."""
    for time in TIMES:
        yield from model.deviations().of("mugs", time)


SUBJECTS = {
    # The recalibration's slope and shift come on top of the largest weight.
    "ensemble": Subject(
        lambda: Ensemble(NAMES, prior=0.02, guesses={"views": Guess(0.0, 1.0, 0.5)}),
        teach_ensemble,
        lambda model, random: linear_says(model.frozen(), random),
        len(NAMES) * CLIP * SLOPES[1] * LARGEST + 50.0,
    ),
    # Its law is not scaled, and the means of its features may reach 1e9.
    "rising": Subject(
        RisingClassifier,
        teach_rising,
        lambda model, random: linear_says(model.frozen(), random),
        1e12,
    ),
    "least squares": Subject(
        lambda: FadingLeastSquares(NAMES, half_life=60.0, prior=[0.0] * len(NAMES), strength=20.0),
        teach_law,
        lambda model, _: iter(model.weights()),
        1e30,
    ),
    "stack": Subject(lambda: Stack(7 * DAY), teach_stack, stack_says, 1e30),
    "bands": Subject(Bands, teach_bands, bands_say, 1e14),
    "levels": Subject(Levels, teach_levels, levels_say, 1e6 * MAX_QUANTITY),
    "rhythm": Subject(RhythmCounts, teach_rhythm, rhythm_says, 100.0),
    "delays": Subject(
        DelayCurve,
        lambda model, random, _: model.add(random.choice([0, HOUR, 1 << 62]), positive(random)),
        lambda model, _: iter(model.report().values()),
        1.0,
    ),
    "signals": Subject(Signals, teach_signals, signals_say, FURTHEST),
    "drift": Subject(
        LossWatch, lambda model, random, _: model.add(wild(random)), lambda *_: iter(()), inf
    ),
    # It is given log-odds of the ensemble, which are bounded.
    "recalibration": Subject(
        Recalibration,
        lambda model, random, _: model.learn(
            random.choice([-LARGEST, 0.0, LARGEST, random.gauss(-3.0, 5.0)]),
            random.random() < 0.5,
            random.choice([1e-300, 1.0, 16.0]),
            late=random.random() < 0.2,
        ),
        lambda model, _: iter((model.slope - SLOPES[0], model.corrected(0.0))),
        SHIFTS[1] + 4.0 * SLOPES[1],
    ),
    "classifier's quality": Subject(ClassifierQuality, teach_quality, report_says, 1e6),
    "forecaster's quality": Subject(RegressionQuality, teach_regression, report_says, 1e300),
}


@pytest.mark.parametrize("name", SUBJECTS)
def test_hostile_examples_leave_finite_numbers_within_bounds(name: str) -> None:
    """Whatever it is told, a model says finite numbers, and its state can be stored."""
    subject, random = SUBJECTS[name], Random(1)
    model = subject.make()
    for number in range(EXAMPLES):
        subject.teach(model, random, number)
        if number % (EXAMPLES // CHECKED) == 0 or number == EXAMPLES - 1:
            state = model.state if name == "levels" else model.state()
            snapshots.encode(name, 1, state if isinstance(state, Mapping) else {"": state})
            for value in subject.says(model, random):
                assert isfinite(value)
                assert abs(value) <= subject.bound


def test_the_bounds_are_those_that_are_documented() -> None:
    """Whoever loosens one finds it in the documents."""
    path = Path(__file__).resolve().parents[1] / "docs/security.md"
    rows = [line for line in path.read_text("utf-8").splitlines() if line.startswith("| `")]
    for name in ("rising", "least squares", "stack", "bands", "levels", "rhythm", "signals"):
        (row,) = [row for row in rows if f"`{name}`" in row]
        assert f" {SUBJECTS[name].bound:g}" in row, name
    (row,) = [row for row in rows if "`ensemble`" in row]
    assert [part for part in (LARGEST, SLOPES[1], CLIP) if f" {part:g}" not in row] == []


def hostile_log(random: Random, number: int, *, leaps: bool) -> Iterator[Event]:
    """Events at the edges of the contract: the least, the most, nothing; the same ids again.

    Args:
        random: The dice.
        number: How many events.
        leaps: Between the years 1973 and 9999, back and forth.
    """
    time = BEGIN
    for n in range(number):
        time = min(TIMES[-1], time + random.choice(STEPS if leaps else STEPS[:-1]))
        if leaps and random.random() < 0.05:
            time = random.choice(TIMES)
        price = random.choice(PRICES)
        who = {"user_id": f"u{random.randrange(6)}"}
        product = f"p{random.randrange(4)}"
        if random.random() < 0.6:
            kinds = ("view_item", "add_to_cart", "add_to_wishlist", "remove_from_cart")
            more = {"category": random.choice(["mugs", None, "x" * MAX_ID]), "price": price}
            kind = random.choice(kinds)
            yield click(f"c{n}", time, type=kind, product_id=product, **who, **more)
        else:
            lines = [(product, random.choice([1, MAX_QUANTITY]))]
            lines *= random.choice([1, 2, MAX_ITEMS])
            order = purchase(f"o{n}", time, *lines, order_id=f"o{n % 50}", **who)
            for item in order["items"]:
                item["price"] = price or 0.0
            yield {**order, "type": random.choice(["purchase", "purchase", "refund"])}


def said_aside(random: Random) -> Iterator[tuple[str, Event]]:
    """What the catalogue and the calendar say: extreme as well."""
    for n in range(4):
        amounts = {"stock": random.choice([0, TINY, 1e308]), "lead_time_days": 1e308}
        listed = {"time": random.choice(TIMES), "price": random.choice(PRICES)}
        yield "catalog", {"product_id": f"p{n}", "category": "cups", **amounts, **listed}
    for n, discount in enumerate((0, TINY, 1, None)):
        span = {"starts": random.choice(TIMES), "ends": random.choice(TIMES) + 1}
        sale = {"type": "promotion", "promotion_id": f"s{n}", "discount": discount}
        yield "market", {**sale, **span}
    for category in ("cups", "mugs", None):
        signal = {"type": "signal", "name": "rain", "category": category}
        value = random.choice([0, TINY, MAX_PRICE, -MAX_PRICE])
        yield "market", {**signal, "time": random.choice(TIMES), "value": value}


def missing(value: Any, name: str = "") -> Iterator[str]:
    """Names of all that is null in a document, as NaN and infinity are in JSON."""
    if value is None:
        yield name
    for key, part in value.items() if isinstance(value, dict) else ():
        yield from missing(part, key)
    for part in value if isinstance(value, list) else ():
        yield from missing(part, name)


@pytest.mark.parametrize("seed", range(3))
def test_a_hostile_log_leaves_every_document_whole(seed: int) -> None:
    """No number of a score, a category or a customer is missing, whatever was counted before."""
    random = Random(seed)
    settings = Settings(_env_file=None).model_copy(update={"partitions": 1})  # type: ignore[call-arg]
    run = Replay(settings, "a secret of this test")
    for event in hostile_log(random, 500, leaps=True):
        if random.random() < 0.05:
            for topic, said in said_aside(random):
                run.feed(topic, said)
        run.feed(topic_of(event), event)
    run.finish()
    assert not run.refused
    for key, raw in run.documents.items():
        kind, _, _ = key.partition(":")
        if kind in ("score", "category", "customer"):
            assert set(missing(orjson.loads(raw))) <= UNKNOWN
    assert all(isfinite(v) for ranking in run.rankings.values() for v in ranking.values())


@pytest.mark.parametrize("seed", range(2))
def test_a_hostile_log_leaves_every_dumped_number_finite(seed: int) -> None:
    """Probabilities, forecasts, and what the report says of them."""
    events = list(hostile_log(Random(seed), 600, leaps=False))
    rows, report, _ = evaluated(logged(events), BEGIN + 20 * DAY)
    assert {row["kind"] for row in rows} == {"conversion", "potential", "demand", "return"}
    assert not [row for row in rows if list(missing(orjson.loads(orjson.dumps(row))))]
    for number in numbers(report):
        assert isfinite(number)


def numbers(value: Any) -> Iterator[float]:
    """All numbers of a report."""
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from numbers(part)
    elif isinstance(value, int | float):
        yield float(value)
