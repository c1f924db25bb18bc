"""What happens to workers."""

import sys
import time
from pathlib import Path

from running import SESSION, Worker

from faults.trial import Fault, Trial
from stream.settings import STAGES

ANOTHER_RELEASE = """\
import sys
import stream.redis.checkpoints
stream.redis.checkpoints.FORMAT = 2
from stream.cli import main
sys.argv = ["stream", "worker"]
main()
"""


def killed_at_random(trial: Trial) -> None:
    """SIGKILL, one after another, wherever they are."""
    workers = trial.workers(3)
    for _ in trial.often(3, 10):
        trial.rest()
        worker = trial.dice.choice(workers)
        worker.kill()
        worker.start()
    trial.moves()


def killed_and_not_replaced(trial: Trial) -> None:
    """SIGKILL, and the others have to do its work."""
    one, *_ = trial.workers(2)
    one.kill()
    trial.moves()


def all_killed(trial: Trial) -> None:
    """SIGKILL for all of them at once."""
    workers = trial.workers(3)
    for _ in trial.often(1, 3):
        trial.rest(1.0)
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.start()
        trial.moves()


def killed_during_start(trial: Trial) -> None:
    """SIGKILL from the first moment to the first checkpoints."""
    trial.workers(1)
    other = trial.worker()
    for _ in trial.often(3, 10):
        trial.rest(0.2, 4.0)
        other.kill()
        other.start()
    trial.moves()


def killed_during_rebalance(trial: Trial) -> None:
    """SIGKILL for one who is being given partitions, or is giving some away."""
    one, other = trial.workers(2)
    for _ in trial.often(2, 6):
        given = other.said.count("partitions [")
        third = trial.worker()
        trial.happens(
            lambda t=third, g=given: t.has_begun() or other.said.count("partitions [") > g,  # type: ignore[misc]
            "no rebalance",
        )
        killed = trial.dice.choice((one, other, third))
        killed.kill()
        if killed is not third:
            killed.start()
            third.end()
    trial.moves()


def killed_during_shutdown(trial: Trial) -> None:
    """SIGTERM, and SIGKILL before it is done."""
    _, other = trial.workers(2)
    for _ in trial.often(2, 8):
        trial.rest(0.5, 2.0)
        trial.happens(other.listens, "deaf")
        other.wanted = False
        other.process.terminate()
        trial.rest(0.0, 0.6)
        other.kill()
        other.start()
    trial.moves()


def zombie(trial: Trial) -> None:
    """SIGSTOP for longer than the session; its partitions have new owners; SIGCONT."""
    one, *_ = trial.workers(2)
    for _ in trial.often(1, 3):
        one.freeze()
        trial.moves()  # which takes the others to take over
        time.sleep(SESSION / 1000)
        one.wake()
        trial.rest(2.0, 4.0)
    fenced = one.said.count("belongs to another worker now")
    trial.said = f"{fenced} times refused" if fenced else "it was told before it wrote"


def coming_and_going(trial: Trial) -> None:
    """Workers join and leave every few seconds for a minute."""
    stays, *others = trial.workers(3)
    end = time.monotonic() + (60 if trial.long else 8)
    while time.monotonic() < end:
        trial.rest(1.0, 3.0)
        worker = trial.dice.choice(others)
        if worker.alive:
            trial.happens(worker.listens, "deaf")
            code, _ = worker.end()
            assert code == 0, worker.said
        else:
            worker.start()
    assert stays.alive
    trial.moves()


def one_stage_each(trial: Trial) -> None:
    """A process for each stage, each of them killed."""
    trial.open()
    workers = [trial.worker("--stages", stage) for stage in STAGES]
    trial.begun()
    for worker in workers:
        worker.kill()
        trial.rest(0.5, 1.5)
        worker.start()
        trial.moves()


def another_release(trial: Trial) -> None:
    """One that stores things otherwise is started beside: it must refuse, and say what to do."""
    trial.workers(1)
    script = trial.folder / "another.py"
    script.write_text(ANOTHER_RELEASE)
    stranger = _Stranger(trial.shop.environment, [], trial.folder / "another.log")
    try:
        code = stranger.process.wait(trial.patience)
    finally:
        stranger.kill()
    assert code == 1, stranger.said
    assert "this release reads 2. Run the release that wrote it" in stranger.said, stranger.said
    assert "Traceback" not in stranger.said, stranger.said
    trial.moves()
    trial.said = "refused in a sentence"


class _Stranger(Worker):
    def command(self) -> list[str]:
        return [sys.executable, str(Path(self.log.parent) / "another.py")]


FAULTS = (
    Fault("kill -9 of a worker at random", killed_at_random),
    Fault("kill -9, its work left to the others", killed_and_not_replaced, short=False),
    Fault("kill -9 of all workers at once", all_killed),
    Fault("kill -9 during start-up", killed_during_start, short=False),
    Fault("kill -9 during a rebalance", killed_during_rebalance, short=False),
    Fault("kill -9 during shutdown", killed_during_shutdown, short=False),
    Fault("a zombie: SIGSTOP beyond the session, SIGCONT", zombie, short=False),
    Fault("workers join and leave", coming_and_going, short=False),
    Fault("one stage per process, each killed", one_stage_each, short=False),
    Fault("a worker of another release beside", another_release),
)
