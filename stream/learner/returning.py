"""The model of returns, beside its base rate."""

from collections.abc import Mapping
from typing import Any

from stream.customers.returning import FIRST_RETURN, RETURN_NAMES
from stream.models.ensemble import Ensemble
from stream.models.linear import log_odds
from stream.models.quality import ClassifierQuality
from stream.models.snapshots import readable
from stream.products.serving import Judge, rule


class ReturnModel:
    """P(a customer orders again within 28 days), from looks whose horizon has passed."""

    def __init__(self) -> None:
        self.classifier = Ensemble(RETURN_NAMES, prior=FIRST_RETURN)
        self.quality = ClassifierQuality()

    def learn(self, *, returned: bool, look: list[Any]) -> None:
        """Judge what was predicted, then learn from what came."""
        _time, model, base, x = look
        self.quality.add(model, base, returned)
        self.classifier.learn(x, returned)

    def judge(self) -> Judge:
        """What is served."""
        return Judge(
            rule(RETURN_NAMES, log_odds(self.classifier.baseline), {}),
            self.classifier.frozen(),
            self.quality.serving == "model",
        )

    def state(self) -> dict[str, Any]:
        """Plain data to go on from."""
        return {"classifier": self.classifier.state(), "quality": self.quality.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        with readable("return"):
            if tuple(state["classifier"]["names"]) != RETURN_NAMES:
                raise ValueError("it is of other features")
            self.classifier = Ensemble.restored(state["classifier"])
            self.quality = ClassifierQuality.restored(state["quality"])

    def report(self) -> dict[str, Any]:
        """How right it has been of late."""
        return {**self.quality.report(), "drift": self.classifier.report()}
