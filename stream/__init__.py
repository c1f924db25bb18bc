"""Live scores of a shop's products.

A recommendation service needs these two names only:

    from stream import ScoreReader

    with ScoreReader("redis://127.0.0.1:6379/0") as reader:
        for product, score in reader.top(10):
            print(product, score)
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stream.redis.reader import AsyncScoreReader, ScoreReader

__all__ = ["AsyncScoreReader", "ScoreReader"]


def __getattr__(name: str) -> object:
    """Import the reader when it is asked for: no other part of the package needs Redis for it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from stream.redis import reader  # noqa: PLC0415

    return getattr(reader, name)
