"""What a worker counts, as the text that Prometheus reads."""

import re
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from stream.settings import Stage
from stream.units import Millis

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
REFUSED = "refused:"
"""A count of this beginning is one reason's."""

HELP = {
    "category_windows": "Forecasts of categories whose horizon has passed.",
    "clicks": "Clicks counted.",
    "duplicates": "Events left out because they had been counted before.",
    "erased": "Customers forgotten on request.",
    "events": "Events folded into a product.",
    "listings": "Records of the catalogue read.",
    "market": "Promotions and signals taken note of.",
    "negatives": "Clicks that no order followed in time.",
    "orders_forgotten": "Orders of customers who have more than are kept: no refund finds them.",
    "pairs_forgotten": "Products forgotten by customers who have touched more than are kept.",
    "positives": "Clicks that led to an order.",
    "purchases": "Purchases counted.",
    "refunds": "Refunds counted.",
    "refunds_forgotten": "Orders whose refunds were given up: their purchase did not come.",
    "sold_out": "Forecasts not judged because there was nothing to sell.",
    "strays": "Records that lay on another partition than that of their key.",
    "tombstones": "Records without a value.",
    "windows": "Forecasts whose horizon has passed.",
}


class Sample(NamedTuple):
    """One number."""

    labels: Mapping[str, str]
    value: float


class Family(NamedTuple):
    """Numbers of one name."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    samples: list[Sample]


class ShardReport(NamedTuple):
    """What is to be said of a shard.

    Attributes:
        stage: Of the shard.
        partition: Of the shard.
        counts: Everything it has counted, by name, since its first checkpoint.
        saves: Checkpoints since the first.
        lag: Records by topic that it has still to fold.
        watermark: Event time up to which it believes to know everything; None if not asked.
    """

    stage: Stage
    partition: int
    counts: Mapping[str, int]
    saves: int
    lag: Mapping[str, int]
    watermark: Millis | None


def families(shards: Iterable[ShardReport], now: Millis, *, ready: bool) -> list[Family]:
    """Arrange what shards report by name, each name once.

    Args:
        shards: Those that are open.
        now: Wall clock.
        ready: What /readyz says.
    """
    found: dict[str, Family] = {}

    def note(name: str, kind: Literal["counter", "gauge"], help_: str, sample: Sample) -> None:
        found.setdefault(name, Family(name, kind, help_, [])).samples.append(sample)

    note("stream_ready", "gauge", "Whether /readyz says yes.", Sample({}, int(ready)))
    for shard in shards:
        labels = {"stage": shard.stage, "partition": str(shard.partition)}
        note("stream_saves_total", "counter", "Checkpoints.", Sample(labels, shard.saves))
        for topic, records in sorted(shard.lag.items()):
            sample = Sample({**labels, "topic": topic}, records)
            note("stream_lag_records", "gauge", "Records that are not folded yet.", sample)
        if shard.watermark:
            age = Sample(labels, (now - shard.watermark) / 1000)
            note("stream_watermark_age_seconds", "gauge", "Age of what the scores know.", age)
        for name, count in shard.counts.items():
            if name.startswith(REFUSED):
                sample = Sample({**labels, "reason": name.removeprefix(REFUSED)}, count)
                note("stream_refused_total", "counter", "Records sent to dead-letters.", sample)
            else:
                help_ = HELP.get(name, f"Counted by its stage as {name}.")
                note(f"stream_{_plain(name)}_total", "counter", help_, Sample(labels, count))
    return list(found.values())


def exposition(families: Iterable[Family]) -> str:
    r"""Write numbers as text.

    Source:
        Prometheus, "Exposition formats", text format 0.0.4.

    >>> print(exposition([Family("a_total", "counter", "All.", [Sample({"x": 'b"c'}, 2)])]), end="")
    # HELP a_total All.
    # TYPE a_total counter
    a_total{x="b\"c"} 2
    """
    lines = []
    for name, kind, help_, samples in families:
        escaped = help_.replace("\\", r"\\").replace("\n", r"\n")
        lines += [f"# HELP {name} {escaped}", f"# TYPE {name} {kind}"]
        lines += [f"{name}{_braced(labels)} {value}" for labels, value in samples]
    return "".join(f"{line}\n" for line in lines)


def _braced(labels: Mapping[str, str]) -> str:
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _plain(name: str) -> str:
    return re.sub(r"\W", "_", name, flags=re.ASCII)
