"""Snapshots: a model's state as JSON of plain numbers, with a version and a checksum.

Pickles were not chosen: they break between River's releases, and loading one runs code.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from math import isfinite
from typing import Any

import orjson

from stream.errors import BadSnapshot

FORMAT = 1
"""Of the envelope. A change that older workers could misread raises it."""


def encode(kind: str, version: int, state: Mapping[str, Any]) -> bytes:
    """Pack a state.

    Args:
        kind: What it is the state of, so that nobody loads a demand model as a conversion model.
        version: Counts a model's snapshots; a higher one is newer.
        state: Names, numbers, lists and mappings of them. Finite: JSON has no other numbers.

    Raises:
        BadSnapshot: A number is not finite. The last good snapshot should stay in use.

    >>> decode(encode("conversion", 7, {"weights": [0.5]}), "conversion")
    (7, {'weights': [0.5]})
    """
    _insist_on_finite(state, kind)
    return orjson.dumps(
        {
            "format": FORMAT,
            "kind": kind,
            "version": version,
            "checksum": _checksum(state),
            "state": dict(state),
        }
    )


def decode(raw: bytes, kind: str) -> tuple[int, dict[str, Any]]:
    """Unpack a snapshot.

    Raises:
        BadSnapshot: It is none, or not one of this kind and format, or it was damaged.
    """
    try:
        snapshot = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadSnapshot(f"this snapshot of {kind} is not JSON: {error}") from error
    match snapshot:
        case {
            "format": int(form),
            "kind": str(found),
            "version": int(version),
            "checksum": str(checksum),
            "state": dict(state),
        } if version >= 0 and not isinstance(version, bool):
            pass
        case _:
            raise BadSnapshot(f"this is JSON, but no snapshot of {kind}")
    if form != FORMAT:
        raise BadSnapshot(
            f"this snapshot of {found} has format {form}, but this release reads format {FORMAT}; "
            "run the release that wrote it, or remove it and let the model learn anew"
        )
    if found != kind:
        raise BadSnapshot(f"this is a snapshot of {found}, but one of {kind} was expected")
    if checksum != _checksum(state):
        raise BadSnapshot(f"this snapshot of {kind} was damaged: its checksum does not fit")
    _insist_on_finite(state, kind)
    return version, state


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Turn what a state lacks into the error that says so."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadSnapshot(
            f"the state of this {what} is not one that this release writes: {error!r}"
        ) from error


def _checksum(state: Mapping[str, Any]) -> str:
    return sha256(orjson.dumps(dict(state), option=orjson.OPT_SORT_KEYS)).hexdigest()


def _insist_on_finite(value: object, where: str) -> None:
    match value:
        case float() if not isfinite(value):
            raise BadSnapshot(f"{where} is {value}: a state holds finite numbers only")
        case Mapping():
            for name, part in value.items():
                _insist_on_finite(part, f"{where}.{name}")
        case list() | tuple() if not _all_finite(value):
            for place, part in enumerate(value):
                _insist_on_finite(part, f"{where}[{place}]")
        case _:
            pass


def _all_finite(values: Sequence[Any]) -> bool:
    """Check a list of numbers fast: a window has thousands of them."""
    try:
        return all(map(isfinite, values))
    except (TypeError, OverflowError):  # not only numbers, or one that no float can hold
        return False
