"""What a recommendation service imports: scores, rankings, candidates and customers, typed.

Both readers ask the same `Queries`; they differ only in how they wait.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from pydantic import JsonValue
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import RedisError

from stream.errors import StoreDown
from stream.redis.clients import LOCAL, Address, make_async_redis, make_redis, redis_errors
from stream.redis.documents import (
    Candidate,
    CategoryScore,
    Customer,
    Ranked,
    RankedCategory,
    Score,
    ScoreChange,
    Similar,
)
from stream.redis.queries import NOW, Queries, Query
from stream.settings import Settings, read_settings

Answer = TypeVar("Answer")
Client = TypeVar("Client")

PAUSE = 1.0
"""Seconds between two attempts to watch on after Redis was lost."""


class _Reader(ABC, Generic[Client]):
    """What both readers are made of."""

    def __init__(
        self,
        url: str = LOCAL,
        *,
        prefix: str = "",
        secret: str | None = None,
        username: str | None = None,
        password: str | None = None,
        ca: str | None = None,
    ) -> None:
        """Get ready; the connection is made by the first question.

        Args:
            url: Address of Redis: `redis://…`, or `rediss://…` for TLS.
            prefix: What the worker puts in front of every key (`STREAM_PREFIX`).
            secret: The worker's key of the pseudonyms; needed by `customer` only.
            username: User of Redis, if not in the address.
            password: Password of Redis, if not in the address.
            ca: PEM file that Redis's certificate is checked against.
        """
        self._queries = Queries(prefix, secret)
        self._redis = self._connect(Address(url, username, password, ca))

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Make a reader of the installation that the settings describe."""
        secret = settings.secret
        address = Address.of(settings)
        return cls(
            address.url,
            prefix=settings.prefix,
            secret=None if secret is None else secret.get_secret_value(),
            username=address.username,
            password=address.password,
            ca=address.ca,
        )

    @classmethod
    def from_env(cls) -> Self:
        """Make a reader as the environment (`STREAM_REDIS`, …) or a `.env` file says."""
        return cls.from_settings(read_settings())

    @staticmethod
    @abstractmethod
    def _connect(address: Address) -> Client: ...


class ScoreReader(_Reader[Redis]):
    """Reads what the scorer publishes. Threads may share one.

    All methods raise `stream.errors.StoreDown` when Redis does not answer, which takes a few
    seconds at most, and `stream.errors.Misconfigured` when asking again would not help.

        with ScoreReader("redis://127.0.0.1:6379/0") as reader:
            for product, score in reader.top(10):
                print(product, score)
    """

    _connect = staticmethod(make_redis)

    def score(self, product: str) -> Score | None:
        """Read a product's score with its reasons; None if it has none yet."""
        return self._ask(self._queries.score(product))

    def scores(self, products: Sequence[str]) -> dict[str, Score]:
        """Read many products' scores in one request; those without a score are left out."""
        return self._ask(self._queries.scores(products))

    def top(self, n: int = 10, category: str | None = None) -> list[Ranked]:
        """Read the highest scores of the shop or of a category, highest first."""
        return self._ask(self._queries.top(n, category))

    def top_categories(self, n: int = 10) -> list[RankedCategory]:
        """Read the categories with the highest scores, highest first."""
        return self._ask(self._queries.top_categories(n))

    def category(self, name: str) -> CategoryScore | None:
        """Read a category's score with its reasons; None if it has none yet."""
        return self._ask(self._queries.category(name))

    def candidates(self, product: str, n: int = 10) -> list[Candidate]:
        """Read who is most likely to buy a product, likeliest first."""
        return self._ask(self._queries.candidates(product, n))

    def similar(self, product: str, n: int = 10) -> list[Similar]:
        """Read the products that the same customers want, closest first."""
        return self._ask(self._queries.similar(product, n))

    def customer(self, user_id: str) -> Customer | None:
        """Read what is known of a customer by the shop's user id; needs the secret."""
        return self._ask(self._queries.customer(user_id))

    def customer_by_pseudonym(self, pseudonym: str) -> Customer | None:
        """Read what is known of a customer, as named by `candidates`."""
        return self._ask(self._queries.customer_by_pseudonym(pseudonym))

    def metrics(self, model: str) -> dict[str, JsonValue] | None:
        """Read how right a model has been of late; None if there is no such model."""
        return self._ask(self._queries.metrics(model))

    def watch(self, since: str = NOW) -> Iterator[ScoreChange]:
        """Follow the score changes, for ever.

        Once begun it outlives a Redis that goes away and comes back, and misses nothing that is
        still in the stream, which holds the latest changes only.

        Args:
            since: `$`: what changes from the first `next()` on. Or the id of a change: what came
                after it. `0`: all that there is.
        """
        position = self._ask(self._queries.position(since))
        while True:
            try:
                changes = self._ask(self._queries.changes(position))
            except StoreDown:
                time.sleep(PAUSE)
                continue
            for change in changes:
                position = change.id
                yield change

    def close(self) -> None:
        """Close the connections."""
        with suppress(RedisError):
            self._redis.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(self, query: Query[Answer]) -> Answer:
        reply: Any = None
        if query.command:
            with redis_errors():
                reply = self._redis.execute_command(*query.command)  # type: ignore[no-untyped-call]
        return query.parse(reply)


