"""What is to be evaluated."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stream.evaluation.sample import MOST

Row = dict[str, Any]
"""Of the dump, or of the report."""
Tell = Callable[[Row], object]
"""Is told each prediction once it is settled."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is evaluated. Times and spans are in ms.

    Attributes:
        first: Time of the log's first event.
        score_from: Predictions from then on are counted.
        return_from: The same for those of customers who may come back.
        horizons: Of demand and potential.
        strict: Leave out what the log's end has cut short.
        best_sellers: Report demand on so many products; None: on all.
        batch: Train the batch models, too.
        most: Rows that each batch model is trained on, and predictions that each figure is of; of
            more, so many are drawn.
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
    most: int = MOST
