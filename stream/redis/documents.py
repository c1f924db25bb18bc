"""The documents of the Redis contract, as a reader sees them.

Fields that are not named here are ignored, so that a newer scorer does not break an older
reader. Times are RFC 3339 in Redis and aware datetimes here.
"""

from datetime import datetime
from typing import Annotated, NamedTuple

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from stream.units import Millis, rfc3339


def _written(moment: datetime) -> str:
    return rfc3339(Millis(round(moment.timestamp() * 1000)))


Moment = Annotated[AwareDatetime, PlainSerializer(_written, when_used="json")]


class Document(BaseModel):
    """What all documents have in common: read-only, finite, open to new fields."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", allow_inf_nan=False, use_attribute_docstrings=True
    )


class Interval(Document):
    """How many units will be sold: a middle, and the range that holds eight cases in ten."""

    mean: float | None = None
    """Units on the mean: those of many products add up to what comes. None in older documents."""

    p10: float
    """Units; one case in ten falls below."""
    p50: float
    """Units; as many cases fall below as above."""
    p90: float
    """Units; one case in ten lies above."""


class Reason(Document):
    """One thing that moves a score."""

    feature: str
    """Name of the feature, as the model knows it."""
    value: float | str | None = None
    """What the feature was."""
    effect: float
    """How far it moves the score: above 0 up, below 0 down."""
    text: str = ""
    """The same in words."""


class Evidence(Document):
    """What has been counted since the product was first seen. Exact; refunds are taken back."""

    views: int = 0
    """Times that it was looked at or selected from a list."""
    carts: int = 0
    """Times that it was put into a cart."""
    wishes: int = 0
    """Times that it was put on a wish list."""
    orders: int = 0
    """Order lines."""
    units: int = 0
    """Pieces sold."""


class Assessment(Document):
    """What is expected of a product or a category."""

    score: float
    """Potential: the probability that demand is about to rise. 0 to 1."""
    interval: tuple[float, float] | None = None
    """Where the score lies in eight cases of ten; wide where evidence is thin."""
    conversion: float
    """The probability that a click that comes now leads to an order, calibrated. 0 to 1."""
    demand: dict[str, Interval] = Field(default_factory=dict)
    """Expected sales by horizon: `1h`, `1d`, `7d`. Units in all of the horizon."""
    trend: float = 1.0
    """Views of the last day against the week's pace: 1.0 is steady, 2.0 is twice as many."""
    reasons: tuple[Reason, ...] = ()
    """What moves the score most, largest effect first."""
    evidence: Evidence = Evidence()
    """What the score rests on."""
    as_of: Moment
    """Event time up to which everything has been counted."""
    model: str
    """Name and version of the model that scored."""
    cold: bool = False
    """Little has been seen yet: under 20 views, or known for less than an hour."""


class Score(Assessment):
    """What is expected of a product. Key `score:<product>`."""

    product: str
    """Id of the product."""
    category: str | None = None
    """Id of its category, where it is known."""
    price: float | None = None
    """Last known price of one unit, in the shop's currency."""
    title: str | None = None
    """Its name in the catalogue."""
    stock: float | None = None
    """Units on hand, by the catalogue."""


class CategoryScore(Assessment):
    """What is expected of a category. Key `category:<category>`."""

    category: str
    """Id of the category."""


class Share(Document):
    """A category's part in what a customer does."""

    category: str
    """Id of the category."""
    share: float
    """0 to 1."""


class Customer(Document):
    """What is known of a customer. Key `customer:<pseudonym>`."""

    customer: str
    """Pseudonym; only who has the secret can tell whose."""
    first_seen: Moment
    """Time of the first event."""
    last_seen: Moment
    """Time of the latest event."""
    recency_days: float
    """Days between the latest event and `as_of`."""
    frequency: int
    """Orders."""
    spend: float
    """Money spent, refunds taken back, in the shop's currency."""
    events: int
    """Clicks of all kinds."""
    segment: str
    """Name of the group of customers that this one belongs to."""
    favourite_categories: tuple[Share, ...] = ()
    """Largest share first."""
    return_probability: float | None = None
    """The probability of another order within 28 days. 0 to 1; without an order yet: null."""
    last_order: Moment | None = None
    """Time of the latest order; none yet: null."""
    as_of: Moment
    """Event time up to which everything has been counted."""


def _none_if_empty(text: object) -> object:
    return None if text == "" else text


class ScoreChange(Document):
    """A score that has changed. Entry of the stream `stream:scores`."""

    id: str
    """The entry's id. Watch on from here with `since=id`."""
    product: str
    """Id of the product."""
    score: float
    """What it is now. 0 to 1."""
    previous: Annotated[float | None, BeforeValidator(_none_if_empty)] = None
    """What it was before; null for a product's first score."""
    as_of: Moment
    """Event time of the change."""


class Ranked(NamedTuple):
    """A product's place in a ranking."""

    product: str
    score: float
    """0 to 1."""


class RankedCategory(NamedTuple):
    """A category's place in the ranking."""

    category: str
    score: float
    """0 to 1."""


class Candidate(NamedTuple):
    """Somebody who has shown interest in a product and has not bought it."""

    customer: str
    """Pseudonym."""
    probability: float
    """That this customer buys the product. 0 to 1."""


class Similar(NamedTuple):
    """A product that the same customers want."""

    product: str
    cosine: float
    """1 if the customers are the same, 0 if there is none in common."""