class AsyncScoreReader(_Reader[AsyncRedis]):
    """`ScoreReader` for asyncio: the same questions, awaited. It belongs to one event loop.

    async with AsyncScoreReader("redis://127.0.0.1:6379/0") as reader:
        score = await reader.score("P-1")
    """

    _connect = staticmethod(make_async_redis)

    async def score(self, product: str) -> Score | None:
        """Read a product's score with its reasons; None if it has none yet."""
        return await self._ask(self._queries.score(product))

    async def scores(self, products: Sequence[str]) -> dict[str, Score]:
        """Read many products' scores in one request; those without a score are left out."""
        return await self._ask(self._queries.scores(products))

    async def top(self, n: int = 10, category: str | None = None) -> list[Ranked]:
        """Read the highest scores of the shop or of a category, highest first."""
        return await self._ask(self._queries.top(n, category))

    async def top_categories(self, n: int = 10) -> list[RankedCategory]:
        """Read the categories with the highest scores, highest first."""
        return await self._ask(self._queries.top_categories(n))

    async def category(self, name: str) -> CategoryScore | None:
        """Read a category's score with its reasons; None if it has none yet."""
        return await self._ask(self._queries.category(name))

    async def candidates(self, product: str, n: int = 10) -> list[Candidate]:
        """Read who is most likely to buy a product, likeliest first."""
        return await self._ask(self._queries.candidates(product, n))

    async def similar(self, product: str, n: int = 10) -> list[Similar]:
        """Read the products that the same customers want, closest first."""
        return await self._ask(self._queries.similar(product, n))

    async def customer(self, user_id: str) -> Customer | None:
        """Read what is known of a customer by the shop's user id; needs the secret."""
        return await self._ask(self._queries.customer(user_id))

    async def customer_by_pseudonym(self, pseudonym: str) -> Customer | None:
        """Read what is known of a customer, as named by `candidates`."""
        return await self._ask(self._queries.customer_by_pseudonym(pseudonym))

    async def metrics(self, model: str) -> dict[str, JsonValue] | None:
        """Read how right a model has been of late; None if there is no such model."""
        return await self._ask(self._queries.metrics(model))

    async def watch(self, since: str = NOW) -> AsyncIterator[ScoreChange]:
        """Follow the score changes, for ever, as `ScoreReader.watch` does."""
        position = await self._ask(self._queries.position(since))
        while True:
            try:
                changes = await self._ask(self._queries.changes(position))
            except StoreDown:
                await asyncio.sleep(PAUSE)
                continue
            for change in changes:
                position = change.id
                yield change

    async def close(self) -> None:
        """Close the connections."""
        with suppress(RedisError):  # a frozen Redis does not answer TLS's goodbye
            await self._redis.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _ask(self, query: Query[Answer]) -> Answer:
        reply: Any = None
        if query.command:
            with redis_errors():
                reply = await self._redis.execute_command(*query.command)  # type: ignore[no-untyped-call]
        return query.parse(reply)
