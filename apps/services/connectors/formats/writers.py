"""Writers of JSON, NDJSON and CSV files, record by record."""

from __future__ import annotations

import csv
import io
from typing import Any, BinaryIO, Protocol

from apps.services.connectors.base import ConnectorError, Record
from apps.services.connectors.formats.documents import encode_json


class RecordWriter(Protocol):
    """Writes records to a stream, which the caller closes."""

    def write(self, record: Record) -> None: ...

    def end(self) -> None:
        """Writes what follows the last record."""
        ...


def record_writer(stream: BinaryIO, format_: str, name: str) -> RecordWriter:
    if format_ == "csv":
        return _CsvWriter(stream, name)
    return _JsonWriter(stream) if format_ == "json" else _NdjsonWriter(stream)


class _JsonWriter:
    """One array with a record on each line."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lead = b"[\n"

    def write(self, record: Record) -> None:
        self._stream.write(self._lead + encode_json(record))
        self._lead = b",\n"

    def end(self) -> None:
        self._stream.write(b"[]\n" if self._lead == b"[\n" else b"\n]\n")


class _NdjsonWriter:
    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, record: Record) -> None:
        self._stream.write(encode_json(record) + b"\n")

    def end(self) -> None:
        pass


class _CsvWriter:
    """The keys of the first record are the header.

    Values are written unchanged: a text that a spreadsheet would take for a formula is data to the system that
    reads the file.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream = stream
        self._name = name
        self._columns: list[str] = []
        self._count = 0

    def write(self, record: Record) -> None:
        self._count += 1
        if not isinstance(record, dict) or not record:
            raise ConnectorError(
                f"{self._name}: record {self._count} has no fields and cannot be a row of CSV."
            )
        if not self._columns:
            self._columns = [str(key) for key in record]
            self._write_row(self._columns)
        if unknown := [str(key) for key in record if key not in self._columns]:
            raise ConnectorError(
                f"{self._name}: record {self._count} has the fields {', '.join(unknown)}, which the first "
                "record does not have; the first record defines the columns of CSV."
            )
        self._write_row([_cell(record.get(column)) for column in self._columns])

    def end(self) -> None:
        pass

    def _write_row(self, cells: list[str]) -> None:
        row = io.StringIO()
        csv.writer(row, lineterminator="\n").writerow(cells)
        try:
            self._stream.write(row.getvalue().encode())
        except UnicodeEncodeError:
            raise ConnectorError(
                f"{self._name}: record {self._count} contains a lone surrogate, which UTF-8 cannot represent."
            ) from None


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else encode_json(value).decode()
