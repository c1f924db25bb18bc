"""`stream demo`: what a stranger sees first is true, and nothing of it stays behind."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stream.cli.board import found
from stream.demo.books import Books
from stream.demo.verdict import judge
from stream.events.logs import Event
from stream.events.types import Topic
from stream.units import DAY, HOUR, Millis

NOON = Millis(1_569_931_200_000)
SMALL = ("--products", "100")
PATIENCE = 90.0


def happens(claim: Callable[[], bool], within: float = PATIENCE) -> bool:
    """Wait for a claim to come true."""
    deadline = time.monotonic() + within
    while not claim():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


class Demo:
    """A `stream demo` process without a terminal, its temporary files in a folder of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self._out = folder / "out"
        with self._out.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "stream", "demo", *arguments],
                cwd=folder,
                # What somebody has set for an installation of theirs is left aside.
                env={**os.environ, "TMPDIR": str(self.scratch), "STREAM_KAFKA": "nowhere:1"},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        """Everything that it has printed."""
        return self._out.read_text()

    @property
    def children(self) -> dict[int, str]:
        """Commands of the processes that use its temporary files, by process id."""
        return {
            int(entry.name): command
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and (command := _command_in(entry, self.scratch))
        }

    @property
    def worker(self) -> int:
        """The worker's process id; its guard's command ends alike."""
        return next(
            pid
            for pid, said in self.children.items()
            if said.endswith("stream worker ") and "guard" not in said
        )

    def ends(self) -> int:
        """Wait for its end; its exit code."""
        return self.process.wait(PATIENCE)

    def left(self) -> list[str]:
        """What it has left behind: processes, and what is in its temporary folder."""
        happens(lambda: not self.children, within=15)
        return [*self.children.values(), *map(str, self.scratch.iterdir())]


