"""The Faust app of a stage: its settings, its topics, and the agent that carries batches."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import gettempdir
from typing import Any, Protocol

import faust
from faust.assignor.partition_assignor import PartitionAssignor
from faust.types.events import EventT
from yarl import URL

from stream.agents.transport import Positions, Transport
from stream.kafka.clients import connection
from stream.kafka.topics import SOURCES, group_of
from stream.settings import Settings, Stage
from stream.shards import Batch

Carry = Callable[[EventT[Batch]], Awaitable[None]]
"""Hands a batch over; returns when there is room for the next."""


class MakeApp(Protocol):
    """Makes what carries batches to a stage: an app of Faust, or what stands in for one."""

    def __call__(
        self, stage: Stage, settings: Settings, *, positions: Positions, carry: Carry
    ) -> faust.App:
        """See `make_app`."""
        ...


def make_app(stage: Stage, settings: Settings, *, positions: Positions, carry: Carry) -> faust.App:
    """Make the app of one stage; nothing is connected yet.

    Args:
        stage: Which.
        settings: Of the installation.
        positions: Opens the shards of assigned partitions, and says where to read them from.
        carry: Is given every batch.
    """
    options: dict[str, Any] = {}
    if settings.kafka_security != "PLAINTEXT":
        options["broker_credentials"] = _credentials(settings)
    app = faust.App(
        group_of(settings, stage),
        broker=[URL(f"kafka://{host.strip()}") for host in settings.kafka.split(",")],
        autodiscover=False,
        datadir=Path(gettempdir()) / "stream-faust",  # Faust insists on one; nothing is kept there
        broker_commit_interval=2.0,
        broker_max_poll_records=1_000,
        broker_session_timeout=settings.kafka_session / 1000,
        broker_heartbeat_interval=settings.kafka_session / 10_000,
        broker_rebalance_timeout=settings.kafka_session / 1000 * 2,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=1 << 20,
        consumer_metadata_max_age_ms=60_000,
        stream_buffer_maxsize=8,
        stream_wait_empty=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        **options,
    )
    # No table, no standbys: they would only make Faust spread the partitions unevenly.
    app.assignor = PartitionAssignor(app, replicas=0)
    transport = Transport(app.conf.broker_consumer, app)
    transport.positions = positions
    app.transport = transport
    channel = app.topic(*SOURCES[stage], value_serializer="raw")

    @app.agent(channel, name=stage)  # type: ignore[untyped-decorator]
    async def agent(batches: faust.StreamT[Batch]) -> None:
        async for event in batches.noack().events():
            await carry(event)

    return app


def _credentials(settings: Settings) -> Any:
    options = connection(settings)
    if settings.kafka_security == "SSL":
        return faust.SSLCredentials(context=options["ssl_context"])
    return faust.SASLCredentials(
        mechanism=options["sasl_mechanism"],
        username=options["sasl_plain_username"],
        password=options["sasl_plain_password"],
        ssl_context=options.get("ssl_context"),
    )
