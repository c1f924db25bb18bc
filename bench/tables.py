"""Tables of what was measured, for the terminal and for docs/performance.md."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from stream.bench.watched import by_stage

LOOP = "hand-written loop, confluent-kafka"
"""What the others are compared with."""


class Figures(NamedTuple):
    """A table; all of it is text."""

    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]


def markdown(table: Figures) -> str:
    """Write a table as Markdown; its figures stand at the right.

    >>> print(markdown(Figures("", ("engine", "events/s"), [("ours", "1,000")])))
    | engine | events/s |
    | --- | ---: |
    | ours | 1,000 |
    """
    line = ["---", *["---:"] * (len(table.head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (table.head, line, *table.rows))


def of(part: str, figures: Mapping[str, Any]) -> list[Figures]:
    """Tables of a part."""
    return PARTS[part](figures)


def _peers(figures: Mapping[str, Any]) -> list[Figures]:
    rounds: Mapping[str, Sequence[Mapping[str, float]]] = figures["rounds"]
    rows = []
    for name, runs in rounds.items():
        rates = [run["rate"] for run in runs]
        rows.append(
            (
                name,
                f"{median(rates):,.0f}",
                f"{min(rates):,.0f} to {max(rates):,.0f}",
                f"{beside(rounds, name):.2f}" if LOOP in rounds else "",
                f"{median(run['cpu_us'] for run in runs):.1f}",
                f"{median(run['cpu_s'] for run in runs):.1f}",
                f"{median(run['peak_mib'] for run in runs):.0f}",
            )
        )
    head = ("", "events/s", "lowest to highest", "× the loop", "µs CPU/event", "CPU s", "peak MiB")
    rounds_ = max((len(runs) for runs in rounds.values()), default=0)
    return [Figures(f"Throughput: {figures['events']:,} events, {rounds_} rounds", head, rows)]


def beside(rounds: Mapping[str, Sequence[Mapping[str, float]]], name: str) -> float:
    """Times the loop's rate of the same round, median of all: the machine may change between two.

    >>> rounds = {LOOP: [{"rate": 10.0}, {"rate": 5.0}], "other": [{"rate": 15.0}, {"rate": 7.5}]}
    >>> beside(rounds, "other")
    1.5
    """
    pairs = zip(rounds[name], rounds[LOOP], strict=False)
    return median(run["rate"] / loop["rate"] for run, loop in pairs)


def _load(figures: Mapping[str, Any]) -> list[Figures]:
    return [_latency(figures), _stages(figures), _resources(figures)]


def _latency(figures: Mapping[str, Any]) -> Figures:
    full = figures["full"]["rate"]
    rows = [
        (
            load(live["rate"], full),
            *(f"{live[name]:,.0f}" for name in ("p50_ms", "p99_ms", "p999_ms", "worst_ms")),
            f"{live['probes']:,}",
            f"{live['pause_ms']:,.0f}",
            f"{live['own_ms']:,.0f}",
        )
        for live in figures["live"]
    ]
    head = (
        "events/s",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "worst ms",
        "probes",
        "longest pause ms",
        "own ms",
    )
    return Figures("Latency: from Kafka time to the score in Redis", head, rows)


def load(rate: int, full: float) -> str:
    """Name a load.

    >>> load(10, 20_000.0), load(10_000, 20_000.0)
    ('10 (a quiet shop)', '10,000 (50 %)')
    """
    share = rate / full * 100
    return f"{rate:,} (a quiet shop)" if share < 1 else f"{rate:,} ({share:.0f} %)"


def _stages(figures: Mapping[str, Any]) -> Figures:
    parts: Mapping[str, float] = figures["costs"]
    rows = [
        (stage, f"{cost:.2f}", ", ".join(_named(parts, stage)))
        for stage, cost in by_stage(parts).items()
    ]
    rows.append(("all", f"{sum(parts.values()):.2f}", ""))
    return Figures("Cost of each stage", ("", "µs CPU/event", "of them"), rows)


def _named(parts: Mapping[str, float], stage: str) -> list[str]:
    mine = [
        (c, name.partition(".")[2]) for name, c in parts.items() if name.startswith(f"{stage}.")
    ]
    return [f"{name} {cost:.2f}" for cost, name in sorted(mine, reverse=True) if cost >= 0.01]


def _resources(figures: Mapping[str, Any]) -> Figures:
    full, storage, pauses = (figures[name] for name in ("full", "storage", "pauses"))
    rows = [
        ("peak memory of the worker, MiB", f"{full['memory_mib']:,.0f}"),
        ("longest pause of the event loop, ms", f"{pauses['longest_ms']:,.0f}"),
        ("longest in which it was at work itself, ms", f"{pauses['own_ms']:,.0f}"),
        ("99th percentile of the waits of a task, ms", f"{pauses['p99_ms']:,.0f}"),
        ("Redis: µs CPU per event", f"{full['redis_us']:.2f}"),
        ("Redis: commands per event", f"{full['commands']:.2f}"),
        ("Redis: bytes per event, in and out", f"{full['received']:,.0f} + {full['sent']:,.0f}"),
        ("Kafka: µs CPU per event", f"{full['kafka_us']:.2f}"),
        (
            f"Redis: bytes of a product ({storage['products']:,} of them)",
            f"{storage['product_row']:,} + {storage['product_public']:,} public",
        ),
        (
            f"Redis: bytes of a customer ({storage['customers']:,})",
            f"{storage['customer_row']:,} + {storage['customer_public']:,} public",
        ),
        (
            f"Redis: bytes of a waiting click ({storage['waiting']:,})",
            f"{storage['waiting_click']:,}",
        ),
        ("Redis: all, MiB", f"{storage['all_mib']:,.0f}"),
    ]
    return Figures(f"Resources: {figures['events']:,} events", ("", ""), rows)


def _start(figures: Mapping[str, Any]) -> list[Figures]:
    rows = [
        ("from the start of the process to the first score, s", f"{figures['first_s']:.1f}"),
        (f"to the last of {figures['active']:,} scores, s", f"{figures['all_s']:.1f}"),
        ("memory of the worker, MiB", f"{figures['memory_mib']:,.0f}"),
        ("bytes of a product's row", f"{figures['product_row']:,}"),
        ("bytes of a customer's row", f"{figures['customer_row']:,}"),
        ("all that Redis holds, MiB", f"{figures['redis_mib']:,.0f}"),
    ]
    title = f"Start with {figures['known']:,} products and as many customers known"
    return [Figures(title, ("", ""), rows)]


def _outage(figures: Mapping[str, Any]) -> list[Figures]:
    rows = [
        ("came while no worker was there, events", f"{figures['backlog']:,}"),
        ("went on coming, events/s", f"{figures['live']:,}"),
        ("caught up after, s", f"{figures['caught_up_s']:.1f}"),
        ("counted meanwhile, events/s", f"{figures['rate']:,.0f}"),
    ]
    return [Figures(f"After an outage of {figures['outage_s']:g} s", ("", ""), rows)]


def _workers(figures: Mapping[str, Any]) -> list[Figures]:
    runs: Sequence[Mapping[str, Any]] = figures["runs"]
    alone = runs[0]["counted"]["rate"] / runs[0]["workers"]
    rows = [
        (
            str(run["workers"]),
            f"{counted['rate']:,.0f}",
            f"{counted['rate'] / alone:.2f}",
            *(f"{counted[name]:.1f}" for name in ("cpu_us", "kafka_us", "redis_us")),
        )
        for run in runs
        for counted in [run["counted"]]
    ]
    head = ("workers", "events/s", "× one", "µs of workers", "µs of Kafka", "µs of Redis")
    return [Figures(f"Workers on {runs[0]['cores']} cores: CPU for each event", head, rows)]


def _memory(figures: Mapping[str, Any]) -> list[Figures]:
    marks: Sequence[float] = figures["mib"]
    rows = [
        ("events", f"{figures['events']:,}"),
        ("events/s", f"{figures['rate']:,.0f}"),
        ("MiB after each tenth of them", ", ".join(f"{mib:.0f}" for mib in marks)),
        ("slope after the first quarter, MiB for a million events", f"{figures['slope']:.2f}"),
        ("all that Redis holds at the end, MiB", f"{figures['redis_mib']:,.0f}"),
    ]
    return [Figures("Memory of the worker over a long run", ("", ""), rows)]


PARTS: dict[str, Callable[[Mapping[str, Any]], list[Figures]]] = {
    "peers": _peers,
    "load": _load,
    "start": _start,
    "outage": _outage,
    "workers": _workers,
    "memory": _memory,
}
