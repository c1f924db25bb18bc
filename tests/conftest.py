"""What tests share."""

import signal
from collections.abc import Iterator

import pytest

from stream.embedded import Addresses, embedded

# A shell's background job ignores Ctrl-C, and so would the commands that tests start and stop.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def servers() -> Iterator[Addresses]:
    """A real Kafka and a real Redis, started once for all tests. Names must be a test's own."""
    with embedded() as addresses:
        yield addresses
