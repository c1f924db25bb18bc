"""What the benchmark asks of a peer, through the environment, and the answer, through stdout."""

import json
import os
import resource
import time
from pathlib import Path
from typing import NoReturn

KAFKA = os.environ.get("PEER_KAFKA", "127.0.0.1:9092")
REDIS = os.environ.get("PEER_REDIS", "redis://127.0.0.1:6379/0")
EVENTS = int(os.environ.get("PEER_EVENTS", "100000"))
GROUP = os.environ.get("PEER_GROUP", "peer")
TOPICS = ["clicks", "orders"]


class Stopwatch:
    """Counts events; starts with the first, and ends the process with the last."""

    def __init__(self) -> None:
        self.seen = 0
        self._began = 0.0
        self._cpu = 0.0

    def count(self, events: int = 1) -> bool:
        """Count some; say whether all have been seen."""
        if not self.seen:
            self._began, self._cpu = time.monotonic(), time.process_time()
        self.seen += events
        return self.seen >= EVENTS

    def answer(self) -> NoReturn:
        """Print what was measured, one line of JSON, and end: an orderly end is not measured."""
        figures = {
            "events": self.seen,
            "seconds": time.monotonic() - self._began,
            "cpu": time.process_time() - self._cpu,
            "peak_mib": _peak_mib(),
        }
        os.write(1, json.dumps(figures).encode() + b"\n")  # Faust takes sys.stdout for its log
        os._exit(0)


def _peak_mib() -> float:
    """Most memory so far. What `getrusage` says on Linux includes that of whoever started us."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    peaks = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return (peaks or [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss])[0] / 1024
