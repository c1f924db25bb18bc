"""The page of a worker: healthy at once, ready when it works, numbers that Prometheus can read."""

import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from stream.agents.worker import Worker
from stream.errors import Misconfigured
from stream.operating.metrics import Family, Sample, ShardReport, exposition, families
from stream.operating.web import serving
from stream.settings import STAGES, Settings
from stream.units import Millis

NOWHERE = "127.0.0.1:1"
LINE = re.compile(r'[a-z_]+(\{[a-z]+="(\\.|[^"\\])*"(,[a-z]+="(\\.|[^"\\])*")*\})? -?[0-9.e+-]+')
SHARD = ShardReport(
    stage="products",
    partition=3,
    counts={"events": 12, "strays": 1, "refused:bad_id": 2, "refused:not_json": 5, "odd name!": 7},
    saves=4,
    lag={"catalog": 0, "activity": 30},
    watermark=Millis(1_000_000),
)


def settings(web: str) -> Settings:
    """An installation whose neighbours are not there."""
    return Settings(
        _env_file=None,  # type: ignore[call-arg]
        kafka=NOWHERE,
        redis=f"redis://{NOWHERE}",
        web=web,
    )


@pytest.fixture
async def page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[str]:
    """The page of a worker that has nothing but itself."""
    monkeypatch.chdir(tmp_path)
    worker = Worker(settings("127.0.0.1:0"), STAGES)
    async with serving(worker) as url:
        assert url is not None
        yield url
    await worker.redis.aclose()


async def got(url: str) -> tuple[int, str]:
    """Status and text of a page."""
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def test_a_worker_without_neighbours_is_healthy_and_not_ready(page: str) -> None:
    """Restarting it would not help, sending it work neither; /readyz says what is missing."""
    assert await got(f"{page}/healthz") == (200, "ok\n")
    status, text = await got(f"{page}/readyz")
    assert status == 503
    lines = text.splitlines()
    assert [line.split(" waits ")[0] for line in lines[:3]] == [f"The stage {s}" for s in STAGES]
    assert lines[3].startswith("Redis does not answer.")


async def test_metrics_are_there_from_the_start(page: str) -> None:
    """A worker in trouble is the one whose numbers matter."""
    status, text = await got(f"{page}/metrics")
    assert status == 200
    assert "\nstream_ready 0\n" in text


async def test_nothing_else_is_served(page: str) -> None:
    """No index, no contents."""
    assert (await got(f"{page}/"))[0] == 404


async def test_a_port_that_is_taken_is_said_so() -> None:
    """The worker refuses to start with a sentence that says what to set."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        worker = Worker(settings(f"127.0.0.1:{taken.getsockname()[1]}"), STAGES)
        with pytest.raises(Misconfigured, match="Set STREAM_WEB to another"):
            async with serving(worker):
                pass


async def test_no_address_no_page() -> None:
    """An empty STREAM_WEB turns it off; unless told otherwise it is for this machine alone."""
    async with serving(Worker(settings(""), STAGES)) as url:
        assert url is None
    assert Settings.model_fields["web"].default.startswith("127.0.0.1:")


def test_what_a_shard_counts_becomes_numbers() -> None:
    """One name per thing, reasons and partitions as labels, the watermark as an age."""
    text = exposition(families([SHARD], Millis(1_060_500), ready=True))
    for line in (
        "stream_ready 1",
        'stream_events_total{stage="products",partition="3"} 12',
        'stream_strays_total{stage="products",partition="3"} 1',
        'stream_refused_total{stage="products",partition="3",reason="bad_id"} 2',
        'stream_refused_total{stage="products",partition="3",reason="not_json"} 5',
        'stream_odd_name__total{stage="products",partition="3"} 7',
        'stream_saves_total{stage="products",partition="3"} 4',
        'stream_lag_records{stage="products",partition="3",topic="activity"} 30',
        'stream_watermark_age_seconds{stage="products",partition="3"} 60.5',
    ):
        assert f"{line}\n" in text


def test_a_name_is_explained_once_before_its_numbers() -> None:
    """Prometheus refuses a page on which a name comes in two places."""
    shards = [SHARD, SHARD._replace(stage="customers", partition=0), SHARD._replace(partition=1)]
    lines = exposition(families(shards, Millis(2_000_000), ready=False)).splitlines()
    explained: list[str] = []
    for line in lines:
        if line.startswith("# HELP "):
            explained.append(line.split()[2])
        elif line.startswith("# TYPE "):
            name, kind = line.split()[2:]
            assert name == explained[-1]
            assert (kind == "counter") == name.endswith("_total")
        else:
            assert LINE.fullmatch(line), line
            assert re.split(r"[{ ]", line)[0] == explained[-1]
    assert len(explained) == len(set(explained))


def test_a_shard_that_has_seen_nothing_has_no_age() -> None:
    """Or a new installation would look half a century late."""
    shards = [SHARD._replace(watermark=Millis(0)), SHARD._replace(watermark=None)]
    assert "watermark" not in exposition(families(shards, Millis(1), ready=True))


def test_labels_cannot_break_out() -> None:
    """Quotes, backslashes and line ends are escaped, in labels and in help."""
    text = exposition([Family("x", "gauge", "a\\b\nc", [Sample({"l": 'q"\\\n}'}, 1)])])
    assert text == '# HELP x a\\\\b\\nc\n# TYPE x gauge\nx{l="q\\"\\\\\\n}"} 1\n'
