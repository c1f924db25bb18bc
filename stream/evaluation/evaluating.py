"""A recorded log through the shards that run live, each prediction kept until time has told."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import orjson

from stream.customers.pseudonyms import Pseudonyms
from stream.evaluation import batch as batches
from stream.evaluation.conversions import Conversions
from stream.evaluation.horizon import Horizon, Kind
from stream.evaluation.measures import Floats
from stream.evaluation.plan import Plan, Row, Tell
from stream.evaluation.returns import RETURN, Returning, Returns
from stream.evaluation.sample import Sample, notices
from stream.evaluation.truth import Categories, Orders, Repeats
from stream.evaluation.unsaid import unsaid
from stream.events.decode import Refused, decode
from stream.events.logs import Event
from stream.events.types import Topic
from stream.products.forecasts import Forecast
from stream.replay import Recorded, Replay
from stream.settings import Settings
from stream.units import DAY, HOUR, SECOND, Millis, rfc3339, span_name

RUN = 200
"""Events that go through the stages together at most …"""
LONGEST = 6 * HOUR
"""… and event time: after it, what was learned is served."""
SILENCE = 6 * SECOND
"""After so long without news, a shard's clock goes on by itself."""
SECRET = "a log that is evaluated"  # noqa: S105 (the pseudonyms stay in this process)
TOLD: tuple[Topic, ...] = ("clicks", "orders")
"""What happens in the shop; the other topics are what it says."""
CLICKS = ("view_item", "select_item", "add_to_cart", "add_to_wishlist")
TOPICS: tuple[Topic, ...] = ("clicks", "orders", "catalog")
KINDS: tuple[Kind, ...] = ("product_id", "category")


