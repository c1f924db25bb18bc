"""Peers on the same events, one after the other, in rounds; prints one table and judges nothing.

    python bench/run.py --events 1000000 --rounds 3

Every peer runs in an environment of its own under `.venv-bench/`, made when it is missing.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import venv
from collections import defaultdict
from itertools import islice
from pathlib import Path
from uuid import uuid4

from redis import Redis
from rich.console import Console
from rich.table import Table

from stream.bench.counting import count
from stream.bench.rig import bench_settings, run_worker
from stream.bench.shop import busy_shop, fill
from stream.embedded import Addresses, embedded

HERE = Path(__file__).resolve().parent
PEERS = HERE / "peers"
ENVIRONMENTS = HERE.parent / ".venv-bench"
GIVE_UP = 1_800.0
"""Seconds for one run of one peer."""
Figures = dict[str, float]

SMALL = {
    "ceiling": "confluent-kafka + orjson, decode only",
    "loop": "hand-written loop, confluent-kafka",
    "bytewax": "Bytewax",
    "quix": "Quix Streams",
    "faust": "Faust as documented",
    "ours": "ours, the small job",
}
WHOLE = "ours, the whole job"


def main() -> None:
    """Run what is asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", nargs="*", choices=SMALL, default=list(SMALL))
    options = parser.parse_args()
    pythons = {peer: _python(peer) for peer in options.peers}
    figures: dict[str, list[Figures]] = defaultdict(list)
    for round_ in range(1, options.rounds + 1):
        with embedded(say=_say) as addresses:
            settings = bench_settings(addresses)
            _say(f"round {round_}: writing {options.events:,} events")
            asyncio.run(fill(settings, islice(busy_shop(options.events), options.events)))
            for peer, python in pythons.items():
                _say(f"round {round_}: {SMALL[peer]}")
                figures[SMALL[peer]].append(_run(peer, python, addresses, options.events))
            _say(f"round {round_}: {WHOLE}")
            figures[WHOLE].append(_whole(addresses))
    Console(width=120).print(_table(figures))


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


def _python(peer: str) -> str:
    """Python of a peer's environment, which is made if it is missing or its versions changed."""
    needed = PEERS / peer / "requirements.txt"
    if not needed.exists():
        return sys.executable
    home = ENVIRONMENTS / peer
    python, made = home / "bin" / "python", home / "made-of.txt"
    if not made.exists() or made.read_text() != needed.read_text():
        _say(f"setting up {SMALL[peer]}")
        venv.create(home, with_pip=True, clear=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", needed], check=True)
        made.write_text(needed.read_text())
    return str(python)


def _run(peer: str, python: str, addresses: Addresses, events: int) -> Figures:
    environment = {
        **os.environ,
        "PYTHONPATH": str(PEERS),
        "PEER_KAFKA": addresses.kafka,
        "PEER_REDIS": addresses.redis,
        "PEER_EVENTS": str(events),
        "PEER_GROUP": f"{peer}-{uuid4().hex[:8]}",
    }
    command = [python, str(PEERS / peer / "main.py")]
    if peer == "faust":
        command += ["worker", "--loglevel", "ERROR"]
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=GIVE_UP
    )
    said: Figures = json.loads(done.stdout.strip().splitlines()[-1])
    return {
        "rate": said["events"] / said["seconds"],
        "cpu_us": said["cpu"] / said["events"] * 1e6,
        "peak_mib": said["peak_mib"],
    }


def _whole(addresses: Addresses) -> Figures:
    with run_worker(addresses) as process, Redis.from_url(addresses.redis) as redis:
        counted = count(redis, process)
    return {"rate": counted.rate, "cpu_us": counted.cpu_us, "peak_mib": counted.memory_mib}


def _table(figures: dict[str, list[Figures]]) -> Table:
    table = Table("", "events/s", "lowest to highest", "× the loop", "µs CPU/event", "peak MiB")
    loop = figures.get(SMALL["loop"])
    for name, runs in figures.items():
        rates = [run["rate"] for run in runs]
        beside = [
            run["rate"] / other["rate"] for run, other in zip(runs, loop or (), strict=bool(loop))
        ]
        table.add_row(
            name,
            f"{statistics.median(rates):,.0f}",
            f"{min(rates):,.0f} to {max(rates):,.0f}",
            f"{statistics.median(beside):.2f}" if beside else "",
            f"{statistics.median(run['cpu_us'] for run in runs):.1f}",
            f"{statistics.median(run['peak_mib'] for run in runs):.0f}",
        )
    return table


if __name__ == "__main__":
    main()