def _command_in(entry: Path, folder: Path) -> str:
    """Command of a process that works in a folder; empty if it does not, or is gone."""
    try:
        if not (entry / "cwd").readlink().is_relative_to(folder):
            return ""
        return (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


@contextmanager
def playing(folder: Path, *arguments: str) -> Iterator[Demo]:
    """Run a demo until the end of the block."""
    demo = Demo(folder, *arguments)
    try:
        yield demo
    finally:
        if demo.process.poll() is None:
            demo.process.kill()
            demo.process.wait()


def of(topic: Topic, **said: Any) -> Event:
    """Make an event at noon, of one customer."""
    value = {"event_id": "e1", "time": NOON, "user_id": "u1", **said}
    return Event(topic, value["user_id"], value["time"], value)


def order(event_id: str, *lines: tuple[str, int], kind: str = "purchase") -> Event:
    """Make a purchase or a refund of one order."""
    items = [{"product_id": product, "quantity": n, "price": 1.0} for product, n in lines]
    return of("orders", event_id=event_id, type=kind, order_id="o1", items=items)


def booked(*events: Event) -> Books:
    """Enter events."""
    books = Books()
    for event in events:
        books.enter(event)
    return books


def test_a_minute_of_it_ends_by_itself_and_leaves_nothing(tmp_path: Path) -> None:
    """Plain lines, equal counts, exit code 0, no process, no file, despite the environment."""
    with playing(tmp_path, "--seconds", "12", *SMALL) as demo:
        assert demo.ends() == 0, demo.said
        assert "each counted once" in demo.said
        assert re.search(
            r"^Of them in the top 10: \d+ by score, \d+ by views", demo.said, re.MULTILINE
        )
        assert re.search(
            r"^\w{3} \d{4}-\d\d-\d\d \d\d:\d\d: [\d,]+ events", demo.said, re.MULTILINE
        )
        assert "\x1b" not in demo.said
        assert "\r" not in demo.said
        assert demo.left() == []


def test_ctrl_c_ends_it_with_a_verdict(tmp_path: Path) -> None:
    """Interrupted midway it counts what was sent, says what there is to say, and is gone."""
    with playing(tmp_path, "--seconds", "600", *SMALL) as demo:
        assert happens(lambda: "events" in demo.said), demo.said
        time.sleep(2)
        assert len(demo.children) >= 3
        os.killpg(demo.process.pid, signal.SIGINT)  # as a terminal does
        assert demo.ends() == 0, demo.said
        assert "each counted once" in demo.said
        assert demo.left() == []


def test_a_worker_that_dies_is_spoken_of_and_killing_the_demo_ends_the_rest(tmp_path: Path) -> None:
    """Exit code 1 with the worker's last words; and SIGKILL leaves no process."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with (
        playing(tmp_path / "a", "--seconds", "600", *SMALL) as bereft,
        playing(tmp_path / "b", "--seconds", "600", *SMALL) as killed,
    ):
        assert happens(lambda: "playing" in bereft.said), bereft.said
        os.kill(bereft.worker, signal.SIGKILL)
        assert bereft.ends() == 1
        assert "The worker has ended by itself" in bereft.said
        assert "Traceback" not in bereft.said
        assert bereft.left() == []
        assert happens(lambda: "playing" in killed.said), killed.said
        killed.process.kill()
        assert happens(lambda: not killed.children, within=30), killed.children


def test_a_recorded_log_is_played_and_counted(tmp_path: Path) -> None:
    """Rows of another shop's format; one row twice counts once, one row that says nothing not."""
    rows = [
        "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session"
    ]
    for n in range(600):
        at = f"2019-10-01 {n // 60:02}:{n % 60:02}:00 UTC"
        kind = ("view", "view", "view", "cart", "purchase")[n % 5]
        rows.append(f"{at},{kind},{n % 7 + 1},1,toys.kite,acme,9.50,{n % 31 + 1},s{n % 31}")
    rows += [rows[-1], "never,view,1,1,toys,acme,9.50,1,s1"]
    (tmp_path / "log.csv").write_text("\n".join(rows) + "\n")
    with playing(
        tmp_path, "--seconds", "5", "--input", "log.csv", "--format", "rees46", "--json"
    ) as demo:
        assert demo.ends() == 0, demo.said
        verdict = json.loads(demo.said.splitlines()[-1])
        assert verdict["exact"]
        assert verdict["left_out"] == 1
        assert verdict["taking_off"] is None
        assert verdict["counted"]["views"] == 360
        assert verdict["counted"]["carts"] == 120
        assert verdict["counted"]["orders"] == 120
        assert demo.left() == []


def test_a_refund_takes_back_what_was_bought_and_no_more() -> None:
    """Units go one by one, an order line with its last unit; also if the refund comes first."""
    bought, back = order("e1", ("a", 3), ("b", 1)), order("e2", ("a", 2), kind="refund")
    for books in (booked(bought, back), booked(back, bought)):
        assert books.totals == {"orders": 2, "units": 2}
        assert books.entries == 3
    books = booked(bought, back, order("e3", ("a", 9), ("c", 1), kind="refund"))
    assert books.totals == {"orders": 1, "units": 1}


def test_an_event_that_is_sent_twice_is_one() -> None:
    """The same id of the same customer is in the books once, another customer's once more."""
    view = of("clicks", type="view_item", product_id="a")
    other = of("clicks", type="view_item", product_id="a", user_id="u2")
    books = booked(view, view, other, order("e9", ("a", 1)), order("e10", ("a", 1)))
    assert books.totals == {"views": 2, "orders": 1, "units": 1}
    assert books.repeated == 2


def test_views_are_those_of_the_last_day() -> None:
    """What was looked at the day before yesterday is no rival of today's."""
    views = [
        of(
            "clicks",
            event_id=f"{product} {n}",
            type="view_item",
            product_id=product,
            time=NOON + day * DAY,
        )
        for day, product, number in ((0, "old", 9), (1, "few", 1), (1, "many", 2))
        for n in range(number)
    ]
    views.append(of("clicks", event_id="x", type="add_to_cart", product_id="few", time=NOON + DAY))
    books = booked(*sorted(views, key=lambda event: event.time))
    assert books.viewed(Millis(NOON + DAY + 2 * HOUR)) == ["many", "few"]


@pytest.mark.parametrize("counted", [{"views": 6}, {"views": 8}, {"views": 7, "units": 1}])
def test_counts_that_differ_are_not_called_equal(counted: dict[str, int]) -> None:
    """One less, one more, or something out of nothing."""
    verdict = judge(
        scored=[], viewed=[], truth=None, products=None, produced={"views": 7}, counted=counted
    )
    assert not verdict.exact


def test_the_verdict_names_both_rankings() -> None:
    """As many places of the views' ranking are judged as there are scores."""
    verdict = judge(
        scored=["a", "b", "c"],
        viewed=["x", "y", "z", "a"],
        truth={"a", "b"},
        products=30,
        produced={},
        counted={},
    )
    assert verdict.by_score == ["a", "b"]
    assert " ".join(found(verdict)) == (
        "By the simulator's own plan 2 products were taking off at the end. "
        "Of them in the top 3: 2 by score, 0 by views of the last day (0.2 by chance)."
    )
