"""What tests share."""

from collections.abc import Iterator

import pytest

from stream.embedded import Addresses, embedded


@pytest.fixture(scope="session")
def servers() -> Iterator[Addresses]:
    """A real Kafka and a real Redis, started once for all tests. Names must be a test's own."""
    with embedded() as addresses:
        yield addresses
