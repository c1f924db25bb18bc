"""Looks at customers who have ordered: every 14 days, and 28 days later what has become of it."""

from collections.abc import Mapping
from typing import Any
from zlib import crc32

from stream.customers.reminders import Reminders
from stream.customers.returning import (
    EVERY,
    FIRST_RETURN,
    FOLLOWED,
    HORIZON,
    ReturnPrediction,
    ReturnServing,
    came_back,
    return_features,
)
from stream.customers.row import CustomerRow
from stream.models.linear import probability


class Looking:
    """What is predicted of returns, and what is learned from them.

    A customer's looks lie 14 days apart, at a phase of the customer's own, so that they are
    spread over time, and over the days since an order. What falls between two events of a
    customer is looked at before the second is counted, or when the watermark passes: whichever
    it is, only what came before it is known.

    Attributes:
        serving: The model; None before the first snapshot.
        reminders: When those are to be looked at who may have fallen silent.
    """

    __slots__ = ("_told", "reminders", "serving")

    def __init__(self, waiting: Mapping[str, bytes]) -> None:
        """Go on from what was stored.

        Args:
            waiting: All that waits in the shard, by id.
        """
        self.serving: ReturnServing | None = None
        self.reminders = Reminders(waiting)
        self._told: list[list[Any]] = []

    def follow(self, customer: str, row: CustomerRow, time: int) -> None:
        """A customer has ordered: begin to look, unless that was begun before."""
        if row.look <= 0:
            after = time + 1
            row.look = after + (crc32(customer.encode()) - after) % EVERY
            self.reminders.set(customer, row.look)

    def look(self, customer: str, row: CustomerRow, until: int) -> bool:
        """Take the looks that are due; False if none is."""
        if not 0 < row.look <= until:
            return False
        while 0 < row.look <= until:
            self._look(row, row.look)
        if row.look > 0:
            self.reminders.set(customer, row.look)
        else:
            self.reminders.remove(customer)
        return True

    def _look(self, row: CustomerRow, time: int) -> None:
        """Tell what has come of the looks of a horizon ago, and predict anew."""
        still = []
        for look in row.looks:
            if look[0] + HORIZON <= time:
                self._told.append([came_back(row, look[0]), look])
            else:
                still.append(look)
        row.looks = still
        if time <= row.last_order + FOLLOWED and (x := return_features(row, time)) is not None:
            model, rule = self._both(x)
            values = [None if value is None else round(value, 4) for value in x]
            row.looks.append([time, round(model, 6), round(rule, 6), values])
        row.look = time + EVERY if row.looks else -1

    def _both(self, x: list[float | None]) -> tuple[float, float]:
        if self.serving is None:
            return FIRST_RETURN, FIRST_RETURN
        model, rule = self.serving.both(x)
        return probability(model), probability(rule)

    def predict(self, customer: str, row: CustomerRow, time: int) -> ReturnPrediction | None:
        """Say what is served of a customer; None if there is nothing to come back from."""
        x = return_features(row, time) if row.look else None
        if x is None:
            return None
        model, rule = self._both(x)
        trusted = self.serving is not None and self.serving.trusted
        return ReturnPrediction(customer, time, model if trusted else rule, rule, x)

    def take(self) -> list[list[Any]]:
        """What the learner is to be told, once: [came back, [time, model, rule, features]]."""
        told, self._told = self._told, []
        return told
