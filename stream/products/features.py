"""What is known of a product at a moment, as numbers, and what each number means in words."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import cos, exp, log, log1p, pi, sin
from typing import NamedTuple

from stream.customers.known import Known
from stream.products.row import ProductRow
from stream.units import DAY, HOUR, MINUTE


class Feature(NamedTuple):
    """A number that the models see, and the sentence that explains it to a shop manager."""

    name: str
    text: Callable[[float], str]


def _times(ratio_log: float) -> str:
    return f"{exp(ratio_log):.1f}"


FEATURES = (
    Feature("views_hour", lambda x: f"views in the last hour are {_times(x)} times the day's pace"),
    Feature("views_day", lambda x: f"views in the last day are {_times(x)} times the week's pace"),
    Feature("carts_hour", lambda x: f"carts in the last hour are {_times(x)} times the day's pace"),
    Feature("carts_day", lambda x: f"carts in the last day are {_times(x)} times the week's pace"),
    Feature(
        "units_hour", lambda x: f"units sold in the last hour are {_times(x)} times the day's pace"
    ),
    Feature(
        "units_day", lambda x: f"units sold in the last day are {_times(x)} times the week's pace"
    ),
    Feature(
        "wishes_day", lambda x: f"wishes in the last day are {_times(x)} times the week's pace"
    ),
    Feature("views_level", lambda x: f"about {exp(x) - 1:.0f} views a day this week"),
    Feature("units_level", lambda x: f"about {exp(x) - 1:.1f} units a day this week"),
    Feature("cart_rate", lambda x: f"{100 * exp(x):.1f} carts per 100 views this week"),
    Feature("order_rate", lambda x: f"{100 * exp(x):.1f} orders per 100 views this week"),
    Feature("units_last_1h", lambda x: f"{exp(x) - 1:.0f} units sold in the last full hour"),
    Feature("units_last_1d", lambda x: f"{exp(x) - 1:.0f} units sold in the last 24 hours"),
    Feature("units_last_7d", lambda x: f"{exp(x) - 1:.0f} units sold in the last 7 days"),
    Feature(
        "momentum_1d",
        lambda x: f"units of the last 24 hours are {_times(x)} times those of the day before",
    ),
    Feature(
        "momentum_7d",
        lambda x: f"units of the last 7 days are {_times(x)} times those of the week before",
    ),
    Feature("pace_1h", lambda x: f"the week's pace would give {exp(x) - 1:.1f} units in an hour"),
    Feature("pace_1d", lambda x: f"the week's pace would give {exp(x) - 1:.1f} units in a day"),
    Feature("pace_7d", lambda x: f"the week's pace would give {exp(x) - 1:.0f} units in 7 days"),
    Feature("age", lambda x: f"first seen {exp(x) - 1:.1f} days ago"),
    Feature("price_in_category", lambda x: f"the price is {_times(x)} times its category's mean"),
    Feature("price_move", lambda x: f"the price is {_times(x)} times what it usually is"),
    Feature("hour_sin", lambda _: "the hour of the day"),
    Feature("hour_cos", lambda _: "the hour of the day"),
    Feature("weekend", lambda x: "it is the weekend" if x else "it is a working day"),
)
NAMES = tuple(feature.name for feature in FEATURES)
TEXTS = {feature.name: feature.text for feature in FEATURES}

CLICK_NAMES = (
    "pair_views",
    "pair_carts",
    "pair_age",
    "pair_bought",
    "session_events",
    "session_minutes",
    "session_carts",
    "customer_orders",
    "customer_recency",
    "customer_rate",
    "category_share",
    "select",
    "cart",
    "wish",
    "uncart",
    "product_views",
    "product_views_trend",
    "product_carts",
    "product_orders",
    "product_cart_rate",
    "product_order_rate",
    "price",
    "price_in_category",
    "price_move",
    "hour_sin",
    "hour_cos",
    "weekend",
    "new_pair",
    "no_order",
    "no_category",
    "no_price",
)


class Rhythm(NamedTuple):
    """Where a moment lies in its day and week (UTC)."""

    hour_sin: float
    hour_cos: float
    weekend: float


@lru_cache(maxsize=1024)
def _rhythm(quarter: int) -> Rhythm:
    time = quarter * (HOUR // 4)
    angle = 2 * pi * (time % DAY) / DAY
    weekday = (time // DAY + 3) % 7  # 1970-01-01 was a Thursday
    return Rhythm(round(sin(angle), 4), round(cos(angle), 4), float(weekday >= 5))


def rhythm(time: int) -> Rhythm:
    """Where a moment lies in its day and week, to the quarter of an hour."""
    return _rhythm(time // (HOUR // 4))


def _price_features(
    row: ProductRow, category_price: float | None
) -> tuple[float | None, float | None]:
    if not row.price:
        return None, None
    in_category = log(row.price) - category_price if category_price is not None else None
    return in_category, log(row.price) - log(row.usual) if row.usual else None


def features(
    row: ProductRow, time: int, bucket: int, category_price: float | None
) -> list[float | None]:
    """Number what is known of a product at a time not before its latest event.

    Args:
        row: The product.
        time: Now, ms.
        bucket: Length of a demand bucket, ms.
        category_price: Mean logarithm of the prices in its category, where known.

    Returns:
        One number for each of `NAMES`; None where nothing is known.
    """
    faded = row.faded_at(time)
    hour, day, week = row.paces(time)
    last_hour, last_day, day_before, last_week, week_before = row.units(time // bucket, bucket)
    day_views, day_carts, day_units = day * faded[5], day * faded[6], day * faded[9]
    week_views, week_units = week * faded[10], max(0.0, week * faded[14])
    return [
        log((hour * faded[0] + 10) / (day_views + 10)),
        log((day_views + 2) / (week_views + 2)),
        log((hour * faded[1] + 2) / (day_carts + 2)),
        log((day_carts + 1) / (week * faded[11] + 1)),
        _log_ratio(hour * faded[4], day_units, 2.0),
        _log_ratio(day_units, week_units, 1.0),
        log((day * faded[7] + 0.5) / (week * faded[12] + 0.5)),
        log1p(week_views),
        log1p(week_units),
        log((faded[11] + 0.5) / (faded[10] + 20)),
        log((max(0.0, faded[13]) + 0.5) / (faded[10] + 40)),
        log1p(max(0.0, last_hour)),
        log1p(max(0.0, last_day)),
        log1p(max(0.0, last_week)),
        _log_ratio(last_day, day_before, 1.0),
        _log_ratio(last_week, week_before, 2.0),
        log1p(week_units / 24),
        log1p(week_units),
        log1p(week_units * 7),
        log1p(max(0, time - (row.listed or row.first)) / DAY),
        *_price_features(row, category_price),
        *rhythm(time),
    ]


def _log_ratio(now: float, before: float, prior: float) -> float:
    # Refunds may take back more than has not faded yet.
    return log((max(0.0, now) + prior) / (max(0.0, before) + prior))


def _customer_features(facts: Known) -> list[float | None]:
    return [
        log1p(facts.views),
        log1p(facts.carts),
        None if facts.since is None else log1p(max(0, facts.since) / HOUR),
        log1p(facts.bought),
        log1p(facts.session_events),
        log1p(max(0, facts.session_span) / MINUTE),
        log1p(facts.session_carts),
        log1p(facts.orders),
        None if facts.since_order is None else log1p(max(0, facts.since_order) / DAY),
        log((facts.lines + 0.5) / (facts.clicks + 20)),
        facts.share,
    ]


def click_features(
    known: list[float | None], kind: str, row: ProductRow, time: int, category_price: float | None
) -> list[float | None]:
    """Number what is known at a click: of the customer and the product, before it is counted.

    Returns:
        One number for each of `CLICK_NAMES`; None where nothing is known, which the last four
        also say as numbers, since not to be known says something too.
    """
    facts = Known._make(known)
    faded = row.faded_at(time)
    hour, _, week = row.paces(time)
    views, carts, orders = faded[10], faded[11], max(0.0, faded[13])
    return [
        *_customer_features(facts),
        float(kind == "select_item"),
        float(kind == "add_to_cart"),
        float(kind == "add_to_wishlist"),
        float(kind == "remove_from_cart"),
        log1p(faded[5]),
        log((hour * faded[0] + 10) / (week * views + 10)),
        log1p(faded[6]),
        log1p(orders),
        log((carts + 0.5) / (views + 20)),
        log((orders + 0.5) / (views + 40)),
        log1p(row.price) if row.price is not None else None,
        *_price_features(row, category_price),
        *rhythm(time),
        float(facts.since is None),
        float(facts.since_order is None),
        float(facts.share is None),
        float(row.price is None),
    ]


def rounded(x: Sequence[float | None]) -> list[float | None]:
    """Shorten numbers that are to be kept: four digits tell as much."""
    return [None if value is None else round(value, 4) for value in x]
