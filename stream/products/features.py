"""What is known of a product at a moment, as numbers, and what each number means in words."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import cos, exp, log, log1p, pi, sin
from typing import NamedTuple

from stream.customers.known import Known
from stream.models.linear import probability
from stream.products.row import VIEWS, ProductRow
from stream.units import DAY, HOUR, MINUTE


class Feature(NamedTuple):
    """A number that the models see, and the sentence that explains it to a shop manager."""

    name: str
    text: Callable[[float], str]


def _times(ratio_log: float) -> str:
    return f"{exp(ratio_log):.1f}"


def _units(log_units: float) -> str:
    number = round(exp(log_units) - 1)
    return "1 unit was" if number == 1 else f"{number} units were"


def _lift(x: float) -> str:
    if not x:
        return "promotions of the next 7 days are to do what those of the last 7 did"
    if x < 0:
        return f"promotions of the last 7 days are over, which takes {-100 * x:.0f} % off sales"
    return f"promotions of the next 7 days are to lift sales by {100 * x:.0f} %"


def _unusual(deviations: float) -> str:
    if not deviations:
        return "as usual"
    return f"{abs(deviations):.1f} deviations {'above' if deviations > 0 else 'below'} the usual"


FEATURES = (
    Feature(
        "chance",
        lambda x: (
            f"forecasts like this one have come to a rise in {100 * probability(x):.0f} % of cases"
        ),
    ),
    Feature("gap", lambda x: f"the forecast is {_times(x)} times what counts as a rise"),
    Feature("last", lambda x: f"{_units(x)} sold in the last 7 days"),
    Feature("before", lambda x: f"{_units(x)} sold in the 7 days before the last 7"),
    Feature("expected", lambda x: f"{exp(x) - 1:.1f} units are expected in the next 7 days"),
    Feature("lines_fresh", lambda x: f"orders of the last days are {_times(x)} times the usual"),
    Feature(
        "lines_growth",
        lambda x: f"orders of the last weeks are {_times(x)} times those of the months before",
    ),
    Feature("units_fresh", lambda x: f"units of the last days are {_times(x)} times the usual"),
    Feature("price_move", lambda x: f"the price is {_times(x)} times what it usually is"),
    Feature("promotion", _lift),
    Feature("age", lambda x: f"first sold {exp(x) - 1:.0f} days ago"),
    Feature("category_signal", lambda x: f"signals for its category are {_unusual(x)}"),
    Feature("shop_signal", lambda x: f"signals for the whole shop are {_unusual(x)}"),
    Feature("views_day", lambda x: f"views in the last day are {_times(x)} times the week's pace"),
    Feature("carts_day", lambda x: f"carts in the last day are {_times(x)} times the week's pace"),
    Feature(
        "wishes_day", lambda x: f"wishes in the last day are {_times(x)} times the week's pace"
    ),
    Feature("views_level", lambda x: f"about {exp(x) - 1:.0f} views a day this week"),
    Feature("cart_rate", lambda x: f"{100 * exp(x):.1f} carts per 100 views this week"),
    Feature("order_rate", lambda x: f"{100 * exp(x):.1f} orders per 100 views this week"),
    Feature(
        "newcomers",
        lambda x: f"{100 * x:.0f} % of this week's clicks are by customers new to the product",
    ),
    Feature("cover", lambda x: f"the stock is {_times(x)} times what the next 7 days are to sell"),
)
"""Of the potential: those of `rising_features`, then those of `interest`, then the stock."""
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


def interest(row: ProductRow, time: int) -> list[float | None]:
    """Number how much a product is looked at, at a time not before its latest event.

    Interest rises first, sales follow.

    Returns:
        One number for each of `NAMES` from `views_day` to `newcomers`. The rates are missing
        where nobody is known to have looked: a shop may send its orders alone.
    """
    faded = row.faded_at(time)
    _, day, week = row.paces(time)
    week_views = week * faded[10]
    return [
        log((day * faded[5] + 2) / (week_views + 2)),
        log((day * faded[6] + 1) / (week * faded[11] + 1)),
        log((day * faded[7] + 0.5) / (week * faded[12] + 0.5)),
        log1p(week_views),
        log((faded[11] + 0.5) / (faded[10] + 20)) if row.totals[VIEWS] else None,
        log((max(0.0, faded[13]) + 0.5) / (faded[10] + 40)) if row.totals[VIEWS] else None,
        row.new_share(time),
    ]


def cover(row: ProductRow, expected: float) -> float | None:
    """Compare the stock with what is expected to be sold; None if it is not known."""
    if row.stock is None:
        return None
    return max(-_FURTHEST, min(_FURTHEST, log((row.stock + 0.5) / (expected + 0.5))))


_FURTHEST = 4.0


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
