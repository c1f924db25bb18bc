"""Redis clients as the settings want them, and Redis's errors as ours."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from ssl import SSLCertVerificationError
from typing import Any, Self

from redis import BlockingConnectionPool, Redis
from redis.asyncio import BlockingConnectionPool as AsyncBlockingConnectionPool
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    ClusterDownError,
    ConnectionError,  # noqa: A004 (Redis's own, not Python's)
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TimeoutError,  # noqa: A004
    TryAgainError,
)
from redis.retry import Retry

from stream.errors import Misconfigured, StoreDown, StreamError
from stream.settings import Settings

LOCAL = "redis://127.0.0.1:6379/0"
PATIENCE = 1.0
"""Seconds that a connection, an answer or a free connection is waited for."""
TRIES = 3
CONNECTIONS = 64
"""Connections of one client; who finds all of them busy waits for one."""

_REFUSES_WRITES = re.compile(r"(^|caused error: )(MISCONF|NOREPLICAS)\b")
_WRONG_TYPE = re.compile(r"(^|caused error: )WRONGTYPE\b")
_DENIED_IN_SCRIPT = "ACL failure in script"
_NO_SUCH_DATABASE = re.compile(r"DB index is out of range|SELECT is not allowed")


@dataclass(frozen=True, slots=True)
class Address:
    """Where Redis is, and how it lets us in.

    Attributes:
        url: `redis://`, `rediss://` (TLS) or `unix://`. What it says wins over the rest.
        username: User of the access control list.
        password: That user's, or the server's.
        ca: PEM file that the server's certificate is checked against.
    """

    url: str = LOCAL
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca: str | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Take the address out of the settings."""
        password = settings.redis_password
        return cls(
            url=settings.redis,
            username=settings.redis_username,
            password=None if password is None else password.get_secret_value(),
            ca=settings.redis_ca,
        )


def make_redis(address: Address) -> Redis:
    """Make a client that answers or fails within seconds; it connects when it is used.

    It speaks bytes. Any number of threads may share it.
    """
    retry = Retry(_backoff(), TRIES - 1)
    with _url_errors():
        pool = BlockingConnectionPool.from_url(address.url, retry=retry, **_options(address))
        pool.connection_class(**pool.connection_kwargs)  # not connected: its options are checked
    return Redis.from_pool(pool)


def make_async_redis(address: Address, patience: float = PATIENCE) -> AsyncRedis:
    """Make the same client for asyncio. It belongs to the event loop that first uses it.

    Args:
        address: Where Redis is.
        patience: Seconds that an answer is waited for.
    """
    retry = AsyncRetry(_backoff(), TRIES - 1)
    options = {**_options(address), "socket_timeout": patience, "timeout": patience}
    with _url_errors():
        pool = AsyncBlockingConnectionPool.from_url(address.url, retry=retry, **options)
        pool.connection_class(**pool.connection_kwargs)
    return AsyncRedis.from_pool(pool)


@contextmanager
def redis_errors() -> Iterator[None]:
    """Turn Redis's errors into ours: what is waited out, and what somebody has to mend."""
    try:
        yield
    except (AuthenticationError, AuthenticationWrongNumberOfArgsError) as error:
        raise Misconfigured(
            "Redis refuses these credentials. Check STREAM_REDIS_USERNAME and "
            f"STREAM_REDIS_PASSWORD, or those in the address: {error}"
        ) from error
    except (NoPermissionError, AuthorizationError) as error:
        raise _denied(error) from error
    except (ConnectionError, TimeoutError) as error:
        if isinstance(error.__context__, SSLCertVerificationError):
            raise Misconfigured(
                "Redis's certificate is not trusted. Point STREAM_REDIS_CA at the PEM file of its "
                f"authority: {error}"
            ) from error
        raise StoreDown(
            f"Redis does not answer. Is it up, and is STREAM_REDIS its address? {error}"
        ) from error
    except (ReadOnlyError, ClusterDownError, TryAgainError, OutOfMemoryError) as error:
        raise StoreDown(f"Redis is not ready: {error}") from error
    except ResponseError as error:
        ours = _ours(error)
        if ours is None:
            raise
        raise ours from error


def _ours(error: ResponseError) -> StreamError | None:
    """What an error means that Redis has no class of its own for; None: nothing that is known."""
    text = str(error)
    if _REFUSES_WRITES.search(text):
        return StoreDown(f"Redis does not take writes: {error}")
    if _DENIED_IN_SCRIPT in text:
        return _denied(error)
    if _WRONG_TYPE.search(text):
        return Misconfigured(
            "A key in Redis holds something else than this product writes there. Give this "
            f"installation a database of its own, or a STREAM_PREFIX: {error}"
        )
    if _NO_SUCH_DATABASE.search(text):
        return Misconfigured(
            f"This Redis has no database of the number that STREAM_REDIS ends in: {error}"
        )
    return None


def _denied(error: ResponseError | AuthorizationError) -> Misconfigured:
    return Misconfigured(f"Redis does not permit this user what is needed. Extend its ACL: {error}")


def _backoff() -> ExponentialBackoff:
    return ExponentialBackoff(cap=0.5, base=0.05)


def _options(address: Address) -> dict[str, Any]:
    options: dict[str, Any] = {
        "username": address.username,
        "password": address.password,
        "socket_timeout": PATIENCE,
        "socket_connect_timeout": PATIENCE,
        "timeout": PATIENCE,
        "max_connections": CONNECTIONS,
        # Replies have the same shape in all releases of redis-py, and no user needs
        # the right to run the commands that redis-py adds to RESP3.
        "protocol": 2,
    }
    if address.ca is not None:
        if not address.url.startswith("rediss://"):
            raise Misconfigured("STREAM_REDIS_CA is for TLS: let STREAM_REDIS begin with rediss://")
        if not Path(address.ca).is_file():
            raise Misconfigured(f"STREAM_REDIS_CA: there is no file {address.ca}")
        options["ssl_ca_certs"] = address.ca
    return options


@contextmanager
def _url_errors() -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError) as error:
        raise Misconfigured(
            f"STREAM_REDIS is no address of a Redis, such as {LOCAL}: {error}"
        ) from error
