"""Readers of JSON, NDJSON and CSV files, as streams of records."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator
from itertools import chain
from json import detect_encoding
from typing import BinaryIO

from django.conf import settings

from apps.services.connectors.base import ConnectorError, Record
from apps.services.connectors.formats.documents import parse_json, records_in
from apps.services.connectors.formats.json_array import read_array
from apps.services.definition.option_types import Expression
from apps.services.exact_json import Parser

CONTENT_TYPES = {"json": "application/json", "ndjson": "application/x-ndjson", "csv": "text/csv"}
_CHUNK = 64 * 1024
_BOM = b"\xef\xbb\xbf"

# The default limit of 128 KiB is too small for long texts and embedded images.
csv.field_size_limit(16 * 1024 * 1024)


def read_records(
    stream: BinaryIO, format_: str, expression: Expression, name: str, parser: Parser
) -> Iterator[Record]:
    """Yields the records in `stream`. Raises ConnectorError with the file `name` and the position."""
    if format_ == "csv":
        return _read_csv(stream, name)
    if format_ == "ndjson":
        return _read_ndjson(stream, name, parser)
    return _read_json(stream, expression, name, parser)


class _RecordSizeLimit:
    """Stream that limits the size of a single record."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream = stream
        self._name = name
        self.since_record = 0

    def read(self) -> bytes:
        data = self._stream.read(_CHUNK)
        self.since_record += len(data)
        if self.since_record > settings.MAX_RESPONSE_BYTES + _CHUNK:
            raise _too_large(self._name, "one record")
        return data


def _read_json(stream: BinaryIO, expression: Expression, name: str, parser: Parser) -> Iterator[Record]:
    head = stream.read(_CHUNK)
    try:
        if expression.text == "@" and _begins_with_array(head):
            yield from _stream_json(head, _RecordSizeLimit(stream, name), parser)
            return
        data = head + stream.read(max(settings.MAX_RESPONSE_BYTES + 1 - len(head), 0))
        if len(data) > settings.MAX_RESPONSE_BYTES:
            raise _too_large(name, "a document that is not read record by record")
        document = parse_json(data, parser)
    except ValueError as error:
        raise ConnectorError(f"{name} is not JSON: {error}.") from None
    yield from records_in(document, expression, origin=name)


def _begins_with_array(head: bytes) -> bool:
    return (
        codecs.getincrementaldecoder(detect_encoding(head))("replace").decode(head).lstrip().startswith("[")
    )


def _stream_json(head: bytes, stream: _RecordSizeLimit, parser: Parser) -> Iterator[Record]:
    decoder = codecs.getincrementaldecoder(detect_encoding(head))("surrogatepass")
    blocks = chain([head], iter(stream.read, b""), [b""])

    def read(size: int) -> str:
        """At least `size` characters, or what is left."""
        pieces: list[str] = []
        for block in blocks:
            pieces.append(decoder.decode(block, final=not block))
            size -= len(pieces[-1])
            if size < 0:
                break
        return "".join(pieces)

    try:
        for record in read_array(read, parser):
            stream.since_record = 0
            yield record
    except UnicodeDecodeError as error:
        raise ValueError(f"it contains bytes that are not valid {error.encoding}") from None


def _read_ndjson(stream: BinaryIO, name: str, parser: Parser) -> Iterator[Record]:
    for number, line in _lines(stream, name):
        if line.strip():
            try:
                yield parse_json(line, parser)
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
