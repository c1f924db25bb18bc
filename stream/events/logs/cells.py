"""Texts of a row to times and numbers."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from math import inf

from stream.events.decode import EARLIEST_MS
from stream.events.logs.said import LATEST_MS, UnreadableError
from stream.units import Millis


def time_reader(formats: Sequence[str]) -> Callable[[str], Millis]:
    """Make what reads times written in one of these ways."""
    readers = [_TIMES.get(name) or _strptime(name) for name in formats]

    # Rows of a log share their seconds: what was read just now is remembered.
    @lru_cache(maxsize=4096)
    def read(text: str) -> Millis:
        for reader in readers:
            try:
                time = round(reader(text))
            except (ValueError, OverflowError):
                continue
            if EARLIEST_MS <= time < LATEST_MS:
                return Millis(time)
        raise UnreadableError(
            f"The time {text!r} is not as the mapping says: {', '.join(formats)}."
        )

    return read


def _iso(text: str) -> float:
    moment = datetime.fromisoformat(text.removesuffix(" UTC"))
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000


def _strptime(codes: str) -> Callable[[str], float]:
    def read(text: str) -> float:
        moment = datetime.strptime(text, codes)  # noqa: DTZ007 (the next line sees to it)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000

    return read


def _ms(text: str) -> float:
    return float(text)


def _s(text: str) -> float:
    return float(text) * 1000


_TIMES: dict[str, Callable[[str], float]] = {"iso": _iso, "ms": _ms, "s": _s}


def price_of(text: str, per: int = 1) -> float:
    """Read the price of one unit, from what `per` of them cost."""
    try:
        price = float(text) / (per or 1)
    except ValueError:
        raise UnreadableError(f"The price {text!r} is not a number.") from None
    if not 0 <= price < inf:
        raise UnreadableError(f"The price {text!r} is not a number from 0 up.")
    return price


def whole(text: str) -> int:
    """Read a whole number; 3.0 is one.

    >>> whole("-12"), whole("3.0")
    (-12, 3)
    """
    try:
        number = float(text)
        if number.is_integer():
            return int(number)
    except ValueError:
        pass
    raise UnreadableError(f"The quantity {text!r} is not a whole number.")
