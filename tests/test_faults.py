"""The short form of `make faults`: real faults under some load, and exact totals afterwards."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import FAULTS
from faults.trial import Fault, run

from stream.embedded import Servers, embedded_servers

RATE = 500
"""Events a second."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """A Kafka and a Redis for all of them."""
    with embedded_servers(tmp_path_factory.mktemp("faults")) as servers:
        yield servers


@pytest.mark.parametrize("fault", [f for f in FAULTS if f.short], ids=lambda fault: fault.name)
def test_nothing_is_lost_and_nothing_counts_twice(
    fault: Fault, shared: Servers, tmp_path: Path
) -> None:
    """Whatever happens, every event that Kafka has confirmed is counted once."""
    for server in (shared.kafka, shared.redis):
        server.start()  # if the last one has ended it
    outcome = run(shared, tmp_path, fault, RATE, long=False)
    assert outcome.right, outcome
    assert outcome.sent == outcome.counted > 0
