"""Customers who may come back: what was said of them at some moments, and whether they did."""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

import numpy as np

from stream.evaluation.batch import Batch, beside
from stream.evaluation.measures import (
    Floats,
    auc_interval,
    classifier,
    confusion,
    constant_log_loss,
    reliability,
)
from stream.evaluation.plan import Plan, Row, Tell
from stream.evaluation.sample import Sample
from stream.units import DAY, Millis, rfc3339

RETURN = 28 * DAY
RETURN_EVERY = 14 * DAY
COLUMNS = 5


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


class Snapshot(NamedTuple):
    """What was said at one moment, and who has ordered since."""

    time: int
    said: dict[str, Returning]
    came: set[str]


class Returns:
    """What was said of customers, every 14 days, and what came.

    Attributes:
        next: When customers are to be asked about, ms.
        sample: Of the scored predictions; see `scored`.
    """

    def __init__(self, first: int, plan: Plan, tell: Tell) -> None:
        """Begin.

        Args:
            first: A midnight; 14 days later, customers are asked about.
            plan: What is evaluated.
            tell: Is told each settled prediction.
        """
        self.next = first + RETURN_EVERY
        self._score_from = plan.return_from
        self._tell = tell
        self._open: deque[Snapshot] = deque()
        self._batch = Batch(on=plan.batch, most=plan.most)
        self.sample = Sample(COLUMNS, most=plan.most)
        self._numbers: dict[str, int] = {}

    def ordered(self, customer: str, time: int) -> None:
        """Note a purchase."""
        for snapshot in self._open:
            if snapshot.time <= time < snapshot.time + RETURN:
                snapshot.came.add(customer)

    def said(self, time: int, said: Iterable[Returning], users: Mapping[str, str]) -> None:
        """Settle what has had its 28 days, then let what is said now wait.

        Args:
            time: Now, ms.
            said: What is said now, one for each customer.
            users: User ids by pseudonym.
        """
        self.next += RETURN_EVERY
        while self._open and self._open[0].time + RETURN <= time:
            self._settle(self._open.popleft(), users)
        self._open.append(Snapshot(time, {one.customer: one for one in said}, set()))

    def _settle(self, snapshot: Snapshot, users: Mapping[str, str]) -> None:
        scored = snapshot.time >= self._score_from
        if scored and not self._batch.fitted:
            self._batch.fit()
        rows = list(snapshot.said.values())
        batch = self._batch.says_all([one.x for one in rows]) if scored else None
        for place, one in enumerate(rows):
            came = one.customer in snapshot.came
            self._tell(
                {
                    "kind": "return",
                    "customer": users.get(one.customer, one.customer),
                    "time": rfc3339(Millis(snapshot.time)),
                    "p": one.p,
                    "label": int(came),
                }
            )
            if batch is not None:
                who = self._numbers.setdefault(one.customer, len(self._numbers))
                self.sample.add((who, one.p, one.rule, float(batch[place]), came))
            elif snapshot.time + RETURN <= self._score_from:
                self._batch.add(one.x, came)

    def scored(self) -> Floats:
        """Scored predictions: customer, served, rule, batch, label."""
        return self.sample.rows()

    def chances(self) -> tuple[Floats, Floats]:
        """Chances as they were served, and what came."""
        rows = self.scored()
        return rows[:, 1], rows[:, 4]

    def report(self) -> Row | None:
        """How right the predictions were; None if none was scored."""
        rows = self.scored()
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
            "batch": beside(batch, y, who.astype(np.int64)),
            "reliability": reliability(p, y),
        }
