"""What is remembered of a forecast: it is never another one than would be made anew."""

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from stream.models.promotions import Promotion, Promotions
from stream.models.rhythm import Rhythm
from stream.products.row import UNITS, VIEWS, ProductRow
from stream.products.scoring import score
from stream.products.serving import Serving
from stream.units import DAY, HOUR, MINUTE

BEGIN = 1_700_000_000_000 // DAY * DAY
SALE = Promotion("sale", BEGIN + 5 * HOUR, BEGIN + 8 * HOUR + 7 * MINUTE, 0.5)

things = st.sampled_from(["view", "sell", "refund", "price", "category", "sell out", "models"])
happenings = st.lists(st.tuples(things, st.integers(0, 90 * MINUTE)), min_size=1, max_size=30)


def announced(*promotions: Promotion) -> Serving:
    """Models that have learned nothing, and a calendar."""
    calendar = Promotions()
    for promotion in promotions:
        calendar.announce(promotion)
    return replace(Serving(), promotions=calendar)


def document(row: ProductRow, serving: Serving, time: int) -> dict[str, Any]:
    """What is published of a row."""
    return score(row, serving, time, HOUR, {"product": "p"})


@settings(max_examples=100, deadline=None)
@given(happenings)
def test_a_remembered_forecast_is_the_one_that_would_be_made_anew(
    happened: list[tuple[str, int]],
) -> None:
    """Whatever happens to a product, a row that remembers says what one without memory says."""
    row, serving, time = ProductRow(), announced(), BEGIN
    for thing, later in happened:
        time += later
        match thing:
            case "view":
                row.totals[VIEWS] += 1
                row.count(VIEWS, time, 1.0)
            case "sell" | "refund":
                units = 2.0 if thing == "sell" else -1.0
                row.count(UNITS, time, units)
                row.sell(units, time, HOUR, 1.0, serving.promotions.course("p", row.category))
            case "price":
                row.hear(None, 5.0 + time % 7)
            case "category":
                row.hear(f"c{time % 3}", None)
            case "sell out":
                bucket = time // HOUR
                row.sell_out(bucket, bucket + 1, HOUR, serving.rhythm)
            case _:
                serving = announced(SALE)
        fresh = ProductRow.decode("p", row.encode())
        assert document(row, serving, time) == document(fresh, serving, time)


def test_a_view_leaves_the_forecast_alone() -> None:
    """Within a minute nobody forecasts anew because somebody has looked."""
    row, serving = ProductRow(), announced()
    row.sell(1.0, BEGIN, HOUR, 1.0)
    document(row, serving, BEGIN)
    before = row.foreseen
    row.count(VIEWS, BEGIN + 1, 1.0)
    document(row, serving, BEGIN + 1)
    assert before is not None
    assert row.foreseen is before


def test_models_that_forecast_alike_leave_the_forecast_alone() -> None:
    """A new version that has learned of conversions only is no reason to forecast anew."""
    row, serving = ProductRow(), announced(SALE)
    row.sell(1.0, BEGIN, HOUR, 1.0)
    document(row, serving, BEGIN)
    before = row.foreseen
    state = {**serving.state(), "category_prices": {"mugs": 1.0}}
    document(row, Serving.restored(2, state, serving), BEGIN)
    assert before is not None
    assert row.foreseen is before
    state["rhythm"] = Rhythm(hours=(2.0,) * 12 + (0.0,) * 12).state()
    document(row, Serving.restored(3, state, serving), BEGIN)
    assert row.foreseen is not before
