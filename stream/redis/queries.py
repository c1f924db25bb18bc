"""What can be asked of Redis: each question is a command, and how its reply is read.

No IO here: `ScoreReader` and `AsyncScoreReader` send the commands.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from pydantic import JsonValue, TypeAdapter, ValidationError

from stream import keys
from stream.customers.pseudonyms import Pseudonyms
from stream.errors import Misconfigured
from stream.redis.clients import PATIENCE
from stream.redis.documents import (
    Candidate,
    CategoryScore,
    Customer,
    Document,
    Ranked,
    RankedCategory,
    Score,
    ScoreChange,
    Similar,
)

Answer = TypeVar("Answer")
Row = TypeVar("Row")
Model = TypeVar("Model", bound=Document)

NOW = "$"
"""In place of the id of a stream's entry: the latest one there is."""

_ENTRY_ID = re.compile(r"\d{1,20}(-\d{1,20})?")
_METRICS = TypeAdapter(dict[str, JsonValue])
_BLOCK = round(PATIENCE * 500)
"""How long Redis waits for a change, ms. Shorter than we wait for Redis."""
_CHANGES = 1_000
"""Most changes in one reply."""


@dataclass(frozen=True, slots=True)
class Query(Generic[Answer]):
    """A question to Redis.

    Attributes:
        command: The words of the Redis command; empty if nothing has to be asked.
        parse: Makes an answer of Redis's reply, or of None.
    """

    command: tuple[str | int, ...]
    parse: Callable[[Any], Answer]


class Queries:
    """All questions that a reader may ask, of one installation."""

    def __init__(self, prefix: str = "", secret: str | None = None) -> None:
        self._prefix = prefix
        self._pseudonyms = None if secret is None else Pseudonyms(secret.encode())

    def score(self, product: str) -> Query[Score | None]:
        """Ask for a product's score."""
        return self._document(Score, keys.score(product))

    def scores(self, products: Sequence[str]) -> Query[dict[str, Score]]:
        """Ask for many products' scores at once."""
        wanted = tuple(dict.fromkeys(products))
        names = tuple(self._prefix + keys.score(product) for product in wanted)

        def parse(reply: Sequence[bytes | None] | None) -> dict[str, Score]:
            found = zip(wanted, names, reply or (), strict=False)
            return {
                product: _read(Score, name, document)
                for product, name, document in found
                if document is not None
            }

        return Query(("MGET", *names) if names else (), parse)

    def top(self, n: int, category: str | None) -> Query[list[Ranked]]:
        """Ask for the highest scores."""
        return self._ranking(Ranked, keys.top_products(category), n)

    def top_categories(self, n: int) -> Query[list[RankedCategory]]:
        """Ask for the highest scores of categories."""
        return self._ranking(RankedCategory, keys.TOP_CATEGORIES, n)

    def category(self, name: str) -> Query[CategoryScore | None]:
        """Ask for a category's score."""
        return self._document(CategoryScore, keys.category(name))

    def candidates(self, product: str, n: int) -> Query[list[Candidate]]:
        """Ask who is most likely to buy a product."""
        return self._ranking(Candidate, keys.candidates(product), n)

    def similar(self, product: str, n: int) -> Query[list[Similar]]:
        """Ask for the products with the same customers."""
        return self._ranking(Similar, keys.similar(product), n)

    def customer(self, user_id: str) -> Query[Customer | None]:
        """Ask for a customer by the shop's id."""
        if self._pseudonyms is None:
            raise Misconfigured(
                "Customers are stored under pseudonyms. Set STREAM_SECRET (or pass secret=…) to "
                "the secret of the worker, or ask by pseudonym."
            )
        return self.customer_by_pseudonym(self._pseudonyms.of(user_id))

    def customer_by_pseudonym(self, pseudonym: str) -> Query[Customer | None]:
        """Ask for a customer by pseudonym."""
        return self._document(Customer, keys.customer(pseudonym))

    def metrics(self, model: str) -> Query[dict[str, JsonValue] | None]:
        """Ask how right a model has been of late."""
        key = self._prefix + keys.metrics(model)

        def parse(reply: bytes | None) -> dict[str, JsonValue] | None:
            with _reading(key):
                return None if reply is None else _METRICS.validate_json(reply)

        return Query(("GET", key), parse)

    def position(self, since: str) -> Query[str]:
        """Ask where to begin watching, so that nothing is lost between two looks."""
        if since == NOW:
            key = self._prefix + keys.SCORE_CHANGES
            return Query(("XREVRANGE", key, "+", "-", "COUNT", 1), _latest_id)
        if not _ENTRY_ID.fullmatch(since):
            msg = f"since must be {NOW!r} or the id of a change (1569888000123-0), not {since!r}"
            raise ValueError(msg)
        return Query((), lambda _: since)

    def changes(self, position: str) -> Query[list[ScoreChange]]:
        """Ask for what has changed after a position; wait a little if nothing has."""
        key = self._prefix + keys.SCORE_CHANGES
        command = ("XREAD", "COUNT", _CHANGES, "BLOCK", _BLOCK, "STREAMS", key, position)
        return Query(command, partial(_changes, key))

    def _document(self, model: type[Model], name: str) -> Query[Model | None]:
        key = self._prefix + name
        return Query(
            ("GET", key), lambda reply: None if reply is None else _read(model, key, reply)
        )

    def _ranking(self, row: Callable[[str, float], Row], name: str, n: int) -> Query[list[Row]]:
        if n < 1:
            msg = f"n must be at least 1, not {n}"
            raise ValueError(msg)
        command = ("ZREVRANGE", self._prefix + name, 0, n - 1, "WITHSCORES")

        def parse(reply: Sequence[bytes]) -> list[Row]:
            return [
                row(member.decode(), float(score))
                for member, score in zip(reply[::2], reply[1::2], strict=True)
            ]

        return Query(command, parse)


def _read(model: type[Model], key: str, document: bytes) -> Model:
    with _reading(key):
        return model.model_validate_json(document)


def _latest_id(reply: Sequence[tuple[bytes, object]]) -> str:
    return reply[0][0].decode() if reply else "0-0"


def _changes(key: str, reply: Sequence[Any]) -> list[ScoreChange]:
    entries: Sequence[tuple[bytes, dict[bytes, bytes]]] = reply[0][1] if reply else ()
    with _reading(key):
        return [_change(entry, fields) for entry, fields in entries]


def _change(entry: bytes, fields: dict[bytes, bytes]) -> ScoreChange:
    named = {name.decode(): value.decode() for name, value in fields.items()}
    return ScoreChange.model_validate({**named, "id": entry.decode()})


@contextmanager
def _reading(key: str) -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise Misconfigured(
            f"What Redis holds in {key} is not what this release reads "
            f"({where + ': ' if where else ''}{first['msg']}). Are scorer and reader of the same "
            "release, and is STREAM_PREFIX the same?"
        ) from error
