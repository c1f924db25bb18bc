"""How much promotions lift sales: of a product, and of the shop as a whole."""

from typing import NamedTuple

RESPONSE_PRIOR = 5.0
"""Units of a product for which the shop's response to promotions is believed in."""
LEAST_RESPONSE, MOST_RESPONSE = -0.9, 15.0
"""A promotion of strength 1 takes at most nine tenths of the sales, or makes 16 times as much."""
RESPONSE_WEIGHT = 20.0
"""Units beyond which more units make an observation no surer."""
LEAST_RISE, MOST_RISE = -1.0, 4.0
"""One week teaches the shop between no sales at all and five times the usual ones."""
SHOP_PRIOR = 100.0
"""Squared strengths, weighted by units, for which promotions are believed to do nothing at all."""
SHOP_KEPT = 0.9999
"""What an observation of the shop's is worth after the next one."""


class Trial(NamedTuple):
    """What a product has lived through of promotions; all of it faded alike.

    Attributes:
        units: Sold.
        promoted: Sold, times the strength of promotions at the moment of the sale.
        days: Lived through.
        exposed: Days times strength.
        squared: Days times strength squared.
    """

    units: float
    promoted: float
    days: float
    exposed: float
    squared: float


def responded(trial: Trial, usual: float) -> float:
    """Share by which a promotion of strength 1 lifts the sales of a product.

    With a base that sells b a day and b (1 + r s) at the strength s, the units come to
    b (days + r exposed), the promoted ones to b (exposed + r squared): their ratio gives r.
    The shop's response is believed in as if some units had been sold by it, in days of which
    promotions of strength 1 filled half.

    Args:
        trial: See there.
        usual: Response in the shop.

    >>> round(responded(Trial(1_500.0, 1_000.0, 1_000.0, 500.0, 500.0), usual=0.2), 2)
    1.0
    """
    units, promoted, days, exposed, squared = trial
    reach = days + usual * exposed
    if reach <= 0.0 or units <= 0.0:
        return usual
    base = units / reach
    believed = RESPONSE_PRIOR / (base * (1.0 + usual / 2.0))
    share = promoted + base * believed * (1.0 + usual) / 2.0
    share /= units + RESPONSE_PRIOR
    days, exposed, squared = days + believed, exposed + believed / 2.0, squared + believed / 2.0
    room = squared - share * exposed
    if room <= 0.0:
        return MOST_RESPONSE
    return max(LEAST_RESPONSE, min(MOST_RESPONSE, (share * days - exposed) / room))


def observed(strength: float, sold: float, expected: float) -> tuple[float, float]:
    """What a span tells of the response to promotions: two sums of a regression through 0.

    Args:
        strength: Mean strength of promotions in the span.
        sold: Units in the span.
        expected: Units by the level, without promotion. Not negative.

    Returns:
        Strength times rise, and strength squared, both weighted. Their ratio is the response.
    """
    weight = min(expected + 1.0, RESPONSE_WEIGHT)
    rise = max(LEAST_RISE, min(MOST_RISE, (sold - expected) / (expected + 1.0)))
    return weight * strength * rise, weight * strength * strength


class ShopResponse:
    """Share by which a promotion of strength 1 usually lifts sales, from all products together.

    Attributes:
        rises: Sum of what `observed` says of strength times rise.
        tried: The same of strength squared.
    """

    def __init__(self, rises: float = 0.0, tried: float = SHOP_PRIOR) -> None:
        self.rises = rises
        self.tried = tried

    def learn(self, strength: float, sold: float, expected: float) -> None:
        """Take note of a span; see `observed`."""
        if strength:
            risen, tried = observed(strength, sold, expected)
            self.rises = self.rises * SHOP_KEPT + risen
            self.tried = self.tried * SHOP_KEPT + tried

    @property
    def share(self) -> float:
        """See above."""
        return self.rises / self.tried
