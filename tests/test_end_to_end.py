"""Exactly once, on a real Kafka and a real Redis, with workers as the processes that they are."""

import asyncio
import csv
import gzip
import random
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from hashlib import blake2b
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any, get_args

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from redis import Redis
from running import PARTITIONS, SECRET, Sent, Shop, Worker, evidence

from stream import keys
from stream.agents.worker import Worker as LateWorker
from stream.clock import PATIENCE as MERGING
from stream.customers.pseudonyms import Pseudonyms
from stream.embedded import Servers, embedded_servers
from stream.events.decode import Reason, read_time
from stream.events.types import MAX_ITEMS, MAX_RECORD
from stream.models import snapshots
from stream.models.linear import probability
from stream.partitions import home
from stream.products.row import ProductRow
from stream.products.scoring import score
from stream.products.serving import Serving
from stream.replay import Replay, counts
from stream.settings import Settings
from stream.units import HOUR, SECOND

BEGIN = 1_760_000_000_000
LOG = Path("../shared/data/rees46_2019-10-01_first_2h50.csv.gz")
PROMPT = 10.0
"""Seconds that a worker has to end, as whoever runs it will not wait much longer."""


def shoppers(number: int, tag: str = "", seed: int = 1) -> list[Sent]:
    """Invent a day of a shop, in the order of time.

    Args:
        number: How many events.
        tag: In front of every id, to tell one test's events from another's.
        seed: Of the dice.
    """
    dice = random.Random(seed)
    time = BEGIN
    events = []
    for n in range(number):
        time += dice.randrange(200)
        event: dict[str, Any] = {
            "event_id": f"{tag}{seed}-{n}",
            "time": time,
            "user_id": f"{tag}user-{dice.randrange(300)}",
        }
        product = f"{tag}product-{dice.randrange(200)}"
        if dice.random() < 0.05:
            items = [
                {"product_id": product, "quantity": dice.randrange(1, 4), "price": 9.5},
                {"product_id": f"{tag}gift", "quantity": 1, "price": 1, "category": "gifts"},
            ]
            event |= {"type": "purchase", "order_id": f"{tag}{seed}-{n}", "items": items}
            events.append(Sent("orders", event))
        else:
            kinds = ["view_item"] * 8 + ["add_to_cart", "add_to_wishlist"]
            event |= {"type": dice.choice(kinds), "product_id": product, "category": "mugs"}
            events.append(Sent("clicks", event))
    return events


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """A shop whose Kafka and Redis may be killed."""
    with embedded_servers(tmp_path) as servers:
        shop = Shop(servers, tmp_path)
        await shop.open()
        yield shop


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """A Kafka and a Redis that live on. Events of one test must differ from another's by a tag."""
    with embedded_servers(tmp_path_factory.mktemp("calm")) as servers:
        yield servers


async def see(shop: Shop, events: list[Sent], tag: str = "") -> None:
    """Wait until everything is read, and compare what was counted with what was sent."""
    expected = evidence(events)
    shop.happens(lambda: shop.totals(tag) == expected)
    await shop.settle()
    assert shop.totals(tag) == expected


async def test_workers_that_are_killed_or_frozen_lose_and_repeat_nothing(shop: Shop) -> None:
    """Whatever a worker was doing when it ended, its events are counted once by the others.

    One that was frozen past its session does not know that its partitions have other owners now.
    What it had begun is refused.
    """
    events = shoppers(9_000)
    with shop.worker() as one, shop.worker() as other:
        await shop.send(events[:3_000])
        assert shop.happens(lambda: shop.reached(500))
        one.kill()
        await shop.send(events[3_000:5_000])
        one.start()
        await see(shop, events[:5_000])

        await shop.send(events[5_000:7_000])
        one.freeze()
        await shop.send(events[7_000:])
        assert shop.happens(lambda: shop.totals() == evidence(events)), other.said
        one.wake()
        assert one.alive
        await see(shop, events)
        assert [worker.end()[0] for worker in (one, other)] == [0, 0]


