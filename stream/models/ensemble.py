"""The chance that something happens: several learners on the same labels, served as one."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, Self

import numpy as np

from stream.models.bayes import FadingBayes
from stream.models.drift import LossWatch
from stream.models.judging import log_loss
from stream.models.linear import Features, Linear, log_odds, probability
from stream.models.recalibration import FLOOR, Recalibration
from stream.models.scaler import Guess, Numbers, Scaler
from stream.models.snapshots import readable

MAX_WEIGHT = 16.0
"""An example counts for so many at most: one that counts for more would shake the model."""
PENALTIES = (30.0, 100.0, 300.0)
"""Precision of the prior of a weight, by learner: from fast to slow, from bold to careful."""
TRUSTS = (0.0, 0.5, 1.0)
"""How much of the guessed weights a learner starts from."""
BASE_PENALTY = 1.0
"""Precision of the prior of the intercept: the base rate believed at first."""
MEMORY = 50_000.0
"""Examples that the weights remember. Less than a fifth of it cost log-loss in simulation."""
RIVALRY = 0.3
"""How fast a learner loses weight with each nat of log-loss more than another's."""
RIVALRY_MEMORY = 2_000.0
"""Labels by which learners are compared."""
BASELINE_STRENGTH = 300.0
BASELINE_MEMORY = 20_000.0
KEPT_AFTER_CHANGE = 0.25
"""Share of what was learned that is kept when the law has changed."""
LARGEST = 20.0
"""Size of a weight, and of log-odds, at most."""
RARELY = 50
"""Labels between two solutions at most; at first it is solved at every label."""


