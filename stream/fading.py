"""Counts that fade: what happened long ago weighs less."""

from stream.units import Millis


def fade(total: float, age: int, half_life: Millis) -> float:
    """Worth of a count after some time.

    Faded counts of events that arrive in any order add up to the same total,
    which is why they are used instead of windows.

    Args:
        total: The count as it stood.
        age: Time since then, ms, not negative.
        half_life: Age at which an event counts half, ms.

    Source:
        Cormode et al., "Forward Decay", ICDE 2009, section 3.

    >>> fade(8.0, 7_200_000, half_life=Millis(3_600_000))
    2.0
    """
    return float(total * 0.5 ** (age / half_life))


def fold(total: float, at: int, amount: float, time: int, half_life: Millis) -> tuple[float, int]:
    """Add what happened at `time` to a faded count that stands at `at`.

    Returns:
        The count and the time at which it stands: the later of the two.

    >>> fold(1.0, 3_600_000, 1.0, 0, Millis(3_600_000))
    (1.5, 3600000)
    """
    if time >= at:
        return fade(total, time - at, half_life) + amount, time
    return total + fade(amount, at - time, half_life), at
