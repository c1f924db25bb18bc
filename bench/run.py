"""All that docs/performance.md tells: ours beside peers on the same events, latency, resources.

    python bench/run.py --events 1000000 --rounds 3

It prints tables, writes what it measured as JSON, and judges nothing. Peers run one after the
other, in rounds, each in an environment of its own under `.venv-bench/`, made when it is missing.
"""

import argparse
import asyncio
import json
import logging
import os
import platform
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import engines
import tables
from rich.console import Console
from rich.table import Table

from stream.bench.counting import count
from stream.bench.load import measure
from stream.bench.memory import measure_memory
from stream.bench.outage import measure_outage
from stream.bench.rig import plain_settings, rig, run_worker
from stream.bench.shop import BusyShop, fill
from stream.bench.start import measure_start
from stream.bench.workers import measure_workers
from stream.errors import StreamError

RESULTS = engines.ENVIRONMENTS / "results.json"
AT = (10.0, 50.0, 80.0)
"""Percent of the worker's own speed at which latency is measured."""
QUIET = 10
"""Events a second of a quiet shop."""
WORKERS = (1, 2, 3)
WHOLE = "ours, the whole job"

Options = argparse.Namespace


def main() -> None:
    """Measure the parts that are asked for, print their tables and keep their figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3, help="of the peers")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--peers", nargs="*", choices=engines.KNOWN, default=list(engines.KNOWN))
    parser.add_argument("--seconds", type=float, default=60.0, help="of each load of `load`")
    parser.add_argument("--outage", type=float, default=60.0, help="seconds of `outage`")
    parser.add_argument("--long", type=int, default=20_000_000, help="events of `memory`")
    parser.add_argument("--results", type=Path, default=RESULTS, help="JSON, others' parts kept")
    options = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    results = json.loads(options.results.read_text()) if options.results.exists() else {}
    failed: list[str] = []
    for part in options.parts:
        began = time.monotonic()
        try:
            figures = PARTS[part](options)
        except StreamError as error:  # the others are worth as much without it
            _say(f"{part} could not be measured: {error}")
            failed.append(part)
            continue
        results[part] = {**_circumstances(part, parser, options, began), "figures": figures}
        options.results.parent.mkdir(parents=True, exist_ok=True)
        options.results.write_text(json.dumps(results, indent=1) + "\n")
    for part in [part for part in options.parts if part not in failed]:
        for table in tables.of(part, results[part]["figures"]):
            _print(table)
    sys.exit(1 if failed else 0)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


def _print(table: tables.Figures) -> None:
    drawn = Table(*table.head, title=table.title, title_justify="left")
    for row in table.rows:
        drawn.add_row(*row)
    Console(width=140).print(drawn)


def _circumstances(
    part: str, parser: argparse.ArgumentParser, options: Options, began: float
) -> dict[str, Any]:
    """Say when, on what and how this was measured; of the command, what is not the default."""
    words = ["python", "bench/run.py", "--parts", part]
    for name in USED[part]:
        value = getattr(options, name)
        if value != parser.get_default(name):
            words += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "command": shlex.join(words),
        "minutes": round((time.monotonic() - began) / 60, 1),
    }


def machine() -> str:
    """Say what this runs on: processor, cores, memory, system, Python."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{_processor()}, {cores} cores, {memory:.0f} GiB, {platform.system()}, "
        f"Python {platform.python_version()}"
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _peers(options: Options) -> dict[str, Any]:
    """Let each engine read the same events, in rounds: a machine has good moments and bad ones."""
    commands = {}
    for peer in options.peers:
        try:
            commands[peer] = engines.command(peer, _say)
        except engines.Missing as why:
            _say(f"left out: {engines.KNOWN[peer].name}: {why}")
    rounds: dict[str, list[dict[str, float]]] = {}
    for round_ in range(1, options.rounds + 1):
        with rig(plain_settings(), _say) as here:
            _say(f"round {round_}: writing {options.events:,} events")
            shop = BusyShop(options.events)
            asyncio.run(fill(here.settings, shop, options.events))
            addresses = {"kafka": here.settings.kafka, "redis": here.settings.redis}
            for peer, command in commands.items():
                name = engines.KNOWN[peer].name
                _say(f"round {round_}: {name}")
                rounds.setdefault(name, []).append(
                    engines.run(peer, command, addresses, options.events)
                )
            _say(f"round {round_}: {WHOLE}")
            with run_worker(here.settings) as process:
                counted = count(here, [process], shop)
            rounds.setdefault(WHOLE, []).append(
                {
                    "rate": counted.rate,
                    "cpu_us": counted.cpu_us,
                    "cpu_s": counted.cpu_us * counted.events / 1e6,
                    "peak_mib": counted.memory_mib,
                }
            )
    return {"events": options.events, "rounds": rounds}


def _load(options: Options) -> dict[str, Any]:
    return measure(
        plain_settings(), options.events, AT, options.seconds, _say, quiet=QUIET
    ).document()


def _start(options: Options) -> dict[str, Any]:
    return measure_start(plain_settings(), options.events, 100, _say).document()


def _outage(options: Options) -> dict[str, Any]:
    return measure_outage(plain_settings(), options.events, options.outage, _say).document()


def _workers(options: Options) -> dict[str, Any]:
    runs = [measure_workers(plain_settings(), options.events, n, _say) for n in WORKERS]
    return {"runs": [asdict(run) for run in runs]}


def _memory(options: Options) -> dict[str, Any]:
    return measure_memory(plain_settings(), options.long, _say).document()


PARTS: dict[str, Callable[[Options], dict[str, Any]]] = {
    "peers": _peers,
    "load": _load,
    "start": _start,
    "outage": _outage,
    "workers": _workers,
    "memory": _memory,
}
USED = {
    "peers": ("events", "rounds", "peers"),
    "load": ("events", "seconds"),
    "start": ("events",),
    "outage": ("events", "outage"),
    "workers": ("events",),
    "memory": ("long",),
}
"""What each part is told."""

if __name__ == "__main__":
    main()
