"""Kafka clients as the settings want them."""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    RequestTimedOutError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)

from stream.errors import BrokerDown, Misconfigured
from stream.settings import Settings, variable

LARGEST_REQUEST = 8 << 20
"""Bytes of the largest message that this product writes or reads."""
KNOCK_MS = 5_000
"""How long a broker has for its answer when it is asked why it lets nobody in."""
FAREWELL = 0.05
"""Seconds for connections to close."""
DENIED = (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
)
"""The user is known, and may not do this."""
_UNKNOWN = (
    AuthenticationFailedError,
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)


def connection(settings: Settings) -> dict[str, Any]:
    """Say how to reach Kafka, in aiokafka's words."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka,
        "security_protocol": settings.kafka_security,
    }
    if settings.kafka_security.endswith("SSL"):
        options["ssl_context"] = _tls(settings)
    if settings.kafka_security.startswith("SASL"):
        if settings.kafka_username is None or settings.kafka_password is None:
            raise Misconfigured("Set STREAM_KAFKA_USERNAME and STREAM_KAFKA_PASSWORD for SASL.")
        options["sasl_mechanism"] = settings.kafka_sasl
        options["sasl_plain_username"] = settings.kafka_username
        options["sasl_plain_password"] = settings.kafka_password.get_secret_value()
    return options


def _tls(settings: Settings) -> ssl.SSLContext:
    for name in ("kafka_ca", "kafka_cert", "kafka_key"):
        path = getattr(settings, name)
        if path is not None and not Path(path).is_file():
            raise Misconfigured(f"{variable(name)}: there is no file {path}")
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ca)
        if settings.kafka_cert:
            context.load_cert_chain(settings.kafka_cert, settings.kafka_key)
    except (ssl.SSLError, OSError) as error:
        raise Misconfigured(
            "STREAM_KAFKA_CA, STREAM_KAFKA_CERT and STREAM_KAFKA_KEY must be PEM files, and the "
            f"key that of the certificate: {error}"
        ) from error
    return context


def make_producer(settings: Settings, *, at_once: bool = False) -> AIOKafkaProducer:
    """Make a producer, not yet started, that neither loses nor repeats what it has taken.

    Args:
        settings: Where Kafka is.
        at_once: Whether to send each message as it comes, uncompressed: a worker waits for it, and
            has no time to spend on smaller ones.
    """
    return AIOKafkaProducer(
        **connection(settings),
        client_id="stream",
        acks="all",
        enable_idempotence=True,
        linger_ms=0 if at_once else 5,
        max_batch_size=256 << 10,
        max_request_size=LARGEST_REQUEST,
        compression_type=None if at_once else "lz4",
    )


def make_consumer(settings: Settings, *topics: str, **options: Any) -> AIOKafkaConsumer:
    """Make a consumer without a group, not yet started, for reading by hand."""
    return AIOKafkaConsumer(
        *topics,
        **connection(settings),
        client_id="stream",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=LARGEST_REQUEST,
        **options,
    )


def make_admin(settings: Settings) -> AIOKafkaAdminClient:
    """Make an admin client, not yet started."""
    return AIOKafkaAdminClient(**connection(settings), client_id="stream")


@contextmanager
def kafka_errors() -> Iterator[None]:
    """Turn aiokafka's errors into ours."""
    try:
        yield
    except _UNKNOWN as error:
        raise Misconfigured(
            "Kafka refuses these credentials. Check STREAM_KAFKA_USERNAME, STREAM_KAFKA_PASSWORD "
            f"and STREAM_KAFKA_SASL: {error}"
        ) from error
    except DENIED as error:
        raise Misconfigured(
            f"Kafka does not permit this user what is needed. Extend its ACLs: {error}"
        ) from error
    except (KafkaConnectionError, KafkaTimeoutError, RequestTimedOutError, OSError) as error:
        raise BrokerDown(f"Kafka does not answer: {error}") from error
    except KafkaError as error:
        if error.retriable:
            raise BrokerDown(f"Kafka is not ready: {error}") from error
        raise


async def start_admin(settings: Settings, admin: AIOKafkaAdminClient) -> None:
    """Start an admin client, or say what it is that Kafka does not let us in for.

    aiokafka itself tells a wrong password and a certificate that has run out from no answer only
    in its log.

    Raises:
        Misconfigured: Somebody has to mend certificates.
        KafkaError: As the client says it, or that the credentials are refused.
    """
    try:
        await admin.start()
    except KafkaConnectionError:
        try:
            for host, port, _ in collect_hosts(settings.kafka):
                await _knock(settings, host, port)
        finally:
            await asyncio.sleep(FAREWELL)  # aiokafka closes connections without waiting for it
        raise


async def _knock(settings: Settings, host: str, port: int) -> None:
    options = connection(settings)
    del options["bootstrap_servers"]
    try:
        door = await create_conn(host, port, request_timeout_ms=KNOCK_MS, **options)
        door.close()
    except ssl.SSLCertVerificationError as error:
        raise Misconfigured(
            "Kafka's certificate is not trusted. Point STREAM_KAFKA_CA at the PEM file of its "
            f"authority, or have it renewed: {error.verify_message or error}"
        ) from error
    except _UNKNOWN:
        raise
    except (KafkaError, OSError) as error:
        # A server that wants a certificate says so after the handshake.
        alert = error if isinstance(error, ssl.SSLError) else error.__cause__
        if isinstance(alert, ssl.SSLError):
            raise Misconfigured(
                f"Kafka at {host}:{port} and this side do not agree on TLS. Check "
                f"STREAM_KAFKA_SECURITY, STREAM_KAFKA_CERT and STREAM_KAFKA_KEY: {alert}"
            ) from error
        # Else it does not answer, as the client has said.