async def test_neighbours_that_are_killed_are_waited_for(shop: Shop) -> None:
    """Kafka and Redis may crash and come back: workers wait, say so once, and count everything."""
    events = shoppers(6_000)
    kafka, redis = shop.servers.kafka, shop.servers.redis
    with shop.worker() as one, shop.worker() as other:
        await shop.send(events[:2_000])
        assert shop.happens(lambda: shop.reached(500))
        redis.kill()
        await shop.send(events[2_000:4_000])
        assert shop.happens(lambda: "Redis does not answer" in one.said + other.said)
        redis.start()
        await see(shop, events[:4_000])

        await shop.send(events[4_000:5_000])
        kafka.kill()
        assert shop.happens(lambda: "Kafka does not answer" in one.said + other.said)
        kafka.start()
        await shop.send(events[5_000:])
        await see(shop, events)
        for worker in (one, other):
            assert worker.alive
            assert len(worker.said.splitlines()) < 60, worker.said


async def test_a_worker_that_is_asked_to_end_does(shop: Shop) -> None:
    """SIGTERM ends it with 0 and soon: at its start, at work, and while a neighbour is down."""
    events = shoppers(2_000)

    def ends(worker: Worker) -> bool:
        code, seconds = worker.end()
        assert (code, seconds < PROMPT) == (0, True), (code, seconds, worker.said)
        return True

    await shop.send(events)
    with shop.worker() as worker:
        assert shop.happens(worker.has_begun)
        assert ends(worker)

        for moment in (0, 0.4, 0.8, 1.2):
            worker.start()
            assert shop.happens(worker.listens)
            await asyncio.sleep(moment)
            assert ends(worker)

        worker.start()
        assert shop.happens(lambda: shop.reached(1))
        shop.servers.redis.kill()
        assert shop.happens(lambda: "Redis does not answer" in worker.said)
        assert ends(worker)

        worker.start()
        assert shop.happens(lambda: worker.said.count("Redis does not answer") == 2)
        assert ends(worker)
        shop.servers.redis.start()

        worker.start()
        assert shop.happens(lambda: shop.totals() == evidence(events))
        shop.servers.kafka.kill()
        assert shop.happens(lambda: "Kafka does not answer" in worker.said)
        assert ends(worker)

        worker.start()
        assert shop.happens(lambda: worker.said.count("Kafka does not answer") == 2)
        assert ends(worker)


