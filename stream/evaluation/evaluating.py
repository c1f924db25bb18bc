"""A recorded log through the shards that run live, each prediction kept until time has told."""

from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import nan
from typing import Any, NamedTuple, Protocol

import numpy as np
import orjson

from stream.customers.pseudonyms import Pseudonyms
from stream.evaluation import batch as batches
from stream.evaluation.batch import Batch
from stream.evaluation.demand import Horizon
from stream.evaluation.measures import (
    Floats,
    Ints,
    auc_interval,
    best_threshold,
    classifier,
    confusion,
    constant_log_loss,
    reliability,
    share,
)
from stream.evaluation.truth import Clicks, OpenClick, Orders, Repeats
from stream.evaluation.unsaid import unsaid
from stream.events.decode import Refused, decode
from stream.events.logs import Event
from stream.events.types import Topic
from stream.products.forecasts import ClickPrediction
from stream.replay import Recorded, Replay
from stream.settings import Settings
from stream.units import DAY, HOUR, MINUTE, SECOND, Millis, rfc3339, span_name

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
RETURN = 28 * DAY
RETURN_EVERY = 14 * DAY
DELAYS = (MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, DAY, 3 * DAY, 7 * DAY)
Row = dict[str, Any]


class Returning(Protocol):
    """What is said of a customer who may come back."""

    @property
    def customer(self) -> str:
        """The pseudonym."""
        ...

    @property
    def p(self) -> float:
        """That there is another order within 28 days."""
        ...

    @property
    def rule(self) -> float:
        """What the rule of thumb says."""
        ...

    @property
    def x(self) -> list[float | None]:
        """The features."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What is evaluated. Times and spans are in ms.

    Attributes:
        first: Time of the log's first click or order.
        score_from: Predictions from then on are counted.
        return_from: The same for those of customers who may come back.
        horizons: Of demand and potential.
        strict: Leave out what the log's end has cut short.
        best_sellers: Report demand on so many products; None: on all.
        batch: Train the batch models, too.
    """

    first: int
    score_from: int
    return_from: int
    bucket: int
    window: int
    horizons: tuple[int, ...]
    strict: bool = False
    best_sellers: int | None = None
    batch: bool = True


class Returns(NamedTuple):
    """What was said at one moment of customers who may come back."""

    time: int
    said: dict[str, Returning]
    came: set[str]


