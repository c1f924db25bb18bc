"""What a demo plays: the simulated shop, or a recorded log, and what is known of it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import orjson

from stream.errors import Misconfigured
from stream.events.decode import Refused, decode
from stream.events.logs import BadRow, Event, read_log
from stream.events.logs import Mapping as Meaning
from stream.simulate.plan import ShopPlan
from stream.simulate.shop import Shop
from stream.units import DAY, MINUTE, Millis

DAYS_PER_SECOND = 14 / 60
"""A minute shows two weeks …"""
LONGEST = 21.0
"""… and nothing more than three."""
RATE = 2_000.0
"""Clicks and orders a second, on average over the day. At its evenings a shop has twice as many."""
MOST_RATE = 4_000
"""Events of a log for each second."""
PLAYED = 0.9
"""Share of the seconds that a log fills, so that its end is reached even if it waits a little."""
CUSTOMERS_PER_EVENT = 0.8
"""Customers of a shop for each of its events of a day."""


class Truth(NamedTuple):
    """What the simulator had in store for its products at a time."""

    taking_off: frozenset[str]
    fads: frozenset[str]


@dataclass(frozen=True)
class Source:
    """Events in order of their time, and how to play them.

    Attributes:
        events: What is sent.
        name: What it is.
        speed: How many times faster than it happened.
        products: How many there are, if it is known.
        truth: What the products were about to do; None where nobody knows.
        left_out: Rows of a log that say no event.
    """

    events: Iterable[Event]
    name: str
    speed: float
    products: int | None = None
    truth: Callable[[Millis], Truth] | None = None
    left_out: int = 0


def shop(seconds: float, products: int, seed: int, now: Millis) -> Source:
    """Make a shop whose weeks pass in seconds and end before now.

    Args:
        seconds: How long the demo is.
        products: On sale.
        seed: All that happens follows from it, and from the date.
        now: No event lies after it.
    """
    days = min(LONGEST, seconds * DAYS_PER_SECOND)
    events_per_day = RATE * seconds / days
    start = Millis((now - round(days * DAY)) // DAY * DAY)
    plan = ShopPlan(
        seed=seed,
        products=products,
        customers=max(10, round(events_per_day * CUSTOMERS_PER_EVENT)),
        start=start,
        events_per_day=events_per_day,
    )
    simulated = Shop(plan)

    def truth(at: Millis) -> Truth:
        fads = {trend.product_id for trend in simulated.trends("fad", at) if at < trend.ends}
        return Truth(frozenset(simulated.taking_off(at)), frozenset(fads))

    name = f"a simulated shop with {products:,} products, {days:.1f} of its days in {seconds:g} s"
    return Source(simulated.events(), name, days * DAY / 1000 / seconds, products, truth)


def log(path: str, meaning: Meaning, seconds: float, now: Millis) -> Source:
    """Read a log, or as much of its beginning as the seconds hold.

    Rows that a worker would refuse are left out, so that what is sent is what has to be counted.

    Raises:
        Misconfigured: There is no event in it.
    """
    most = max(1, round(MOST_RATE * seconds))
    bad: list[BadRow] = []
    said = list(islice(_good(read_log(path, meaning), bad), most))
    events = [event for event in said if _is_fit(event, now)]
    if not events:
        raise Misconfigured(f"{path} holds no event that can be read. Check --format.")
    whole = "" if len(said) < most else f"the first {most:,} events of "
    events.sort(key=lambda event: event.time)
    span = max(MINUTE, events[-1].time - events[0].time)
    left_out = len(bad) + len(said) - len(events)
    return Source(events, f"{whole}{path}", span / 1000 / (PLAYED * seconds), left_out=left_out)


def _good(rows: Iterator[Event | BadRow], bad: list[BadRow]) -> Iterator[Event]:
    for row in rows:
        if isinstance(row, Event):
            yield row
        else:
            bad.append(row)


class _Record(NamedTuple):
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


def _is_fit(event: Event, now: Millis) -> bool:
    record = _Record(0, now, None, orjson.dumps(event.value))
    return not any(isinstance(read, Refused) for _, _, read in decode(event.topic, [record], 0))
