"""More than workers can do."""

import time

from faults.trial import Fault, Trial, peak

MORE = 3
"""Times what they can do."""
GROWTH = 1.3
"""Times as much memory as after the first quarter, at most."""


def overloaded(trial: Trial) -> None:
    """Three times what the worker can do: lag grows, memory does not, and it drains afterwards."""
    (worker,) = trial.workers(1)
    span = 120 if trial.long else 16
    trial.load.rate = 60_000  # as fast as this can write
    capacity = _pace(trial, span / 8)
    trial.load.rate = int(max(capacity * MORE, 2_000))
    time.sleep(span / 4)
    before, lag = peak(worker.process.pid, "VmRSS"), 0
    end = time.monotonic() + span * 3 / 4
    while time.monotonic() < end:
        lag = max(lag, trial.load.sent - _done(trial))
        time.sleep(1.0)
    after = peak(worker.process.pid, "VmRSS")
    began = time.monotonic()
    trial.settle()
    took = time.monotonic() - began
    trial.said = (
        f"can do {capacity:,.0f}/s; lag up to {lag:,}, drained in {took:.0f} s; "
        f"{before:.0f} MiB, then {after:.0f}"
    )
    assert after < before * GROWTH, trial.said


def _pace(trial: Trial, seconds: float) -> float:
    done = _done(trial)
    time.sleep(seconds)
    return (_done(trial) - done) / seconds


def _done(trial: Trial) -> int:
    counts = trial.shop.counts()
    return counts["clicks"] + counts["purchases"]


FAULTS = (Fault("overload", overloaded),)
