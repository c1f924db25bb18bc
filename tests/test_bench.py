"""The benchmarks run and print what they measured. They judge nothing, and neither do these."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def bench(folder: Path, *options: str) -> dict[str, Any]:
    """Run one away from anybody's .env and read its figures."""
    command = [sys.executable, "-m", "stream", "bench", "--json", *options]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    figures: dict[str, Any] = json.loads(run.stdout)
    return figures


def test_it_says_how_much_a_worker_does(tmp_path: Path) -> None:
    """Every event of the full topic is read, and probes are answered while others come."""
    figures = bench(tmp_path, "--events", "10000", "--live", "1")
    assert figures["events"] == 10_000
    assert figures["rate"] > 0
    assert figures["probes"] > 0
    assert 0 < figures["p50_ms"] <= figures["p99_ms"] <= figures["worst_ms"]


def test_it_says_how_soon_a_worker_scores(tmp_path: Path) -> None:
    """With products and customers known, those that were clicked meanwhile get their scores."""
    figures = bench(tmp_path, "--start", "--known", "20000", "--active", "10")
    assert (figures["known"], figures["active"]) == (20_000, 10)
    assert 0 < figures["first_s"] <= figures["all_s"]


def test_it_sets_peers_beside_each_other() -> None:
    """One table: the small job and the whole one on the same events."""
    options = ["--events", "10000", "--rounds", "1", "--peers", "ours"]
    command = [sys.executable, "bench/run.py", *options]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "ours, the small job" in run.stdout
    assert "ours, the whole job" in run.stdout
