"""What labels have told of a linear law, added up so that any penalty can be laid on it later."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from river import linear_model

from stream.models.scaler import Numbers
from stream.models.snapshots import readable


class FadingBayes(linear_model.BayesianLinearRegression):  # type: ignore[misc]
    """River's Bayesian linear regression, with weights, and with a memory that fades.

    It keeps River's two sums, precision and precision times mean, but without a prior in them.
    So one pass over the labels serves learners of any penalty: each adds its own prior and
    solves for its weights. What River calls smoothing would invert a matrix at every example
    and weigh a new one by 1 - smoothing; here a new one weighs what it weighs.

    Attributes:
        memory: Age at which an example has faded to 1/e. Examples.

    Source:
        Bishop, "Pattern Recognition and Machine Learning", 2006, equations 3.50 and 3.51.

    >>> line = FadingBayes(["one", "slope"], memory=1e9)
    >>> for x, y in ((0.0, 1.0), (1.0, 3.0), (2.0, 5.0)):
    ...     line.add(np.array([1.0, x]), y)
    >>> line.means(np.array([1e-9, 1e-9]), np.zeros((1, 2))).round(6).tolist()
    [[1.0, 2.0]]
    """

    def __init__(self, names: Sequence[str], memory: float) -> None:
        super().__init__()
        self.memory = memory
        self._idx = {name: place for place, name in enumerate(names)}
        self._cap = len(self._idx)
        self._ss_arr = np.zeros((self._cap, self._cap))
        self._eta_arr = np.zeros(self._cap)

    def add(self, x: Numbers, response: float, weight: float = 1.0) -> None:
        """Learn a response.

        Args:
            x: Scaled features. Shape (features,).
            response: What the linear law should have given.
            weight: How firm that is: the response's precision.
        """
        keep = 1.0 - 1.0 / self.memory
        self._ss_arr = self._ss_arr * keep + weight * np.outer(x, x)
        self._eta_arr = self._eta_arr * keep + weight * response * x

    def push(self, x: Numbers, residual: float) -> None:
        """Correct an earlier response by a residual, which makes nothing firmer."""
        self._eta_arr = self._eta_arr + residual * x

    def fade(self, share: float) -> None:
        """Keep only a share of all that was learned."""
        self._ss_arr = self._ss_arr * share
        self._eta_arr = self._eta_arr * share

    def means(self, penalties: Numbers, priors: Numbers) -> Numbers:
        """Weights that a prior and what was learned lead to.

        Args:
            penalties: Precision of the prior, positive. Shape (features,).
            priors: Its means, a row for each learner. Shape (learners, features).

        Returns:
            The weights. Shape (learners, features).
        """
        precision = self._ss_arr + np.diag(penalties)
        told = (penalties * priors + self._eta_arr).T
        return np.asarray(np.linalg.solve(precision, told).T, dtype=np.float64)

    def state(self) -> dict[str, Any]:
        """Write down as plain numbers. The precision is symmetric: half of it will do."""
        return {
            "memory": self.memory,
            "precision": self._ss_arr[np.triu_indices(self._cap)].tolist(),
            "told": self._eta_arr.tolist(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a written state."""
        with readable("regression's evidence"):
            precision = np.zeros((self._cap, self._cap))
            upper = np.triu_indices(self._cap)
            precision[upper] = precision.T[upper] = state["precision"]
            self._ss_arr = precision
            told = np.array(state["told"], dtype=np.float64)
            if told.shape != (self._cap,):
                raise ValueError(f"{len(told)} sums for {self._cap} features")
            self._eta_arr = told
            self.memory = float(state["memory"])
