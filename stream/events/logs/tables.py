"""Files to rows: CSV, and JSON lines."""

import csv
import gzip
import io
from collections.abc import Iterator, Sequence
from typing import Any, TypeGuard

import orjson

from stream.errors import Misconfigured
from stream.events.logs.said import BadRow, UnreadableError
from stream.events.mappings import Mapping, placeholders

File = io.BufferedReader | gzip.GzipFile
Found = tuple[int, Any, Sequence[str]]
"""A row: its line, what stood there, and its columns as text."""


def table(binary: File, mapping: Mapping) -> tuple[list[str], Iterator[Found | BadRow]]:
    """Read a CSV with a header."""
    # Bytes that are no text in this encoding stay apart, so that two ids never become one.
    text = io.TextIOWrapper(binary, mapping.encoding, errors="backslashreplace", newline="")
    reader = csv.reader(text, delimiter=mapping.delimiter)
    try:
        columns = next(reader)
    except StopIteration:
        raise Misconfigured(
            "The log is empty; a CSV begins with the names of its columns."
        ) from None
    except csv.Error as error:
        raise Misconfigured(f"The log is not a CSV: {error}") from None
    return columns, _records(text, reader, len(columns))


def _records(text: io.TextIOWrapper, reader: Any, width: int) -> Iterator[Found | BadRow]:
    with text:
        while True:
            try:
                for row in reader:
                    if len(row) == width:
                        yield reader.line_num, row, row
                    elif row:
                        reason = f"The row has {len(row)} columns, the header {width}."
                        yield BadRow(reader.line_num, standing(row), reason)
            except csv.Error as error:
                yield BadRow(reader.line_num, "", f"The row is not CSV: {error}.")
            else:
                return


def lines_of(binary: File, mapping: Mapping) -> tuple[list[str], Iterator[Found | BadRow]]:
    """Read JSON objects, a line each, or the rows that a line lists."""
    named = [
        source for _, sources in mapping.fields for source in sources if not placeholders(source)
    ]
    columns = list(dict.fromkeys([*named, *mapping.order.id]))
    return columns, _objects(binary, mapping.explode, columns)


def _objects(binary: File, explode: str | None, columns: Sequence[str]) -> Iterator[Found | BadRow]:
    for number, line in enumerate(binary, 1):
        if not line.strip():
            continue
        try:
            whole = object_in(line)
            rows = _listed(whole, explode) if explode else [whole]
        except UnreadableError as error:
            yield BadRow(number, standing(line), str(error))
            continue
        for each in rows:
            raw = {**whole, **each} if explode and isinstance(each, dict) else each
            try:
                yield number, raw, [_cell(raw, column) for column in columns]
            except UnreadableError as error:
                yield BadRow(number, standing(raw), str(error))


def _listed(whole: dict[str, Any], field: str) -> list[Any]:
    rows = whole.pop(field, None)
    if not isinstance(rows, list):
        raise UnreadableError(f"The line has no list {field!r}.")
    return rows


def object_in(line: bytes) -> dict[str, Any]:
    """Read the JSON object on a line."""
    try:
        whole = orjson.loads(line.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise UnreadableError(f"The line is not JSON: {error}.") from None
    if not isinstance(whole, dict):
        raise UnreadableError("The line is not a JSON object.")
    return whole


def _cell(row: Any, column: str) -> str:
    if not isinstance(row, dict):
        raise UnreadableError("The row is not a JSON object.")
    value = row.get(column)
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if is_number(value):
        return str(value)
    raise UnreadableError(f"{column} is neither text nor a number.")


def is_number(value: object) -> TypeGuard[int | float]:
    """Tell JSON numbers from the rest; in Python true is a number too."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def standing(raw: Any) -> str:
    """What stood in the log, for whoever mends it."""
    if isinstance(raw, bytes):
        return raw.decode(errors="backslashreplace").rstrip("\r\n")
    if isinstance(raw, list) and all(isinstance(cell, str) for cell in raw):
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(raw)
        return line.getvalue()
    return orjson.dumps(raw).decode()
