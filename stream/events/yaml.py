"""Plain data as YAML: a subset that every reader takes alike."""

import re
from collections.abc import Iterator
from typing import Any

import orjson

_PLAIN_TEXT = re.compile(r"[A-Za-z$][\w$./ -]*(?<! )", re.ASCII)
_NOT_TEXT = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


def as_yaml(tree: dict[str, Any]) -> str:
    """Write plain data as YAML.

    >>> print(as_yaml({"a": {"b": [1, "no", {"c": None, "d": "x: y"}], "e": []}}), end="")
    a:
      b:
        - 1
        - "no"
        - c: null
          d: "x: y"
      e: []
    """
    return "".join(f"{line}\n" for line in _lines(tree))


def _lines(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _entry(f"{_scalar(name)}:", value, list(_lines(value)))
    elif isinstance(node, list):
        for value in node:
            first, *rest = _lines(value)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)
    if not isinstance(node, dict | list) or not node:
        yield _scalar(node)


def _entry(name: str, value: Any, lines: list[str]) -> Iterator[str]:
    if value and isinstance(value, dict | list):
        yield name
        yield from (f"  {line}" for line in lines)
    else:
        yield f"{name} {lines[0]}"


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN_TEXT.fullmatch(value) and value.lower() not in _NOT_TEXT:
        return value
    return orjson.dumps(value).decode()  # JSON is YAML
