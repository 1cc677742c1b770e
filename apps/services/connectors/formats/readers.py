"""Files as records: JSON, NDJSON and CSV, read as a stream."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import BinaryIO

import ijson
from django.conf import settings

from apps.services.connectors.base import ConnectorError, Record
from apps.services.connectors.formats.documents import parse_json, records_in
from apps.services.definition.option_types import Expression

CONTENT_TYPES = {"json": "application/json", "ndjson": "application/x-ndjson", "csv": "text/csv"}
_CHUNK = 64 * 1024
_BOM = b"\xef\xbb\xbf"

# The standard library stops at 128 KiB, which descriptions and embedded pictures in exports pass.
csv.field_size_limit(16 * 1024 * 1024)


def read_records(stream: BinaryIO, format_: str, expression: Expression, name: str) -> Iterator[Record]:
    """The records in `stream`, one at a time. Raises ConnectorError that names the file `name` and the place."""
    if format_ == "csv":
        return _read_csv(stream, name)
    if format_ == "ndjson":
        return _read_ndjson(stream, name)
    return _read_json(stream, expression, name)


class _Metered:
    """A stream that stops where one record alone would fill the memory."""

    def __init__(self, head: bytes, stream: BinaryIO, name: str) -> None:
        self._head = head
        self._stream = stream
        self._name = name
        self.since_record = 0

    def read(self, size: int) -> bytes:
        if size == 0:
            # ijson asks so to see whether it gets bytes or text.
            return b""
        data = self._head[:size] or self._stream.read(size)
        self._head = self._head[size:]
        self.since_record += len(data)
        if self.since_record > settings.MAX_RESPONSE_BYTES + _CHUNK:
            raise _too_large(self._name, "one record")
        return data


def _read_json(stream: BinaryIO, expression: Expression, name: str) -> Iterator[Record]:
    head = stream.read(_CHUNK).removeprefix(_BOM).lstrip()
    if expression.text == "@" and head.startswith(b"["):
        yield from _stream_json(_Metered(head, stream, name), name)
        return
    data = head + stream.read(max(settings.MAX_RESPONSE_BYTES + 1 - len(head), 0))
    if len(data) > settings.MAX_RESPONSE_BYTES:
        raise _too_large(name, "a document that is not read record by record")
    try:
        document = parse_json(data)
    except ValueError as error:
        raise ConnectorError(f"{name} is no JSON: {error}.") from None
    yield from records_in(document, expression, origin=name)


def _stream_json(stream: _Metered, name: str) -> Iterator[Record]:
    try:
        for record in ijson.items(stream, "item", use_float=True, buf_size=_CHUNK):
            stream.since_record = 0
            yield record
    except (ijson.JSONError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConnectorError(f"{name} is no JSON: {reason}.") from None


def _read_ndjson(stream: BinaryIO, name: str) -> Iterator[Record]:
    for number, line in _lines(stream, name):
        if line.strip():
            try:
                yield parse_json(line)
            except ValueError as error:
                raise ConnectorError(f"{name}, line {number} is no JSON: {error}.") from None


def _read_csv(stream: BinaryIO, name: str) -> Iterator[Record]:
    reader = csv.reader(_text_lines(stream, name), strict=True)
    header: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise ConnectorError(f"{name}, line {line} is broken CSV: {error}.") from None
        if header is None:
            header = _checked_header(row, name)
        elif row:
            if len(row) != len(header):
                raise ConnectorError(
                    f"{name}, line {line} is broken CSV: it has {len(row)} columns where the header has {len(header)}."
                )
            yield dict(zip(header, row, strict=True))


def _checked_header(row: list[str], name: str) -> list[str]:
    if not row or not all(column.strip() for column in row):
        raise ConnectorError(f"{name}, line 1 is broken CSV: it has to name every column.")
    if twice := sorted({column for column in row if row.count(column) > 1}):
        raise ConnectorError(f"{name}, line 1 is broken CSV: it names {', '.join(twice)} more than once.")
    return row


def _text_lines(stream: BinaryIO, name: str) -> Iterator[str]:
    for number, line in _lines(stream, name):
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise ConnectorError(
                f"{name}, line {number} is broken CSV: its byte {error.start + 1} is not UTF-8."
            ) from None
        if "\0" in text:
            raise ConnectorError(f"{name}, line {number} is broken CSV: it holds a NUL.")
        yield text


def _lines(stream: BinaryIO, name: str) -> Iterator[tuple[int, bytes]]:
    """The lines with their ends, counted from 1, without a byte order mark."""
    number, size = 0, 0
    # What there is of the line that has not ended yet, and its size.
    parts: list[bytes] = []
    chunk = stream.read(_CHUNK).removeprefix(_BOM)
    while chunk:
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            number += 1
            yield number, b"".join((*parts, piece, b"\n"))
            parts, size = [], 0
        parts.append(rest)
        size += len(rest)
        if size > settings.MAX_RESPONSE_BYTES:
            raise _too_large(f"{name}, line {number + 1}", "one line")
        chunk = stream.read(_CHUNK)
    if size:
        yield number + 1, b"".join(parts)


def _too_large(name: str, what: str) -> ConnectorError:
    return ConnectorError(
        f"{name}: {what} is larger than {settings.MAX_RESPONSE_BYTES / 2**20:g} MiB, the most that is held in memory. "
        "Raise SYNCLOG_MAX_RESPONSE_MIB if it has to be."
    )
