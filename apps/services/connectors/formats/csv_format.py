"""CSV files: encoding, reader and writer."""

from __future__ import annotations

import codecs
import csv
import io
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, BinaryIO

from django.conf import settings

from apps.services.connectors.base import ConnectorError, Record
from apps.services.connectors.formats.compression import CompressedWriter
from apps.services.connectors.formats.csv_delimiter import (
    DELIMITERS,
    detected_delimiter,
    invalid_csv,
    named_delimiter,
    parsed_rows,
    refuse_other,
)
from apps.services.connectors.formats.documents import encode_json
from apps.services.connectors.formats.size_limits import BLOCK_BYTES, too_large
from apps.services.definition.csv_options import CsvDialect, CsvSource

logger = logging.getLogger(__name__)

# UTF-32 first, because its byte order mark begins with that of UTF-16.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SAMPLE_LINES = 100
_MAX_FIELD_BYTES = 16 * 1024 * 1024

# The default limit of 128 KiB is too small for long texts and embedded images.
csv.field_size_limit(_MAX_FIELD_BYTES)


def read_csv(stream: BinaryIO, dialect: CsvSource, name: str) -> Iterator[Record]:
    """Yields a record with texts for each row. Raises ConnectorError with the file `name` and the line."""
    text = _CsvText(stream, dialect.encoding, name)
    blocks = text.blocks()
    lines: list[str] = []
    for block in blocks:
        lines += block
        if len(lines) > dialect.skip_rows:
            break
    if 0 < len(lines) <= dialect.skip_rows:
        logger.warning("%s has no records: “skip_rows” skips all of its lines", name)
    del lines[: dialect.skip_rows]
    text.line += dialect.skip_rows
    if not lines:
        return
    delimiter = dialect.delimiter
    if delimiter == "auto" and (named := named_delimiter(lines[0])):
        delimiter = named
        del lines[0]
        text.line += 1
    sample = lines[:_SAMPLE_LINES]
    all_lines: Iterator[str] = chain(lines, chain.from_iterable(blocks))
    is_detected = delimiter == "auto"
    delimiter = detected_delimiter(sample, delimiter, dialect.names, f"{name}, line {text.line}")
    if is_detected and not dialect.names and all(len(row) == 1 for row in parsed_rows(sample, delimiter)):
        all_lines = _lines_of_one_column(all_lines, text, name)
    reader = csv.reader(all_lines, delimiter=delimiter, strict=True)
    yield from _read_rows(reader, text, dialect.names, name)


def _read_rows(reader: Any, text: _CsvText, names: Sequence[str], name: str) -> Iterator[Record]:
    first_line = text.line
    columns = list(names)
    while True:
        line = text.line = first_line + reader.line_num
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise invalid_csv(f"{name}, line {line}", _reason(error)) from None
        if not row:
            continue
        if not columns:
            columns = _checked_header(row, f"{name}, line {line}")
        elif len(row) != len(columns):
            expected = "“names” lists" if names else "the header has"
            raise invalid_csv(
                f"{name}, line {line}", f"it has {len(row)} columns, and {expected} {len(columns)}"
            )
        else:
            yield dict(zip(columns, row, strict=True))


class CsvWriter:
    """The keys of the first record are the header, unless `names` lists the columns of a file without header.

    Values are written unchanged: a text that a spreadsheet would take for a formula is data to the system that
    reads the file.
    """

    def __init__(self, stream: CompressedWriter, dialect: CsvDialect, name: str) -> None:
        self._stream = stream
        self._name = name
        self._encoding = "utf-8" if dialect.encoding == "auto" else dialect.encoding
        # Writes the byte order mark of encodings that have one, such as utf-8-sig, once.
        self._encoder = codecs.getincrementalencoder(self._encoding)()
        self._delimiter = dialect.delimiter
        if dialect.delimiter == "auto":
            self._delimiter = "\t" if ".tsv" in name.lower() else ","
        self._columns = list(dialect.names)
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
                "record or “names” does not have; it defines the columns of CSV."
            )
        self._write_row([_cell(record.get(column)) for column in self._columns])

    def end(self) -> None:
        pass

    def _write_row(self, cells: list[str]) -> None:
        row = io.StringIO()
        csv.writer(row, delimiter=self._delimiter, lineterminator="\n").writerow(cells)
        try:
            self._stream.write(self._encoder.encode(row.getvalue()))
        except UnicodeEncodeError as error:
            character = error.object[error.start]
            shown = "a lone surrogate" if "\ud800" <= character <= "\udfff" else f"“{character}”"
            raise ConnectorError(
                f"{self._name}: record {self._count} contains {shown}, which {self._encoding.upper()} cannot "
                "represent."
            ) from None


