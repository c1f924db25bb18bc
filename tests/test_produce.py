"""`stream produce` puts a log into a real Kafka: all of it, under the right keys, at its pace."""

import asyncio
import gzip
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError
from click.testing import CliRunner

from stream.cli.produce import produce
from stream.embedded import Addresses
from stream.errors import Misconfigured
from stream.events.types import KEYS
from stream.kafka.sending import Tally, send_log
from stream.partitions import home
from stream.settings import read_settings

PARTITIONS = 4
BEGIN = 1_569_888_000_000
SHOP = Path(__file__).parents[2] / "shared/data/rees46_2019-10-01_first_2h50.csv.gz"


def view(user: str, time: int = BEGIN, **more: object) -> dict[str, Any]:
    """A view in the contract's own fields."""
    fixed = {"event_id": f"{user}-{time}", "type": "view_item", "time": time}
    return {**fixed, "user_id": user, "product_id": "p", **more}


def ndjson(*events: dict[str, Any]) -> str:
    """Events as a producer writes them to a file."""
    return "".join(json.dumps(event) + "\n" for event in events)


class Kafka:
    """The broker, the command on it, and what has come since this object was made."""

    def __init__(self, address: str) -> None:
        self.address = address
        asyncio.run(self._make_topics())
        self._since = asyncio.run(self._ends())

    def command(self, *arguments: object) -> list[str]:
        """The command line."""
        stream = Path(sys.executable).with_name("stream")
        return [str(stream), "produce", "--kafka", self.address, *map(str, arguments)]

    def produce(
        self, *arguments: object, said: str = "", folder: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run it, with `said` on its standard input."""
        return subprocess.run(
            self.command(*arguments),
            input=said,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def records(self) -> list[ConsumerRecord]:
        """What has come, by partition and offset."""
        return asyncio.run(self._read())

    def values(self) -> list[dict[str, Any]]:
        """The events that have come."""
        return [orjson.loads(record.value) for record in self.records()]

    async def _make_topics(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.address)
        await admin.start()
        try:
            with suppress(TopicAlreadyExistsError):
                await admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in KEYS])
        finally:
            await admin.close()

    async def _ends(self) -> dict[TopicPartition, int]:
        async with AIOKafkaConsumer(*KEYS, bootstrap_servers=self.address) as consumer:
            ends: dict[TopicPartition, int] = await consumer.end_offsets(consumer.assignment())
            return ends

    async def _read(self) -> list[ConsumerRecord]:
        ends = await self._ends()
        records: list[ConsumerRecord] = []
        if ends == self._since:
            return records
        async with AIOKafkaConsumer(bootstrap_servers=self.address) as consumer:
            consumer.assign(list(ends))
            for partition, offset in self._since.items():
                consumer.seek(partition, offset)
            while len(records) < sum(ends.values()) - sum(self._since.values()):
                for run in (await consumer.getmany(timeout_ms=1_000)).values():
                    records += run
        return sorted(records, key=lambda r: (r.topic, r.partition, r.offset))


@pytest.fixture
def kafka(servers: Addresses) -> Kafka:
    """The broker as this test finds it."""
    return Kafka(servers.kafka)


def test_every_event_arrives_as_it_was_under_the_partition_of_its_key(
    kafka: Kafka, tmp_path: Path
) -> None:
    """Topic, key and partition follow from the event's fields; nothing else is touched."""
    views = [view(f"user {n}", channel="é") for n in range(40)]
    order: dict[str, Any] = {"event_id": "o", "type": "purchase", "time": "2019-10-01T00:00:00Z"}
    order |= {"order_id": "1", "user_id": "u", "items": [{"product_id": "p", "quantity": 2}]}
    product = {"product_id": "p", "time": BEGIN, "category": "c"}
    log = tmp_path / "log.gz"
    log.write_bytes(gzip.compress(ndjson(*views, order, product).encode()))

    done = kafka.produce(log)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Events sent: 42 (clicks 40, orders 1, catalog 1), in ")
    records = kafka.records()
    assert Counter(r.topic for r in records) == {"clicks": 40, "orders": 1, "catalog": 1}
    for record in records:
        event = orjson.loads(record.value)
        assert event in [*views, order, product]
        key = event[KEYS[record.topic]]
        assert (record.key.decode(), record.partition) == (key, home(key, PARTITIONS))


def test_a_log_that_is_sent_twice_counts_once(kafka: Kafka) -> None:
    """A shop's log arrives whole, and again with the same ids; its 5 doubled rows add none."""
    if not SHOP.exists():
        pytest.skip("needs the shop logs in ../shared/data")
    first = kafka.produce("--format", "rees46", "--json", SHOP)
    assert json.loads(first.stdout)["sent"] == {
        "clicks": 17_220,
        "orders": 214,
        "catalog": 0,
        "market": 0,
    }
    kafka.produce("--format", "rees46", SHOP)
    ids = Counter(value["event_id"] for value in kafka.values())
    assert ids.total() == 2 * 17_434
    assert len(ids) == 17_429
    assert all(count % 2 == 0 for count in ids.values())


def test_bad_rows_are_written_aside_and_the_rest_is_sent(kafka: Kafka, tmp_path: Path) -> None:
    """A bad row costs itself only; where it went and how many there were is said."""
    log = tmp_path / "log.ndjson"
    log.write_text(ndjson(view("a")) + "{no json\n" + ndjson(view("b"), {"type": "?"}))

    done = kafka.produce(log)

    assert done.returncode == 0
    aside = tmp_path / "log.ndjson.refused"
    assert f"2 rows were not readable and left out; see {aside} for the reasons." in done.stdout
    rows = [json.loads(line) for line in aside.read_text().splitlines()]
    assert [(row["line"], row["text"]) for row in rows] == [(2, "{no json"), (4, '{"type": "?"}')]
    assert all(row["reason"].endswith(".") for row in rows)
    assert {value["user_id"] for value in kafka.values()} == {"a", "b"}


def test_bad_rows_of_standard_input_and_by_option(kafka: Kafka, tmp_path: Path) -> None:
    """Standard input has no name: its rows go to the folder one is in, or where one says."""
    kafka.produce("-", said="bad\n", folder=tmp_path)
    assert (tmp_path / "stdin.refused").exists()
    done = kafka.produce("--json", "--refused", tmp_path / "x", "-", said="bad\n", folder=tmp_path)
    assert json.loads(done.stdout)["refused"] == {str(tmp_path / "x"): 1}


def test_a_row_that_cannot_be_kept_stops_it(kafka: Kafka, tmp_path: Path) -> None:
    """Rather than lose a row silently it asks where to put it."""
    done = kafka.produce("--refused", tmp_path / "no" / "x", "-", said="bad\n")
    assert done.returncode == 1
    assert "--refused" in done.stderr


def test_nothing_to_send_is_a_failure(kafka: Kafka) -> None:
    """A script that sends an empty log shall notice."""
    done = kafka.produce("-", said="\n")
    assert done.returncode == 1
    assert done.stdout.startswith("Events sent: none, in ")


def test_topic_and_number_can_be_chosen(kafka: Kafka, tmp_path: Path) -> None:
    """--only and --limit count after each other: so many events of that topic."""
    log = tmp_path / "log"
    product = {"product_id": "p", "time": BEGIN, "category": "c"}
    log.write_text(ndjson(product, *(view("a", BEGIN + n) for n in range(9))))
    assert kafka.produce("--only", "clicks", "--limit", 3, log).returncode == 0
    assert [value["time"] for value in kafka.values()] == [BEGIN, BEGIN + 1, BEGIN + 2]


def test_several_files_are_one_stream_by_time(kafka: Kafka, tmp_path: Path) -> None:
    """Files that overlap in time are merged, so that a customer's events come in order."""
    for name, times in {"even": (0, 2, 4), "odd": (1, 3, 5)}.items():
        (tmp_path / name).write_text(ndjson(*(view("a", BEGIN + n) for n in times)))
    kafka.produce(tmp_path / "even", tmp_path / "odd")
    assert [value["time"] - BEGIN for value in kafka.values()] == [0, 1, 2, 3, 4, 5]


def test_speed_is_that_of_event_time(kafka: Kafka) -> None:
    """At 10x, events 5 s apart are sent half a second apart; a late one does not wait."""
    log = ndjson(*(view("a", BEGIN + at) for at in (0, 5_000, 4_000, 10_000)))
    assert kafka.produce("--speed", "10x", "-", said=log).returncode == 0
    records = kafka.records()
    assert [orjson.loads(r.value)["time"] - BEGIN for r in records] == [0, 5_000, 4_000, 10_000]
    at = [record.timestamp - records[0].timestamp for record in records]
    assert at == pytest.approx([0, 500, 500, 1_000], abs=250)


@pytest.mark.parametrize("speed", ["0x", "fast", "-1x", "nan", "infx"])
def test_a_speed_that_is_none_is_refused(speed: str) -> None:
    """What cannot be a speed is a mistake in the command."""
    done = CliRunner().invoke(produce, [f"--speed={speed}", "-"])
    assert (done.exit_code, "60x" in done.output) == (2, True)


def test_a_log_has_one_meaning() -> None:
    """A built-in format and a mapping of one's own exclude each other."""
    done = CliRunner().invoke(produce, ["--format=otto", f"--mapping={__file__}", "-"])
    assert (done.exit_code, "either" in done.output) == (2, True)


def test_a_live_pipe_is_sent_line_by_line_until_ctrl_c(kafka: Kafka) -> None:
    """An event does not wait for the next line; Ctrl-C ends it and says how many were sent."""
    with subprocess.Popen(
        kafka.command("-"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdin
        assert running.stdout
        assert running.stderr
        running.stdin.write(ndjson(view("live")))
        running.stdin.flush()
        deadline = time.monotonic() + 30
        while not kafka.values():
            assert time.monotonic() < deadline, "the event waited for the pipe's end"
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=10) == 130
        assert running.stdout.read().startswith("Interrupted. Events sent: 1 (clicks 1), in ")
        assert running.stderr.read() == ""


def test_a_missing_topic_is_named_and_not_made(kafka: Kafka) -> None:
    """Kafka would make it with the wrong number of partitions; `stream topics` makes it rightly."""
    settings = read_settings().model_copy(update={"kafka": kafka.address})
    for _ in range(2):
        with pytest.raises(Misconfigured, match=r"no topic never-made.*stream topics"):
            asyncio.run(send_log(iter(()), settings, Tally(), topics=["never-made"]))


def test_no_kafka_is_said_so(tmp_path: Path) -> None:
    """Without a broker the command ends with a sentence, not with a traceback."""
    log = tmp_path / "log"
    log.write_text(ndjson(view("a")))
    stream = Path(sys.executable).with_name("stream")
    done = subprocess.run(
        [str(stream), "produce", "--kafka", "127.0.0.1:1", str(log)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "Error: Kafka does not answer" in done.stderr
    assert "Traceback" not in done.stderr
