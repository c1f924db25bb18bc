"""Demand and what is about to rise: what the forecasters say, survive and keep."""

from collections.abc import Callable
from math import inf, isfinite, nan, sqrt
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import BadSnapshot
from stream.models.bands import Bands
from stream.models.least_squares import FadingLeastSquares
from stream.models.levels import WIDTH, Levels
from stream.models.promotions import Course, Promotion, Promotions
from stream.models.rhythm import Rhythm, RhythmCounts, weekday
from stream.models.rising import RISING, RisingClassifier, rising_features, threshold
from stream.models.stacking import CANDIDATES, Ahead, Outlook, Stack, Stacked
from stream.units import DAY, HOUR

WEEK = 7 * DAY
SALES = st.lists(
    st.tuples(st.integers(0, 400), st.integers(-50, 10_000).filter(bool)), min_size=1, max_size=40
)


def seeded(seed: int) -> Random:
    """Draw the same at each run."""
    return Random(seed)


def sold(sales: list[tuple[int, int]], length: int = DAY) -> Levels:
    """Sell so many units in those buckets, one after the other."""
    levels = Levels()
    for bucket, quantity in sales:
        levels.sell(float(quantity), bucket=bucket, length=length)
    return levels


def steadily(units: float, days: int) -> Levels:
    """Sell the same each day, in lines of one."""
    levels = Levels()
    for day in range(days):
        for _ in range(round(units)):
            levels.sell(1.0, bucket=day, length=DAY)
    return levels


def outlook(levels: Levels, day: int, served: Stacked | None = None) -> Outlook:
    """Forecast the next seven days."""
    served = served or Stacked()
    return served.outlook(Ahead(levels.paces(day, DAY, Rhythm()), 7.0, WEEK))


def kept(thing: Any) -> Any:
    """Put a state through a snapshot's JSON."""
    return orjson.loads(orjson.dumps(thing))


# -- levels ------------------------------------------------------------------------------------


@given(SALES, st.integers(0, 2_000))
def test_paces_are_finite_and_never_below_zero(sales: list[tuple[int, int]], later: int) -> None:
    """Whatever is sold or taken back, early or late, no pace is negative, infinite or NaN."""
    levels = sold(sales)
    paces = levels.paces(401 + later, DAY, Rhythm())
    numbers = (*paces.units, *paces.lines, paces.bulk, paces.age)
    assert all(isfinite(number) and number >= 0.0 for number in numbers)
    forecast = outlook(levels, 401 + later)
    assert 0.0 <= forecast.expected <= forecast.mean < inf


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 5)), min_size=1), st.randoms())
def test_small_lines_may_come_in_any_order(sales: list[tuple[int, int]], random: Random) -> None:
    """Late order lines lead to the same paces as punctual ones."""
    shuffled = list(sales)
    random.shuffle(shuffled)
    first, second = (sold(s).paces(61, DAY, Rhythm()) for s in (sales, shuffled))
    assert first.units == pytest.approx(second.units)
    assert first.lines == pytest.approx(second.lines)


def test_a_refund_takes_back_what_was_sold() -> None:
    """A product whose only line was refunded sells nothing."""
    levels = sold([(0, 5), (0, -5)])
    assert outlook(levels, 7).candidates[:3] == pytest.approx((0.0, 0.0, 0.0))


def test_a_bulk_order_is_no_rise() -> None:
    """An order of 5,000 among lines of one moves the middle little, and the mean by its share."""
    usual, bulky = steadily(10.0, 200), steadily(10.0, 200)
    bulky.sell(5_000.0, bucket=199, length=DAY)
    assert outlook(bulky, 200).expected < 1.1 * outlook(usual, 200).expected
    assert outlook(bulky, 200).mean > outlook(usual, 200).mean + 50.0


def test_a_fast_level_follows_a_rise_sooner() -> None:
    """After a month at twice the pace, the shorter a level remembers, the higher it stands."""
    levels = steadily(5.0, 200)
    for day in range(200, 228):
        for _ in range(10):
            levels.sell(1.0, bucket=day, length=DAY)
    units = levels.paces(228, DAY, Rhythm()).units
    assert list(units) == sorted(units, reverse=True)


