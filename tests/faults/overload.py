"""More than workers can do."""

import time

from faults.trial import Fault, Trial, peak

MOST = 60_000
"""Events a second, more than a shop of one thread can write."""
CHECKPOINTS = 11.0
"""Seconds in which a worker that is behind makes two."""
MORE = 3
"""Times what they can do."""
GROWTH = 1.3
"""Times as much memory as after the first quarter, at most."""


def overloaded(trial: Trial) -> None:
    """Three times what the worker can do: lag grows, memory does not, and it drains afterwards."""
    (worker,) = trial.workers(1)
    span = 120 if trial.long else 16
    trial.load.rate = MOST
    time.sleep(CHECKPOINTS)
    capacity = _pace(trial)
    trial.load.rate = min(MOST, int(capacity * MORE))
    time.sleep(span / 4)
    before, lag = peak(worker.process.pid, "VmRSS"), 0
    began, sent = time.monotonic(), trial.load.sent
    while time.monotonic() < began + span * 3 / 4:
        lag = max(lag, trial.load.sent - _done(trial))
        time.sleep(1.0)
    written = (trial.load.sent - sent) / (time.monotonic() - began)
    after = peak(worker.process.pid, "VmRSS")
    began = time.monotonic()
    trial.settle()
    took = time.monotonic() - began
    trial.said = (
        f"{written:,.0f}/s to one who does {capacity:,.0f}/s; lag up to {lag:,}, drained in "
        f"{took:.0f} s; {before:.0f} MiB, then {after:.0f}"
    )
    assert after < before * GROWTH, trial.said


def _pace(trial: Trial) -> float:
    done = _done(trial)
    time.sleep(CHECKPOINTS)
    return (_done(trial) - done) / CHECKPOINTS


def _done(trial: Trial) -> int:
    counts = trial.shop.counts()
    return counts["clicks"] + counts["purchases"]


FAULTS = (Fault("overload", overloaded, short=False),)