class Evaluation:
    """Feed it a log in event-time order, then ask for the report.

    Attributes:
        events: So many were taken.
        notices: What could not be done, in sentences.
        settled: Dump rows by kind, those of categories apart.
        conversions, returns: What was said, and what came of it.
        horizons, category_horizons: The same of products, and of categories, by length.
    """

    def __init__(self, plan: Plan, settings: Settings, dump: Tell) -> None:
        """Begin.

        Args:
            plan: What is evaluated.
            settings: Everything else that an installation decides.
            dump: Is told each prediction once it is settled.
        """
        self.notices: list[str] = []
        if plan.batch and not batches.installed():
            plan = replace(plan, batch=False)
            self.notices.append(batches.HOW_TO_INSTALL)
        self.plan = plan
        self.events = 0
        self.settled: Counter[str] = Counter()
        self.conversions = Conversions(plan, self._tell)
        changed = {"partitions": 1, "bucket": plan.bucket, "window": plan.window, "rows": 1 << 40}
        changed["wait"] = min(settings.wait, plan.window)
        self._replay = Replay(
            settings.model_copy(update=changed),
            SECRET,
            renewals=0,
            sample=False,
            predicted=self.conversions.predicted,
        )
        self._dump = dump
        self._names = Pseudonyms(SECRET.encode())
        self._users: dict[str, str] = {}
        self._pseudonyms: dict[str, str] = {}
        self._repeats = Repeats()
        self._announced: list[Event] = []
        self._run: list[Event] = []
        self._fresh = 0
        self._clicked = False
        self._began = 0
        self._time = plan.first
        midnight = plan.first // DAY * DAY
        self.horizons, self.category_horizons = (
            {horizon: Horizon(kind, horizon, midnight, plan) for horizon in plan.horizons}
            for kind in KINDS
        )
        self.returns = Returns(midnight, plan, self._tell)
        self._categories = Categories()
        self._orders = Orders(2 * max(plan.horizons, default=DAY), self._categories)

    def take(self, event: Event) -> None:
        """Take the next event of the log.

        What the shop says waits for the next click or order: it is announced for times that the
        log may not reach, and does not move its end.
        """
        self.events += 1
        if event.topic not in TOLD:
            self._announced.append(event)
            return
        announced, self._announced = self._announced, []
        for each in (*announced, event):
            self._take(each)

    def _take(self, event: Event) -> None:
        tells = event.topic in TOLD
        # What is said at a boundary is known at it, what happens there is not.
        while self._next() < event.time + tells:
            self._close(self._next())
        # What is said of products is read before the rest of a run.
        if (
            self._fresh >= RUN
            or (self._run and event.time >= self._began + LONGEST)
            or (not tells and self._clicked)
        ):
            self._let_go()
        self._clicked |= tells
        if not self._run:
            self._began = event.time
        key = "product_id" if event.topic == "catalog" else "user_id"
        id_ = str(event.value.get("event_id", event.time))
        # What is there twice does not move the end of a run: all else stays as it was.
        if self._repeats.is_new(f"{event.topic} {event.value.get(key)}", id_, event.time):
            self._fresh += 1
            self._run.append(event)
        self._replay.feed(event.topic, event.value)
        self._time = max(self._time, event.time)

    def _next(self) -> int:
        """Time at which something is to be asked."""
        ends = [horizon.windows.end for horizon in self.horizons.values()]
        return min([self.returns.next, *ends])

    def _let_go(self) -> None:
        """Let what was taken go through the stages; then see what came of it."""
        run, self._run, self._fresh, self._clicked = self._run, [], 0, False
        self._replay.now = Millis(self._time)
        self._replay.run()
        for event in _readable(run):
            match event.get("type"):
                case None:
                    listed = event["product_id"], event["category"], event["time"]
                    self._categories.hear_listing(*listed)
                case "purchase" | "refund":
                    self._order(event)
                case kind:
                    self._categories.hear(event["product_id"], event.get("category"))
                    if kind in CLICKS:
                        self.conversions.click(event, self._pseudonym(event["user_id"]))
        self.conversions.settle(self._time)

    def _pseudonym(self, user: str) -> str:
        name = self._pseudonyms.get(user)
        if name is None:
            name = self._pseudonyms[user] = self._names.of(user)
            self._users[name] = user
        return name

    def _order(self, event: Row) -> None:
        time, user = event["time"], event["user_id"]
        for item in event["items"]:
            self._categories.hear(item["product_id"], item.get("category"))
        if event["type"] == "purchase" and self._orders.is_new(event):
            for product in {item["product_id"]: None for item in event["items"]}:
                self.conversions.bought(user, product, time)
            self.returns.ordered(self._pseudonym(user), time)
        for sold in self._orders.take(event):
            for horizon in self.horizons.values():
                horizon.windows.sell(sold.product, sold.time, sold.units)
            if sold.category is not None:
                for horizon in self.category_horizons.values():
                    horizon.windows.sell(sold.category, sold.time, sold.units)

    def _tell(self, row: Row) -> None:
        self.settled[f"{row['kind']}_category" if "category" in row else row["kind"]] += 1
        self._dump(row)

    def _close(self, time: int) -> None:
        """A boundary: everything before it is known, nothing after it."""
        self._let_go()
        self._pass(time)
        due = [length for length, one in self.horizons.items() if one.windows.end == time]
        for horizons, ask in (
            (self.horizons, self._forecasts),
            (self.category_horizons, self._replay.learner.category_forecasts),
        ):
            for length in due:
                for row in horizons[length].close(time):
                    self._tell(row)
            forecasts = list(ask(time)) if due else []
            for length in due:
                horizons[length].said(time, forecasts)
        if time == self.returns.next:
            self.returns.said(time, self._returning(time), self._users)

    def _pass(self, time: int) -> None:
        """Let the shards' time come to a boundary: as live, some seconds after the last event."""
        replay = self._replay
        replay.tick(Millis(time))
        replay.run()
        lag = time - min(shard.watermark for shard in replay.products)
        if lag > 0 and any(shard.watermark for shard in replay.products):
            replay.tick(Millis(time + SILENCE))
            lag = time - min(shard.watermark for shard in replay.products)
            if lag > 0:
                replay.tick(Millis(time + SILENCE + lag))
            replay.run()

    def _forecasts(self, time: int) -> Iterator[Forecast]:
        for shard in self._replay.products:
            yield from shard.forecasts(time)

    def _returning(self, time: int) -> Iterator[Returning]:
        for shard in self._replay.customers:
            ask: Callable[[int], Iterator[Returning]] | None = getattr(shard, "returns", None)
            if ask is not None:
                yield from ask(time)

    def finish(self) -> Row:
        """Settle what is open with what the log holds; the report."""
        self._let_go()
        end = self._time
        self.conversions.finish(end)
        report = {
            "events": self.events,
            "score_from": rfc3339(Millis(self.plan.score_from)),
            "until": rfc3339(Millis(end)),
            "settled": dict(self.settled),
            "conversion": self.conversions.report(end),
            "potential": self._potential(),
            "demand": _demand(self.horizons, self.plan.best_sellers),
            "demand_categories": _demand(self.category_horizons, None),
            "return": self.returns.report(),
        }
        self.notices += unsaid(report, self.horizons, self.plan.return_from, RETURN)
        self.notices += notices(self.samples())
        return {**report, "notices": self.notices}

    def samples(self) -> dict[str, Sample]:
        """What figures are reckoned from, by what they say."""
        found = {"conversion": self.conversions.sample, "return": self.returns.sample}
        for of, horizons in (("", self.horizons), (", categories", self.category_horizons)):
            for length, horizon in horizons.items():
                name = f"{span_name(Millis(length))}{of}"
                found[f"potential, {name}"] = horizon.potential.sample
                found[f"demand, {name}"] = horizon.demand.sample
        return found

    def _potential(self) -> Row | None:
        products = _by_horizon(self.horizons)
        if products is None:
            return None
        return {**products, "categories": _by_horizon(self.category_horizons)}

    def probabilities(self) -> dict[str, tuple[Floats, Floats]]:
        """Scored probabilities and labels of each classifier that has any."""
        found = {"conversion": self.conversions.chances(), "return": self.returns.chances()}
        for length, horizon in self.horizons.items():
            name = f"potential, {span_name(Millis(length))}"
            found[name] = horizon.potential.chances()
            of_categories = self.category_horizons[length].potential.chances()
            found[f"{name}, categories"] = of_categories
        return {name: pair for name, pair in found.items() if len(pair[0])}


def _demand(horizons: dict[int, Horizon], best_sellers: int | None) -> Row | None:
    """How right forecasts of units were, by horizon."""
    found = {
        span_name(Millis(length)): one
        for length, horizon in horizons.items()
        if (one := horizon.demand.report(best_sellers)) is not None
    }
    return found or None


def _by_horizon(horizons: dict[int, Horizon]) -> Row | None:
    """How right chances were: the longest horizon's at the top, all of them below."""
    found = {
        span_name(Millis(length)): one
        for length, horizon in horizons.items()
        if (one := horizon.potential.report()) is not None
    }
    if not found:
        return None
    longest = list(found)[-1]
    return {**found[longest], "horizon": longest, "horizons": found}


def _readable(run: list[Event]) -> Iterator[Row]:
    """The events that the contract allows, in their order; what has no type is a listing."""
    records = [
        (event, Recorded(place, 1 << 52, None, orjson.dumps(event.value)))
        for place, event in enumerate(run)
    ]
    found: dict[int, Row | Refused] = {}
    for topic in TOPICS:
        batch = [record for event, record in records if event.topic == topic]
        found.update({place: said for _, place, said in decode(topic, batch, 0)})
    for place in sorted(found):
        said = found[place]
        if not isinstance(said, Refused):
            yield said
