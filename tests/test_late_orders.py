"""Late orders: by a known law of delays, as many are expected as come, however short the wait.

click ── wait ──┤ negative                    a model that stops here expects the orders of
                    order, 2 h later on the mean        the wait alone: 39 % at one hour
"""

from math import exp
from random import Random

import orjson
import pytest
from making import BEGIN
from test_ensemble import NAMES, drawn

from stream.models.ensemble import Ensemble
from stream.products.ledger import Click, Label, Ledger, Sale
from stream.settings import Settings
from stream.units import DAY, HOUR, SECOND

CLICKS = 40_000
APART = 20 * SECOND
DELAY = 2 * HOUR
"""Mean of the exponential law."""
LEARNED = 15_000
"""Clicks before those that are compared."""
STREAM_WAIT = Settings(_env_file=None).wait  # type: ignore[call-arg]


def expected_over_happened(wait: int, *, late_orders: bool = True) -> float:
    """Let a shop's clicks and orders go through the ledger, and what it tells to the model.

    Args:
        wait: How long a click waits for its order, ms.
        late_orders: Are those told that come after the wait?

    Returns:
        Sum of the probabilities at the clicks over the orders that came of them.
    """
    random = Random(7)
    ledger, model = Ledger(wait, DAY, HOUR, {}), Ensemble(NAMES, prior=0.02)
    examples = drawn(CLICKS, seed=4)
    coming: list[tuple[float, int]] = []
    expected = happened = 0.0

    def learn(label: Label) -> None:
        if late_orders or not label.late:
            x, _ = examples[orjson.loads(label.click.tail)]
            model.learn(x, label.positive, late=label.late)

    for number, (x, bought) in enumerate(examples):
        now = BEGIN + number * APART
        coming.sort()
        while coming and coming[0][0] <= now:
            time, customer = coming.pop(0)
            for label in ledger.sale(Sale(int(time), f"u{customer}", "p")):
                learn(label)
        for told in ledger.pop(now, CLICKS):
            if isinstance(told, Label):
                learn(told)
        if number >= LEARNED:
            expected += model.predict(x)
            happened += bought
        ledger.click(Click(now, f"u{number}", "p", orjson.dumps(number)))
        if bought:
            coming.append((now + random.expovariate(1.0 / DELAY), number))
    return expected / happened


@pytest.mark.parametrize("wait", [STREAM_WAIT, HOUR])
def test_as_many_orders_are_expected_as_come(wait: int) -> None:
    """Within 3 %, at the default wait and at an hour's."""
    assert expected_over_happened(wait) == pytest.approx(1.0, abs=0.03)


def test_a_model_that_drops_late_orders_would_be_noticed() -> None:
    """It expects the share of orders that come within the wait: less than a half of them."""
    in_time = 1.0 - exp(-HOUR / DELAY)
    assert expected_over_happened(HOUR, late_orders=False) == pytest.approx(in_time, abs=0.05)
