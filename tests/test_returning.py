"""Return: features know nothing of what comes later; the label is the horizon's."""

from hypothesis import given
from hypothesis import strategies as st

from stream.customers.returning import HORIZON, RETURN_NAMES, came_back, return_features
from stream.customers.row import CustomerRow
from stream.units import DAY

times = st.lists(st.integers(0, 400), max_size=20)


def customer(days: list[int]) -> CustomerRow:
    """A customer who ordered on these days."""
    row = CustomerRow()
    row.orders = {str(n): (day * DAY, [["mug", 1, 8.0]]) for n, day in enumerate(days)}
    return row


@given(times, times)
def test_features_do_not_know_the_future(before: list[int], after: list[int]) -> None:
    """Orders at or after the moment change nothing."""
    known = customer(before)
    moment = 401 * DAY
    later = customer([*before, *[401 + day for day in after]])
    assert return_features(later, moment) == return_features(known, moment)


@given(st.lists(st.integers(1, 400), min_size=1, max_size=20))
def test_there_is_a_number_for_each_name(days: list[int]) -> None:
    """Features fit their names, also for a single order."""
    x = return_features(customer(days), 401 * DAY)
    assert x is not None
    assert len(x) == len(RETURN_NAMES)


def test_a_return_lies_within_the_horizon() -> None:
    """From the moment on, up to the horizon's end and not at it."""
    assert came_back(customer([10]), 10 * DAY)
    assert not came_back(customer([9]), 10 * DAY)
    assert not came_back(customer([10 + HORIZON // DAY]), 10 * DAY)
    assert return_features(customer([]), 10 * DAY) is None
