"""Recorded logs: files of any declared kind, plain or gzip, to events, a row at a time."""

import gzip
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from stream.errors import Misconfigured
from stream.events.logs.gathering import OpenOrders, order_event
from stream.events.logs.mapped import row_reader
from stream.events.logs.native import native_event
from stream.events.logs.ordering import in_time_order, merged
from stream.events.logs.said import BadRow, Event, UnreadableError
from stream.events.logs.tables import File, Found, lines_of, standing, table
from stream.events.mappings import Mapping, load_mapping

__all__ = ["BadRow", "Event", "Mapping", "in_time_order", "load_mapping", "merged", "read_log"]


def read_log(path: str, mapping: Mapping) -> Iterator[Event | BadRow]:
    """Read a log's events, in the order of the log unless the mapping wants it sorted.

    Args:
        path: A file, plain or gzip; `-` is standard input.
        mapping: What the rows mean.

    Raises:
        Misconfigured: The file cannot be read, or is not of this kind.
    """
    log = _read(path, mapping)
    return in_time_order(log) if mapping.sort else log


def _read(path: str, mapping: Mapping) -> Iterator[Event | BadRow]:
    try:
        with _opened(path) as file:
            if mapping.input == "native":
                yield from _native(file)
            elif mapping.input == "csv":
                yield from _mapped(*table(file, mapping), mapping)
            else:
                yield from _mapped(*lines_of(file, mapping), mapping)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise Misconfigured(f"{path}: The file is cut short or damaged: {error}.") from None
    except OSError as error:
        raise Misconfigured(f"{path}: {error.strerror or error}") from None
    except Misconfigured as error:
        raise Misconfigured(f"{path}: {error}") from None


@contextmanager
def _opened(path: str) -> Iterator[File]:
    """Open a file, plain or gzip, told by its first bytes."""
    # Standard input gets a reader of its own: Python aborts at its end if a thread waits in the
    # usual one.
    with open(0, "rb", closefd=False) if path == "-" else open(path, "rb") as file:  # noqa: PTH123
        start = file.peek(4)
        if start.startswith(b"PK\x03\x04"):
            raise Misconfigured(
                "This is a zip archive or an Excel file: unpack it, or save it as CSV."
            )
        if start.startswith(b"\x1f\x8b"):
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield unpacked
        else:
            yield file


def _native(file: File) -> Iterator[Event | BadRow]:
    for number, line in enumerate(file, 1):
        if line.strip():
            yield native_event(number, line)


def _mapped(
    columns: Sequence[str], rows: Iterable[Found | BadRow], mapping: Mapping
) -> Iterator[Event | BadRow]:
    read = row_reader(mapping, columns)
    gathers = mapping.order.row == "line"
    orders = OpenOrders()
    for found in rows:
        if isinstance(found, BadRow):
            yield found
            continue
        number, raw, row = found
        try:
            said = read(row)
        except UnreadableError as error:
            yield BadRow(number, standing(raw), str(error))
            continue
        if isinstance(said, Event):
            if orders:
                yield from orders.reach(said.time)
            yield said
        elif said is not None:
            if gathers:
                yield from orders.take(said)
            else:
                yield order_event([said])
    yield from orders.close()
