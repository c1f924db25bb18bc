"""The benchmarks run and print what they measured. They judge nothing, and neither do these."""

import json
import shutil
import subprocess
import sys
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from stream.bench.latency import summed_up
from stream.bench.rig import plain_settings
from stream.bench.shop import BusyShop
from stream.bench.watched import Report
from stream.cli import main
from stream.events.decode import Refused, decode
from stream.events.types import Topic
from stream.simulate.plan import ShopPlan
from stream.simulate.shop import Shop

ROOT = Path(__file__).resolve().parents[1]
JAVA = ROOT / ".venv-bench" / "streams"
NOW = 1_800_000_000_000


def bench(folder: Path, *options: str) -> dict[str, Any]:
    """Run one away from anybody's .env and read its figures."""
    command = [sys.executable, "-m", "stream", "bench", "--json", *options]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    figures: dict[str, Any] = json.loads(run.stdout)
    return figures


def test_it_says_how_much_a_worker_does(tmp_path: Path) -> None:
    """All of a full topic is read, what it costs is told, and probes are answered at each load."""
    figures = bench(tmp_path, "--events", "20000", "--live", "1", "--at", "10,50")
    full, storage = figures["full"], figures["storage"]
    assert figures["events"] == 20_000
    assert full["rate"] > 0
    assert full["commands"] > 0
    parts = ("customers.offer", "products.folding", "products.changing", "products.save", "letters")
    assert set(parts) <= set(figures["costs"])  # so few events may pass some before the first look
    assert figures["costs"]["products.folding"] > 0
    assert sum(figures["costs"].values()) > 0
    assert figures["pauses"]["longest_ms"] > 0
    assert min(storage[name] for name in ("product_row", "customer_row", "waiting_click")) > 0
    assert len(figures["live"]) == 2
    for live in figures["live"]:
        assert live["probes"] > 0
        assert 0 < live["p50_ms"] <= live["p99_ms"] <= live["p999_ms"] <= live["worst_ms"]


def test_it_says_how_soon_a_worker_scores(tmp_path: Path) -> None:
    """With products and customers known, those that were clicked meanwhile get their scores."""
    figures = bench(tmp_path, "start", "--known", "20000", "--active", "10")
    assert (figures["known"], figures["active"]) == (20_000, 10)
    assert 0 < figures["first_s"] <= figures["all_s"]


def test_it_says_how_soon_a_worker_has_caught_up(tmp_path: Path) -> None:
    """What came while none was there is counted while more comes."""
    figures = bench(tmp_path, "outage", "--events", "10000", "--outage", "1")
    assert figures["backlog"] == figures["live"]
    assert figures["caught_up_s"] > 0


def test_it_says_what_more_workers_do(tmp_path: Path) -> None:
    """Together they count everything."""
    figures = bench(tmp_path, "workers", "--events", "15000", "--workers", "2")
    assert figures["workers"] == 2
    assert figures["counted"]["rate"] > 0


def test_it_says_whether_memory_grows(tmp_path: Path) -> None:
    """Events are written while the worker counts them."""
    figures = bench(tmp_path, "memory", "--events", "20000")
    assert figures["events"] == pytest.approx(20_000, rel=0.02)
    assert len(figures["mib"]) == 10


def test_it_measures_the_users_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read as a worker reads them, and refused as it refuses them."""
    monkeypatch.setenv("STREAM_ROWS", "1")
    done = CliRunner().invoke(main, ["bench"])
    assert done.exit_code != 0
    assert "STREAM_ROWS" in done.output


@pytest.mark.parametrize("at", ["0", "ten", "10,-1"])
def test_a_load_is_a_share_of_the_speed(at: str) -> None:
    """Anything else is refused before anything is started."""
    done = CliRunner().invoke(main, ["bench", "--at", at])
    assert done.exit_code == 2
    assert "--at" in done.output


def test_what_the_shop_tells_can_be_read() -> None:
    """Every event is valid, no id comes twice though the day does; most of them are views."""
    shop = BusyShop(20_000)
    told = [shop.next(NOW + n) for n in range(40_000)]
    ids = {orjson.loads(value)["event_id"] for _, _, value in told}
    assert len(ids) == len(told)
    topics: tuple[Topic, ...] = ("clicks", "orders")
    for topic in topics:
        records = [_Sent(n, value) for n, (t, _, value) in enumerate(told) if t == topic]
        assert not any(isinstance(read, Refused) for _, _, read in decode(topic, records, ahead=0))
    kinds = [orjson.loads(value)["type"] for _, _, value in told]
    shares = {kind: kinds.count(kind) / len(kinds) for kind in set(kinds)}
    assert shares["view_item"] + shares["select_item"] == pytest.approx(0.93, abs=0.015)
    assert shares["add_to_cart"] == pytest.approx(0.04, abs=0.01)
    assert shares["purchase"] == pytest.approx(0.03, abs=0.01)


class _Sent:
    """An event on its way."""

    def __init__(self, offset: int, value: bytes) -> None:
        self.offset = offset
        self.timestamp = NOW + 100_000
        self.key = None
        self.value = value


def test_a_quantile_is_a_delay_that_was_measured() -> None:
    """No interpolation: of 1,000 delays one is longer than p99.9."""
    latency = summed_up(10, [n / 1000 for n in range(1, 1001)])
    assert (latency.p50_ms, latency.p99_ms, latency.p999_ms, latency.worst_ms) == (
        500.0, 990.0, 999.0, 1000.0,
    )  # fmt: skip
    assert latency.curve_ms[0] == 1.0
    assert latency.curve_ms[100] == 1000.0


def test_costs_are_those_of_the_time_that_was_measured() -> None:
    """What the start took is left out, and what no part was asked for is the loop's."""
    lines = [
        (1.0, {"process": 1.5}),
        (2.0, {"products.folding": 0.5, "process": 3.0}),
        (9.0, {"products.folding": 9.0, "process": 9.0}),
    ]
    report = Report(lines, [(0.5, 9.0, 9.0), (1.5, 0.001, 0.006), (1.6, 0.02, 0.004)])
    costs = report.costs(1.0, 2.0, 1_000_000)
    assert costs == {"products.folding": 0.5, "loop": 1.0}
    pauses = report.pauses(1.0, 2.0)
    assert (pauses["longest_ms"], pauses["own_ms"]) == (20.0, 4.0)


