"""Rows of another shop's log to events of ours, as a mapping declares it.

A mapping is turned into closures once, so that a row costs a few calls and no look-ups of names.
"""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from stream.errors import Misconfigured
from stream.events.logs.cells import price_of, time_reader, whole
from stream.events.logs.gathering import Line, content_id, hashed
from stream.events.logs.said import Event, UnreadableError
from stream.events.mappings import Kind, Mapping, Sources, placeholders
from stream.events.types import MAX_QUANTITY, OrderType
from stream.units import Millis

Row = Sequence[str]
Get = Callable[[Row], str]


def row_reader(mapping: Mapping, columns: Sequence[str]) -> Callable[[Row], Event | Line | None]:
    """Compile a mapping for the columns that a log has.

    Returns:
        What maps a row: to a click, to a line of an order, or to None if the mapping ignores it.
        It raises `UnreadableError`.

    Raises:
        Misconfigured: The log has no column for what every event needs.
    """
    get = _getters(mapping, columns)
    kind_of = _kind_reader(mapping, get)
    time_of = time_reader(mapping.times)
    time_text, user_of, product_of = get["time"], get["user_id"], get["product_id"]
    event_id_of, price_text_of = get.get("event_id"), get.get("price")
    optional = [(name, get[name]) for name in ("category", "session_id", "channel") if name in get]
    line_of = _line_reader(mapping, columns, get)

    def read(row: Row) -> Event | Line | None:
        kind = kind_of(row)
        if kind == "ignore":
            return None
        time = time_of(time_text(row))
        user_id = user_of(row)
        product_id = product_of(row)
        if not (user_id and product_id):
            raise UnreadableError(f"The {'product' if user_id else 'user'} id is empty.")
        if kind == "purchase" or kind == "refund":  # noqa: PLR1714 (mypy narrows this, not `in`)
            return line_of(row, kind, time, user_id, product_id)
        value: dict[str, Any] = {
            "event_id": event_id_of(row) if event_id_of else "",
            "type": kind,
            "time": time,
            "user_id": user_id,
            "product_id": product_id,
        }
        for name, of in optional:
            if text := of(row):
                value[name] = text
        if price_text_of and (text := price_text_of(row)):
            value["price"] = price_of(text)
        if not value["event_id"]:
            value["event_id"] = content_id(value)
        return Event("clicks", user_id, time, value)

    return read


def _line_reader(
    mapping: Mapping, columns: Sequence[str], get: dict[str, Get]
) -> Callable[[Row, OrderType, Millis, str, str], Line]:
    order_id_of = _order_id(mapping, columns, get) or (lambda _: "")
    event_id_of, channel_of, category_of = map(get.get, ("event_id", "channel", "category"))
    price_text_of, quantity_of = get.get("price"), get.get("quantity")
    whole_line = mapping.order.price == "line"
    may_be_negative = mapping.order.negative == "refund"

    def line(row: Row, kind: OrderType, time: Millis, user_id: str, product_id: str) -> Line:
        quantity = whole(quantity_of(row)) if quantity_of else 1
        price_text = price_text_of(row) if price_text_of else ""
        price = price_of(price_text, per=quantity if whole_line else 1) if price_text else 0.0
        if quantity < 0 and may_be_negative:
            kind, quantity = "refund", -quantity
        if not 1 <= quantity <= MAX_QUANTITY:
            raise UnreadableError(f"The quantity is {quantity}, not from 1 to {MAX_QUANTITY:,}.")
        order_id = order_id_of(row)
        if not order_id:
            raise UnreadableError("The order id is empty.")
        item: dict[str, Any] = {"product_id": product_id, "quantity": quantity, "price": price}
        if category_of and (category := category_of(row)):
            item["category"] = category
        event_id = event_id_of(row) if event_id_of else ""
        channel = channel_of(row) if channel_of else ""
        return Line(time, kind, order_id, user_id, event_id, channel, item)

    return line


def _getters(mapping: Mapping, columns: Sequence[str]) -> dict[str, Get]:
    """What finds the text of each field that the log has; empty text where a row lacks it."""
    plain: dict[str, Get] = {}
    for name, sources in mapping.fields:
        found = [column for column in sources if column in columns]
        if found:
            plain[name] = _first([itemgetter(columns.index(column)) for column in found])
    get = dict(plain)
    for name, sources in mapping.fields:
        templates = [s for s in sources if (p := placeholders(s)) and all(n in plain for n in p)]
        if templates:
            own = [plain[name]] if name in plain else []
            get[name] = _first(own + [_template(source, plain) for source in templates])
    needed = ["time", "user_id", "product_id"] + ["type"] * (mapping.type is None)
    for name in needed:
        if name not in get:
            sources = getattr(mapping.fields, name)
            raise Misconfigured(_lacks(name, sources, columns))
    return get


def _lacks(name: str, sources: Sources, columns: Sequence[str]) -> str:
    # Whatever file it is, its first line is not to run wild on a terminal.
    header = "".join(c if c.isprintable() else "?" for c in ", ".join(columns)[:300])
    return (
        f"The log has no column for {name}: the mapping looks for {' or '.join(sources)}, the log "
        f"has {header}. Choose another format, or write a mapping for this log."
    )


def _first(getters: Sequence[Get]) -> Get:
    if len(getters) == 1:
        return getters[0]

    def first(row: Row) -> str:
        for get in getters:
            if text := get(row):
                return text
        return ""

    return first


def _template(source: str, get: dict[str, Get]) -> Get:
    parts = {name: get[name] for name in placeholders(source)}

    def filled(row: Row) -> str:
        found = {name: of(row) for name, of in parts.items()}
        return source.format(**found) if all(found.values()) else ""

    return filled


def _order_id(mapping: Mapping, columns: Sequence[str], get: dict[str, Get]) -> Get | None:
    """What names the order of a line; None where the mapping knows no orders."""
    if "order_id" in get:
        return get["order_id"]
    if not {"purchase", "refund"} & {mapping.type, *mapping.types.values()}:
        return None
    if not mapping.order.id:
        raise Misconfigured(_lacks("order_id", mapping.fields.order_id, columns))
    time_of = time_reader(mapping.times)
    parts: list[Get] = []
    for name in mapping.order.id:
        if name == "time":
            # As read, not as written: both forms of a log are to name an order alike.
            parts.append(lambda row: str(time_of(get["time"](row))))
        elif name in get:
            parts.append(get[name])
        elif name in columns:
            parts.append(itemgetter(columns.index(name)))
        elif name not in mapping.fields.model_fields_set:
            raise Misconfigured(_lacks("[order] id", (name,), columns))
    return lambda row: hashed("\x1f".join([part(row) for part in parts]))


def _kind_reader(mapping: Mapping, get: dict[str, Get]) -> Callable[[Row], Kind]:
    if mapping.type is not None:
        same = mapping.type
        return lambda _: same
    types, type_of = mapping.types, get["type"]

    def kind(row: Row) -> Kind:
        text = type_of(row)
        try:
            return types[text]
        except KeyError:
            known = ", ".join(types)
            raise UnreadableError(
                f"The mapping does not know the event type {text!r}; it has {known}."
            ) from None

    return kind
