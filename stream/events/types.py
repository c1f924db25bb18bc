"""The events that producers write: one description for decoding, checking and documenting.

Types use the names of GA4 ecommerce. A time is RFC 3339 text with an offset or epoch
milliseconds. Fields that are not named here are ignored.
"""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, Strict, StringConstraints, with_config
from typing_extensions import TypedDict

MAX_ID = 256
"""Longest id, in bytes of UTF-8."""
MAX_ITEMS = 1_000
MAX_QUANTITY = 1_000_000
MAX_PRICE = 1e12
"""So that no sum of money gets out of hand."""
MAX_RECORD = 1 << 20
"""Largest record value, in bytes."""

_lenient = ConfigDict(coerce_numbers_to_str=True, allow_inf_nan=False, extra="ignore")

Id = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID)]
Time = Annotated[int, Strict()] | Annotated[float, Strict()] | Annotated[str, Strict()]
Price = Annotated[
    float,
    Field(ge=0, le=MAX_PRICE, allow_inf_nan=False, description="one unit, in the shop's currency"),
]
Quantity = Annotated[int, Field(ge=1, le=MAX_QUANTITY)]
Text = Annotated[str, StringConstraints(max_length=1_000)]

ClickType = Literal[
    "view_item", "select_item", "add_to_cart", "remove_from_cart", "add_to_wishlist"
]
OrderType = Literal["purchase", "refund"]


@with_config(_lenient)
class Click(TypedDict):
    """What a customer did with a product, short of buying it. Topic `clicks`, key user_id."""

    event_id: Id
    type: ClickType
    time: Time
    user_id: Id
    product_id: Id
    category: NotRequired[Id | None]
    price: NotRequired[Price | None]
    session_id: NotRequired[Id | None]
    channel: NotRequired[Text | None]


@with_config(_lenient)
class Item(TypedDict):
    """One line of an order."""

    product_id: Id
    quantity: Quantity
    price: Price
    category: NotRequired[Id | None]


@with_config(_lenient)
class Order(TypedDict):
    """A purchase, or a refund of one. Topic `orders`, key user_id.

    A refund takes back what its purchase has counted.
    """

    event_id: Id
    type: OrderType
    time: Time
    order_id: Id
    user_id: Id
    items: Annotated[list[Item], Field(min_length=1, max_length=MAX_ITEMS)]
    channel: NotRequired[Text | None]


@with_config(_lenient)
class Product(TypedDict):
    """What the shop says of a product. Topic `catalog`, key product_id."""

    product_id: Id
    time: Time
    category: Id
    title: NotRequired[Text | None]
    brand: NotRequired[Text | None]
    price: NotRequired[Price | None]
    stock: NotRequired[Annotated[float, Field(ge=0, description="units on hand")] | None]
    lead_time_days: NotRequired[Annotated[float, Field(ge=0)] | None]
    listed_at: NotRequired[Time | None]


@with_config(_lenient)
class Promotion(TypedDict):
    """What the shop does to sell more, best announced ahead. Topic `market`, any key.

    It is of a product, or of a category, or of the whole shop if neither is said. What is said
    later of the same id holds; one that does not end after it starts is withdrawn.
    """

    type: Literal["promotion"]
    promotion_id: Id
    starts: Time
    ends: Time
    discount: NotRequired[Annotated[float, Field(ge=0, le=1)] | None]
    product_id: NotRequired[Id | None]
    category: NotRequired[Id | None]
    time: NotRequired[Time | None]


@with_config(_lenient)
class Signal(TypedDict):
    """Something outside that may move demand: weather, an index, buzz. Topic `market`, any key."""

    type: Literal["signal"]
    name: Id
    time: Time
    value: Annotated[float, Field(ge=-MAX_PRICE, le=MAX_PRICE)]
    category: NotRequired[Id | None]


Market = Annotated[
    Promotion | Signal,
    Field(discriminator="type", title="Market", description="A promotion, or a signal."),
]

Topic = Literal["clicks", "orders", "catalog", "market"]
PUBLIC: dict[Topic, Any] = {
    "clicks": Click,
    "orders": Order,
    "catalog": Product,
    "market": Market,
}
KEYS: dict[Topic, str] = {
    "clicks": "user_id",
    "orders": "user_id",
    "catalog": "product_id",
    "market": "type",
}
"""What each topic is keyed by. `market` has one partition, so that any key will do."""