def run_all(folder: Path, *options: str) -> tuple[str, dict[str, Any]]:
    """Run bench/run.py; what it printed and what it kept."""
    results = folder / "results.json"
    command = [sys.executable, "bench/run.py", "--results", str(results), *options]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout, json.loads(results.read_text())


def test_the_small_job_gives_the_same_scores_either_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Written down as plain numbers, what River has learned predicts what River predicts."""
    monkeypatch.syspath_prepend(str(ROOT / "bench" / "peers"))
    job = import_module("job")
    by_river, by_numbers, shop = job.Job(), job.ServedJob(), BusyShop(3_000)
    for n in range(3_000):
        _, _, value = shop.next(1_700_000_000_000 + n)
        product, score = by_river.take(value)
        assert by_numbers.take(value) == (product, pytest.approx(score, abs=1e-12))


def test_it_sets_peers_beside_each_other(tmp_path: Path) -> None:
    """One table: the small job and the whole one on the same events."""
    options = ["--events", "20000", "--rounds", "1", "--parts", "peers"]
    said, kept = run_all(tmp_path, *options, "--peers", "ours", "served")
    small = "ours, the small job"
    names = (small, f"{small} as the product does it", "ours, the whole job")
    assert all(name in said for name in names)
    assert set(kept["peers"]["figures"]["rounds"]) == set(names)
    assert kept["peers"]["machine"]


def test_the_page_has_the_figures_that_were_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are written by a command, from one file; who edits them by hand is found out."""
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    report = import_module("report")
    text, kept = report.DOCUMENT.read_text(), json.loads(report.RESULTS.read_text())
    assert report.renewed(text, kept) == text
    places = [found[1] for found in report.MARKED.finditer(text)]
    assert {place.split()[0] for place in places} == {*kept, "limits", "catalogue", "aims"}


def test_figures_that_nobody_measured_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of some parts renews these only."""
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    report = import_module("report")
    text = report.DOCUMENT.read_text()
    assert report.renewed(text, {}) == text


def test_a_catalogue_takes_what_its_parts_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes times how many; what Redis adds to a row is taken from the run that knew most."""
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    names = ("product_row", "product_public", "customer_row", "customer_public", "waiting_click")
    load = {"storage": dict.fromkeys(names, 2**10)}
    start = {"known": 2**20, "redis_mib": 4_096, "product_row": 1_000, "customer_row": 1_048}
    rows = import_module("limits").catalogue(load, start).rows
    assert rows[0] == ("products: rows", "10,000,000", "1,024 to 2,024", "9.5 to 18.8")
    assert rows[2] == ("customers: rows", "100,000,000", "1,024 to 2,072", "95.4 to 193.0")


def test_frames_that_nobody_could_read_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """What took less than so many percent of the time."""
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    frames = [
        "<g><title>fold (9 samples, 9.00%)</title><rect/></g>",
        "<g><title>x (1 samples, 0.10%)</title></g>",
    ]
    thinned: str = import_module("flame").thinned("".join(frames), 0.3)
    assert thinned == frames[0]


@pytest.mark.skipif(
    not (ROOT / ".venv-bench" / "py-spy").exists(),
    reason="py-spy is fetched by bench/flame.py",
)
def test_it_draws_where_the_time_goes(tmp_path: Path) -> None:
    """A picture of a worker at work."""
    picture = tmp_path / "flame.svg"
    command = [sys.executable, "bench/flame.py", "--events", "30000", "--seconds", "1"]
    run = subprocess.run([*command, picture], cwd=ROOT, capture_output=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "stream/" in picture.read_text()


@pytest.mark.skipif(
    not (JAVA / "classpath.txt").exists() or shutil.which("java") is None,
    reason="the Java peer is set up by make bench, where there is a JDK",
)
def test_the_java_peer_learns_what_river_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same scores to the last digits: it does the same job."""
    monkeypatch.syspath_prepend(str(ROOT / "bench" / "peers"))
    plan = ShopPlan(products=500, customers=1_000, events_per_day=3_000)
    told = islice(Shop(plan).events(catalog=False), 3_000)
    lines = [orjson.dumps(event.value) for event in told]
    java = ["java", "-cp", (JAVA / "classpath.txt").read_text(), "Peer", "-"]
    done = subprocess.run(java, input=b"\n".join(lines), stdout=subprocess.PIPE, check=True)
    job = import_module("job").Job()
    for line, said in zip(lines, done.stdout.decode().splitlines(), strict=True):
        product, score = job.take(line)
        assert said.split()[0] == product
        assert float(said.split()[1]) == pytest.approx(score, abs=1e-12)


def test_plain_settings_are_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is published was measured with the defaults."""
    monkeypatch.setenv("STREAM_ROWS", "5000")
    assert plain_settings().rows == 100_000