def test_a_young_product_is_not_taken_for_a_slow_one() -> None:
    """The pace counts the days lived through, not those that a level could remember."""
    assert steadily(4.0, 10).paces(10, DAY, Rhythm()).units == pytest.approx([4.0] * 5, rel=0.02)


def test_hours_and_days_tell_the_same() -> None:
    """The length of a bucket changes the pace by little."""
    hourly, daily = Levels(), Levels()
    for hour in range(24 * 90):
        hourly.sell(1.0, bucket=hour, length=HOUR)
        daily.sell(1.0, bucket=hour // 24, length=DAY)
    hours = hourly.paces(24 * 90, HOUR, Rhythm()).units
    assert hours == pytest.approx(daily.paces(90, DAY, Rhythm()).units, rel=0.01)


def test_a_sold_out_week_lowers_no_level() -> None:
    """What could not be sold counts as what would have been."""
    full, censored, empty = (steadily(4.0, 100) for _ in range(3))
    for day in range(100, 107):
        for _ in range(4):
            full.sell(1.0, bucket=day, length=DAY)
        censored.sold_out(4.0, bucket=day, length=DAY)
    paces = [levels.paces(107, DAY, Rhythm()).units for levels in (full, censored, empty)]
    assert paces[1] == pytest.approx(paces[0])
    assert paces[2][1] < 0.7 * paces[0][1]


@given(SALES)
def test_levels_are_all_in_their_state(sales: list[tuple[int, int]]) -> None:
    """What is stored of a product is enough to go on, in few numbers."""
    levels = sold(sales)
    again = Levels.restored(kept(levels.state))
    for each in (levels, again):
        each.sell(3.0, bucket=401, length=DAY)
    assert again.state == levels.state
    assert len(again.state) == WIDTH < 60


def promoted(course: Course, times: float, days: int = 200) -> Levels:
    """Sell ten a day, and so many times as much at the strength 1 of promotions."""
    levels = Levels()
    for day in range(days):
        strength = course.at(day * DAY)
        units = round(10.0 * (1.0 + strength * (times - 1.0)))
        for _ in range(units):
            levels.sell(1.0, bucket=day, length=DAY, strength=strength, course=course)
    return levels


def weeks(*numbers: int, discount: float | None = None) -> Course:
    """Promotions that last these weeks."""
    return Course(Promotion(str(n), n * WEEK, (n + 1) * WEEK, discount) for n in numbers)


def test_a_product_learns_its_own_response() -> None:
    """Of two products, the one that promotions lift is believed to be lifted again."""
    course = weeks(3, 8, 9, 15, 20)
    lifted, unmoved, new = promoted(course, 3.0), promoted(course, 1.0), Levels()
    rhythm, usual = Rhythm(), 0.8
    assert lifted.paces(200, DAY, rhythm, course, usual).response == pytest.approx(2.0, abs=0.1)
    assert unmoved.paces(200, DAY, rhythm, course, usual).response == pytest.approx(0.0, abs=0.1)
    assert new.paces(200, DAY, rhythm, course, usual).response == usual


@pytest.mark.parametrize("discount", [None, 0.2])
@pytest.mark.parametrize("last", [(), (27,), (26, 27), (24, 26, 27)])
def test_a_promotion_that_is_over_leaves_the_level_as_it_was(
    last: tuple[int, ...], discount: float | None
) -> None:
    """What is sold in promotions is put down to them, however many of late, however strong."""
    course = weeks(3, 8, 9, 15, *last, discount=discount)
    levels = promoted(course, 3.0, days=28 * 7)
    paces = levels.paces(28 * 7, DAY, Rhythm(), course, 0.8)
    assert paces.units == pytest.approx([10.0] * 5, rel=0.12)
    assert paces.lines == pytest.approx([10.0] * 4, rel=0.12)


def test_what_is_announced_while_a_day_lasts_counts_in_it() -> None:
    """Promotions of a day that are announced at noon are known when it is over."""
    levels, known = Levels(), Course()
    for day in range(100):
        promotions = [
            Promotion(str(d), d * DAY + DAY // 2, (d + 1) * DAY) for d in range(0, day, 5)
        ]
        before, after = Course(promotions), Course([*promotions, *announced_at_noon(day)])
        for hour, course in ((6, before), (18, after)):
            strength = course.at(day * DAY + hour * HOUR)
            for _ in range(5 * round(1.0 + 2.0 * strength)):
                levels.sell(1.0, bucket=day, length=DAY, strength=strength, course=course)
        known = after
    paces = levels.paces(100, DAY, Rhythm(), known, 0.5)
    assert paces.response == pytest.approx(2.0, abs=0.2)
    assert paces.units[2] == pytest.approx(10.0, rel=0.1)


def announced_at_noon(day: int) -> list[Promotion]:
    """Every fifth day, a promotion of its afternoon."""
    span = day * DAY + DAY // 2, (day + 1) * DAY
    return [] if day % 5 else [Promotion(str(day), *span)]


def test_what_is_always_promoted_tells_nothing_of_promotions() -> None:
    """The shop's response is believed in then, and the level is what it sells in them."""
    course = Course([Promotion("always", -DAY, 1_000 * DAY)])
    paces = promoted(course, 2.0).paces(200, DAY, Rhythm(), course, 0.5)
    assert paces.response == pytest.approx(0.5, abs=0.05)
    assert paces.units[2] * (1.0 + paces.response) == pytest.approx(20.0, rel=0.05)


@given(SALES, st.lists(st.tuples(st.integers(-20, 500), st.integers(1, 90)), max_size=6))
def test_whatever_is_promoted_paces_are_finite(
    sales: list[tuple[int, int]], spans: list[tuple[int, int]]
) -> None:
    """Promotions that overlap, that nothing was sold in, or that all was sold in."""
    course = Course(Promotion(str(n), a * DAY, (a + d) * DAY) for n, (a, d) in enumerate(spans))
    levels = Levels()
    for bucket, units in sales:
        strength = course.at(bucket * DAY)
        levels.sell(float(units), bucket=bucket, length=DAY, strength=strength, course=course)
    paces = levels.paces(401, DAY, Rhythm(), course, 0.5)
    numbers = (*paces.units, *paces.lines, paces.bulk)
    assert all(isfinite(number) and number >= 0.0 for number in numbers)
    lift = paces.response * course.strength(401, WEEK)
    made = Stacked().outlook(Ahead(paces, 7.0, WEEK, promotion=lift))
    assert 0.0 <= made.expected <= made.mean < inf


# -- rhythm ------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 3 * WEEK), st.integers(-3, 9)), max_size=60))
def test_a_week_is_seven_usual_days(lines: list[tuple[int, int]]) -> None:
    """However a shop sells, its week has seven usual days, and no span has fewer than none."""
    counts = RhythmCounts()
    for time, amount in lines:
        counts.add(time, float(amount))
    rhythm = RhythmCounts.restored(kept(counts.state())).rhythm()
    assert rhythm == counts.rhythm()
    assert rhythm.usual_days(5 * HOUR, WEEK) == pytest.approx(7.0, abs=1e-2)
    assert all(rhythm.usual_days(at * HOUR, HOUR) >= 0.0 for at in range(168))
    assert Rhythm.restored(kept(rhythm.state())) == rhythm


def test_a_closed_day_is_no_fall() -> None:
    """In a shop that is closed on Sundays, a level stands on Monday as it stood on Saturday."""
    counts, levels = RhythmCounts(), Levels()
    sunday = next(day for day in range(133, 140) if weekday(day * DAY) == 6)
    for day in range(sunday):
        if weekday(day * DAY) != 6:
            for hour in range(9, 17):
                counts.add(day * DAY + hour * HOUR, 5.0)
            levels.sell(5.0, bucket=day, length=DAY)
    rhythm = counts.rhythm()
    before, after = (levels.paces(day, DAY, rhythm).units[0] for day in (sunday, sunday + 1))
    assert after == pytest.approx(before, rel=0.05)


# -- least squares -----------------------------------------------------------------------------


def law(half_life: float = 100.0) -> FadingLeastSquares:
    """Begin a law of two features."""
    return FadingLeastSquares(("a", "b"), half_life=half_life, prior=(0.0, 0.0), strength=1e-3)


@given(st.lists(st.lists(st.one_of(st.floats(), st.just(nan)), min_size=5, max_size=5)))
def test_hostile_examples_leave_finite_weights(rows: list[list[float]]) -> None:
    """NaN and infinity teach nothing, and great numbers do no lasting harm to finiteness."""
    tame = law()
    for a, b, y, weight, time in rows:
        bounded = [max(-1e6, min(1e6, v)) if isfinite(v) else v for v in (a, b, y, weight, time)]
        tame.learn(bounded[:2], bounded[2], weight=bounded[3], time=bounded[4])
    assert all(map(isfinite, tame.weights()))


def test_an_old_law_is_forgotten() -> None:
    """After some half-lives under another law, that one is believed."""
    random, changing = seeded(1), law()
    for step in range(2_000):
        a, b = random.gauss(0, 1), random.gauss(0, 1)
        slope = 2.0 if step < 1_000 else -1.0
        changing.learn([a, b], slope * a + b, weight=1.0, time=float(step))
    assert changing.weights() == pytest.approx([-1.0, 1.0], abs=0.05)


def test_ages_pass_without_harm() -> None:
    """Over thousands of half-lives no sum overflows, and the law stays known."""
    random, old = seeded(2), law(half_life=1.0)
    for step in range(5_000):
        a, b = random.gauss(0, 1), random.gauss(0, 1)
        old.learn([a, b], a - b, weight=1.0, time=float(step))
    assert all(map(isfinite, old.weights()))


# -- bands -------------------------------------------------------------------------------------


@given(st.lists(st.tuples(*[st.floats(-1e9, 1e9)] * 3), max_size=50), st.floats(0.0, 1e6))
def test_quantiles_are_in_order(errors: list[tuple[float, float, float]], expected: float) -> None:
    """Whatever came, p10 ≤ p50 ≤ p90, none below zero, and a chance lies between 0 and 1."""
    bands = Bands()
    for day, forecast, units in errors:
        bands.learn(day, forecast, units)
    low, middle, high = bands.quantiles(expected)
    assert 0.0 <= low <= middle <= high < inf
    assert 0.0 < bands.chance(expected, 3.0) < 1.0


@pytest.mark.parametrize("expected", [2.0, 20.0, 300.0])
def test_bands_cover_what_they_should(expected: float) -> None:
    """Of demand that comes in lumps, 80 of 100 lie between p10 and p90."""
    random, bands, within = seeded(3), Bands(), 0
    for day in range(4_000):
        units = float(round(random.expovariate(1.0 / expected)))
        low, _, high = bands.quantiles(expected)
        within += day >= 2_000 and low <= units <= high
        bands.learn(day / 40.0, expected, units)
    # Where none at all is likely, no band of whole units can be narrower.
    assert 0.76 <= within / 2_000 <= (0.92 if expected < 10.0 else 0.84)


def test_a_chance_fits_the_quantiles() -> None:
    """What half of the forecasts stay under is reached by the other half."""
    random, bands = seeded(4), Bands()
    for day in range(1_000):
        bands.learn(day / 10.0, 50.0, float(round(random.expovariate(1 / 50.0))))
    middle = bands.quantiles(50.0)[1]
    assert bands.chance(50.0, middle + 0.5) == pytest.approx(0.5, abs=0.02)


# -- promotions --------------------------------------------------------------------------------


def test_a_promotion_reaches_what_it_names() -> None:
    """One of a product, of a category, and of the shop add up where all three hold."""
    calendar = Promotions()
    calendar.announce(Promotion("p", 0, DAY, 0.25, product="mug"))
    calendar.announce(Promotion("c", 0, DAY, 0.25, category="mugs"))
    calendar.announce(Promotion("s", 0, DAY, 0.25))
    assert calendar.strength("mug", "mugs", 0, DAY) == pytest.approx(1.5)
    assert calendar.strength("cup", "mugs", 0, DAY) == pytest.approx(1.0)
    assert calendar.strength("pan", "pans", 0, 2 * DAY) == pytest.approx(0.25)


def test_promotions_that_overlap_add_up_while_they_do() -> None:
    """And nothing is left of any when they are over."""
    calendar = Promotions()
    for n, (start, end) in enumerate(((0, 7), (3, 10), (3, 5))):
        calendar.announce(Promotion(str(n), start * DAY, end * DAY, 0.1 * (n + 1), "mug"))
    course = calendar.course("mug", None)
    days = [course.at(day * DAY) for day in (-1, 0, 3, 5, 7, 10)]
    one, two, three = (sqrt(share) for share in (0.1, 0.2, 0.3))
    assert days == pytest.approx([0.0, one, one + two + three, one + two, two, 0.0])
    assert days[0] == days[-1] == 0.0
    assert course.strength(-7 * DAY, 21 * DAY) == pytest.approx(
        (7 * one + 7 * two + 2 * three) / 21
    )


def test_exposure_fades_as_what_is_sold_does() -> None:
    """A day of strength 1 right before a moment is nearly a day; one a half-life ago, half."""
    course = Course([Promotion("p", 0, DAY)])
    (short, long), squared = course.faded(-DAY, 30 * DAY, 10.5 * DAY, (10.0, 1e6))
    assert short == pytest.approx(0.5, rel=0.001)
    assert long == pytest.approx(1.0, rel=0.001)
    assert squared == long


def test_the_latest_word_on_a_promotion_holds() -> None:
    """Told again, it is moved; with no time left, it is withdrawn; after long, it is forgotten."""
    calendar = Promotions()
    calendar.announce(Promotion("sale", 0, DAY, product="mug"))
    calendar.announce(Promotion("sale", DAY, 2 * DAY, product="cup"))
    assert calendar.strength("mug", None, 0, DAY) == 0.0
    again = Promotions.restored(kept(calendar.state()))
    assert again.all() == calendar.all()
    calendar.announce(Promotion("sale", DAY, DAY))
    assert not calendar.all()
    again.prune(1_000 * DAY)
    assert not again.all()


# -- stack -------------------------------------------------------------------------------------


def learned(days: int, seed: int, promoted: Callable[[int], float]) -> Stack:
    """Learn day by day from a shop of twenty products that promotions lift by half."""
    random, stack = seeded(seed), Stack(WEEK)
    shop = [Levels() for _ in range(20)]
    paces = [random.lognormvariate(1.5, 0.8) for _ in shop]
    history: list[list[float]] = [[] for _ in shop]
    outlooks: list[list[Outlook]] = []
    served = Stacked()
    for day in range(days):
        served = stack.frozen() if day % 7 == 0 else served
        outlooks.append(
            [
                served.outlook(
                    Ahead(levels.paces(day, DAY, Rhythm()), 7.0, WEEK, promotion=promoted(day))
                )
                for levels in shop
            ]
        )
        if day >= 7:
            for made, sales in zip(outlooks[day - 7], history, strict=True):
                stack.learn(float(day - 7), made, sum(sales[-7:]))
        for levels, pace, sales in zip(shop, paces, history, strict=True):
            units = float(min(60, int(random.expovariate(1.0 / pace))))
            sales.append(units)
            if units:
                levels.sell(units, bucket=day, length=DAY)
    return stack


def test_the_mean_adds_up() -> None:
    """In a steady shop, what is forecast on the mean is what comes, within 5 %."""
    stack = learned(200, seed=5, promoted=lambda _: 0.0)
    served, random = stack.frozen(), seeded(6)
    forecast = came = 0.0
    for pace in (2.0, 5.0, 20.0):
        levels = Levels()
        for day in range(400):
            units = random.expovariate(1.0 / pace)
            levels.sell(units, bucket=day, length=DAY)
            if day % 7 == 0 and day >= 150:
                forecast += outlook(levels, day + 1, served).mean
            came += units if day > 150 else 0.0
    assert forecast == pytest.approx(came, rel=0.08)


def test_a_stack_goes_on_from_its_state() -> None:
    """Kept and read again, it learns on as if it had never stopped, and serves the same."""
    stack = learned(60, seed=7, promoted=lambda day: float(day % 14 == 0))
    again = Stack.restored(kept(stack.state()))
    made = outlook(steadily(5.0, 30), 30, stack.frozen())
    for each in (stack, again):
        each.learn(61.0, made, 44.0)
        each.respond(0.5, 44.0, 30.0)
    assert again.state() == stack.state()
    served = Stacked.restored(kept(stack.frozen().state()))
    assert outlook(steadily(5.0, 30), 30, served) == outlook(steadily(5.0, 30), 30, again.frozen())


@given(st.lists(st.floats(), min_size=len(CANDIDATES), max_size=len(CANDIDATES)), st.floats())
def test_a_hostile_horizon_teaches_nothing_harmful(x: list[float], units: float) -> None:
    """No candidate and no sale, however wild, leads to weights or forecasts that are not finite."""
    stack = Stack(WEEK)
    bounded = [max(-1e9, min(1e9, value)) for value in x]
    stack.learn(1.0, Outlook(tuple(bounded), 1.0, 1.0, 2.0), min(units, 1e9))
    forecast = outlook(steadily(5.0, 30), 30, stack.frozen())
    assert isfinite(forecast.mean)
    assert forecast.expected >= 0.0


def test_what_never_sells_is_expected_to_sell_nothing() -> None:
    """Units are whole: a band about none that begins at a hundredth of one would miss it."""
    bands = Bands()
    for day in range(200):
        bands.learn(float(day), 0.02, 0.0)
    assert bands.quantiles(0.02) == (0.0, 0.0, 0.0)


# -- rising ------------------------------------------------------------------------------------


def features_of(levels: Levels, last: float) -> list[float]:
    """Number what is known of a product after a hundred days."""
    paces = levels.paces(100, DAY, Rhythm())
    made = Stacked().outlook(Ahead(paces, 7.0, WEEK))
    return rising_features(
        made,
        Bands(),
        paces,
        last=last,
        before=last,
        least=threshold(last, 1.5, 3.0),
        price_move=0.0,
        promotion=0.0,
    )


def test_after_a_poor_week_a_rise_is_likelier() -> None:
    """Before any label, it is the bands of demand that tell."""
    classifier, levels = RisingClassifier(), steadily(4.0, 100)
    poor, good = (classifier.value(features_of(levels, last)) for last in (5.0, 60.0))
    assert poor > good
    assert classifier.frozen().value(features_of(levels, 5.0)) == pytest.approx(poor)


def test_a_law_is_found() -> None:
    """From labels drawn by a law, the weights of that law are learned, and serve as they are."""
    random = seeded(8)
    classifier = RisingClassifier(("a", "b"), (0.0, 0.0))
    for step in range(20_000):
        a, b = random.gauss(1.0, 1.0), random.gauss(0.0, 2.0)
        chance = 1.0 / (1.0 + 2.718281828 ** (1.5 - a + 0.5 * b))
        classifier.learn(step / 1_000.0, [a, b], random.random() < chance)
    frozen = classifier.frozen()
    assert frozen.value([1.0, 0.0]) == pytest.approx(-0.5, abs=0.1)
    assert frozen.value([2.0, 0.0]) - frozen.value([1.0, 0.0]) == pytest.approx(1.0, abs=0.1)
    assert sum(frozen.contributions([2.0, 3.0])) + frozen.intercept == pytest.approx(
        classifier.value([2.0, 3.0]), abs=0.05
    )


@given(
    st.lists(
        st.lists(st.one_of(st.none(), st.floats()), min_size=len(RISING), max_size=len(RISING)),
        max_size=20,
    ),
    st.booleans(),
)
def test_hostile_features_leave_finite_odds(rows: list[list[float | None]], label: bool) -> None:  # noqa: FBT001 (drawn)
    """Whatever is learned, an answer is a number."""
    classifier = RisingClassifier()
    for day, row in enumerate(rows):
        classifier.learn(float(day), row, label)
    missing: list[float | None] = [None] * len(RISING)
    for row in [missing, *rows]:
        assert isfinite(classifier.value(row))
        assert isfinite(classifier.frozen().value(row))


def test_a_classifier_goes_on_from_its_state() -> None:
    """Kept and read again, it learns on as if it had never stopped."""
    classifier, levels = RisingClassifier(), steadily(4.0, 100)
    for day in range(50):
        classifier.learn(float(day), features_of(levels, float(day)), day % 3 == 0)
    again = RisingClassifier.restored(kept(classifier.state()))
    for each in (classifier, again):
        each.learn(51.0, features_of(levels, 9.0), True)
    assert again.state() == classifier.state()


@pytest.mark.parametrize(
    "read",
    [
        Bands.restored,
        FadingLeastSquares.restored,
        RhythmCounts.restored,
        RisingClassifier.restored,
        Stack.restored,
        Stacked.restored,
        Levels.restored,
        Rhythm.restored,
    ],
)
def test_what_is_no_state_is_refused(read: Callable[[Any], object]) -> None:
    """A state that lacks something is told by name, and is no crash."""
    with pytest.raises(BadSnapshot):
        read({"what": [1.0]})
