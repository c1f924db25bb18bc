"""How another shop's log says what our contract says: declarations in TOML, read and checked.

    input = "csv"           csv, jsonl (a JSON object a line) or native (our own contract)
    delimiter, encoding     of a CSV
    explode = "events"      jsonl: the field that lists a line's rows; a row sees the line's fields
    sort = true             the log is not in the order of time: sort it, on disk if it is large
    times = ["iso", "ms"]   how times are written, tried in turn: iso (UTC where it has no offset),
                            ms or s since 1970, or strptime's codes, read as UTC
    type = "purchase"       every row is this; else [fields] type and [types] say it

    [fields]                field of the contract = column, or several: the first that is there
    time = "when"           and not empty; braces name other fields
    user_id = ["customer", "anonymous:{order_id}"]

    [types]                 what the log calls it = our name, or "ignore"
    view = "view_item"

    [order]
    row = "line"            a row is an order (the default), or a line of one: lines are gathered
    id = ["user_id", "time"]  fields and columns that tell orders apart, if they have no number
    price = "line"          of one unit (the default), or of the whole line
    negative = "refund"     what a negative quantity is; the default is "refuse"

A log without event ids gets ids that follow from the content: what is sent twice counts once.
"""

import codecs
import string
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from stream.errors import Misconfigured
from stream.events.types import ClickType, OrderType

_FORMATS = files("stream.events").joinpath("formats")
_declared = ConfigDict(extra="forbid", frozen=True)

Kind = ClickType | OrderType | Literal["ignore"]
Sources = Annotated[
    tuple[str, ...], BeforeValidator(lambda given: (given,) if isinstance(given, str) else given)
]
"""Columns and templates, in the order in which they are asked."""


class Fields(BaseModel):
    """Where each field of the contract is found."""

    model_config = _declared

    event_id: Sources = ()
    time: Sources = ()
    type: Sources = ()
    user_id: Sources = ()
    product_id: Sources = ()
    category: Sources = ()
    price: Sources = ()
    session_id: Sources = ()
    channel: Sources = ()
    order_id: Sources = ()
    quantity: Sources = ()


class Orders(BaseModel):
    """How rows become orders."""

    model_config = _declared

    row: Literal["order", "line"] = "order"
    id: Sources = ()
    price: Literal["unit", "line"] = "unit"
    negative: Literal["refuse", "refund"] = "refuse"


class Mapping(BaseModel):
    """One kind of log. The module's head says what each part means."""

    model_config = _declared

    input: Literal["csv", "jsonl", "native"]
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    encoding: str = "utf-8-sig"
    explode: str | None = None
    sort: bool = False
    times: Annotated[Sources, Field(min_length=1)] = ("iso",)
    type: ClickType | OrderType | None = None
    fields: Fields = Fields()
    types: dict[str, Kind] = {}
    order: Orders = Orders()

    @model_validator(mode="after")
    def _says_enough(self) -> Self:
        if self.input != "native" and (problems := list(_gaps(self))):
            raise ValueError("; ".join(problems))
        return self


def _gaps(mapping: Mapping) -> Iterator[str]:
    """Say what a declaration lacks."""
    fields, said = mapping.fields, {mapping.type, *mapping.types.values()}
    for name in ("time", "user_id", "product_id"):
        if not getattr(fields, name):
            yield f"[fields] must say where {name} is"
    by_row = bool(fields.type and mapping.types)
    if by_row == (mapping.type is not None):
        yield 'give either type = "…" for all rows, or [fields] type and [types], not both'
    if said & {"purchase", "refund"} and not (fields.order_id or mapping.order.id):
        yield "orders need [fields] order_id, or [order] id"
    for name, sources in fields:
        unknown = {part for source in sources for part in placeholders(source)}
        for part in sorted(unknown - set(Fields.model_fields)):
            yield f"[fields] {name} names {part}, which is no field"
    for time in mapping.times:
        if time not in {"iso", "ms", "s"} and "%" not in time:
            yield f"times holds {time!r}; it is iso, ms, s or codes such as %d.%m.%Y %H:%M"
    try:
        codecs.lookup(mapping.encoding)
    except LookupError:
        yield f"encoding {mapping.encoding!r} is not known to Python"


def placeholders(source: str) -> list[str]:
    """Name the fields in a template's braces; a column's name has none.

    >>> placeholders("anonymous:{order_id}"), placeholders("Customer ID")
    (['order_id'], [])
    """
    return [name for _, name, _, _ in string.Formatter().parse(source) if name is not None]


def known_formats() -> list[str]:
    """Name the mappings that are built in."""
    return sorted(
        entry.name.removesuffix(".toml")
        for entry in _FORMATS.iterdir()
        if entry.name.endswith(".toml")
    )


def load_mapping(name_or_path: str) -> Mapping:
    """Read a built-in mapping by its name, or one of your own by its path.

    Raises:
        Misconfigured: There is none of that name, or it cannot be understood.
    """
    if name_or_path in known_formats():
        text = _FORMATS.joinpath(f"{name_or_path}.toml").read_text(encoding="utf-8")
    else:
        text = _own(Path(name_or_path))
    try:
        return Mapping.model_validate(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{name_or_path} is not TOML: {error}") from None
    except ValidationError as error:
        lines = [
            f"{name_or_path}: {'.'.join([*map(str, problem['loc']), ''])} {problem['msg']}"
            for problem in error.errors(include_url=False)
        ]
        raise Misconfigured("\n".join(lines)) from None


def _own(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise Misconfigured(f"{path} is not UTF-8 text.") from None
    except OSError:
        known = ", ".join(known_formats())
        raise Misconfigured(
            f"There is no format {str(path)!r} and no file of that name. Built in: {known}."
        ) from None