class _CsvText:
    """Decoded text of a CSV file; limits what is in memory for one record."""

    def __init__(self, stream: BinaryIO, encoding: str, name: str) -> None:
        self._stream = stream
        self._name = name
        self._given_encoding = encoding
        # Line where the current record begins; the reader of the rows advances it.
        self.line = 1

    def blocks(self) -> Iterator[list[str]]:
        """Lists of complete lines with their line ends."""
        data = self._stream.read(BLOCK_BYTES)
        mark, encoding = self._encoding_of(data)
        data = data.removeprefix(mark)
        decoder = codecs.getincrementaldecoder(encoding)()
        # The incomplete line so far, complete lines so far, and the bytes since the record began.
        parts: list[str] = []
        number, since_record, record_line = 0, 0, 0
        is_last = False
        while not is_last:
            is_last = not data
            text = self._decoded(decoder, data, encoding, number)
            if parts and parts[-1].endswith("\r"):
                # A line feed may follow.
                text = parts.pop() + text
            lines = io.StringIO(text, newline="").readlines()
            rest = lines.pop() if lines and not lines[-1].endswith("\n") else ""
            if lines and parts:
                lines[0] = "".join((*parts, lines[0]))
                parts.clear()
            if rest:
                parts.append(rest)
            if is_last and parts:
                lines.append("".join(parts))
            number += len(lines)
            since_record = since_record + len(data) if record_line == self.line else len(data)
            record_line = self.line
            if since_record > settings.MAX_RESPONSE_BYTES:
                raise too_large(
                    f"{self._name}, line {self.line}", "one record, perhaps because a quote is not closed,"
                )
            if lines:
                yield lines
            data = self._stream.read(BLOCK_BYTES)

    def _encoding_of(self, head: bytes) -> tuple[bytes, str]:
        """The byte order mark, which may be empty, and the encoding."""
        for mark, encoding in _BYTE_ORDER_MARKS:
            if head.startswith(mark):
                return mark, encoding
        return b"", "utf-8" if self._given_encoding == "auto" else self._given_encoding

    def _decoded(self, decoder: codecs.IncrementalDecoder, data: bytes, encoding: str, number: int) -> str:
        try:
            text = decoder.decode(data, not data)
        except UnicodeDecodeError as error:
            before = error.object[: error.start].decode(encoding, "ignore").count("\n")
            place = f"{self._name}, line {number + before + 1}"
            wrong = f"byte 0x{error.object[error.start]:02x} is not {encoding.upper()}"
        except UnicodeError as error:
            place, wrong = self._name, f"it is not {encoding.upper()}: {error}"
        else:
            if "\0" not in text:
                return text
            raise invalid_csv(
                f"{self._name}, line {number + text.count('\n', 0, text.index('\0')) + 1}",
                "it contains a NUL character. For UTF-16 without a byte order mark, set “encoding” of csv to "
                "utf-16-le",
            )
        raise invalid_csv(place, f"{wrong}. Set “encoding” of csv, such as cp1252")


def _lines_of_one_column(lines: Iterator[str], text: _CsvText, name: str) -> Iterator[str]:
    """Raises ConnectorError for a line after the sample that another delimiter divides outside of quotes."""
    is_quoted = False
    for line in lines:
        if quote_count := line.count('"'):
            is_quoted ^= quote_count % 2 == 1
        elif not is_quoted:
            refuse_other([one for one in DELIMITERS if one in line], "", f"{name}, line {text.line}")
        yield line


def _checked_header(row: list[str], place: str) -> list[str]:
    if not all(column.strip() for column in row):
        raise invalid_csv(place, "every column must have a name")
    if twice := sorted(column for column, count in Counter(row).items() if count > 1):
        raise invalid_csv(place, f"{', '.join(twice)} is repeated")
    return row


def _reason(error: csv.Error) -> str:
    if "field larger" in str(error):
        return f"a field is larger than {_MAX_FIELD_BYTES // 2**20} MiB; perhaps a quote is not closed"
    return str(error)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else encode_json(value).decode()
