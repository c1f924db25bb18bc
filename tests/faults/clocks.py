"""What clocks do: those of producers, and those of workers."""

import time
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from aiokafka import AIOKafkaProducer

from faults.load import Event, Load
from faults.trial import Fault, Trial
from stream.units import DAY, HOUR

SHIFTED = '''\
"""Let the clock of this process be wrong by as many seconds as a file says."""
import os, threading, time

shift = [0.0]
real, real_ns, path = time.time, time.time_ns, os.environ["FAULTS_CLOCK"]

def look():
    while True:
        with open(path) as file:
            shift[0] = float(file.read() or 0)
        time.sleep(0.1)

time.time = lambda: real() + shift[0]
time.time_ns = lambda: real_ns() + int(shift[0] * 1e9)
threading.Thread(target=look, daemon=True).start()
'''
CALENDAR = (
    "2024-02-28T20:00:00+00:00",  # the 29th comes
    "2024-03-30T22:00:00+00:00",  # an hour is left out
    "2024-10-26T21:00:00+00:00",  # an hour comes twice
    "2024-12-31T20:00:00+00:00",  # a year ends
)
ZONES = [ZoneInfo(name) for name in ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe")]
PHASE = 3.0
"""Seconds for each of these; an hour goes by in a third of a second."""


class Stepping(Load):
    """Its clock can be set.

    Attributes:
        shift: By how much it is wrong, ms.
    """

    shift = 0

    def now(self) -> int:
        """Time of this clock."""
        return time.time_ns() // 1_000_000 + self.shift


class Behind(Load):
    """Every second event is by a clock that is a day behind."""

    def now(self) -> int:
        """Time of one of the clocks."""
        return time.time_ns() // 1_000_000 - (DAY if self.dice.random() < 0.5 else 0)


class Calendar(Load):
    """Days on which clocks do what they rarely do, in local time; and the year 2199."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._began: float | None = None

    def now(self) -> str:
        """Local time somewhere."""
        self._began = self._began or time.monotonic()
        elapsed = time.monotonic() - self._began
        phase = min(len(CALENDAR) - 1, int(elapsed / PHASE))
        base = datetime.fromisoformat(CALENDAR[phase]).timestamp()
        at = datetime.fromtimestamp(base + (elapsed - phase * PHASE) * 3 * 3600, UTC)
        return at.astimezone(self.dice.choice(ZONES)).isoformat(timespec="milliseconds")

    async def write(self, producer: AIOKafkaProducer, events: list[Event]) -> list[Event]:
        """Add one that is too far ahead."""
        late = {**self.event(), "time": "2199-12-31T23:59:59Z"}
        await super().write(producer, [late])
        self.refused += 1
        return await super().write(producer, events)


def steps_back(trial: Trial) -> None:
    """Producers' clocks step back an hour, and forward again."""
    trial.workers(2)
    load = trial.load
    assert isinstance(load, Stepping)
    for shift in (-HOUR, 0):
        load.shift = shift
        time.sleep(20 if trial.long else 4)
    trial.moves()


def workers_step_back(trial: Trial) -> None:
    """The workers' clocks step back an hour, and forward by two."""
    path = trial.folder / "shift"
    path.write_text("0")
    (trial.folder / "sitecustomize.py").write_text(SHIFTED)
    trial.shop.environment |= {"PYTHONPATH": str(trial.folder), "FAULTS_CLOCK": str(path)}
    trial.workers(2)
    for hours in (-1, 1, 0):
        path.write_text(str(hours * 3600))
        time.sleep(0.5)
        trial.moves()
        time.sleep(20 if trial.long else 3)


def behind(trial: Trial) -> None:
    """Half of the events are of yesterday."""
    trial.workers(2)
    time.sleep(20 if trial.long else 5)
    trial.moves()


def calendar(trial: Trial) -> None:
    """Leap day, summer time, winter time, New Year; what comes from 2199 is refused."""
    trial.workers(2)
    time.sleep(PHASE * len(CALENDAR))
    trial.moves()
    trial.settle()
    refused = trial.refused()
    assert refused == trial.load.refused, f"{refused} refused of {trial.load.refused}"


FAULTS = (
    Fault("producers' clocks an hour back, and forward", steps_back, Stepping, short=False),
    Fault("workers' clocks an hour back, and forward", workers_step_back, short=False),
    Fault("half of the producers a day behind", behind, Behind, short=False),
    Fault("leap day, daylight saving, the year 2199", calendar, Calendar),
)
