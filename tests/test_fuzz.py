"""Ten thousand messages that nobody should send, through a real Kafka, between good ones.

Which of them are events after all is asked of `decode`, record by record; that all others are
refused is told of those that are bad by the way they are made. FUZZ=100000 makes it more.
"""

import os
import random
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
from aiokafka import ConsumerRecord
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from running import PARTITIONS, Sent, Shop, evidence
from test_end_to_end import BEGIN, shoppers

from stream import ScoreReader
from stream.cli import main
from stream.embedded import embedded_servers
from stream.events.decode import Refused, decode
from stream.events.schema import EXAMPLES, json_schema
from stream.events.types import MAX_ID, PUBLIC, Topic

NUMBER = int(os.environ.get("FUZZ", "10000"))
DEPTH = 10_000
TOPICS = tuple(PUBLIC)
_NASTY = (
    "line\nbreak",
    "line\r\nbreak",
    "bell\x07",
    "nul\x00nul",
    "\x1b[2J\x1b[1;1Hcleared",
    "\x1b]0;title\x07",
    "\x9b31mred",
    "\u202eright to left",
    "\u2028line",
    "\ufeffmark",
    "{tag}",
    "{}",
    "}{",
    "{products.0}",
    "*",
    "?[a-z]*",
    "a:b:c",
    "score:p",
    "top:products",
    "../../etc/passwd",
    "%s%n%00",
    "'; FLUSHALL; --",
    "*1\r\n$8\r\nFLUSHALL\r\n",
    '"quoted\\"',
    "[bold red]marked[/]",
    "\U0001f600" * (MAX_ID // 4 - 1),
    "x" * (MAX_ID - 2),
    " ",
    "\t",
    "__proto__",
    "NaN",
    "null",
)
NASTY = tuple(f"{name}§" for name in _NASTY)  # as no number or text that is drawn ends
"""Ids that are allowed, and meant to break keys, protocols, formats or terminals."""
NUMBERS = (
    b"1e999",
    b"-1e999",
    b"1e-999",
    b"-0.0",
    b"9" * 300,
    b"9" * 5_000,
    b"0." + b"3" * 5_000,
    b"1" + b"0" * 400 + b".5",
    b"18446744073709551616",
    b"-9223372036854775809",
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"0x10",
    b"01",
    b"1_000",
    b"1e5",
    b"true",
    b'"1e400"',
    b'"\xef\xbc\x91"',
)
STRINGS = (
    b'"\\ud800"',
    b'"\\udc00\\ud800"',
    b'"\xed\xa0\x80"',
    b'"\\u0000"',
    b'"\x00"',
    b'"\xff"',
    b'"\xc0\x80"',
    b'"\\x"',
    b'""',
    b'"%s"' % (b"x" * 300),
    b'"%s"' % ("€" * 200).encode(),
)


class Fuzzed(NamedTuple):
    """A message, and whether there is no way that it could be an event."""

    topic: Topic
    value: bytes
    hopeless: bool = False


def examples(topic: Topic) -> list[dict[str, Any]]:
    """Events as the documentation has them, with all that a schema names."""
    return [dict(example) for example in EXAMPLES[topic].values()]


@cache
def fields(topic: Topic) -> list[tuple[str, ...]]:
    """Paths of all fields of a topic, by its schema."""
    schema = json_schema(topic)
    shapes = [schema, *schema.get("$defs", {}).values()]
    lines = [name for name in schema.get("$defs", {}) if name == "Item"]
    names = {name for shape in shapes for name in shape.get("properties", {})}
    inner = [("items", name) for line in lines for name in schema["$defs"][line]["properties"]]
    return [*((name,) for name in sorted(names)), *inner]


def planted(event: dict[str, Any], path: tuple[str, ...], value: bytes) -> bytes:
    """An event as JSON, with a field written as it stands here."""
    event = orjson.loads(orjson.dumps(event))
    inner = event["items"][0] if len(path) > 1 and "items" in event else event
    inner[path[-1]] = "@@"
    return orjson.dumps(event).replace(b'"@@"', value, 1)


def deep(dice: random.Random) -> bytes:
    """JSON that goes far down, closed or not."""
    opening, closing = dice.choice([(b"[", b"]"), (b'{"a":', b"}"), (b'[{"items":', b"}]")])
    return opening * DEPTH + b"1" + dice.choice([closing * DEPTH, b""])


def by_hand(dice: random.Random, number: int) -> Iterator[Fuzzed]:
    """Bad messages of the kinds that one can think of."""
    for n in range(number):
        topic = dice.choice(TOPICS)
        event = dice.choice(examples(topic)) | {"event_id": f"fuzzed {n}"}
        path = dice.choice(fields(topic))
        text = orjson.dumps(event)
        match n % 8:
            case 0:
                yield Fuzzed(topic, dice.randbytes(dice.randrange(1, 200)), hopeless=True)
            case 1:
                yield Fuzzed(topic, text[: dice.randrange(1, len(text))], hopeless=True)
            case 2 if n % 5 == 0:
                nested = deep(dice)
                into = [nested, planted(event, path, nested), planted(event, ("x",), nested)]
                yield Fuzzed(topic, dice.choice(into), hopeless=True)
            case 3:
                yield Fuzzed(topic, planted(event, path, dice.choice(NUMBERS)))
            case 4:
                twice = b'{"%s":%s,' % (path[-1].encode(), dice.choice([*NUMBERS, *STRINGS]))
                yield Fuzzed(topic, twice + text[1:])
            case 5:
                yield Fuzzed(topic, planted(event, path, dice.choice(STRINGS)))
            case 6:
                at = dice.randrange(len(text))
                yield Fuzzed(topic, text[:at] + dice.randbytes(1) + text[at + 1 :])
            case _:
                pieces = [text, b",", text, b"\x00", b"\xef\xbb\xbf", b"\n"]
                dice.shuffle(pieces)
                yield Fuzzed(topic, b"".join(pieces), hopeless=True)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def from_schema(dice: random.Random, number: int) -> Iterator[Fuzzed]:
    """Put what Hypothesis draws, the same in each run, into every field of every event."""
    found: list[Any] = []

    @settings(
        max_examples=-(-number // 50),
        database=None,
        derandomize=True,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(anything, min_size=50, max_size=50))
    def gather(some: list[Any]) -> None:
        found.extend(some)

    gather()
    places = [(t, e, path) for t in TOPICS for e in examples(t) for path in fields(t)]
    for n, value in enumerate(found[:number]):
        topic, event, path = places[n % len(places)]
        if dice.random() < 0.05:
            yield Fuzzed(topic, orjson.dumps({k: v for k, v in event.items() if k != path[0]}))
        else:
            yield Fuzzed(topic, planted(event, path, written(value)))


def written(value: Any) -> bytes:
    """A value as JSON, or as Python writes it where JSON has no word for it."""
    try:
        return orjson.dumps(value)
    except TypeError:  # an integer that is too large, a surrogate
        return repr(value).encode(errors="surrogatepass")


def with_nasty_ids() -> list[Sent]:
    """Events that are right, by customers and of products with names that hurt."""
    events = []
    for n, name in enumerate(NASTY):
        who = {"event_id": f"{n}{name}"[:64], "time": BEGIN + n, "user_id": name}
        item = {"product_id": name, "quantity": 2, "price": 1, "category": name}
        order = {"type": "purchase", "order_id": name, "items": [item]}
        events.append(
            Sent("clicks", who | {"type": "view_item", "product_id": name, "category": name})
        )
        events.append(Sent("orders", who | {"event_id": f"o{n}"} | order))
    return events


def key_of(topic: Topic, dice: random.Random) -> bytes | None:
    """A key that has nothing to do with the value. A compacted topic takes none without."""
    keys = (b"\x00\xff", b"user-1", dice.randbytes(8), b"k" * 5_000, b"")
    return dice.choice(keys if topic == "catalog" else (*keys, None))


async def test_nothing_that_is_sent_stops_a_worker_or_is_lost(tmp_path: Path) -> None:
    """Each event is counted once; each other message lies in dead letters, with its reason."""
    dice = random.Random(1)
    bad = [*by_hand(dice, NUMBER // 2), *from_schema(dice, NUMBER - NUMBER // 2)]
    good, nasty = shoppers(2_000, "good "), with_nasty_ids()
    events = [*good, *nasty, *(Sent(x.topic, x.value, key_of(x.topic, dice)) for x in bad)]
    dice.shuffle(events)

    def anywhere(topic: str, _: str) -> int:
        return 0 if topic == "market" else dice.randrange(PARTITIONS)

    with embedded_servers(tmp_path) as servers:
        shop = Shop(servers, tmp_path, "fuzzed:")
        await shop.open()
        with shop.worker() as worker:
            await shop.send(events, anywhere)
            await shop.settle()
            assert worker.alive
            assert shop.totals("good ") == evidence(good)
            await see_each_message(shop, bad)
            see_nasty_ids(shop)
            assert worker.end()[0] == 0
    assert sum(map(len, worker.said.splitlines())) < 100_000


async def see_each_message(shop: Shop, bad: list[Fuzzed]) -> None:
    """Compare dead letters and counts with what each record says by itself."""
    expected: dict[tuple[str, int, int], tuple[str, ConsumerRecord]] = {}
    hopeless = Counter((x.topic, x.value) for x in bad if x.hopeless)
    accepted: Counter[str] = Counter()
    for topic in TOPICS:
        for record in await shop.read(topic):
            for _, _, event in decode(topic, [record], shop.settings.ahead):
                if isinstance(event, Refused):
                    place = (topic, record.partition, record.offset)
                    expected[place] = event.refusal.reason, record
                    hopeless[topic, record.value] -= 1
                else:
                    accepted[topic] += 1
    assert +hopeless == Counter()
    letters = await shop.read("dead-letters")
    assert len(letters) == len(expected) > 0.5 * NUMBER
    for letter in letters:
        said = {name: raw.decode() for name, raw in letter.headers}
        place = said["topic"], int(said["partition"]), int(said["offset"])
        reason, source = expected.pop(place)
        assert (said["reason"], letter.value, letter.key) == (reason, source.value, source.key)
        assert said["detail"].isprintable()
    counts = shop.counts()
    kinds = ("clicks", "purchases", "refunds", "duplicates")
    assert sum(counts[kind] for kind in kinds) == accepted["clicks"] + accepted["orders"]
    assert shop.counts("products")["listings"] == accepted["catalog"]


def see_nasty_ids(shop: Shop) -> None:
    """Look at products with such names as their readers do."""
    with ScoreReader(shop.settings.redis, prefix=shop.prefix) as reader:
        for name in NASTY:
            found = reader.score(name)
            assert found is not None, name
            assert (found.product, found.evidence.views, found.evidence.units) == (name, 1, 2)
            assert found.category == name
    env = {"STREAM_REDIS": shop.settings.redis, "STREAM_PREFIX": shop.prefix}
    for words in (["top", "500"], *(["score", name] for name in NASTY)):
        done = CliRunner().invoke(main, words, env=env)
        assert done.exit_code == 0, (words, done.output)
        assert all(line.isprintable() for line in done.stdout.split("\n")), words


@pytest.mark.parametrize("topic", TOPICS)
def test_every_field_of_the_contract_is_fuzzed(topic: Topic) -> None:
    """The schema names them, also those within the lines of an order."""
    expected = {name for example in examples(topic) for name in example}
    assert expected <= {path[0] for path in fields(topic)}
    assert topic != "orders" or ("items", "quantity") in fields(topic)
