"""What goes wrong where: a pure function of a seed and a place, so that less can be tried again."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from hashlib import blake2b
from math import log
from struct import unpack
from typing import Literal, NamedTuple, get_args

Kind = Literal[
    "refused", "unheard", "late", "slow", "down", "crash before", "crash after", "freeze", "moved"
]
"""Refused: not done, and told so. Unheard: done, and told that it failed. Late: told that it
failed, and done later. Down: the neighbour answers nobody for a while. Moved: the worker's
partitions are given to others, and it does not know."""
KINDS: tuple[Kind, ...] = get_args(Kind)
ANYWHERE: tuple[Kind, ...] = ("crash before", "freeze", "moved")
"""What may happen to a worker where nothing is asked of a neighbour."""
MOST = 12
"""Faults of one history."""


class Fault(NamedTuple):
    """Something that goes wrong.

    Attributes:
        kind: What.
        span: How long it goes on, s.
    """

    kind: Kind
    span: float


class Fate(NamedTuple):
    """What becomes of one request.

    Attributes:
        place: Who asked for what, for the how-manieth time.
        fault: What goes wrong, if anything does.
        delay: Seconds until it arrives.
    """

    place: str
    fault: Fault | None
    delay: float


class Faults:
    """All that goes wrong in one history.

    Attributes:
        asked: Every place at which something might have, in order.
        struck: What has gone wrong, by place, in order.
        over: Nothing goes wrong any more.
    """

    def __init__(
        self,
        seed: int,
        rate: float,
        kinds: Collection[Kind],
        script: Mapping[str, Fault] | None = None,
    ) -> None:
        """Draw by a seed, or follow a script.

        Args:
            seed: Of the dice.
            rate: Share of the requests of which something becomes.
            kinds: What may go wrong.
            script: What goes wrong, by place; None: whatever is drawn.
        """
        self._key = seed.to_bytes(8, "big")
        self._rate = rate if kinds else 0.0
        self._kinds = [kind for kind in KINDS if kind in kinds]
        self._anywhere = [kind for kind in ANYWHERE if kind in kinds]
        self._script = script
        self._asked: Counter[str] = Counter()
        self.asked: list[str] = []
        self.struck: dict[str, Fault] = {}
        self.over = False

    def _dice(self, place: str) -> tuple[float, float, float]:
        """Three numbers from 0 to 1 that belong to a place."""
        drawn = blake2b(place.encode(), digest_size=12, key=self._key).digest()
        first, second, third = unpack(">III", drawn)
        return first / 2**32, second / 2**32, third / 2**32

    def of(self, who: str, what: str) -> Fate:
        """Draw what becomes of the next request of this kind."""
        name = f"{who} {what}"
        self._asked[name] += 1
        place = f"{name} {self._asked[name]}"
        self.asked.append(place)
        chance, choice, wait = self._dice(place)
        fault = None
        if chance < self._rate or self._script is not None:
            fault = self._struck(place, self._kinds, choice, wait)
        delay = 0.0005 + 0.01 * wait**4
        return Fate(place, fault, delay + fault.span if fault and fault.kind == "slow" else delay)

    def gap(self, who: str, number: int) -> int:
        """Steps of a worker between two places at which it may be stopped in the middle."""
        if not self._anywhere or not self._rate:
            return 1 << 60
        return 1 + int(-log(1.0 - self._dice(f"{who} gap {number}")[0]) * 8 / self._rate)

    def amid(self, who: str, step: int) -> Fate:
        """Draw what happens to a worker at such a step."""
        place = f"{who} step {step}"
        _, choice, wait = self._dice(place)
        return Fate(place, self._struck(place, self._anywhere, choice, wait), 0.0)

    def _struck(
        self, place: str, kinds: Sequence[Kind], choice: float, wait: float
    ) -> Fault | None:
        if self.over:
            return None
        if self._script is not None:
            fault = self._script.get(place)
        elif len(self.struck) < MOST:
            fault = Fault(kinds[int(choice * len(kinds))], 0.2 + 3 * wait)
        else:
            return None
        if fault is not None:
            self.struck[place] = fault
        return fault