class Ensemble:
    """Learners of several penalties and trusts, averaged in log-odds and recalibrated.

    Each label becomes a response of a linear law by one step of iteratively reweighted least
    squares at what the average says. All learners share these responses; they differ in how
    far they follow them. An average of log-odds is linear, and so is the recalibration: what is
    served is one `Linear`, and its reasons are exact.

    To be asked before it is told: predict, then learn.

    A label may be told before the last word is spoken: a negative whose order comes later is
    taken back by a late positive. Both together teach what the positive alone would have
    taught, so that the wait for a label may be short, and no share of late orders need be known.

    Attributes:
        names: The features, in the order in which values are given.

    Source:
        McCullagh and Nelder, "Generalized Linear Models", 1989, section 2.5; the weights of the
        learners as in Cesa-Bianchi and Lugosi, "Prediction, Learning, and Games", 2006, 2.2.

    >>> ensemble = Ensemble(["views"], prior=0.2)
    >>> round(ensemble.predict([3.0]), 6), ensemble.baseline
    (0.2, 0.2)
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        prior: float,
        guesses: Mapping[str, Guess] | None = None,
        memory: float = MEMORY,
    ) -> None:
        """Begin with what is believed.

        Args:
            names: See above.
            prior: Base rate before anything is known, between 0 and 1.
            guesses: What is believed of features, by name.
            memory: Examples that the weights remember.
        """
        self.names = tuple(names)
        self._prior = prior
        guesses = guesses or {}
        self._penalties, self._priors = _beliefs(self.names, prior, guesses)
        self._scaler = Scaler(self.names, guesses)
        self._told = FadingBayes(("", *self.names), memory)
        self._weights = np.tile(self._priors, (len(PENALTIES), 1))
        learners = len(self._weights)
        self._losses = np.zeros(learners)
        self._shares = np.full(learners, 1.0 / learners)
        self._line = Recalibration()
        self._watch = LossWatch()
        self._examples = 0
        self._unsolved = 0
        self._labels = BASELINE_STRENGTH
        self._positives = BASELINE_STRENGTH * prior

    @property
    def examples(self) -> int:
        """How many examples were learned."""
        return self._examples

    @property
    def baseline(self) -> float:
        """Share of positives of late: what a model has to beat."""
        return min(self._positives / self._labels, 1.0)

    def predict(self, x: Features) -> float:
        """Probability that the label will be positive."""
        said = float(self._shares @ (self._weights @ self._row(x)))
        return probability(self._line.corrected(said))

    def learn(self, x: Features, y: bool, weight: float = 1.0, *, late: bool = False) -> None:  # noqa: FBT001 (a label)
        """Learn a label.

        Args:
            x: The features as they were when the prediction was due.
            y: Did it happen?
            weight: How many examples this one stands for; 10 if one in ten is kept. At most 16.
            late: It did, after it had been told that it did not: that is taken back.
        """
        if not (weight > 0.0 and isfinite(weight)):
            return
        weight = min(weight, MAX_WEIGHT)
        if not late:
            self._scaler.learn(x)
        row = self._row(x)
        said = self._weights @ row
        mean = float(np.clip(self._shares @ said, -LARGEST, LARGEST))
        self._compare(said, y or late, weight, late=late)
        if late:
            self._positives += weight
            self._line.learn(mean, y=True, weight=weight, late=True)
            self._told.push(row, weight)
        else:
            lost = log_loss(probability(self._line.corrected(mean)), y)
            changed = self._watch.add(lost - log_loss(self.baseline, y))
            self._examples += 1
            self._count(y, weight)
            self._line.learn(mean, y, weight)
            p = probability(mean)
            curvature = max(p * (1.0 - p), FLOOR)
            self._told.add(row, mean + (float(y) - p) / curvature, weight * curvature)
            if changed:
                self._forget()
        self._unsolved += 1
        if self._unsolved >= max(1, min(RARELY, self._examples // 200)):
            self._solve()

    def _row(self, x: Features) -> Numbers:
        """Scaled features behind a 1 for the intercept. Shape (1 + features,)."""
        if len(x) != len(self.names):
            raise ValueError(f"{len(x)} values were given to a model of {len(self.names)} features")
        return np.concatenate(([1.0], self._scaler.scaled(x)))

    def _compare(self, said: Numbers, y: bool, weight: float, *, late: bool) -> None:  # noqa: FBT001 (a label)
        """Weigh the learners by their log-loss of late; `said` are their log-odds."""
        said = np.clip(said, -LARGEST, LARGEST)
        losses = np.logaddexp(0.0, -said if y else said)
        if late:
            losses = losses - np.logaddexp(0.0, said)
        self._losses = self._losses * (1.0 - 1.0 / RIVALRY_MEMORY) + weight * losses
        ahead = np.exp(-RIVALRY * (self._losses - self._losses.min()))
        self._shares = ahead / ahead.sum()

    def _count(self, y: bool, weight: float) -> None:  # noqa: FBT001 (a label)
        keep = 1.0 - 1.0 / BASELINE_MEMORY
        self._labels = self._labels * keep + weight
        self._positives = self._positives * keep + (weight if y else 0.0)

    def _forget(self) -> None:
        """The law has changed: what was learned under the old one counts for little."""
        self._told.fade(KEPT_AFTER_CHANGE)
        self._losses = np.zeros(len(self._losses))
        self._line.forget()

    def _solve(self) -> None:
        weights = [self._told.means(penalty, self._priors) for penalty in self._penalties]
        # In one order of memory, since that decides the order in which products are added up.
        self._weights = np.ascontiguousarray(np.clip(np.vstack(weights), -LARGEST, LARGEST))
        self._unsolved = 0

    def frozen(self) -> Linear:
        """Copy out what is needed to serve; its value is log-odds."""
        mean = self._shares @ self._weights
        slope = self._line.slope
        return Linear(
            self.names,
            tuple((slope * mean[1:]).tolist()),
            self._line.intercept + slope * float(mean[0]),
            self._scaler.means,
            self._scaler.scales,
        )

    def report(self) -> dict[str, Any]:
        """Say how the learning goes: changes of the law seen, and how long ago the last one."""
        since = self._examples - self._watch.latest if self._watch.changes else None
        return {"changes": self._watch.changes, "labels_since_change": since}

    def state(self) -> dict[str, Any]:
        """Write down as plain numbers."""
        return {
            "names": list(self.names),
            "prior": self._prior,
            "scaler": self._scaler.state(),
            "told": self._told.state(),
            "weights": self._weights.tolist(),
            "losses": self._losses.tolist(),
            "shares": self._shares.tolist(),
            "line": self._line.state(),
            "watch": self._watch.state(),
            "counts": [self._examples, self._unsolved],
            "baseline": [self._labels, self._positives],
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any], guesses: Mapping[str, Guess] | None = None) -> Self:
        """Read what `state` has written. Learning goes on as if it had never stopped.

        Args:
            state: What was written.
            guesses: Those that it was made with.
        """
        with readable("ensemble"):
            new = cls(state["names"], prior=float(state["prior"]), guesses=guesses)
            shape = new._weights.shape
            new._scaler = Scaler.restored(state["scaler"])
            new._told.restore(state["told"])
            new._weights = np.array(state["weights"], dtype=np.float64).reshape(shape)
            new._losses = np.array(state["losses"], dtype=np.float64).reshape(shape[0])
            new._shares = np.array(state["shares"], dtype=np.float64).reshape(shape[0])
            new._line = Recalibration.restored(state["line"])
            new._watch = LossWatch.restored(state["watch"])
            new._examples, new._unsolved = map(int, state["counts"])
            new._labels, new._positives = map(float, state["baseline"])
        return new


def _beliefs(
    names: tuple[str, ...], prior: float, guesses: Mapping[str, Guess]
) -> tuple[list[Numbers], Numbers]:
    """Penalties, and the weights that learners start from, a row for each trust."""
    penalties = [np.array([BASE_PENALTY, *[penalty] * len(names)]) for penalty in PENALTIES]
    guessed = np.array([guesses[name].weight if name in guesses else 0.0 for name in names])
    rows = [
        np.concatenate(([log_odds(prior)], trust * guessed))
        for trust in (TRUSTS if guesses else TRUSTS[:1])
    ]
    return penalties, np.array(rows)
