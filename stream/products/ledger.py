"""The label ledger: what waits for time to tell.

      click ──────── wait ────────┤ negative, or positive if its order came
                                      order later ✔ a late positive, beside the negative
                                                        window ends: forgotten

Positives are told no sooner than negatives: told at once, they would be most of what is learned
in the first hours. Purchases are matched by event time, whichever is read first, so they wait
here too.
"""

import heapq
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from stream.memo import trimmed
from stream.shards import portions

MOST_DORMANT = 2_000
"""Products that may be looked at once a week, at the same time."""

Pair = tuple[str, str]


@dataclass(slots=True)
class Click:
    """A click that waits for its order.

    Attributes:
        tail: What the learner will be told of it, as JSON, written once.
        delay: From the click to its order, ms; None while no order is known.
        settled: The wait is over and its label has been told.
    """

    time: int
    customer: str
    product: str
    tail: bytes
    delay: int | None = None
    settled: bool = False
    due: int = 0


@dataclass(slots=True)
class Sale:
    """A purchase that waits for clicks that are read after it."""

    time: int
    customer: str
    product: str
    due: int = 0


@dataclass(slots=True)
class Window:
    """A forecast that waits for its horizon to pass.

    Attributes:
        bucket: First bucket of the horizon.
        horizon: Its length, ms.
        tail: What was predicted and from what, as JSON.
    """

    product: str
    bucket: int
    horizon: int
    tail: bytes
    due: int = 0


@dataclass(slots=True)
class Watch:
    """A product whose demand is looked at: when the present bucket closes, or once a week."""

    product: str
    due: int = 0
    dormant: bool = False


Entry = Click | Sale | Window | Watch


class Label(NamedTuple):
    """What time has told of a click."""

    click: Click
    positive: bool
    delay: int
    """From click to order, ms; 0 for a negative."""
    late: bool
    """The negative was told before: this positive comes on top of it."""


