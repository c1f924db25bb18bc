"""Clicks: what was predicted of each, whether it led to an order, and the score."""

from collections import deque
from math import nan

import numpy as np

from stream.evaluation.batch import Batch, beside
from stream.evaluation.measures import (
    Floats,
    auc_interval,
    best_threshold,
    classifier,
    confusion,
    constant_log_loss,
    reliability,
    share,
)
from stream.evaluation.plan import Plan, Row, Tell
from stream.evaluation.sample import Sample
from stream.evaluation.truth import Clicks, OpenClick
from stream.products.forecasts import ClickPrediction
from stream.units import DAY, HOUR, MINUTE, Millis, rfc3339, span_name

DELAYS = (MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, DAY, 3 * DAY, 7 * DAY)
COLUMNS = 8


class Conversions:
    """What was said at each click, and what came.

    Attributes:
        sample: Of the scored clicks; see `scored`.
    """

    def __init__(self, plan: Plan, tell: Tell) -> None:
        """Begin.

        Args:
            plan: What is evaluated.
            tell: Is told each settled prediction.
        """
        self._plan = plan
        self._tell = tell
        self._clicks = Clicks(plan.window)
        self._said: dict[tuple[int, str, str, str], deque[ClickPrediction]] = {}
        self._batch = Batch(on=plan.batch, most=plan.most)
        self.sample = Sample(COLUMNS, most=plan.most)
        self._delays = Sample(1, most=plan.most)
        self._numbers: dict[str, int] = {}

    def predicted(self, said: ClickPrediction) -> None:
        """Take note of a prediction, whose click will be read from the log."""
        name = said.time, said.customer, said.product, said.kind
        self._said.setdefault(name, deque()).append(said)

    def click(self, event: Row, pseudonym: str) -> None:
        """Let a click wait for its order, if something was predicted of it."""
        time = event["time"]
        if time >= self._plan.score_from and not self._batch.fitted:
            self._fit()
        said = self._said.get((time, pseudonym, event["product_id"], event["type"]))
        if said:
            one = said.popleft()
            other = self._batch.says(one.x) if self._batch.fitted else nan
            self._clicks.open(OpenClick(event["event_id"], event["user_id"], one, other))

    def bought(self, user: str, product: str, time: int) -> None:
        """Note a purchase."""
        self._clicks.bought(user, product, time)

    def settle(self, time: int) -> None:
        """All clicks up to now are read: settle those whose window has passed."""
        self._said.clear()
        for click in self._clicks.settled(time):
            self._settle(click, censored=False)

    def finish(self, end: int) -> None:
        """Settle what is open with what the log holds, which ends at `end`."""
        for click in self._clicks.settled(1 << 60):
            self._settle(click, censored=click.said.time + self._plan.window > end)

    def _fit(self) -> None:
        """Train on what is known of the clicks so far."""
        for click in self._clicks.waiting:
            self._batch.add(click.said.x, click.delay is not None)
        self._batch.fit()

    def _settle(self, click: OpenClick, *, censored: bool) -> None:
        said, bought, plan = click.said, click.delay is not None, self._plan
        left_out = censored and plan.strict
        row = {
            "kind": "conversion",
            "event_id": click.event_id,
            "product_id": said.product,
            "time": rfc3339(Millis(said.time)),
            "p": said.p,
            "label": int(bought),
        }
        if not left_out:
            self._tell({**row, "censored": True} if censored else row)
        if not self._batch.fitted:
            self._batch.add(said.x, bought)
        if click.delay is not None and said.time + click.delay < plan.score_from:
            self._delays.add((click.delay,))
        if said.time >= plan.score_from and not left_out:
            who = self._numbers.setdefault(click.customer, len(self._numbers))
            row_of = (who, said.time, said.p, said.rule, click.batch, bought, censored, said.model)
            self.sample.add(row_of)

    def scored(self) -> Floats:
        """Scored clicks: customer, time, served, rule, batch, label, censored, model."""
        return self.sample.rows()

    def chances(self) -> tuple[Floats, Floats]:
        """Chances as they were served, and what came."""
        rows = self.scored()
        return rows[:, 2], rows[:, 5]

    def report(self, end: int) -> Row | None:
        """How right the predictions were; None if none was scored.

        Args:
            end: Of the log, ms.
        """
        rows = self.scored()
        if not len(rows):
            return None
        who, times, p, rule, batch, y, censored, model = rows.T
        in_time = self._share_by(self._plan.window - np.zeros(len(p)))
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
            "batch": beside(batch, y, who.astype(np.int64)),
            "delays": self.delays(),
            "reliability": reliability(p, y),
        }

    def delays(self) -> dict[str, float]:
        """Share of the orders before the scored part that came within some spans."""
        spans = [span for span in DELAYS if span <= self._plan.window]
        shares = self._share_by(np.array(spans, dtype=np.float64))
        return {
            span_name(Millis(span)): float(part) for span, part in zip(spans, shares, strict=True)
        }

    def _share_by(self, spans: Floats) -> Floats:
        """Share of the orders before the scored part that came within a span; 1 if none did."""
        delays = np.sort(self._delays.rows()[:, 0])
        if not len(delays):
            return np.ones(len(spans))
        return np.asarray(np.searchsorted(delays, spans, side="right") / len(delays))
