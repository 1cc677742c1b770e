"""JSON and NDJSON files: reader and writers."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from itertools import chain
from json import detect_encoding
from typing import BinaryIO

from django.conf import settings

from apps.services.connectors.base import ConnectorError, Record
from apps.services.connectors.formats.compression import CompressedWriter
from apps.services.connectors.formats.documents import encode_json, parse_json, records_in
from apps.services.connectors.formats.json_array import read_array
from apps.services.connectors.formats.size_limits import BLOCK_BYTES, too_large
from apps.services.definition.expression import Expression
from apps.services.exact_json import Parser

_BOM = b"\xef\xbb\xbf"


def read_json(stream: BinaryIO, expression: Expression, name: str, parser: Parser) -> Iterator[Record]:
    """Yields the records at `expression`; an array that is the document itself is read record by record."""
    head = stream.read(BLOCK_BYTES)
    try:
        if expression.text == "@" and _begins_with_array(head):
            yield from _stream_json(head, _RecordSizeLimit(stream, name), parser)
            return
        data = head + stream.read(max(settings.MAX_RESPONSE_BYTES + 1 - len(head), 0))
        if len(data) > settings.MAX_RESPONSE_BYTES:
            raise too_large(name, "a document that is not read record by record")
        document = parse_json(data, parser)
    except ValueError as error:
        raise ConnectorError(f"{name} is not JSON: {error}.") from None
    yield from records_in(document, expression, origin=name)


def read_ndjson(stream: BinaryIO, name: str, parser: Parser) -> Iterator[Record]:
    """Yields the record of each line."""
    for number, line in _lines(stream, name):
        if line.strip():
            try:
                yield parse_json(line, parser)
            except ValueError as error:
                raise ConnectorError(f"{name}, line {number} is not JSON: {error}.") from None


class JsonWriter:
    """One array with a record on each line."""

    def __init__(self, stream: CompressedWriter) -> None:
        self._stream = stream
        self._lead = b"[\n"

    def write(self, record: Record) -> None:
        self._stream.write(self._lead + encode_json(record))
        self._lead = b",\n"

    def end(self) -> None:
        self._stream.write(b"[]\n" if self._lead == b"[\n" else b"\n]\n")


class NdjsonWriter:
    """A record on each line."""

    def __init__(self, stream: CompressedWriter) -> None:
        self._stream = stream

    def write(self, record: Record) -> None:
        self._stream.write(encode_json(record) + b"\n")

    def end(self) -> None:
        pass


class _RecordSizeLimit:
    """Stream that limits the size of a single record."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream = stream
        self._name = name
        self.since_record = 0

    def read(self) -> bytes:
        data = self._stream.read(BLOCK_BYTES)
        self.since_record += len(data)
        if self.since_record > settings.MAX_RESPONSE_BYTES + BLOCK_BYTES:
            raise too_large(self._name, "one record")
        return data


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


def _lines(stream: BinaryIO, name: str) -> Iterator[tuple[int, bytes]]:
    """Lines in UTF-8 with their line ends, counted from 1, without a byte order mark."""
    number, size = 0, 0
    # The incomplete line so far, and its size.
    parts: list[bytes] = []
    for chunk in _utf_8_blocks(stream, name):
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            number += 1
            yield number, b"".join((*parts, piece, b"\n"))
            parts, size = [], 0
        parts.append(rest)
        size += len(rest)
        if size > settings.MAX_RESPONSE_BYTES:
            raise too_large(f"{name}, line {number + 1}", "one line")
    if size:
        yield number + 1, b"".join(parts)


def _utf_8_blocks(stream: BinaryIO, name: str) -> Iterator[bytes]:
    """The bytes of `stream`, converted from UTF-16 or UTF-32 if necessary: a byte of these may look like a line end."""
    head = stream.read(BLOCK_BYTES)
    blocks = chain([head], iter(lambda: stream.read(BLOCK_BYTES), b""))
    encoding = detect_encoding(head)
    if encoding.startswith("utf-8"):
        yield next(blocks).removeprefix(_BOM)
        yield from blocks
        return
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    try:
        for block in chain(blocks, [b""]):
            yield decoder.decode(block, final=not block).encode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise ConnectorError(
            f"{name} is not JSON: it contains bytes that are not valid {error.encoding}."
        ) from None