class Ledger:
    """Everything of one shard that waits, by the event time at which it is due.

    Attributes:
        forecasts: So many of them wait.
    """

    def __init__(self, wait: int, window: int, bucket: int, stored: Mapping[str, bytes]) -> None:
        """Wake up with what is stored.

        Args:
            wait: How long a click waits before it counts as negative, ms.
            window: How long after a click an order still counts as its, ms.
            bucket: Length of a demand bucket, ms.
            stored: What `changes` gave out, by id.
        """
        self._wait = wait
        self._window = window
        self._bucket = bucket
        self._entries: dict[str, Entry] = {}
        self._due: list[tuple[int, str]] = []
        self._clicks: dict[Pair, list[str]] = {}
        self._sales: dict[Pair, list[str]] = {}
        self._changed: dict[str, None] = {}
        self._dormant = 0
        self._last = 0
        self.forecasts = 0
        for id_, raw in stored.items():
            if id_[0] not in "wd":
                self._last = max(self._last, int(id_[1:]))
            self._index(id_, _decode(id_, raw))

    def __len__(self) -> int:
        return len(self._entries)

    def _index(self, id_: str, entry: Entry) -> None:
        self._entries[id_] = entry
        heapq.heappush(self._due, (entry.due, id_))
        self._dormant += id_[0] == "d"
        if isinstance(entry, Click | Window):
            entry.tail = trimmed(entry.tail)
        if isinstance(entry, Click):
            self._clicks.setdefault((entry.customer, entry.product), []).append(id_)
        elif isinstance(entry, Sale):
            self._sales.setdefault((entry.customer, entry.product), []).append(id_)
        elif isinstance(entry, Window):
            self.forecasts += 1

    def _add(self, letter: str, entry: Entry) -> None:
        self._last += 1
        id_ = f"{letter}{self._last}"
        self._changed[id_] = None
        self._index(id_, entry)

    def _remove(self, id_: str) -> None:
        entry = self._entries.pop(id_)
        self._changed[id_] = None
        self._dormant -= id_[0] == "d"
        if isinstance(entry, Window):
            self.forecasts -= 1
        elif isinstance(entry, Click | Sale):
            index = self._clicks if isinstance(entry, Click) else self._sales
            pair = (entry.customer, entry.product)
            index[pair].remove(id_)
            if not index[pair]:
                del index[pair]

    def click(self, click: Click) -> None:
        """Let a click wait; its order may be known already."""
        times = self._sale_times(click.customer, click.product)
        click.delay = min(
            (t - click.time for t in times if 0 <= t - click.time <= self._window), default=None
        )
        click.due = click.time + self._wait
        self._add("c", click)

    def sale(self, sale: Sale, *, keep: bool = True) -> Iterator[Label]:
        """Match the clicks that a purchase answers; `keep` it for clicks that are read later."""
        for id_ in list(self._clicks.get((sale.customer, sale.product), ())):
            click = self._entries[id_]
            delay = sale.time - click.time if isinstance(click, Click) else -1
            if not isinstance(click, Click) or not 0 <= delay <= self._window:
                continue
            if click.settled:
                self._remove(id_)
                yield Label(click, positive=True, delay=delay, late=True)
            elif click.delay is None or delay < click.delay:
                click.delay = delay
                self._changed[id_] = None
        if keep:
            sale.due = sale.time + self._window
            self._add("s", sale)

    def _sale_times(self, customer: str, product: str) -> list[int]:
        entries = (self._entries[id_] for id_ in self._sales.get((customer, product), ()))
        return [entry.time for entry in entries if isinstance(entry, Sale)]

    def bought_since(self, customer: str, product: str, time: int) -> bool:
        """Whether a purchase at or after a time is known."""
        return any(sold >= time for sold in self._sale_times(customer, product))

    def forecast(self, window: Window) -> None:
        """Let a forecast wait for its horizon to pass."""
        window.due = window.bucket * self._bucket + window.horizon
        self._add("f", window)

    def watch(self, product: str, due: int) -> None:
        """Look at a product again when event time reaches `due`."""
        id_ = "w" + product
        if id_ not in self._entries:
            self._changed[id_] = None
            self._index(id_, Watch(product, due))

    def follow(self, product: str, due: int) -> None:
        """Look again at a dormant product when event time reaches `due`, if there is room."""
        id_ = "d" + product
        if id_ not in self._entries and self.has_room:
            self._changed[id_] = None
            self._index(id_, Watch(product, due, dormant=True))

    @property
    def has_room(self) -> bool:
        """Whether another dormant product can be followed."""
        return self._dormant < MOST_DORMANT

    def followed(self, product: str) -> int:
        """When a dormant product is to be looked at; 0 if it is not."""
        entry = self._entries.get("d" + product)
        return 0 if entry is None else entry.due

    def pop(self, watermark: int, limit: int) -> Iterator[Label | Window | Watch]:
        """Hand out what time has told, oldest first: labels, and what needs its product's row."""
        queue = self._due
        while queue and queue[0][0] <= watermark and limit > 0:
            due, id_ = heapq.heappop(queue)
            entry = self._entries.get(id_)
            if entry is None or entry.due != due:
                continue
            limit -= 1
            if isinstance(entry, Click) and not entry.settled:
                yield from self._settled(id_, entry)
                continue
            self._remove(id_)
            if isinstance(entry, Window | Watch):
                yield entry

    def _settled(self, id_: str, click: Click) -> Iterator[Label]:
        """The wait is over: tell the label, and keep what may still get a late order."""
        delay = click.delay
        in_time = delay is not None and delay <= self._wait
        yield Label(
            click, positive=in_time, delay=delay if in_time and delay is not None else 0, late=False
        )
        if delay is not None:
            self._remove(id_)
            if not in_time:
                yield Label(click, positive=True, delay=delay, late=True)
            return
        click.settled = True
        click.due = max(click.time + self._window, click.due + 1)
        self._changed[id_] = None
        heapq.heappush(self._due, (click.due, id_))

    def erase(self, customer: str, until: int) -> set[str]:
        """Forget what a customer did up to a time; name the products to which it was done."""
        done = {
            id_: entry.product
            for id_, entry in self._entries.items()
            if isinstance(entry, Click | Sale)
            and entry.customer == customer
            and entry.time <= until
        }
        for id_ in done:
            self._remove(id_)
        return set(done.values())

    def storing(self) -> Generator[None, None, dict[str, bytes | None]]:
        """Write what has changed since the last call, by id, in steps; None deletes."""
        changed, self._changed = self._changed, {}
        entries = self._entries
        stored: dict[str, bytes | None] = {}
        for ids in portions(changed):
            stored.update({i: _encode(entries[i]) if i in entries else None for i in ids})
            yield
        return stored


def _encode(entry: Entry) -> bytes:
    match entry:
        case Click():
            tail = orjson.Fragment(entry.tail)
            return orjson.dumps(
                [
                    entry.due,
                    entry.time,
                    entry.customer,
                    entry.product,
                    entry.delay,
                    entry.settled,
                    tail,
                ]
            )
        case Sale():
            return orjson.dumps([entry.due, entry.time, entry.customer, entry.product])
        case Window():
            return orjson.dumps(
                [entry.due, entry.product, entry.bucket, entry.horizon, orjson.Fragment(entry.tail)]
            )
        case Watch():
            return orjson.dumps([entry.due, entry.product])


def _decode(id_: str, raw: bytes) -> Entry:
    due, *values = orjson.loads(raw)
    match id_[0]:
        case "c":
            time, customer, product, delay, settled, tail = values
            return Click(time, customer, product, orjson.dumps(tail), delay, settled, due)
        case "s":
            time, customer, product = values
            return Sale(time, customer, product, due)
        case "f":
            product, bucket, horizon, tail = values
            return Window(product, bucket, horizon, orjson.dumps(tail), due)
        case _:
            return Watch(values[0], due, dormant=id_[0] == "d")
