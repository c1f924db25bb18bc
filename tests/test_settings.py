"""Settings: each mistake is named with what was expected, and no secret shows."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from stream.errors import Misconfigured
from stream.settings import Settings, misspelt, read_settings

HIDDEN = "pa55word"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody's own .env counts."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("STREAM_KAFKA", "kafka://shop:9092", "host:port"),
        ("STREAM_KAFKA", "one:9092,,two:9092", "host:port"),
        ("STREAM_KAFKA_SECURITY", "TLS", "'SASL_SSL'"),
        ("STREAM_KAFKA_SESSION", "10s", "integer"),
        ("STREAM_REDIS", "shop:6379", "redis://host:port/database"),
        ("STREAM_REDIS", f"redis://:{HIDDEN}/x@shop:6379", "%2F"),
        ("STREAM_PREFIX", "{shop}", "braces"),
        ("STREAM_PARTITIONS", "0", "greater than or equal to 1"),
        ("STREAM_REPLICATION", "three", "integer"),
        ("STREAM_BUCKET", "1", "greater than or equal to 60000"),
        ("STREAM_ROWS", "1", "greater than or equal to 1000"),
        ("STREAM_WEB", "8090", "host:port"),
        ("STREAM_WEB", "127.0.0.1:80900", "host:port"),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_expected(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    """The sentence begins with the variable; the value is not repeated, it may be a secret."""
    monkeypatch.setenv(name, value)
    with pytest.raises(Misconfigured) as caught:
        read_settings()
    assert str(caught.value).startswith(f"{name}: ")
    assert expected in str(caught.value)
    assert HIDDEN not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_rule_over_several_settings_names_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit together is said with both names and both values."""
    monkeypatch.setenv("STREAM_WINDOW", "60000")
    with pytest.raises(
        Misconfigured, match=r"^STREAM_WINDOW \(60000 ms\).*STREAM_WAIT \(180000 ms\)"
    ):
        read_settings()
    monkeypatch.setenv("STREAM_WINDOW", "86400000")
    monkeypatch.setenv("STREAM_BUCKET", "61000")
    with pytest.raises(Misconfigured, match=r"^STREAM_BUCKET \(61000 ms\) must divide a day"):
        read_settings()


def test_several_mistakes_are_several_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to come back for each."""
    monkeypatch.setenv("STREAM_ROWS", "1")
    monkeypatch.setenv("STREAM_WEB", "x")
    with pytest.raises(Misconfigured) as caught:
        read_settings()
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == [
        "STREAM_ROWS",
        "STREAM_WEB",
    ]


@pytest.mark.parametrize("blank", ["", "  "])
def test_a_blank_is_not_set(monkeypatch: pytest.MonkeyPatch, blank: str) -> None:
    """A variable that is there and empty, as templates leave them, counts as missing."""
    for name in ("SECRET", "KAFKA_CA", "KAFKA_PASSWORD", "REDIS_USERNAME", "REDIS_PASSWORD"):
        monkeypatch.setenv(f"STREAM_{name}", blank)
    settings = read_settings()
    assert (settings.secret, settings.kafka_ca, settings.redis_password) == (None, None, None)


@pytest.mark.parametrize(
    "address",
    [
        f"redis://:{HIDDEN}@shop:6379/0",
        f"rediss://user:{HIDDEN}@shop",
        f"redis://shop:6379/0?password={HIDDEN}&db=2",
        f"unix:///tmp/redis.sock?password={HIDDEN}",
        f"redis://user:a:{HIDDEN}%40@shop:6379",
    ],
)
def test_no_secret_shows(address: str) -> None:
    """Neither in what `stream check` prints nor in a log that somebody writes later."""
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        redis=address,
        secret=SecretStr(HIDDEN * 2),
        kafka_password=SecretStr(HIDDEN),
    )
    assert settings.redis == address
    for shown in (repr(settings), str(settings), str(settings.shown())):
        assert HIDDEN not in shown
        assert "***" in shown
    assert settings.shown()["STREAM_KAFKA"] == "127.0.0.1:9092"


def test_what_nothing_reads_is_named() -> None:
    """A misspelt setting is the one that seems to be in force and is not."""
    lines = misspelt(["STREAM_PARTITONS", "STREAM_XQZV", "stream_kafka", "STREAM_KAFKA", "HOME"])
    assert lines == [
        "STREAM_PARTITONS is not read by anything. Is STREAM_PARTITIONS meant?",
        "STREAM_XQZV is not read by anything.",
    ]