class Evaluation:
    """Feed it a log in event-time order, then ask for the report.

    Attributes:
        events: So many were taken.
        notices: What could not be done, in sentences.
        settled: Dump rows by kind.
    """

    def __init__(self, plan: Plan, settings: Settings, dump: Callable[[Row], object]) -> None:
        """Begin.

        Args:
            plan: What is evaluated.
            settings: Everything else that an installation decides.
            dump: Is told each prediction once it is settled.
        """
        batch = plan.batch and batches.installed()
        self.plan = plan
        self.events = 0
        self.notices: list[str] = []
        self.settled: Counter[str] = Counter()
        changed = {"partitions": 1, "bucket": plan.bucket, "window": plan.window, "rows": 1 << 40}
        changed["wait"] = min(settings.wait, plan.window)
        self._replay = Replay(
            settings.model_copy(update=changed),
            SECRET,
            renewals=0,
            sample=False,
            predicted=self._predicted,
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
        self.horizons = {
            horizon: Horizon(horizon, midnight, plan.score_from, batch=batch)
            for horizon in plan.horizons
        }
        self._snapshot = midnight + RETURN_EVERY
        self._clicks = Clicks(plan.window)
        self._said: dict[tuple[int, str, str, str], deque[ClickPrediction]] = {}
        self._orders = Orders(2 * max(plan.horizons, default=DAY))
        self._batch = Batch(on=batch)
        self._fitted = False
        self._rows = array("d")
        self._delays = array("q")
        self._returns: deque[Returns] = deque()
        self._return_rows = array("d")
        self._return_batch = Batch(on=batch)
        self._numbers: dict[str, int] = {}
        if plan.batch and not batch:
            self.notices.append(batches.HOW_TO_INSTALL)

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
        return min([self._snapshot, *ends])

    def _let_go(self) -> None:
        """Let what was taken go through the stages; then see what came of it."""
        run, self._run, self._fresh, self._clicked = self._run, [], 0, False
        self._replay.now = Millis(self._time)
        self._replay.run()
        for event in _readable(run):
            if event["type"] in CLICKS:
                self._click(event)
            elif event["type"] in ("purchase", "refund"):
                self._order(event)
        self._said.clear()
        for click in self._clicks.settled(self._time):
            self._settle(click, censored=False)

    def _predicted(self, said: ClickPrediction) -> None:
        name = said.time, said.customer, said.product, said.kind
        self._said.setdefault(name, deque()).append(said)

    def _pseudonym(self, user: str) -> str:
        name = self._pseudonyms.get(user)
        if name is None:
            name = self._pseudonyms[user] = self._names.of(user)
            self._users[name] = user
        return name

    def _click(self, event: Row) -> None:
        time, user = event["time"], event["user_id"]
        if time >= self.plan.score_from and not self._fitted:
            self._fit()
        said = self._said.get((time, self._pseudonym(user), event["product_id"], event["type"]))
        if said:
            one = said.popleft()
            other = self._batch.says(one.x) if self._fitted else nan
            self._clicks.open(OpenClick(event["event_id"], user, one, other))

    def _fit(self) -> None:
        """Train on what is known of the clicks so far."""
        self._fitted = True
        for click in self._clicks.waiting:
            self._batch.add(click.said.x, click.delay is not None)
        self._batch.fit()

    def _order(self, event: Row) -> None:
        time, user = event["time"], event["user_id"]
        if event["type"] == "purchase" and self._orders.is_new(event):
            for product in {item["product_id"]: None for item in event["items"]}:
                self._clicks.bought(user, product, time)
            for snapshot in self._returns:
                if snapshot.time <= time < snapshot.time + RETURN:
                    snapshot.came.add(self._pseudonym(user))
        for sold in self._orders.take(event):
            for horizon in self.horizons.values():
                horizon.sell(sold)

    def _settle(self, click: OpenClick, *, censored: bool) -> None:
        said, bought = click.said, click.delay is not None
        row = {
            "kind": "conversion",
            "event_id": click.event_id,
            "product_id": said.product,
            "time": rfc3339(Millis(said.time)),
            "p": said.p,
            "label": int(bought),
        }
        self._tell({**row, "censored": True} if censored else row, counted=not censored)
        if not self._fitted:
            self._batch.add(said.x, bought)
        if click.delay is not None and said.time + click.delay < self.plan.score_from:
            self._delays.append(click.delay)
        if said.time >= self.plan.score_from and not (censored and self.plan.strict):
            who = self._numbers.setdefault(click.customer, len(self._numbers))
            row_of = (who, said.time, said.p, said.rule, click.batch, bought, censored, said.model)
            self._rows.extend(map(float, row_of))

    def _tell(self, row: Row, *, counted: bool = True) -> None:
        if counted or not self.plan.strict:
            self.settled[row["kind"]] += 1
            self._dump(row)

    def _close(self, time: int) -> None:
        """A boundary: everything before it is known, nothing after it."""
        self._let_go()
        self._pass(time)
        due = [h for h in self.horizons.values() if h.windows.end == time]
        for horizon in due:
            for row in horizon.close(time):
                self._tell(row)
        if due:
            forecasts = [
                one
                for shard in self._replay.products
                for one in shard.forecasts(time)
                if one.horizon in self.horizons
            ]
            for horizon in due:
                length = horizon.windows.horizon
                horizon.said(time, [f for f in forecasts if f.horizon == length])
        if time == self._snapshot:
            self._snapshot += RETURN_EVERY
            self._look_at_customers(time)

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

    def _look_at_customers(self, time: int) -> None:
        while self._returns and self._returns[0].time + RETURN <= time:
            self._settle_returns(self._returns.popleft())
        said: dict[str, Returning] = {}
        for shard in self._replay.customers:
            ask: Callable[[int], Iterator[Returning]] | None = getattr(shard, "returns", None)
            if ask is not None:
                said.update({one.customer: one for one in ask(time)})
        self._returns.append(Returns(time, said, set()))

    def _settle_returns(self, snapshot: Returns) -> None:
        scored = snapshot.time >= self.plan.return_from
        if scored and not self._return_batch.fitted:
            self._return_batch.fit()
        rows = list(snapshot.said.values())
        batch = self._return_batch.says_all([one.x for one in rows]) if scored else None
        for place, one in enumerate(rows):
            came = one.customer in snapshot.came
            self._tell(
                {
                    "kind": "return",
                    "customer": self._users.get(one.customer, one.customer),
                    "time": rfc3339(Millis(snapshot.time)),
                    "p": one.p,
                    "label": int(came),
                }
            )
            if batch is not None:
                who = self._numbers.setdefault(one.customer, len(self._numbers))
                self._return_rows.extend((who, one.p, one.rule, float(batch[place]), came))
            elif snapshot.time + RETURN <= self.plan.return_from:
                self._return_batch.add(one.x, came)

    def finish(self) -> Row:
        """Settle what is open with what the log holds; the report."""
        self._let_go()
        end = self._time
        for click in self._clicks.settled(1 << 60):
            self._settle(click, censored=click.said.time + self.plan.window > end)
        demand = {
            span_name(Millis(length)): horizon.demand(self.plan.best_sellers)
            for length, horizon in self.horizons.items()
        }
        report = {
            "events": self.events,
            "score_from": rfc3339(Millis(self.plan.score_from)),
            "until": rfc3339(Millis(end)),
            "settled": dict(self.settled),
            "conversion": self._conversion(end),
            "potential": self._potential(),
            "demand": {name: one for name, one in demand.items() if one is not None} or None,
            "return": self._return(),
        }
        self.notices += unsaid(report, self.horizons, self.plan.return_from, RETURN)
        return {**report, "notices": self.notices}

    def _conversion(self, end: int) -> Row | None:
        rows = self.clicks()
        if not len(rows):
            return None
        who, times, p, rule, batch, y, censored, model = rows.T
        in_time = self._share_by(self.plan.window - np.zeros(len(p)))
        still = np.where(censored > 0, self._share_by(end - times), in_time)
        expected = float(np.sum(p * np.divide(still, in_time, where=in_time > 0, out=still)))
        return {
            "n": len(p),
            "positives": int(y.sum()),
            "customers": len(np.unique(who)),
            "buyers": len(np.unique(who[y > 0])),
            "censored": int(censored.sum()),
            "auc_ci": auc_interval(p, y, who.astype(np.int64)),
            **classifier(p, y),
            "calibration_to_end": share(expected, float(y.sum())) if censored.any() else None,
            "constant_log_loss": constant_log_loss(y),
            **confusion(p, y, best_threshold(p, y)),
            "at_half": confusion(p, y, 0.5),
            "model": {**classifier(model, y), "served": share(float(np.sum(model == p)), len(p))},
            "rule": classifier(rule, y),
            "batch": _beside(batch, y, who.astype(np.int64)),
            "delays": self.delays(),
            "reliability": reliability(p, y),
        }

    def clicks(self) -> Floats:
        """Scored clicks: customer, time, served, rule, batch, label, censored, model."""
        return np.frombuffer(self._rows, np.float64).reshape(-1, 8)

    def probabilities(self) -> dict[str, tuple[Floats, Floats]]:
        """Scored probabilities and labels of each classifier that has any."""
        rows = self.clicks()
        returns = np.frombuffer(self._return_rows, np.float64).reshape(-1, 5)
        found = {"conversion": (rows[:, 2], rows[:, 5]), "return": (returns[:, 1], returns[:, 4])}
        for length, horizon in self.horizons.items():
            found[f"potential, {span_name(Millis(length))}"] = horizon.chances()
        return {name: pair for name, pair in found.items() if len(pair[0])}

    def _share_by(self, spans: Floats) -> Floats:
        """Share of the orders before the scored part that came within a span; 1 if none did."""
        delays = np.sort(np.frombuffer(self._delays, np.int64))
        if not len(delays):
            return np.ones(len(spans))
        return np.asarray(np.searchsorted(delays, spans, side="right") / len(delays))

    def delays(self) -> dict[str, float]:
        """Share of the orders before the scored part that came within some spans."""
        spans = [span for span in DELAYS if span <= self.plan.window]
        shares = self._share_by(np.array(spans, dtype=np.float64))
        return {
            span_name(Millis(span)): float(part) for span, part in zip(spans, shares, strict=True)
        }

    def _potential(self) -> Row | None:
        found = {
            span_name(Millis(length)): one
            for length, horizon in self.horizons.items()
            if (one := horizon.potential()) is not None
        }
        if not found:
            return None
        longest = found[list(found)[-1]]
        return {**longest, "horizon": list(found)[-1], "horizons": found}

    def _return(self) -> Row | None:
        rows = np.frombuffer(self._return_rows, np.float64).reshape(-1, 5)
        if not len(rows):
            return None
        who, p, rule, batch, y = rows.T
        return {
            "n": len(p),
            "positives": int(y.sum()),
            "auc_ci": auc_interval(p, y, who.astype(np.int64)),
            **classifier(p, y),
            "constant_log_loss": constant_log_loss(y),
            **confusion(p, y, 0.5),
            "rule": classifier(rule, y),
            "batch": _beside(batch, y, who.astype(np.int64)),
            "reliability": reliability(p, y),
        }


def _beside(p: Floats, y: Floats, who: Ints) -> Row | None:
    """What the batch model reached; None if it said nothing."""
    if np.isnan(p).any():
        return None
    return {**classifier(p, y), "auc_ci": auc_interval(p, y, who)}


def _readable(run: list[Event]) -> Iterator[Row]:
    """The events that the contract allows, in their order."""
    records = [
        (event, Recorded(place, 1 << 52, None, orjson.dumps(event.value)))
        for place, event in enumerate(run)
        if event.topic in TOLD
    ]
    found: dict[int, Row | Refused] = {}
    for topic in TOLD:
        batch = [record for event, record in records if event.topic == topic]
        found.update({place: said for _, place, said in decode(topic, batch, 0)})
    for place in sorted(found):
        said = found[place]
        if not isinstance(said, Refused):
            yield said
