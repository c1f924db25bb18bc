"""Everything that can be set, from the environment or a `.env` file, all named `STREAM_…`."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from stream.errors import Misconfigured
from stream.units import DAY, HOUR, MINUTE

Stage = Literal["customers", "products", "learner"]
STAGES: tuple[Stage, ...] = ("customers", "products", "learner")


class Settings(BaseSettings):
    """What an installation decides. Spans are in milliseconds."""

    model_config = SettingsConfigDict(
        env_prefix="STREAM_",
        env_file=".env",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,  # it may be a secret
    )

    kafka: str = Field("127.0.0.1:9092", description="Kafka brokers, host:port, comma-separated")
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_ca: str | None = Field(
        None, description="PEM file that the broker's certificate is checked against"
    )
    kafka_cert: str | None = Field(None, description="PEM file with the client's certificate")
    kafka_key: str | None = Field(None, description="PEM file with the client's key")
    kafka_sasl: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    kafka_username: str | None = None
    kafka_password: SecretStr | None = None
    kafka_session: int = Field(10_000, ge=1_000, description="Group session timeout, ms")

    redis: str = Field("redis://127.0.0.1:6379/0", description="redis:// or rediss:// address")
    redis_username: str | None = None
    redis_password: SecretStr | None = None
    redis_ca: str | None = Field(
        None, description="PEM file that the server's certificate is checked against"
    )
    prefix: str = Field("", description="put before every Redis key and consumer group")

    secret: SecretStr | None = Field(None, description="key of the pseudonyms; needed by a worker")

    partitions: int = Field(
        4, ge=1, le=1_000, description="partitions of the topics that `stream topics` creates"
    )
    replication: int = Field(
        1, ge=1, le=9, description="replicas of the topics that `stream topics` creates"
    )

    ahead: int = Field(
        10 * MINUTE, ge=0, description="how far an event's time may be ahead of Kafka's, ms"
    )
    bucket: int = Field(HOUR, ge=MINUTE, le=DAY, description="length of a demand bucket, ms")
    wait: int = Field(3 * MINUTE, ge=MINUTE, description="how long a click waits for its order, ms")
    window: int = Field(
        DAY, ge=MINUTE, description="how long after a click an order still counts as its, ms"
    )
    rows: int = Field(
        100_000, ge=1_000, description="rows of customers and of products kept in memory, each"
    )
    web: str = Field(
        "127.0.0.1:8090", description="host:port of the health and metrics page; empty: none"
    )

    @field_validator(
        "kafka_ca",
        "kafka_cert",
        "kafka_key",
        "kafka_username",
        "kafka_password",
        "redis_username",
        "redis_password",
        "redis_ca",
        "secret",
        mode="before",
    )
    @classmethod
    def _blank_is_none(cls, value: object) -> object:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        return None if isinstance(text, str) and not text.strip() else value

    @field_validator("kafka")
    @classmethod
    def _brokers(cls, value: str) -> str:
        if not all(_BROKER.fullmatch(broker.strip()) for broker in value.split(",")):
            raise PydanticCustomError(
                "brokers", "give host:port, several with commas between, without kafka://"
            )
        return value

    @field_validator("redis")
    @classmethod
    def _redis_address(cls, value: str) -> str:
        # What is wrong is not quoted: it may hold a password.
        try:
            scheme, port = urlsplit(value).scheme, urlsplit(value).port
        except ValueError:
            scheme, port = "", None
        if scheme not in ("redis", "rediss", "unix") or port == 0:
            raise PydanticCustomError(
                "redis_address",
                "give redis://host:port/database, or rediss:// for TLS; in a password, write "
                "/ ? # @ and : as %2F %3F %23 %40 and %3A, or use STREAM_REDIS_PASSWORD",
            )
        return value

    @field_validator("prefix")
    @classmethod
    def _prefix(cls, value: str) -> str:
        if re.search(r"[\s{}]", value):  # braces choose the node of a Redis Cluster
            raise PydanticCustomError("prefix", "give it without spaces and braces")
        return value

    @field_validator("web")
    @classmethod
    def _host_and_port(cls, value: str) -> str:
        if value and not (_WEB.fullmatch(value) and int(value.rpartition(":")[2]) < 1 << 16):
            raise PydanticCustomError("web", "give host:port, as 127.0.0.1:8090, or nothing")
        return value

    @model_validator(mode="after")
    def _spans_fit(self) -> Self:
        if self.window < self.wait:
            raise PydanticCustomError(
                "window",
                "STREAM_WINDOW ({window} ms) must not be shorter than STREAM_WAIT ({wait} ms): "
                "an order counts as a click's for at least as long as the click waits for it",
                {"window": self.window, "wait": self.wait},
            )
        if DAY % self.bucket:
            raise PydanticCustomError(
                "bucket",
                "STREAM_BUCKET ({bucket} ms) must divide a day ({day} ms), as 3600000 does",
                {"bucket": self.bucket, "day": DAY},
            )
        return self

    def shown(self) -> dict[str, str | int | None]:
        """What is in force, by variable, with stars in place of what is secret.

        >>> Settings(_env_file=None, redis="redis://shop:pa55@cache:6379/0").shown()["STREAM_REDIS"]
        'redis://shop:***@cache:6379/0'
        """
        return {variable(name): _without_secret(name, value) for name, value in self}

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return ((name, _without_secret(name, value)) for name, value in self)


STARS = "***"
_BROKER = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/@\[\]]+)(:\d{1,5})?")
_WEB = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/@\[\]]+):\d{1,5}")
_PASSWORD = re.compile(r"(?<=[?&]password=)[^&#]*")


def variable(field: str) -> str:
    """Name the variable of a field.

    >>> variable("kafka_ca")
    'STREAM_KAFKA_CA'
    """
    return f"STREAM_{field.upper()}"


def _without_secret(name: str, value: Any) -> str | int | None:
    if isinstance(value, SecretStr):
        return STARS
    if name == "redis":
        before, at, host = str(value).rpartition("@")
        scheme, slashes, user = before.partition("://")
        named, colon, _ = user.partition(":")
        hidden = f"{scheme}{slashes}{named}{colon and ':' + STARS}{at}{host}" if at else host
        return _PASSWORD.sub(STARS, hidden)
    return value  # type: ignore[no-any-return]  # the other fields are text and numbers


def read_settings() -> Settings:
    """Read the settings, or say which one is wrong and what was expected."""
    try:
        return Settings()  # type: ignore[call-arg]
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False, include_context=False)
        raise Misconfigured("\n".join(_sentence(p["loc"], p["msg"]) for p in problems)) from None


def _sentence(place: tuple[int | str, ...], message: str) -> str:
    """Begin with the variable; a rule over several names them itself."""
    return f"{variable(str(place[0]))}: {message}." if place else f"{message}."


def misspelt(variables: Iterable[str]) -> list[str]:
    """Say which of these variables are named STREAM_… though nothing reads them.

    >>> misspelt(["STREAM_PARTITONS", "STREAM_KAFKA", "PATH"])
    ['STREAM_PARTITONS is not read by anything. Is STREAM_PARTITIONS meant?']
    """
    names = {variable(field) for field in Settings.model_fields}
    lines = []
    for name in sorted(variables):
        if name.upper().startswith("STREAM_") and name.upper() not in names:
            near = get_close_matches(name.upper(), names, n=1, cutoff=0.8)
            hint = f" Is {near[0]} meant?" if near else ""
            lines.append(f"{name} is not read by anything.{hint}")
    return lines
