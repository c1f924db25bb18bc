"""The events described for machines: JSON Schema and AsyncAPI, made from the types themselves."""

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from stream.events.decode import Reason
from stream.events.types import KEYS, PUBLIC, Topic

Tree = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_COMPONENT = "#/components/schemas/{model}"

DESCRIPTIONS = {
    "event_id": "Unique, given by the sender. An event that is sent twice counts once.",
    "type": "What happened, in the words of GA4 ecommerce.",
    "time": "When it happened: RFC 3339 text with an offset, or epoch milliseconds.",
    "user_id": "Who did it. Stored under a pseudonym only.",
    "product_id": "What it was done with.",
    "order_id": "The order; a refund names that of its purchase.",
    "items": "The lines of the order.",
    "quantity": "Units.",
    "promotion_id": "Unique, given by the sender.",
    "starts": "When it begins; a time as above.",
    "ends": "When it is over; a time as above.",
    "discount": "Share of the price, or of the stores or the audience that it reaches.",
    "value": "A number in a unit of its own.",
    "name": "Of the signal, in the shop's own words.",
    "price": "Of one unit, in the shop's currency.",
    "category": "The product's category.",
    "session_id": "The visit, where the shop knows it.",
    "channel": "Where the customer came from, in the shop's own words.",
    "title": "The product's name.",
    "brand": "The product's brand.",
    "stock": "Units on hand.",
    "lead_time_days": "Days until new stock arrives once it is ordered.",
    "listed_at": "Since when it has been for sale; a time as above.",
}
"""Of the fields. The types hold what is checked, this what is meant."""

_TIME = "2026-03-02T09:30:00Z"
_CLICK = {"time": _TIME, "user_id": "user-1042", "product_id": "mug-7", "category": "mugs"}
_ORDER = {"user_id": "user-1042", "order_id": "order-311"}
_LINE = {"product_id": "mug-7", "quantity": 2, "price": 12.5}
EXAMPLES: Mapping[Topic, Mapping[str, Tree]] = {
    "clicks": {
        "view": {"event_id": "c-1", "type": "view_item", **_CLICK, "price": 12.5},
        "cart": {"event_id": "c-2", "type": "add_to_cart", **_CLICK, "session_id": "visit-9"},
    },
    "orders": {
        "purchase": {
            "event_id": "o-1",
            "type": "purchase",
            "time": _TIME,
            **_ORDER,
            "items": [{**_LINE, "category": "mugs"}],
        },
        "refund": {
            "event_id": "o-2",
            "type": "refund",
            "time": 1_772_530_200_000,
            **_ORDER,
            "items": [{**_LINE, "quantity": 1}],
        },
    },
    "catalog": {
        "product": {
            "product_id": "mug-7",
            "time": _TIME,
            "category": "mugs",
            "title": "Blue mug",
            "price": 12.5,
            "stock": 40,
        }
    },
    "market": {
        "promotion": {
            "type": "promotion",
            "promotion_id": "spring-mugs",
            "starts": "2026-03-09T00:00:00Z",
            "ends": "2026-03-16T00:00:00Z",
            "discount": 0.2,
            "category": "mugs",
        },
        "signal": {"type": "signal", "name": "rain", "time": _TIME, "value": 4.5},
    },
}
"""One of each kind, as a producer would send it."""


class _Plain(GenerateJsonSchema):
    """Without titles that only say a field's name again."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 (its signature)
        return False


def json_schema(topic: Topic) -> Tree:
    """Describe a topic's events as JSON Schema."""
    tree = _described(TypeAdapter(PUBLIC[topic]).json_schema(schema_generator=_Plain))
    return {"$schema": DIALECT, **tree, "examples": list(EXAMPLES[topic].values())}


