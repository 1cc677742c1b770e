"""Readers of JSON, NDJSON and CSV files, as streams of records."""

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

# The default limit of 128 KiB is too small for long texts and embedded images.
csv.field_size_limit(16 * 1024 * 1024)


def read_records(stream: BinaryIO, format_: str, expression: Expression, name: str) -> Iterator[Record]:
    """Yields the records in `stream`. Raises ConnectorError with the file `name` and the position."""
    if format_ == "csv":
        return _read_csv(stream, name)
    if format_ == "ndjson":
        return _read_ndjson(stream, name)
    return _read_json(stream, expression, name)


class _RecordSizeLimit:
    """Stream that limits the size of a single record."""

    def __init__(self, head: bytes, stream: BinaryIO, name: str) -> None:
        self._head = head
        self._stream = stream
        self._name = name
        self.since_record = 0

    def read(self, size: int) -> bytes:
        if size == 0:
            # ijson reads zero bytes to find out whether the stream is binary.
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
        yield from _stream_json(_RecordSizeLimit(head, stream, name), name)
        return
    data = head + stream.read(max(settings.MAX_RESPONSE_BYTES + 1 - len(head), 0))
    if len(data) > settings.MAX_RESPONSE_BYTES:
        raise _too_large(name, "a document that is not read record by record")
    try:
        document = parse_json(data)
    except ValueError as error:
        raise ConnectorError(f"{name} is not JSON: {error}.") from None
    yield from records_in(document, expression, origin=name)


def _stream_json(stream: _RecordSizeLimit, name: str) -> Iterator[Record]:
    try:
        for record in ijson.items(stream, "item", use_float=True, buf_size=_CHUNK):
            stream.since_record = 0
            yield record
    except (ijson.JSONError, UnicodeDecodeError) as error:
        # The C backend of ijson reports invalid UTF-8 as bytes.
        cause = error.args[0] if error.args else error
        text = cause.decode(errors="replace") if isinstance(cause, bytes) else str(error)
        reason = " ".join(text.split())[:200]
        raise ConnectorError(f"{name} is not JSON: {reason}.") from None


def _read_ndjson(stream: BinaryIO, name: str) -> Iterator[Record]:
    for number, line in _lines(stream, name):
        if line.strip():
            try:
                yield parse_json(line)
            except ValueError as error:
                raise ConnectorError(f"{name}, line {number} is not JSON: {error}.") from None


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
            raise ConnectorError(f"{name}, line {line} is invalid CSV: {error}.") from None
        if header is None:
            header = _checked_header(row, name)
        elif row:
            if len(row) != len(header):
                raise ConnectorError(
                    f"{name}, line {line} is invalid CSV: it has {len(row)} columns, and the header has "
                    f"{len(header)}."
                )
            yield dict(zip(header, row, strict=True))


def _checked_header(row: list[str], name: str) -> list[str]:
    if not row or not all(column.strip() for column in row):
        raise ConnectorError(f"{name}, line 1 is invalid CSV: every column must have a name.")
    if twice := sorted({column for column in row if row.count(column) > 1}):
        raise ConnectorError(f"{name}, line 1 is invalid CSV: {', '.join(twice)} is repeated.")
    return row


def _text_lines(stream: BinaryIO, name: str) -> Iterator[str]:
    for number, line in _lines(stream, name):
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise ConnectorError(
                f"{name}, line {number} is invalid CSV: byte {error.start + 1} is not UTF-8."
            ) from None
        if "\0" in text:
            raise ConnectorError(f"{name}, line {number} is invalid CSV: it contains a NUL character.")
        yield text


def _lines(stream: BinaryIO, name: str) -> Iterator[tuple[int, bytes]]:
    """Lines with their line ends, counted from 1, without a byte order mark."""
    number, size = 0, 0
    # The incomplete line so far, and its size.
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
        f"{name}: {what} is larger than {settings.MAX_RESPONSE_BYTES / 2**20:g} MiB, the limit in memory. "
        "Raise SYNCLOG_MAX_RESPONSE_MIB if necessary."
    )
