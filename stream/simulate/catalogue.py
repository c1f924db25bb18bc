"""What the shop sells: categories, prices, titles, stock, and what is looked for."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from stream.events.logs import Event
from stream.simulate.calendar import Listing, product_id
from stream.simulate.plan import Flags, Floats, Ints, ShopPlan
from stream.units import DAY, Millis


class Category(NamedTuple):
    """A part of the shop: its name, its usual price, and nouns for titles."""

    name: str
    price: float
    nouns: tuple[str, ...]


CATEGORIES = (
    Category("kitchen", 35, ("Pan", "Kettle", "Knife Set", "Mixing Bowl", "Grinder", "Teapot")),
    Category("garden", 45, ("Chair", "Hose", "Planter", "Lantern", "Rake", "Parasol")),
    Category(
        "toys", 22, ("Puzzle", "Train Set", "Building Blocks", "Kite", "Board Game", "Doll House")
    ),
    Category(
        "electronics", 120, ("Headphones", "Speaker", "Charger", "Camera", "Monitor", "Router")
    ),
    Category(
        "sports", 50, ("Yoga Mat", "Dumbbell", "Backpack", "Bottle", "Running Belt", "Helmet")
    ),
    Category(
        "beauty", 18, ("Face Cream", "Soap", "Shampoo", "Hand Balm", "Hair Brush", "Bath Salt")
    ),
    Category("books", 16, ("Cookbook", "Atlas", "Novel", "Sketchbook", "Field Guide", "Planner")),
    Category(
        "lighting", 60, ("Desk Lamp", "Ceiling Light", "Night Light", "Light Strip", "Floor Lamp")
    ),
    Category(
        "office", 25, ("Notebook", "Pen Set", "File Box", "Desk Mat", "Stapler", "Whiteboard")
    ),
    Category("pets", 20, ("Dog Bed", "Cat Tree", "Leash", "Feeder", "Carrier", "Scratch Board")),
    Category("clothing", 40, ("Sweater", "Rain Jacket", "Scarf", "Socks", "Shirt", "Hat")),
    Category("shoes", 75, ("Sneakers", "Boots", "Sandals", "Slippers", "Loafers", "Trail Shoes")),
    Category("furniture", 180, ("Shelf", "Stool", "Side Table", "Armchair", "Wardrobe", "Desk")),
    Category("tools", 55, ("Drill", "Saw", "Toolbox", "Wrench Set", "Level", "Sander")),
    Category("baby", 30, ("Play Mat", "Blanket", "High Chair", "Bib", "Night Monitor", "Rattle")),
    Category("food", 9, ("Coffee", "Honey", "Olive Oil", "Chocolate", "Tea", "Spice Box")),
    Category(
        "music", 90, ("Ukulele", "Keyboard", "Drum Pad", "Guitar Strings", "Tuner", "Harmonica")
    ),
    Category("travel", 65, ("Suitcase", "Neck Pillow", "Packing Cubes", "Travel Mug", "Adapter")),
    Category(
        "car", 28, ("Phone Mount", "Seat Cover", "Wax", "Trunk Box", "Tyre Pump", "Floor Mats")
    ),
    Category("crafts", 14, ("Yarn", "Paint Set", "Canvas", "Bead Box", "Sewing Kit", "Glue Gun")),
)
ADJECTIVES = (
    *(
        "Compact",
        "Folding",
        "Classic",
        "Bright",
        "Quiet",
        "Sturdy",
        "Light",
        "Soft",
        "Large",
        "Small",
    ),
    *("Everyday", "Outdoor", "Vintage", "Modern", "Organic", "Travel", "Magnetic", "Waterproof"),
)
COLOURS = ("Black", "White", "Blue", "Green", "Red", "Grey", "Sand", "Copper", "Mint", "Plum")
BRANDS = (
    *(
        "Oakline",
        "Brightway",
        "Tidal",
        "Kiteworks",
        "Morrow",
        "Fernhill",
        "Lumo",
        "Pebble",
        "Arcwell",
    ),
    *(
        "Juniper",
        "Nordlys",
        "Cobalt",
        "Hearthside",
        "Zephyra",
        "Quill",
        "Tandem",
        "Solstice",
        "Umbra",
    ),
)

ZIPF = 0.8
"""Interest in the product of rank r of its category is proportional to 1 / r^ZIPF."""
SCARCE = 0.05
"""Share of products that the shop keeps too few of."""
REORDER = 0.5
"""Share of full stock below which the shop orders more."""
FAST = 8 * DAY
"""A product that fell to `REORDER` sooner is ordered twice over."""


class Catalogue:
    """The products on sale. A product keeps its place, its slot, until it leaves the shop.

    Slots are sorted by category. All arrays have the shape (products,).

    Attributes:
        category: Number of each product's category.
        rank: Rank in its category, 0 the best seller, 1 the slowest.
        pull: How much it is usually looked for, within its category.
        appeal: How readily it is bought once it is seen; a logarithm.
        price: What it costs now.
        typical: The usual price of its category.
        discount: Share that a promotion takes off its price.
        attention: How much it is looked for now, `pull` and what goes on. Set by the shop.
    """

    def __init__(self, plan: ShopPlan) -> None:
        rng = plan.rng("catalogue")
        self._rng = plan.rng("listings")
        self._start = plan.start
        count = plan.products
        self.categories = CATEGORIES[: min(len(CATEGORIES), max(3, count // 60))]
        parts = len(self.categories)
        # Every category gets its first ten products; chance deals out the rest.
        dealt = rng.choice(parts, size=count - 10 * parts, p=rng.dirichlet(np.full(parts, 8.0)))
        sizes = 10 + np.bincount(dealt, minlength=parts)
        self.category: Ints = np.repeat(np.arange(parts), sizes)
        self._ends: Ints = np.cumsum(sizes)
        self._begins: Ints = self._ends - sizes
        places = np.concatenate([rng.permutation(size) for size in sizes])
        self.rank: Floats = places / sizes[self.category]
        self.pull: Floats = (places + 1.0) ** -ZIPF
        self.weights: Floats = rng.dirichlet(np.full(parts, 5.0))
        self.typical: Floats = np.array([part.price for part in self.categories])[self.category]
        self.appeal: Floats = rng.normal(0, 0.4, count)
        self._list_price = _rounded(self.typical * np.exp(rng.normal(0, 0.5, count)))
        self.discount: Floats = np.zeros(count)
        self.price: Floats = self._list_price.copy()
        self._set_attention(self.pull)
        self._lead_days: Ints = rng.integers(1, 5, count)
        self._listed: Ints = plan.start - (rng.uniform(1, 700, count) * DAY).astype(np.int64)
        self.names = [self.categories[part].name for part in self.category]
        self.ids = [product_id(slot, 0) for slot in range(count)]
        self._titles = [self._title(rng, slot) for slot in range(count)]
        self._brands = [BRANDS[n] for n in rng.integers(len(BRANDS), size=count)]
        days = np.where(
            rng.random(count) < SCARCE, rng.uniform(2, 6, count), rng.uniform(30, 60, count)
        )
        self._full = [5 + int(units) for units in days * self._usual_units(plan)]
        self._filled_at = [int(plan.start)] * count
        self._awaited = [False] * count
        self._told = self._full.copy()
        self.stock = self._full.copy()

    def _usual_units(self, plan: ShopPlan) -> Floats:
        """Estimate how many of each product a day sells."""
        whole = np.bincount(self.category, weights=self.pull)
        share = self.weights[self.category] * self.pull / whole[self.category]
        return share * plan.events_per_day * (plan.carts + plan.direct)

    def _title(self, rng: Generator, slot: int) -> str:
        nouns = self.categories[self.category[slot]].nouns
        adjective, colour = (
            ADJECTIVES[rng.integers(len(ADJECTIVES))],
            COLOURS[rng.integers(len(COLOURS))],
        )
        return f"{adjective} {nouns[rng.integers(len(nouns))]}, {colour}"

    def look_for(self, interest: Floats) -> None:
        """Say how much each product is looked for now, as a multiple of what is usual."""
        self._set_attention(self.pull * interest)

    def _set_attention(self, attention: Floats) -> None:
        self._attention: Floats = np.concatenate([[0.0], np.cumsum(attention)])

    def draw(self, rng: Generator, category: Ints) -> Ints:
        """Draw a product for each category, by the attention that it gets."""
        begins, ends = self._begins[category], self._ends[category]
        low, high = self._attention[begins], self._attention[ends]
        at = low + rng.random(len(category)) * (high - low)
        slots = np.searchsorted(self._attention, at, side="right") - 1
        return np.clip(slots, begins, ends - 1)

    def shelf(self, category: int) -> slice:
        """Say where the products of a category stand."""
        return slice(int(self._begins[category]), int(self._ends[category]))

    def sold_out(self) -> Flags:
        """Say which products the shop has none of."""
        return np.array(self.stock) <= 0

    def reduce(self, discount: Floats) -> Ints:
        """Set all discounts, and give the products whose price has changed."""
        changed = np.flatnonzero(discount != self.discount)
        self.discount = discount
        self.price = _rounded(self._list_price * (1 - discount))
        return changed

    def relist(self, listing: Listing) -> Sequence[Event]:
        """Put a new product in the place of an old one, and tell of both."""
        slot = listing.slot
        self.stock[slot] = 0
        farewell = self.told(slot, listing.at)
        self.ids[slot] = listing.product_id
        self._titles[slot] = self._title(self._rng, slot)
        self._brands[slot] = BRANDS[self._rng.integers(len(BRANDS))]
        self.appeal[slot] = self._rng.normal(0.2, 0.4)
        self._list_price[slot] = _rounded(self.typical[slot] * np.exp(self._rng.normal(0, 0.5)))
        self.price[slot] = _rounded(self._list_price[slot] * (1 - self.discount[slot]))
        self._listed[slot] = listing.at
        self.stock[slot] = self._full[slot]
        self._filled_at[slot] = listing.at
        self._awaited[slot] = False
        return farewell, self.told(slot, listing.at)

    def listed_at(self, slot: int) -> Millis:
        """Say since when the product in this place is on sale."""
        return Millis(int(self._listed[slot]))

    def take(self, slot: int, quantity: int) -> int:
        """Take up to so many from stock, and say how many there were."""
        taken = min(quantity, self.stock[slot])
        self.stock[slot] -= taken
        return taken

    def is_low(self, slot: int) -> bool:
        """Say whether the shop should order more, and has not."""
        return not self._awaited[slot] and self.stock[slot] < REORDER * self._full[slot]

    def order_more(self, slot: int, now: Millis) -> Millis:
        """Order from the supplier, and say when it will come."""
        if now - self._filled_at[slot] < FAST:
            self._full[slot] *= 2
        self._awaited[slot] = True
        return Millis(now + int(self._lead_days[slot]) * DAY)

    def fill(self, slot: int, now: Millis) -> None:
        """Put on the shelf what the supplier has sent."""
        self.stock[slot] = self._full[slot]
        self._filled_at[slot] = now
        self._awaited[slot] = False

    def is_news(self, slot: int) -> bool:
        """Say whether stock has run out or halved since it was last told."""
        stock, told = self.stock[slot], self._told[slot]
        return told > 0 and (stock == 0 or stock <= told // 2)

    def told(self, slot: int, time: Millis) -> Event:
        """Tell what the shop says of a product now."""
        self._told[slot] = self.stock[slot]
        record = {
            "product_id": self.ids[slot],
            "time": time,
            "category": self.names[slot],
            "title": self._titles[slot],
            "brand": self._brands[slot],
            "price": float(self.price[slot]),
            "stock": self.stock[slot],
            "lead_time_days": int(self._lead_days[slot]),
            "listed_at": int(self._listed[slot]),
        }
        return Event("catalog", self.ids[slot], time, record)


def _rounded(price: Floats) -> Floats:
    """Round to cents; nothing is for nothing."""
    return np.maximum(np.round(price, 2), 0.5)
