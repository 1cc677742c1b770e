"""Excel files (xlsx): reader.

The library loads a whole sheet into memory, as a rectangle around all cells. Therefore the sheet is scanned first: a
small file could ask for more memory than there is.
"""

from __future__ import annotations

import logging
import re
import zipfile
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from io import BytesIO
from typing import Any, BinaryIO

from django.conf import settings
from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, PasswordError

from apps.services.connectors.base import ConnectorError, Record
from apps.services.connectors.formats.size_limits import too_large
from apps.services.connectors.formats.xml_format import parse, safe_parser

logger = logging.getLogger(__name__)

_COMPOUND_FILE = bytes.fromhex("d0cf11e0a1b11ae1")
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_SCAN_BYTES = 1024 * 1024
# No cell reference or cell without text is longer.
_OVERLAP_BYTES = 1024
# A cell takes up to 32 bytes in memory, and the XML of all sheets is larger than the file.
_BYTES_PER_CELL = 8
_MAX_EXPANSION = 8
# Excel stores 15 digits of a number.
_EXACT = 10**15
_ROW = re.compile(rb'row (?:[^>]*? )?r="(\d{1,7})"')
_FORMULA_WITHOUT_VALUE = re.compile(
    rb'<(?:\w+:)?c r="([A-Z]+\d+)"(?![^>]* t="str")[^>]*>\s*<(?:\w+:)?f(?:[^>]*/>|[^>]*>[^<]*</(?:\w+:)?f>)'
    rb"\s*(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v></(?:\w+:)?v>)?\s*</(?:\w+:)?c>"
)
_ERROR = re.compile(rb'<(?:\w+:)?c r="([A-Z]+\d+)"[^>]* t="e"[^>]*>')


def read_xlsx(stream: BinaryIO, sheet_name: str, header_row: int, name: str) -> Iterator[Record]:
    """Yields a record for each row below the header that is not empty. Raises ConnectorError.

    Dates and times are texts as in ISO 8601, empty cells are None.
    """
    sheet = _load(stream, sheet_name, name)
    place = f"{name}, sheet {sheet.name}"
    columns: list[str] = []
    width = 0
    # Rows above the first cell with content are included.
    rows: Iterator[list[Any]] = sheet.iter_rows()
    for number, row in enumerate(rows, start=1):
        if number < header_row:
            continue
        if not columns:
            columns = _checked_header(row, f"{place}, row {number}")
            width = len(columns)
            continue
        if len(row) > width and any(cell != "" for cell in row[width:]):
            raise ConnectorError(
                f"{place}, row {number} has a value in column {_letters(width + 1)} or beyond, where the "
                "header has no name. Name the column, or set “header_row”."
            )
        # Inlined for texts and numbers, which are most frequent. Excel does not distinguish 1 from 1.0.
        values = [
            cell or None
            if (kind := type(cell)) is str
            else (int(cell) if cell.is_integer() and -_EXACT < cell < _EXACT else cell)
            if kind is float
            else _CONVERSIONS[kind](cell)
            for cell in row
        ]
        if values.count(None) < len(values):
            yield dict(zip(columns, values, strict=False))
    if not columns:
        raise ConnectorError(f"{place} has no header in row {header_row}. Set “sheet” or “header_row”.")


def _load(stream: BinaryIO, sheet_name: str, name: str) -> CalamineSheet:
    data = stream.read(settings.MAX_RESPONSE_BYTES + 1)
    if len(data) > settings.MAX_RESPONSE_BYTES:
        raise too_large(name, "an Excel file")
    if data.startswith(_COMPOUND_FILE):
        if _ENCRYPTED in data:
            raise _protected(name)
        raise ConnectorError(f"{name} is an old Excel file (xls); save it as xlsx.")
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            _check_archive(archive, name)
            part = _sheet_part(archive, sheet_name, name)
            with archive.open(part) as sheet:
                _check_sheet(sheet, name)
        workbook = CalamineWorkbook.from_filelike(BytesIO(data))
        return workbook.get_sheet_by_name(sheet_name) if sheet_name else workbook.get_sheet_by_index(0)
    except PasswordError:
        raise _protected(name) from None
    # zipfile raises NotImplementedError for a compression that it does not know.
    except (CalamineError, zipfile.BadZipFile, KeyError, EOFError, NotImplementedError) as error:
        raise ConnectorError(f"{name} is not an Excel file (xlsx): {error}.") from None


def _check_archive(archive: zipfile.ZipFile, name: str) -> None:
    files = archive.infolist()
    if sum(file.file_size for file in files) > settings.MAX_RESPONSE_BYTES * _MAX_EXPANSION:
        raise too_large(name, f"an {_MAX_EXPANSION}th of the uncompressed Excel file")
    if len({file.filename.lower() for file in files}) < len(files):
        raise ConnectorError(f"{name} is not an Excel file (xlsx): it contains a part twice.")


