"""Formats of files by name: content type, reader and writer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO, Protocol

from apps.services.connectors.base import Record
from apps.services.connectors.formats import compression
from apps.services.connectors.formats.compression import Known, compressed_writer, decompressed_files
from apps.services.connectors.formats.csv_format import CsvWriter, read_csv
from apps.services.connectors.formats.json_format import JsonWriter, NdjsonWriter, read_json, read_ndjson
from apps.services.connectors.formats.xml_format import read_xml
from apps.services.definition.file_options import FileDestination, FileSource
from apps.services.exact_json import Parser

_CONTENT_TYPES = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv",
    "xml": "application/xml",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


class RecordWriter(Protocol):
    """Writes records to a stream, which the caller closes."""

    def write(self, record: Record) -> None: ...

    def end(self) -> None:
        """Writes what follows the last record."""
        ...

    def discard(self) -> None:
        """Gives up an incomplete file."""
        ...


def content_type(format_: str, compressed: Known) -> str:
    return compression.CONTENT_TYPES.get(compressed) or _CONTENT_TYPES[format_]


def extension(format_: str, compressed: Known) -> str:
    """Suffix of a file as in `.csv.gz`; it tells the compression."""
    return f".{format_}{compression.SUFFIXES[compressed]}"


def read_files(
    stream: BinaryIO, options: FileSource, compressed: Known, name: str, parser: Parser
) -> Iterator[tuple[str, Iterator[Record]]]:
    """Name and records of each file in `stream`; a zip archive contains several.

    Raises ConnectorError with the name of the file and the position.
    """
    for member, content in decompressed_files(stream, compressed, name):
        yield member, _read_records(content, options, member, parser)


def _read_records(stream: BinaryIO, options: FileSource, name: str, parser: Parser) -> Iterator[Record]:
    match options.format:
        case "csv":
            return read_csv(stream, options.csv, name)
        case "ndjson":
            return read_ndjson(stream, name, parser)
        case "xml" if options.xml is not None:
            return read_xml(stream, options.xml, name)
        case "xlsx":
            # Imports the library only where it is needed: every process would need its memory.
            from apps.services.connectors.formats.xlsx_format import read_xlsx

            return read_xlsx(stream, options.sheet, options.header_row, name)
        case _:
            return read_json(stream, options.records, name, parser)


def record_writer(stream: BinaryIO, options: FileDestination, compressed: Known, name: str) -> RecordWriter:
    """The writer of the file `name`."""
    member = PurePosixPath(name).name.removesuffix(compression.SUFFIXES[compressed])
    if not PurePosixPath(member).suffix:
        member += f".{options.format}"
    return _Writer(stream, options, compressed, member)


class _Writer:
    """Writes records in a format, compressed."""

    def __init__(self, stream: BinaryIO, options: FileDestination, compressed: Known, name: str) -> None:
        self._compressed = compressed_writer(stream, compressed, name)
        if options.format == "csv":
            self._records: CsvWriter | JsonWriter | NdjsonWriter = CsvWriter(
                self._compressed, options.csv, name
            )
        elif options.format == "json":
            self._records = JsonWriter(self._compressed)
        else:
            self._records = NdjsonWriter(self._compressed)
        self.write = self._records.write

    def end(self) -> None:
        self._records.end()
        self._compressed.end()

    def discard(self) -> None:
        self._compressed.discard()