def asyncapi(version: str, score: type[BaseModel], example: Tree) -> Tree:
    """Describe all public topics as AsyncAPI.

    Args:
        version: Of this product.
        score: The type of the documents on `scores`.
        example: One of them.

    Source:
        AsyncAPI 3.0.0, and its Kafka bindings 0.5.0.
    """
    schemas: Tree = {}
    messages: Tree = {}
    for topic, model in PUBLIC.items():
        name = _hoisted(model, "validation", schemas)
        messages[topic] = {
            "title": name,
            "contentType": "application/json",
            "payload": {"$ref": _COMPONENT.format(model=name)},
            "bindings": _keyed("Any." if topic == "market" else f"The event's {KEYS[topic]}."),
            "examples": [{"name": n, "payload": e} for n, e in EXAMPLES[topic].items()],
        }
    name = _hoisted(score, "serialization", schemas)
    messages["scores"] = {
        "title": name,
        "contentType": "application/json",
        "payload": {"$ref": _COMPONENT.format(model=name)},
        "bindings": _keyed("The id of the product."),
        "examples": [{"name": "score", "payload": example}],
    }
    messages["dead-letters"] = _dead_letter()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "stream-scorer",
            "version": version,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {topic: _channel(topic, text) for topic, text in CHANNELS.items()},
        "operations": {topic: _operation(topic) for topic in CHANNELS},
        "components": {"messages": messages, "schemas": schemas},
    }


_ABOUT = (
    "From the clicks and orders of a shop: which products are about to sell more than they do now. "
    "Send clicks, orders and, if you like, the catalogue; read scores. Fields that are not named "
    "here are ignored. Ids may be numbers, which are taken as text."
)
CHANNELS = {
    "clicks": "What customers do with products, short of buying them.",
    "orders": "Purchases, and refunds that take back what their purchases had counted.",
    "catalog": "Products as the shop has them. Compacted. Optional: it gives titles and stock.",
    "market": "Promotions, announced ahead, and signals. One partition. Optional.",
    "scores": "Scores of products as they change. Compacted: the latest of each product is kept.",
    "dead-letters": "Records of the other topics that could not be read, as they came.",
}


def _channel(topic: str, description: str) -> Tree:
    return {
        "address": topic,
        "description": description,
        "messages": {topic: {"$ref": f"#/components/messages/{topic}"}},
    }


def _operation(topic: str) -> Tree:
    return {
        "action": "receive" if topic in PUBLIC else "send",
        "channel": {"$ref": f"#/channels/{topic}"},
        "messages": [{"$ref": f"#/channels/{topic}/messages/{topic}"}],
    }


def _dead_letter() -> Tree:
    headers = {
        "topic": {"type": "string", "enum": list(PUBLIC), "description": "Where it was read."},
        "partition": {"type": "string", "description": "Where it was read."},
        "offset": {"type": "string", "description": "Where it was read."},
        "reason": {
            "type": "string",
            "enum": list(get_args(Reason)),
            "description": "Why it was refused.",
        },
        "detail": {"type": "string", "description": "What its sender can do about it."},
    }
    values = ("clicks", "3", "1207", "not_json", "Send one JSON object in UTF-8.")
    return {
        "title": "Dead letter",
        "contentType": "application/octet-stream",
        "headers": {"type": "object", "properties": headers, "required": list(headers)},
        "payload": {"description": "The bytes as they came."},
        "bindings": _keyed("The key as it came."),
        "examples": [
            {"name": "not_json", "headers": dict(zip(headers, values, strict=True)), "payload": "{"}
        ],
    }


def _keyed(description: str) -> Tree:
    return {
        "kafka": {
            "key": {"type": "string", "description": description},
            "bindingVersion": "0.5.0",
        }
    }


def _hoisted(model: Any, mode: Any, schemas: Tree) -> str:
    """Put a type's schema, and those that it refers to, among the components; name it."""
    tree = TypeAdapter(model).json_schema(
        schema_generator=_Plain, ref_template=_COMPONENT, mode=mode
    )
    schemas.update({n: _described(part) for n, part in tree.pop("$defs", {}).items()})
    name: str = tree["title"]
    schemas[name] = _described(tree)
    return name


def _described(tree: Tree) -> Tree:
    """Say what fields mean, where the type itself does not."""
    if "description" in tree:
        tree["description"] = " ".join(tree["description"].split())
    for name, field in tree.get("properties", {}).items():
        if "description" not in field and name in DESCRIPTIONS:
            field["description"] = DESCRIPTIONS[name]
    for part in tree.get("$defs", {}).values():
        _described(part)
    return tree