def _sheet_part(archive: zipfile.ZipFile, sheet_name: str, name: str) -> str:
    """Name of the file with the sheet in the archive. Without `sheet_name` it is the first sheet."""
    sheets = {
        attributes["name"]: next(value for key, value in attributes.items() if key.endswith(":id"))
        for attributes in _elements(archive, "xl/workbook.xml", "sheet", name)
    }
    targets = {
        attributes["Id"]: attributes["Target"]
        for attributes in _elements(archive, "xl/_rels/workbook.xml.rels", "Relationship", name)
    }
    if sheet_name and sheet_name not in sheets:
        raise ConnectorError(
            f"{name} has no sheet “{sheet_name}”; it has {', '.join(sheets)}. Set “sheet” to one of them."
        )
    target = targets[sheets[sheet_name or next(iter(sheets))]].lstrip("/")
    return target if target.startswith("xl/") else f"xl/{target}"


def _elements(archive: zipfile.ZipFile, part: str, tag: str, name: str) -> list[dict[str, str]]:
    """Attributes of all elements `tag` in a part of the archive."""
    found: list[dict[str, str]] = []

    def start(full_tag: str, attributes: dict[str, str]) -> None:
        if full_tag.rpartition(":")[2] == tag:
            found.append(attributes)

    parser = safe_parser(name)
    parser.StartElementHandler = start
    with archive.open(part) as stream:
        for _part in parse(parser, stream, name):  # type: ignore[arg-type] # It only reads.
            pass
    return found


def _check_sheet(stream: Any, name: str) -> None:
    """Scans the XML of a sheet for what the library would lose, and for what needs too much memory."""
    columns: set[bytes] = set()
    last_row, rest, first_error = 0, b"", b""
    while block := stream.read(_SCAN_BYTES):
        text = rest + block
        # Rows are in order; the last one may be incomplete.
        start = text.rfind(b"<row ", 0, text.rfind(b"<row "))
        numbers = _ROW.findall(text, max(start, 0))
        # Numbers of rows are optional.
        last_row = max(last_row, *map(int, numbers)) if numbers else last_row + text.count(b"row>")
        columns.update(_new_columns(columns, last_row).findall(text))
        if b'"e"' in text and not first_error and (match := _ERROR.search(text)):
            first_error = match[1]
        if b"f>" in text and (match := _FORMULA_WITHOUT_VALUE.search(text)):
            raise ConnectorError(
                f"{name}: cell {match[1].decode()} has a formula without a value. Open the file in Excel and "
                "save it."
            )
        rest = text[-_OVERLAP_BYTES:]
    if not all(column.isalpha() for column in columns):
        raise ConnectorError(f"{name} is not an Excel file (xlsx): cells are outside of their rows.")
    width = max(map(_column_number, columns), default=0)
    if last_row * width > settings.MAX_RESPONSE_BYTES // _BYTES_PER_CELL:
        raise too_large(name, f"a sheet of {last_row:,} rows and {width:,} columns")
    if first_error:
        logger.warning("%s: cell %s contains an error; such cells are empty.", name, first_error.decode())


def _new_columns(known: set[bytes], last_row: int) -> re.Pattern[bytes]:
    """Finds the letters of cell references, with digits if the row is much greater than `last_row`.

    Passes over `known` columns of one letter, which most cells are in.
    """
    digits = str(last_row)
    longer = rb"\d{%d}" % (len(digits) + 1)
    greater = b"" if digits[0] == "9" else rb"[%d-9]\d{%d}|" % (int(digits[0]) + 1, len(digits) - 1)
    outside = greater + longer
    letters = b"".join(column for column in known if len(column) == 1)
    passed = rb"(?![%s](?!%s)\d)" % (letters, outside) if letters else b""
    return re.compile(rb' r="' + passed + rb"([A-Z]{1,3}(?:" + outside + rb")?)")


def _column_number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - ord("A") + 1
    return number


def _letters(column: int) -> str:
    letters = ""
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def _checked_header(row: list[Any], place: str) -> list[str]:
    columns = [_name(cell) for cell in row]
    while columns and not columns[-1]:
        columns.pop()
    for number, column in enumerate(columns, start=1):
        if not column:
            raise ConnectorError(
                f"{place}: column {_letters(number)} has no name. Name every column, or set “header_row”."
            )
        if columns.index(column) < number - 1:
            raise ConnectorError(f"{place}: the column “{column}” is repeated. Rename one of the two.")
    return columns


def _name(cell: Any) -> str:
    """The name of a column; a year is a number."""
    if isinstance(cell, str):
        return cell.strip()
    return f"{cell:.15g}" if isinstance(cell, float) else str(_CONVERSIONS[type(cell)](cell))


def _duration(value: timedelta) -> str:
    """ISO 8601 as in PT36H30M."""
    seconds = value.total_seconds()
    sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    parts = (
        f"{hours}H" if hours else "",
        f"{minutes}M" if minutes else "",
        f"{seconds:g}S" if seconds else "",
    )
    return f"{sign}PT{''.join(parts) or '0S'}"


_CONVERSIONS: dict[type, Callable[[Any], Any]] = {
    bool: bool,
    int: int,
    float: float,
    date: date.isoformat,
    datetime: datetime.isoformat,
    time: time.isoformat,
    timedelta: _duration,
}


def _protected(name: str) -> ConnectorError:
    return ConnectorError(
        f"{name} is protected by a password. Remove the password in Excel and save the file."
    )
