"""What is said of the events is what is read: schemas, examples and the AsyncAPI document."""

import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
import yaml
from click.testing import CliRunner, Result

from stream.cli import main
from stream.cli.schema import SCORE
from stream.events.decode import TIMES, Refused, decode, read_time
from stream.events.schema import EXAMPLES, json_schema
from stream.events.types import KEYS, PUBLIC, Topic
from stream.events.yaml import as_yaml
from stream.kafka.topics import TOPICS
from stream.redis.documents import Score
from stream.units import DAY

DOCUMENT = Path(__file__).parents[1] / "docs/asyncapi.yaml"
TREE: dict[str, Any] = yaml.safe_load(DOCUMENT.read_text("utf-8"))
NOW = 1_800_000_000_000


class Sent(NamedTuple):
    """An example on its way."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


def run(*words: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(main, ["schema", *words])


def parts(node: Any) -> Iterator[dict[str, Any]]:
    """Walk through all objects of a document."""
    if isinstance(node, dict):
        yield node
    for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from parts(part)


def followed(reference: str) -> Any:
    """Look a reference up."""
    node: Any = TREE
    for name in reference.removeprefix("#/").split("/"):
        node = node[name]
    return node


def test_the_document_is_fresh() -> None:
    """Mend it with: stream schema --asyncapi > docs/asyncapi.yaml."""
    assert DOCUMENT.read_text("utf-8") == run("--asyncapi").stdout


@pytest.mark.parametrize("topic", PUBLIC)
def test_every_example_is_read(topic: Topic) -> None:
    """What a producer copies from the docs is not refused, and is read as it was meant."""
    examples = [
        *EXAMPLES[topic].values(),
        *(x["payload"] for x in TREE["components"]["messages"][topic]["examples"]),
    ]
    records = [Sent(n, NOW, None, orjson.dumps(x)) for n, x in enumerate(examples)]
    for example, (_, _, event) in zip(examples, decode(topic, records, DAY), strict=True):
        assert not isinstance(event, Refused), event
        assert {k: v for k, v in event.items() if k not in TIMES} == {
            k: v for k, v in example.items() if k not in TIMES
        }
        assert {k: event[k] for k in TIMES if k in example} == {
            k: read_time(v) for k, v in example.items() if k in TIMES
        }


def test_the_example_of_a_score_is_one() -> None:
    """It has every field that a score can have, and reads as one."""
    assert set(SCORE) == set(Score.model_fields)
    assert Score.model_validate(SCORE).model_dump(mode="json") == SCORE


@pytest.mark.parametrize("topic", PUBLIC)
def test_every_field_says_what_it_means(topic: Topic) -> None:
    """Types say what is checked; beside them stands what is meant."""
    tree = json_schema(topic)
    for part in parts(tree):
        for name, field in part.get("properties", {}).items():
            assert field.get("description"), name
    kinds = tree.get("oneOf", [tree])
    for kind in kinds:
        whole = tree["$defs"][kind["$ref"].rpartition("/")[2]] if "$ref" in kind else kind
        assert KEYS[topic] in whole["required"]


def test_the_document_describes_the_public_topics() -> None:
    """Those that are internal are nobody's business."""
    public = {plan.name for plan in TOPICS if not plan.purpose.startswith("internal")}
    assert set(TREE["channels"]) == public
    received = {n for n, x in TREE["operations"].items() if x["action"] == "receive"}
    assert received == set(PUBLIC)
    assert {x["action"] for x in TREE["operations"].values()} == {"receive", "send"}


def test_the_document_is_whole() -> None:
    """It has what AsyncAPI 3.0 asks for, and every reference leads somewhere."""
    assert TREE["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= TREE["info"].keys()
    assert TREE["info"]["version"] == version("stream-scorer")
    references = [part["$ref"] for part in parts(TREE) if isinstance(part.get("$ref"), str)]
    assert all(followed(reference) for reference in references)
    for name, channel in TREE["channels"].items():
        assert channel["address"] == name
        (message,) = (followed(x["$ref"]) for x in channel["messages"].values())
        assert {"payload", "contentType", "examples", "bindings"} <= message.keys()
        assert message["bindings"]["kafka"]["key"]["description"]
    for operation in TREE["operations"].values():
        assert followed(operation["channel"]["$ref"])["messages"]


def test_yaml_says_what_the_data_say() -> None:
    """Also for texts that YAML would take for something else."""
    odd = ["no", "1", "1.5", "null", "~", "", " a", "a: b", "a #b", "- a", "é", "a\nb", '"', "a "]
    tree = {"texts": odd, "numbers": [0, -1, 1.5, 1e12], "none": None, "yes": [{}, [], [[1]]]}
    assert yaml.safe_load(as_yaml(tree)) == tree
    assert yaml.safe_load(as_yaml(TREE)) == TREE


def test_the_command_prints_one_schema_or_all() -> None:
    """A topic's schema alone, or all of them by topic."""
    assert json.loads(run("orders").stdout) == json_schema("orders")
    assert json.loads(run().stdout) == {topic: json_schema(topic) for topic in PUBLIC}
    assert run("scores").exit_code == 2
    assert run("clicks", "--asyncapi").exit_code == 2