def refused() -> dict[str, list[bytes]]:
    """Records that must be refused, by reason: more than two thousand."""
    click = {"event_id": "bad", "type": "view_item", "time": BEGIN, "user_id": "u"}
    click |= {"product_id": "bad product"}
    item = {"product_id": "bad product", "quantity": 1, "price": 1}
    order = {"event_id": "bad", "type": "purchase", "time": BEGIN, "user_id": "u"}
    order |= {"order_id": "bad", "items": [item]}
    far = BEGIN + 20 * 365 * 24 * HOUR
    changed: dict[str, list[dict[str, Any]]] = {
        "wrong_shape": [{"event_id": "bad"}, click | {"user_id": [1]}],
        "unknown_type": [click | {"type": "stared_at"}, order | {"type": "purchse"}],
        "unreadable_time": [click | {"time": "yesterday"}, click | {"time": "2025-10-01"}],
        "seconds_for_milliseconds": [click | {"time": BEGIN // SECOND}],
        "too_far_ahead": [click | {"time": far}],
        "bad_number": [click | {"price": -1}],
        "bad_quantity": [order | {"items": [item | {"quantity": 0}]}],
        "bad_id": [click | {"user_id": ""}, click | {"product_id": "x" * 300}],
        "record_too_large": [click | {"padding": "x" * MAX_RECORD}],
        "too_many_items": [order | {"items": [item] * (MAX_ITEMS + 1)}],
    }
    records = {reason: [orjson.dumps(e) for e in events] for reason, events in changed.items()}
    records["not_json"] = [b"\xff\xfe\x00", b"{", b"[]]", b'{"a":1},{"b":2}', b" "]
    large = records.pop("record_too_large")
    many = {reason: list(islice(cycle(some), 200)) for reason, some in records.items()}
    return {**many, "record_too_large": large * 20}


async def test_what_is_refused_goes_to_the_dead_letters_as_it_came(
    calm: Servers, tmp_path: Path
) -> None:
    """One bad record spoils no other: it is set aside with the reason, and work goes on."""
    shop = Shop(calm, tmp_path, "refusing:")
    await shop.open()
    bad = refused()
    assert set(bad) == set(get_args(Reason))
    events: list[Sent] = shoppers(4_000, "refusing ")
    good = list(events)
    dice = random.Random(1)
    for raw in (raw for raws in bad.values() for raw in raws):
        topic = "orders" if b'"items"' in raw else "clicks"
        events.insert(dice.randrange(len(events)), Sent(topic, raw, b"\x00any key\xff"))
    events.append(Sent("catalog", b"no product", b"p"))

    with shop.worker() as worker:
        await shop.send(events)
        await see(shop, good, "refusing ")
        assert worker.alive
        letters = await shop.read("dead-letters")
    sources = {
        (topic, record.partition, record.offset): record
        for topic in ("clicks", "orders", "catalog")
        for record in await shop.read(topic)
    }
    said = Counter[str]()
    for letter in letters:
        headers = {name: raw.decode() for name, raw in letter.headers}
        source = sources[headers["topic"], int(headers["partition"]), int(headers["offset"])]
        assert (letter.value, letter.key) == (source.value, source.key)
        assert headers["detail"]
        said[headers["reason"]] += 1
    expected = Counter({reason: len(raws) for reason, raws in bad.items()})
    assert said == expected + Counter(not_json=1)


async def test_what_a_producer_takes_back_is_not_counted(calm: Servers, tmp_path: Path) -> None:
    """Of transactions those count that are committed. Nobody waits for the markers behind them."""
    shop = Shop(calm, tmp_path, "back:")
    await shop.open()
    committed, aborted = (shoppers(400, "taken ", seed) for seed in (1, 2))
    with shop.worker() as worker:
        assert shop.happens(worker.has_begun)
        for begin in range(0, 400, 40):
            await in_transaction(shop, committed[begin : begin + 40])
            await in_transaction(shop, aborted[begin : begin + 40], commit=False)
        await see(shop, committed, "taken ")

        late = shoppers(100, "taken late ", 3)
        began = time.monotonic()
        await in_transaction(shop, late)
        assert shop.happens(lambda: shop.totals("taken late ") == evidence(late))
        assert time.monotonic() - began < MERGING / SECOND


async def in_transaction(shop: Shop, events: list[Sent], *, commit: bool = True) -> None:
    """Write events in a transaction, and commit or abort it."""
    producer = AIOKafkaProducer(bootstrap_servers=shop.settings.kafka, transactional_id="shop")
    async with producer:
        await producer.begin_transaction()
        for event in events:
            value, key = event.record()
            place = home((key or b"").decode(), PARTITIONS)
            await producer.send(event.topic, value, key, place)
        await producer.flush()
        await (producer.commit_transaction() if commit else producer.abort_transaction())


async def test_strays_are_counted_once_where_they_belong(calm: Servers, tmp_path: Path) -> None:
    """Producers may key by CRC32, as librdkafka does, or not at all: a customer stays one."""
    shop = Shop(calm, tmp_path, "straying:")
    await shop.open()
    events = shoppers(3_000, "stray ")
    users = sorted({str(event.value["user_id"]) for event in events if type(event.value) is dict})
    last = [
        Sent(
            "orders",
            {
                "event_id": f"last {user}",
                "type": "purchase",
                "time": BEGIN + 24 * HOUR,
                "order_id": f"last {user}",
                "user_id": user,
                "items": [{"product_id": "stray gift", "quantity": 1, "price": 1}],
            },
        )
        for user in users
    ]
    dice = random.Random(2)

    def anywhere(topic: str, user: str) -> int:
        if topic == "orders":
            return dice.randrange(PARTITIONS)
        return zlib.crc32(user.encode()) % PARTITIONS

    with shop.worker(), shop.worker():
        await shop.send(events, placed=anywhere)
        await see(shop, events, "stray ")
        await shop.send(last, placed=anywhere)
        await see(shop, events + last, "stray ")
    assert shop.counts()["strays"] > 1_000

    pseudonyms = Pseudonyms(SECRET.encode())
    documents = shop.documents("customer:*")
    expected: dict[str, list[float]] = defaultdict(lambda: [0, 0, 0.0])
    for event in (e.value for e in events + last if type(e.value) is dict):
        known = expected[event["user_id"]]
        lines = event.get("items", ())
        known[0] += not lines
        known[1] += bool(lines)
        known[2] += sum(line["quantity"] * line["price"] for line in lines)
    for user, (clicks, orders, spend) in expected.items():
        document = documents[f"customer:{pseudonyms.of(user)}"]
        found = (document["events"], document["frequency"], document["spend"])
        assert found == (clicks, orders, round(spend, 2))


async def test_it_does_not_matter_which_topic_is_written_first(
    calm: Servers, tmp_path: Path
) -> None:
    """All orders of a day first, then all its clicks: the totals are those of the day."""
    shop = Shop(calm, tmp_path, "late:")
    await shop.open()
    events = shoppers(3_000, "late ")
    await shop.send(sorted(events, key=lambda event: event.topic != "orders"))

    with shop.worker():
        await see(shop, events, "late ")


@pytest.mark.skipif(not LOG.exists(), reason=f"{LOG} is not here")
async def test_what_is_learned_live_is_what_a_replay_learns(shop: Shop) -> None:
    """Though all orders are written before the clicks, each click gets the label of its time."""
    # Time must pass in both topics, or how many labels still wait would be the wall clock's to say.
    events = recorded() + passers_by("2019-10-01T05:00:00Z")
    told = Replay(Settings(_env_file=None), SECRET)  # type: ignore[call-arg]
    values = [(event.topic, event.value) for event in events if isinstance(event.value, dict)]
    for topic, value in sorted(values, key=lambda one: str(one[1]["time"])):
        told.feed(topic, value)
    told.finish()
    assert not told.refused
    totals = +Counter(told.totals())
    expected = counts(told.products)

    await shop.send(sorted(events, key=lambda event: event.topic != "orders"))
    with shop.worker():
        shop.happens(lambda: shop.totals() == totals)
        await shop.settle()
        assert shop.totals() == totals
    found = shop.counts("products")
    labels = ("positives", "negatives")
    assert [found[kind] for kind in labels] == [expected[kind] for kind in labels]


async def test_what_is_published_is_what_the_stored_models_say(
    calm: Servers, tmp_path: Path
) -> None:
    """Scored in this process, stored rows and the stored snapshot give each document exactly.

    The learner rests meanwhile, so that there is one version of the models. Of clicks, what was
    predicted is compared with what the snapshot says of the features that wait with it.
    """
    shop = Shop(calm, tmp_path, "scoring:")
    await shop.open()
    events = shoppers(4_000, "scored ")
    for event in events:
        assert isinstance(event.value, dict)
        event.value["time"] = BEGIN + 500 * (event.value["time"] - BEGIN)
    with shop.worker() as worker:
        await shop.send(events)
        await see(shop, events, "scored ")
        worker.end()
    with Redis.from_url(shop.settings.redis) as redis:
        raw = redis.get(shop.prefix + keys.SERVING)
    assert isinstance(raw, bytes)
    serving = Serving.restored(*snapshots.decode(raw, "serving"))
    assert serving.conversion.model is not None

    products = [key.removeprefix("score:") for key in shop.documents("score:scored *")]
    last = max(event.value["time"] for event in events if isinstance(event.value, dict))
    models: set[str] = set()
    with shop.worker("--stages", "customers,products") as worker:
        for turn in count():
            # When all documents are by these models, all clicks of another turn will be.
            in_use = models == {serving.name}
            looks = looked_at(products, turn, last + HOUR)
            await shop.send(looks)
            events += looks
            expected = evidence(events)
            assert shop.happens(partial(is_counted, shop, "scored ", expected))
            models = {document["model"] for document in shop.documents("score:scored *").values()}
            if in_use:
                break
        worker.end()

    documents = shop.documents("score:scored *")
    assert {document["model"] for document in documents.values()} == {serving.name}
    rows = dict(shop.rows("products"))
    for key, document in documents.items():
        product = key.removeprefix("score:")
        row = ProductRow.decode(product, rows[product])
        as_of = read_time(document["as_of"])
        assert isinstance(as_of, int)
        said = score(row, serving, as_of, shop.settings.bucket, {"product": product})
        assert document == orjson.loads(orjson.dumps(said))

    names = Pseudonyms(SECRET.encode())
    lookers = {names.of(str(look.value["user_id"])) for look in looks if type(look.value) is dict}
    waiting = [orjson.loads(raw) for id_, raw in shop.waiting("products") if id_.startswith("c")]
    clicks = [click for click in waiting if click[2] in lookers]
    assert len(clicks) == len(products)
    for *_, tail in clicks:
        _, _, model, rule, _, x = tail
        found = [probability(value) for value in serving.conversion.both(x)]
        # The features are stored with four digits.
        assert found == [pytest.approx(model, abs=1e-4), pytest.approx(rule, abs=1e-6)]


def is_counted(shop: Shop, tag: str, expected: Counter[str]) -> bool:
    """Whether the totals are those that are expected."""
    return shop.totals(tag) == expected


def looked_at(products: Sequence[str], turn: int, time: int) -> list[Sent]:
    """Let each product be looked at by somebody new."""
    events = []
    for number, product in enumerate(products):
        who = {"event_id": f"{turn} {number}", "user_id": f"looker {turn} {number}"}
        what = {"type": "view_item", "time": time, "product_id": product}
        events.append(Sent("clicks", {**who, **what}))
    return events


def passers_by(time: str) -> list[Sent]:
    """Let enough customers look at and buy something that each partition takes their time for true.

    They buy what nobody looks at: no click of theirs is answered.
    """
    events = []
    for number in range(100):
        who = {"event_id": f"passer {number}", "time": time, "user_id": f"passer-{number}"}
        events.append(Sent("clicks", who | {"type": "view_item", "product_id": "door"}))
        lines = [{"product_id": "key", "quantity": 1, "price": 1}]
        order = {"type": "purchase", "event_id": f"order {number}", "order_id": f"order {number}"}
        events.append(Sent("orders", who | order | {"items": lines}))
    return events


@pytest.mark.skipif(not LOG.exists(), reason=f"{LOG} is not here")
async def test_a_recorded_shop_is_counted_once_though_workers_die(shop: Shop) -> None:
    """REES46's log has rows that are there twice; they are one event, as their ids say."""
    events = recorded()
    distinct = {orjson.dumps(event.value): event for event in events}
    assert len(distinct) < len(events)

    with shop.worker() as one, shop.worker() as other:
        await shop.send(events)
        assert shop.happens(lambda: shop.reached(1_000))
        one.kill()
        one.start()
        assert shop.happens(lambda: shop.reached(9_000))
        other.kill()
        other.start()
        expected = evidence(distinct.values())
        assert shop.happens(lambda: shop.totals() == expected)
        await shop.settle()
        assert shop.totals() == expected
    assert expected == Counter(views=17_051, carts=164, orders=214, units=214)


def recorded() -> list[Sent]:
    """The log of a large shop, its ids made of the content of each row."""
    events = []
    with gzip.open(LOG, "rt") as log:
        for row in csv.DictReader(log):
            name = blake2b(repr(tuple(row.values())).encode(), digest_size=8).hexdigest()
            category = row["category_code"] or row["category_id"]
            event = {"event_id": name, "time": row["event_time"], "user_id": row["user_id"]}
            what = {"product_id": row["product_id"], "price": float(row["price"])}
            if row["event_type"] == "purchase":
                lines = [what | {"quantity": 1, "category": category}]
                order = event | {"type": "purchase", "order_id": name, "items": lines}
                events.append(Sent("orders", order))
            else:
                kind = {"view": "view_item", "cart": "add_to_cart"}[row["event_type"]]
                events.append(Sent("clicks", event | what | {"type": kind, "category": category}))
    return events


async def test_what_the_shop_announces_reaches_every_worker(calm: Servers, tmp_path: Path) -> None:
    """Also one that starts when all of it was read; what cannot be read is set aside."""
    shop = Shop(calm, tmp_path, "announcing:")
    await shop.open()
    sale = {"type": "promotion", "promotion_id": "sale", "starts": BEGIN, "ends": BEGIN + HOUR}
    said = [Sent("market", raw, b"any") for raw in (b"no promotion", orjson.dumps(sale))]

    def known() -> bool:
        return bool(shop.documents("metrics:market").get("metrics:market", {}).get("promotions"))

    with shop.worker():
        await shop.send(said, lambda *_: 0)
        assert shop.happens(known)
        assert await _is_set_aside(shop, b"no promotion")
    late = LateWorker(shop.settings, ["products"])
    try:
        await late._load()
    finally:
        await late.redis.aclose()
    assert [promotion.id for promotion in late._serving.promotions.all()] == ["sale"]


async def _is_set_aside(shop: Shop, value: bytes) -> bool:
    """Wait until a record lies among the dead letters."""
    for _ in range(100):
        if value in [letter.value for letter in await shop.read("dead-letters")]:
            return True
        await asyncio.sleep(0.1)
    return False
