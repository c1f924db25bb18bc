"""Kafka clients as the settings want them."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    AuthenticationFailedError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    RequestTimedOutError,
    TopicAuthorizationFailedError,
)

from stream.errors import BrokerDown, Misconfigured
from stream.settings import Settings

LARGEST_REQUEST = 8 << 20
"""Bytes of the largest message that this product writes or reads."""


def connection(settings: Settings) -> dict[str, Any]:
    """Say how to reach Kafka, in aiokafka's words."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka,
        "security_protocol": settings.kafka_security,
    }
    if settings.kafka_security.endswith("SSL"):
        context = ssl.create_default_context(cafile=settings.kafka_ca)
        if settings.kafka_cert:
            context.load_cert_chain(settings.kafka_cert, settings.kafka_key)
        options["ssl_context"] = context
    if settings.kafka_security.startswith("SASL"):
        if settings.kafka_username is None or settings.kafka_password is None:
            raise Misconfigured("Set STREAM_KAFKA_USERNAME and STREAM_KAFKA_PASSWORD for SASL.")
        options["sasl_mechanism"] = settings.kafka_sasl
        options["sasl_plain_username"] = settings.kafka_username
        options["sasl_plain_password"] = settings.kafka_password.get_secret_value()
    return options


def make_producer(settings: Settings, *, compress: bool = True) -> AIOKafkaProducer:
    """Make a producer, not yet started, that neither loses nor repeats what it has taken.

    Args:
        settings: Where Kafka is.
        compress: Whether to spend a worker's time on smaller messages.
    """
    return AIOKafkaProducer(
        **connection(settings),
        client_id="stream",
        acks="all",
        enable_idempotence=True,
        linger_ms=5,
        max_batch_size=256 << 10,
        max_request_size=LARGEST_REQUEST,
        compression_type="lz4" if compress else None,
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
    except (AuthenticationFailedError, TopicAuthorizationFailedError) as error:
        raise Misconfigured(f"Kafka refuses these credentials: {error}") from error
    except (KafkaConnectionError, KafkaTimeoutError, RequestTimedOutError, OSError) as error:
        raise BrokerDown(f"Kafka does not answer: {error}") from error
    except KafkaError as error:
        if error.retriable:
            raise BrokerDown(f"Kafka is not ready: {error}") from error
        raise
